// What paging experts costs, for people and programs.
#pragma once

#include <string>

#include "formats/template/value.h"
#include "runtime/experts/expert_statistics.h"
#include "runtime/experts/ram_budget.h"

namespace larder::apps {

// "RAM 2.00 GiB: ..." in two sentences: what is resident, what is paged, and how it is read.
std::string paging_text(const runtime::ExpertStoreFacts& facts, const runtime::RamBudget& ram);

// "experts: 93.1 % hits, 18.2 MB in 21.3 reads a token, ..." of an interval so long; 0: not known.
std::string paging_line(const runtime::ExpertStatistics& statistics, double seconds);

// {"hit_rate", "bytes_per_token", "reads_per_token", "disk_bytes_per_s", "wait_share", ...}
formats::DataValue to_data(const runtime::ExpertStatistics& statistics, double seconds);

}  // namespace larder::apps
