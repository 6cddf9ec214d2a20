// A picture of which experts a text used: layers by experts, how even each layer is, and how few
// experts take most of the work. One file that needs nothing else.
#pragma once

#include <string>

#include "apps/expert_usage.h"

namespace larder::apps {

struct HeatMapTitle {
  std::string model, architecture;
};

// REQUIRES: !usage.is_empty()
std::string to_svg(const ExpertUsage& usage, const HeatMapTitle& title);
std::string to_html(const ExpertUsage& usage, const HeatMapTitle& title);  // with the table

}  // namespace larder::apps
