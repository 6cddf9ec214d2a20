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

Outcome check_token(const formats::Tokenizer& tokenizer, int32_t token) {
  return token >= 0 && token < tokenizer.n_vocab() ? Outcome()
                                                   : invalid("no token of the vocabulary");
}

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
Result<std::shared_ptr<const formats::ChatTemplate>> template_of(const Model& model,
                                                                 const OptionValues& options) {
  auto own = options.chat_template();
  if (!own || *own != nullptr) return own;
  if (model.chat_template() != nullptr) return model.chat_template();
  return read_chat_template(model.file());
}

// A model without a template is not damaged.
Outcome template_failure(const Status& status) {
  return status.cause() == Cause::missing ? Outcome(LARDER_TEMPLATE, status) : Outcome(status);
}

Result<formats::MarkedText> render(const larder_model& model, const larder_messages& messages,
                                   const OptionValues& options) {
  const Model& opened = *model->model;
  const auto chat_template = template_of(opened, options);
  if (!chat_template) return chat_template.status();
  return render_prompt(**chat_template, *opened.tokenizer(), *messages, options.thinking(),
                       formats::DataValue::make_dict());
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_model_tokenize(const larder_model* model, const char* text, size_t n_bytes,
                                    int32_t flags, int32_t** ids, size_t* n_ids,
                                    larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (ids == nullptr || n_ids == nullptr) return invalid("ids or n_ids is null");
    *ids = nullptr;
    *n_ids = 0;
    const TextArgument argument{text, n_bytes};
    if (Outcome o = check(argument); !o.ok()) return o;
    if ((flags & ~(LARDER_TOKENIZE_SPECIAL | LARDER_TOKENIZE_BEGIN)) != 0)
      return invalid("unknown flags");
    if (Outcome o = check(model); !o.ok()) return o;
    std::vector<int32_t> encoded;
    const auto& tokenizer = *(*model)->model->tokenizer();
    if (Outcome o = tokenize(tokenizer, argument.view(), flags, encoded); !o.ok()) return o;
    return hand_out(std::span<const int32_t>(encoded), ids, n_ids);
  });
}

larder_status larder_model_detokenize(const larder_model* model, const int32_t* ids, size_t n_ids,
                                      int32_t shows_control, char** text, size_t* n_bytes,
                                      larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (text == nullptr || n_bytes == nullptr) return invalid("text or n_bytes is null");
    *text = nullptr;
    *n_bytes = 0;
    const IdsArgument argument{ids, n_ids};
    if (Outcome o = check(argument); !o.ok()) return o;
    if (Outcome o = check(model); !o.ok()) return o;
    const auto& tokenizer = *(*model)->model->tokenizer();
    for (const int32_t id : argument.view())
      if (Outcome o = check_token(tokenizer, id); !o.ok()) return o;
    const auto decoded = tokenizer.decode(argument.view(), shows_control != 0);
    if (!decoded) return decoded.status();
    return hand_out(*decoded, text, n_bytes);
  });
}

larder_status larder_decoder_new(const larder_model* model, int32_t is_at_start,
                                 int32_t shows_control, larder_decoder** decoder,
                                 larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (decoder == nullptr) return invalid("decoder is null");
    *decoder = nullptr;
    if (Outcome o = check(model); !o.ok()) return o;
    const auto& tokenizer = (*model)->model->tokenizer();
    *decoder = new larder_decoder(
        std::in_place,
        OpenDecoder{tokenizer,
                    formats::StreamDecoder(tokenizer, is_at_start != 0, shows_control != 0),
                    {}});
    return {};
  });
}

void larder_decoder_free(larder_decoder* decoder) {
  if (check(decoder).ok()) decoder->close(decoder);
}

larder_status larder_decoder_push(larder_decoder* decoder, int32_t token, const char** text,
                                  size_t* n_bytes, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (text == nullptr || n_bytes == nullptr) return invalid("text or n_bytes is null");
    *text = "";
    *n_bytes = 0;
    const Lease lease(decoder);
    if (!lease.outcome().ok()) return lease.outcome();
    if (Outcome o = check_token(*lease->tokenizer, token); !o.ok()) return o;
    lease->text = lease->decoder.push(token);
    *text = lease->text.c_str();
    *n_bytes = lease->text.size();
    return {};
  });
}

larder_status larder_decoder_finish(larder_decoder* decoder, const char** text, size_t* n_bytes,
                                    larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (text == nullptr || n_bytes == nullptr) return invalid("text or n_bytes is null");
    *text = "";
    *n_bytes = 0;
    const Lease lease(decoder);
    if (!lease.outcome().ok()) return lease.outcome();
    lease->text = lease->decoder.finish();
    *text = lease->text.c_str();
    *n_bytes = lease->text.size();
    return {};
  });
}

larder_status larder_model_apply_template(const larder_model* model,
                                          const larder_messages* messages,
                                          const larder_options* options, char** text,
                                          size_t* n_bytes, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (text == nullptr || n_bytes == nullptr) return invalid("text or n_bytes is null");
    *text = nullptr;
    *n_bytes = 0;
    const OptionsArgument with(options);
    if (Outcome o = check(model); !o.ok()) return o;
    if (Outcome o = check(messages); !o.ok()) return o;
    if (Outcome o = with.check(); !o.ok()) return o;
    const auto prompt = render(*model, *messages, *with);
    if (!prompt) return template_failure(prompt.status());
    return hand_out(prompt->text, text, n_bytes);
  });
}

larder_status larder_model_prompt(const larder_model* model, const larder_messages* messages,
                                  const larder_options* options, int32_t** ids, size_t* n_ids,
                                  larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (ids == nullptr || n_ids == nullptr) return invalid("ids or n_ids is null");
    *ids = nullptr;
    *n_ids = 0;
    const OptionsArgument with(options);
    if (Outcome o = check(model); !o.ok()) return o;
    if (Outcome o = check(messages); !o.ok()) return o;
    if (Outcome o = with.check(); !o.ok()) return o;
    const auto prompt = render(*model, *messages, *with);
    if (!prompt) return template_failure(prompt.status());
    const auto encoded = encode_prompt(*(*model)->model->tokenizer(), *prompt);
    if (!encoded) return encoded.status();
    return hand_out(std::span<const int32_t>(*encoded), ids, n_ids);
  });
}
