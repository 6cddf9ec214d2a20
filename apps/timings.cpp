#include "apps/timings.h"

#include <cstdio>

namespace larder::apps {
namespace {

double per_second(int32_t n, double seconds) { return seconds > 0 ? n / seconds : 0; }
double per_token_ms(int32_t n, double seconds) { return n > 0 ? 1e3 * seconds / n : 0; }

}  // namespace

formats::DataValue Timings::to_data() const {
  return formats::DataValue::make_dict(
      {{"cache_n", n_cached},
       {"prompt_n", n_prompt},
       {"prompt_ms", 1e3 * prompt_seconds},
       {"prompt_per_token_ms", per_token_ms(n_prompt, prompt_seconds)},
       {"prompt_per_second", per_second(n_prompt, prompt_seconds)},
       {"predicted_n", n_predicted},
       {"predicted_ms", 1e3 * predicted_seconds},
       {"predicted_per_token_ms", per_token_ms(n_predicted, predicted_seconds)},
       {"predicted_per_second", per_second(n_predicted, predicted_seconds)}});
}

std::string Timings::to_line() const {
  char line[96];
  std::snprintf(line, sizeof line, "[ Prompt: %.1f t/s | Generation: %.1f t/s ]",
                per_second(n_prompt, prompt_seconds), per_second(n_predicted, predicted_seconds));
  return line;
}

}  // namespace larder::apps
