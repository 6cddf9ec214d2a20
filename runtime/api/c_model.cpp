// Opening models, and what they are.
#include <algorithm>
#include <string>
#include <utility>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"

namespace larder::runtime {
namespace {

std::string_view string_or_empty(const formats::GgufFile& file, std::string_view key) {
  const auto value = file.string(key);
  return value ? *value : std::string_view();
}

Result<std::shared_ptr<const Model>> open_model(std::string_view path,
                                                const OptionValues& options) {
  constexpr auto kSteps = static_cast<uint64_t>(Model::kOpeningSteps);
  auto model = Model::open(std::string(path), [&options](int step) {
    return options.progress(static_cast<uint64_t>(step), kSteps);
  });
  if (!model) return model;
  if (!options.progress(kSteps, kSteps)) return Status(Cause::cancelled, "the model is not opened");
  for (const std::string& warning : (*model)->file().warnings())
    options.log(LARDER_LOG_WARNING, warning);
  for (const std::string& warning : (*model)->warnings()) options.log(LARDER_LOG_WARNING, warning);
  if (const Status& s = (*model)->chat_template_status(); !s.ok() && s.cause() != Cause::missing)
    options.log(LARDER_LOG_WARNING, s.to_string());
  return model;
}

// Of layers whose numbers of experts differ, those of the one that has most.
RouterConfig widest_router(const ModelConfig& config) {
  RouterConfig widest;
  for (const LayerConfig& layer : config.layers)
    if (layer.router.n_experts > widest.n_experts) widest = layer.router;
  return widest;
}

int64_t number_of(const Model& model, int32_t which, bool& is_known) {
  const ModelConfig& config = model.config();
  const formats::Tokenizer& tokenizer = *model.tokenizer();
  switch (which) {
    case LARDER_MODEL_N_VOCAB:
      return config.n_vocab;
    case LARDER_MODEL_CONTEXT_LENGTH:
      return config.context_length;
    case LARDER_MODEL_N_LAYERS:
      return static_cast<int64_t>(config.layers.size());
    case LARDER_MODEL_N_EXPERTS:
      return widest_router(config).n_experts;
    case LARDER_MODEL_N_ACTIVE:
      return widest_router(config).n_active;
    case LARDER_MODEL_FILE_BYTES:
      return static_cast<int64_t>(model.file().size_bytes());
    case LARDER_MODEL_BOS:
      return tokenizer.bos();
    case LARDER_MODEL_EOS:
      return tokenizer.eos();
    case LARDER_MODEL_HAS_ENCODER:
      return config.has_encoder() ? 1 : 0;
    case LARDER_MODEL_HAS_TEMPLATE:
      return model.chat_template() == nullptr ? 0 : 1;
    case LARDER_MODEL_DECODER_START:
      return config.decoder_start;
    default:
      is_known = false;
      return 0;
  }
}

void put(int64_t* values, size_t n_values, int32_t which, uint64_t value) {
  if (static_cast<size_t>(which) < n_values)
    values[which] = static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX));
}

Outcome estimate(const Model& model, const OptionValues& options, int64_t* bytes, size_t n) {
  const Result<RamBudget> plan = Session::plan(model, options.session());
  if (!plan) return plan.status();
  put(bytes, n, LARDER_MEMORY_TOTAL, plan->total_bytes());
  put(bytes, n, LARDER_MEMORY_PROGRAM, plan->needs.program_bytes + plan->table_bytes);
  put(bytes, n, LARDER_MEMORY_DENSE, plan->needs.dense_bytes);
  put(bytes, n, LARDER_MEMORY_CACHE, plan->needs.cache_bytes);
  put(bytes, n, LARDER_MEMORY_BUFFERS, plan->needs.buffer_bytes);
  put(bytes, n, LARDER_MEMORY_EXPERTS, plan->expert_bytes);
  put(bytes, n, LARDER_MEMORY_ALL_EXPERTS, plan->needs.all_expert_bytes);
  put(bytes, n, LARDER_MEMORY_LEAST,
      plan->needs.all_expert_bytes > 0 ? plan->floor_bytes : plan->total_bytes());
  put(bytes, n, LARDER_MEMORY_IS_PAGED, plan->is_paged ? 1 : 0);
  return {};
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_model_open(const char* path, size_t n_path, const larder_options* options,
                                larder_model** model, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (model == nullptr) return invalid("model is null");
    *model = nullptr;
    const OptionsArgument with(options);
    if (Outcome o = with.check(); !o.ok()) return o;
    const TextArgument argument{path, n_path};
    if (Outcome o = check_path(argument); !o.ok()) return o;
    auto opened = open_model(argument.view(), *with);
    if (!opened) return opened.status();
    std::string name(string_or_empty((*opened)->file(), "general.name"));
    *model = new larder_model(std::in_place, OpenModel{std::move(*opened), std::move(name)});
    return {};
  });
}

