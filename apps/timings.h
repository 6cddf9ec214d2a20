// How long an answer took, in llama.cpp's words.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "formats/template/value.h"

namespace larder::apps {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct Timings {
  int32_t n_cached = 0;     // prompt tokens that were held already
  int32_t n_prompt = 0;     // prompt tokens computed
  int32_t n_predicted = 0;  // tokens sampled
  double prompt_seconds = 0, predicted_seconds = 0;

  // {"cache_n", "prompt_n", "prompt_ms", "prompt_per_token_ms", "prompt_per_second",
  // "predicted_n", ...}. Source: the timings object of llama.cpp's server, 2026-08.
  formats::DataValue to_data() const;
  // "[ Prompt: 512.3 t/s | Generation: 48.1 t/s ]"
  std::string to_line() const;
};

}  // namespace larder::apps
