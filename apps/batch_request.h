// A line of an OpenAI batch, understood: what is asked of the model, checked field by field. A
// field that is not known, or asks for what cannot be had, is an error that names it: nothing is
// left out silently.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "formats/status.h"
#include "formats/template/chat_template.h"
#include "formats/template/value.h"
#include "formats/text/tokenizer.h"
#include "runtime/session/generation.h"
#include "runtime/session/sampler.h"
#include "runtime/session/thinking.h"

namespace larder::apps {

enum class BatchUrl : uint8_t { chat_completions, completions };

struct BatchRequest {
  BatchUrl url = BatchUrl::chat_completions;
  formats::DataValue custom_id;                        // a string
  std::string model;                                   // as the line names it; or empty
  std::vector<std::vector<formats::TokenId>> prompts;  // of a chat, one
  int32_t n_choices = 1;                               // of each prompt
  runtime::SamplerOptions sampler;                     // with the first choice's seed
  runtime::GenerationOptions generation;
  bool has_logprobs = false;
  int32_t n_top = 0;  // alternatives at every token
  runtime::Opening opening = runtime::Opening::answer;
};

// What lines are read with: the model's, and the command's defaults for what lines leave out.
struct BatchDefaults {
  std::shared_ptr<const formats::Tokenizer> tokenizer;
  std::shared_ptr<const formats::ChatTemplate> chat_template;  // null where the model has none
  std::vector<runtime::ThinkingStyle> styles;                  // of the template
  std::vector<formats::TokenId> shown_control;                 // that those need
  runtime::SamplerOptions sampler;  // the seed is the job's: lines get theirs from it and their id
  runtime::GenerationOptions generation;
  std::string thinking;
  formats::DataValue variables;                                      // a dict, for the template
  std::tm now{};                                                     // that templates see
  formats::SpecialTokens special = formats::SpecialTokens::as_text;  // in prompts of completions
  int32_t n_ctx = 0;
};

// Errors: `missing`, `value_type`, `invalid_argument`, `unsupported`, `context_full`, those of the
// template; the subject is the field.
Result<BatchRequest> read_batch_request(const formats::DataValue& line,
                                        const BatchDefaults& defaults);

// Of another choice than the first: as far from it as from any other seed.
uint64_t seed_of_choice(uint64_t seed, int32_t choice) noexcept;

}  // namespace larder::apps
