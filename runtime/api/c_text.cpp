// Text to tokens and back, and what a template makes of messages.
#include <string>
#include <utility>
#include <vector>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"
#include "runtime/session/prompt.h"

namespace larder::runtime {
namespace {

Outcome tokenize(const formats::Tokenizer& tokenizer, std::string_view text, int32_t flags,
                 std::vector<int32_t>& ids) {
  const auto special = (flags & LARDER_TOKENIZE_SPECIAL) != 0 ? formats::SpecialTokens::recognised
                                                              : formats::SpecialTokens::as_text;
  if ((flags & LARDER_TOKENIZE_BEGIN) == 0) return tokenizer.encode(text, special, ids);
  auto encoded = encode_text(tokenizer, text, special);
  if (!encoded) return encoded.status();
  ids = std::move(*encoded);
  return {};
}

// The template that was set, or the model's own.
Outcome template_of(const Model& model, const OptionValues& options,
                    std::shared_ptr<const formats::ChatTemplate>& out) {
  auto given = options.chat_template();
  if (!given) return given_template_failure(given.status());
  out = *given != nullptr ? std::move(*given) : model.chat_template();
  if (out != nullptr) return {};
  auto own = read_chat_template(model.file());
  if (!own) return own_template_failure(own.status());
  out = std::move(*own);
  return {};
}

// What a template makes of messages.
Outcome render(const larder_model* model, const larder_messages* messages,
               const larder_options* options, formats::MarkedText& prompt) {
  const OptionsArgument with(options);
  const Outcome arguments = first_failure(check(model), check(messages), with.check());
  if (!arguments.ok()) return arguments;
  const Model& opened = *(*model)->model;
  std::shared_ptr<const formats::ChatTemplate> chat_template;
  if (Outcome o = template_of(opened, *with, chat_template); !o.ok()) return o;
  auto rendered = render_prompt(*chat_template, *opened.tokenizer(), **messages, with->thinking(),
                                with->variables());
  if (!rendered) return rendered.status();
  prompt = std::move(*rendered);
  return {};
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_model_tokenize(const larder_model* model, const char* text, size_t n_bytes,
                                    int32_t flags, int32_t** ids, size_t* n_ids,
                                    larder_error** error) {
  const TextArgument encoded{text, n_bytes};
  const Outcome arguments = first_failure(cleared(ids, n_ids), check(encoded), check(model));
  return guarded(error, arguments, [&]() -> Outcome {
    if ((flags & ~(LARDER_TOKENIZE_SPECIAL | LARDER_TOKENIZE_BEGIN)) != 0)
      return invalid("unknown flags");
    std::vector<int32_t> tokens;
    const formats::Tokenizer& tokenizer = *(*model)->model->tokenizer();
    if (Outcome o = tokenize(tokenizer, encoded.view(), flags, tokens); !o.ok()) return o;
    return hand_out(std::span<const int32_t>(tokens), ids, n_ids);
  });
}

larder_status larder_model_detokenize(const larder_model* model, const int32_t* ids, size_t n_ids,
                                      int32_t shows_control, char** text, size_t* n_bytes,
                                      larder_error** error) {
  const IdsArgument tokens{ids, n_ids};
  const Outcome arguments = first_failure(cleared(text, n_bytes), check(tokens), check(model));
  return guarded(error, arguments, [&]() -> Outcome {
    const formats::Tokenizer& tokenizer = *(*model)->model->tokenizer();
    for (const int32_t id : tokens.view())
      if (Outcome o = check_token(tokenizer, id); !o.ok()) return o;
    const auto decoded = tokenizer.decode(tokens.view(), shows_control != 0);
    if (!decoded) return decoded.status();
    return hand_out(*decoded, text, n_bytes);
  });
}

larder_status larder_decoder_new(const larder_model* model, int32_t is_at_start,
                                 int32_t shows_control, larder_decoder** decoder,
                                 larder_error** error) {
  return guarded(error, first_failure(cleared(decoder), check(model)), [=]() -> Outcome {
    const auto& tokenizer = (*model)->model->tokenizer();
    formats::StreamDecoder stream(tokenizer, is_at_start != 0, shows_control != 0);
    *decoder = new larder_decoder(std::in_place, OpenDecoder{tokenizer, std::move(stream), {}});
    return {};
  });
}

void larder_decoder_free(larder_decoder* decoder) { close_quietly(decoder); }

larder_status larder_decoder_push(larder_decoder* decoder, int32_t token, const char** text,
                                  size_t* n_bytes, larder_error** error) {
  return leased(error, cleared_text(text, n_bytes), decoder, [&](OpenDecoder& open) -> Outcome {
    if (Outcome o = check_token(*open.tokenizer, token); !o.ok()) return o;
    open.text = open.decoder.push(token);
    lend(open.text, text, n_bytes);
    return {};
  });
}

larder_status larder_decoder_finish(larder_decoder* decoder, const char** text, size_t* n_bytes,
                                    larder_error** error) {
  return leased(error, cleared_text(text, n_bytes), decoder, [&](OpenDecoder& open) -> Outcome {
    open.text = open.decoder.finish();
    lend(open.text, text, n_bytes);
    return {};
  });
}

larder_status larder_model_apply_template(const larder_model* model,
                                          const larder_messages* messages,
                                          const larder_options* options, char** text,
                                          size_t* n_bytes, larder_error** error) {
  return guarded(error, cleared(text, n_bytes), [=]() -> Outcome {
    formats::MarkedText prompt;
    if (Outcome o = render(model, messages, options, prompt); !o.ok()) return o;
    return hand_out(prompt.text, text, n_bytes);
  });
}

larder_status larder_model_prompt(const larder_model* model, const larder_messages* messages,
                                  const larder_options* options, int32_t** ids, size_t* n_ids,
                                  larder_error** error) {
  return guarded(error, cleared(ids, n_ids), [=]() -> Outcome {
    formats::MarkedText prompt;
    if (Outcome o = render(model, messages, options, prompt); !o.ok()) return o;
    const auto encoded = encode_prompt(*(*model)->model->tokenizer(), prompt);
    if (!encoded) return encoded.status();
    return hand_out(std::span<const int32_t>(*encoded), ids, n_ids);
  });
}
