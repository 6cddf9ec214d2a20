// Opening models, and what they are.
#include <span>
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

Outcome estimate(const Model& model, const OptionValues& options, std::span<int64_t> bytes) {
  const Result<RamBudget> plan = Session::plan(model, options.session());
  if (!plan) return plan.status();
  put(bytes, LARDER_MEMORY_TOTAL, plan->total_bytes());
  put(bytes, LARDER_MEMORY_PROGRAM, plan->needs.program_bytes + plan->table_bytes);
  put(bytes, LARDER_MEMORY_DENSE, plan->needs.dense_bytes);
  put(bytes, LARDER_MEMORY_CACHE, plan->needs.cache_bytes);
  put(bytes, LARDER_MEMORY_BUFFERS, plan->needs.buffer_bytes);
  put(bytes, LARDER_MEMORY_EXPERTS, plan->expert_bytes);
  put(bytes, LARDER_MEMORY_ALL_EXPERTS, plan->needs.all_expert_bytes);
  put(bytes, LARDER_MEMORY_LEAST,
      plan->needs.all_expert_bytes > 0 ? plan->floor_bytes : plan->total_bytes());
  put(bytes, LARDER_MEMORY_IS_PAGED, plan->is_paged ? 1 : 0);
  return {};
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_model_open(const char* path, size_t n_path, const larder_options* options,
                                larder_model** model, larder_error** error) {
  const OptionsArgument with(options);
  const TextArgument file{path, n_path};
  const Outcome arguments = first_failure(cleared(model), with.check(), check_path(file));
  return guarded(error, arguments, [&]() -> Outcome {
    auto opened = open_model(file.view(), *with);
    if (!opened) return opened.status();
    std::string name(string_or_empty((*opened)->file(), "general.name"));
    *model = new larder_model(std::in_place, OpenModel{std::move(*opened), std::move(name)});
    return {};
  });
}

larder_status larder_model_close(larder_model* model) {
  if (model == nullptr) return LARDER_OK;
  const Outcome is_open = check(model);
  if (is_open.ok()) model->close(model);
  return is_open.status();
}

larder_status larder_model_number(const larder_model* model, int32_t which, int64_t* value,
                                  larder_error** error) {
  return guarded(error, first_failure(cleared(value), check(model)), [=]() -> Outcome {
    bool is_known = true;
    *value = number_of(*(*model)->model, which, is_known);
    return is_known ? Outcome() : invalid("a model has no such number");
  });
}

larder_status larder_model_text(const larder_model* model, int32_t which, const char** text,
                                size_t* n_bytes, larder_error** error) {
  const Outcome arguments = first_failure(cleared_text(text, n_bytes), check(model));
  return guarded(error, arguments, [=]() -> Outcome {
    const Model& opened = *(*model)->model;
    switch (which) {
      case LARDER_MODEL_ARCHITECTURE:
        lend(opened.config().architecture, text, n_bytes);
        return {};
      case LARDER_MODEL_NAME:
        lend((*model)->name, text, n_bytes);
        return {};
      case LARDER_MODEL_TEMPLATE:
        if (opened.chat_template() != nullptr)
          lend(opened.chat_template()->source(), text, n_bytes);
        return {};
      default:
        return invalid("a model has no such text");
    }
  });
}

larder_status larder_model_is_end(const larder_model* model, int32_t token, int32_t* is_end,
                                  larder_error** error) {
  return guarded(error, first_failure(cleared(is_end), check(model)), [=]() -> Outcome {
    const formats::Tokenizer& tokenizer = *(*model)->model->tokenizer();
    if (Outcome o = check_token(tokenizer, token); !o.ok()) return o;
    *is_end = tokenizer.is_end_of_generation(token) ? 1 : 0;
    return {};
  });
}

larder_status larder_model_estimate(const larder_model* model, const larder_options* options,
                                    int64_t* bytes, size_t n_values, larder_error** error) {
  const OptionsArgument with(options);
  const Outcome arguments =
      first_failure(cleared_values(bytes, n_values), check(model), with.check());
  return guarded(error, arguments, [&] {
    return estimate(*(*model)->model, *with, {bytes, n_values});
  });
}

larder_status larder_estimate(const char* path, size_t n_path, const larder_options* options,
                              int64_t* bytes, size_t n_values, larder_error** error) {
  const OptionsArgument with(options);
  const TextArgument file{path, n_path};
  const Outcome arguments =
      first_failure(cleared_values(bytes, n_values), with.check(), check_path(file));
  return guarded(error, arguments, [&]() -> Outcome {
    const auto model = open_model(file.view(), *with);
    if (!model) return model.status();
    return estimate(**model, *with, {bytes, n_values});
  });
}
