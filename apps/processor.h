// The processor, as the system tells of it.
#pragma once

#include <cstdint>
#include <string>

namespace larder::apps {

struct Processor {
  std::string name;                     // empty: not known
  uint64_t last_level_cache_bytes = 0;  // all of them together; 0: not known
};

// `root` stands for the root directory, for tests.
Processor processor(const std::string& root = {});

}  // namespace larder::apps