larder_status larder_model_close(larder_model* model) {
  return guarded(nullptr, [&]() -> Outcome {
    if (model == nullptr) return {};
    if (Outcome o = check(model); !o.ok()) return o;
    model->close(model);
    return {};
  });
}

larder_status larder_model_number(const larder_model* model, int32_t which, int64_t* value,
                                  larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (value == nullptr) return invalid("value is null");
    *value = 0;
    if (Outcome o = check(model); !o.ok()) return o;
    bool is_known = true;
    *value = number_of(*(*model)->model, which, is_known);
    return is_known ? Outcome() : invalid("a model has no such number");
  });
}

larder_status larder_model_text(const larder_model* model, int32_t which, const char** text,
                                size_t* n_bytes, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (text == nullptr || n_bytes == nullptr) return invalid("text or n_bytes is null");
    *text = "";
    *n_bytes = 0;
    if (Outcome o = check(model); !o.ok()) return o;
    const Model& opened = *(*model)->model;
    const auto give = [&](const std::string& value) {
      *text = value.c_str();
      *n_bytes = value.size();
    };
    switch (which) {
      case LARDER_MODEL_ARCHITECTURE:
        give(opened.config().architecture);
        return {};
      case LARDER_MODEL_NAME:
        give((*model)->name);
        return {};
      case LARDER_MODEL_TEMPLATE:
        if (opened.chat_template() != nullptr) give(opened.chat_template()->source());
        return {};
      default:
        return invalid("a model has no such text");
    }
  });
}

larder_status larder_model_is_end(const larder_model* model, int32_t token, int32_t* is_end,
                                  larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (is_end == nullptr) return invalid("is_end is null");
    *is_end = 0;
    if (Outcome o = check(model); !o.ok()) return o;
    const formats::Tokenizer& tokenizer = *(*model)->model->tokenizer();
    if (token < 0 || token >= tokenizer.n_vocab()) return invalid("no token of the vocabulary");
    *is_end = tokenizer.is_end_of_generation(token) ? 1 : 0;
    return {};
  });
}

larder_status larder_model_estimate(const larder_model* model, const larder_options* options,
                                    int64_t* bytes, size_t n_values, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (bytes == nullptr) return invalid("bytes is null");
    std::fill_n(bytes, n_values, 0);
    if (Outcome o = check(model); !o.ok()) return o;
    const OptionsArgument with(options);
    if (Outcome o = with.check(); !o.ok()) return o;
    return estimate(*(*model)->model, *with, bytes, n_values);
  });
}

larder_status larder_estimate(const char* path, size_t n_path, const larder_options* options,
                              int64_t* bytes, size_t n_values, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (bytes == nullptr) return invalid("bytes is null");
    std::fill_n(bytes, n_values, 0);
    const OptionsArgument with(options);
    if (Outcome o = with.check(); !o.ok()) return o;
    const TextArgument argument{path, n_path};
    if (Outcome o = check_path(argument); !o.ok()) return o;
    const auto model = open_model(argument.view(), *with);
    if (!model) return model.status();
    return estimate(**model, *with, bytes, n_values);
  });
}
