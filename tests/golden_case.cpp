#include "tests/golden_case.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

namespace larder::tests {
namespace {

template <class T>
std::vector<T> values(const formats::GgufFile& file, const std::string& name) {
  const formats::GgufTensor* tensor = file.find_tensor(name);
  if (!tensor) return {};
  const auto bytes = file.data(*tensor);
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

PromptTrace read_prompt(const formats::GgufFile& file, int index,
                        const runtime::ModelConfig& config) {
  const std::string prefix = "prompt." + std::to_string(index) + ".";
  PromptTrace prompt;
  prompt.tokens = values<int32_t>(file, prefix + "tokens");
  prompt.logits = values<float>(file, prefix + "logits");
  prompt.logits_from = static_cast<int32_t>(file.integer(prefix + "logits_from").value());
  prompt.source = values<int32_t>(file, prefix + "encoder_tokens");
  prompt.encoded = values<float>(file, prefix + "encoder.out");
  const int n_encoder = config.n_encoder_layers;
  for (int l = 0; l < config.n_layers(); ++l) {
    const std::string layer = l < n_encoder
                                  ? prefix + "encoder.layer." + std::to_string(l) + "."
                                  : prefix + "layer." + std::to_string(l - n_encoder) + ".";
    prompt.layers.push_back({values<float>(file, layer + "out"),
                             values<int32_t>(file, layer + "router"),
                             values<float>(file, layer + "weights")});
  }
  return prompt;
}

}  // namespace

std::unique_ptr<GoldenCase> load_golden(const std::string& name) {
  std::string folder = std::string(LARDER_TEST_DATA_DIR) + "/goldens/" + name;
  if (!std::filesystem::exists(folder))
    folder = std::string(LARDER_SHARED_DIR) + "/goldens/" + name;
  if (!std::filesystem::exists(folder + "/golden.gguf")) return nullptr;
  auto golden = std::make_unique<GoldenCase>();
  golden->name = name;
  auto model = runtime::Model::open(folder + "/model.gguf");
  REQUIRE_MESSAGE(model.ok(), model.status().to_string());
  golden->model = *model;
  auto opened = formats::GgufFile::open(folder + "/golden.gguf");
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  const formats::GgufFile& file = **opened;
  const int n_prompts = static_cast<int>(file.integer("golden.n_prompts").value());
  for (int p = 0; p < n_prompts; ++p)
    golden->prompts.push_back(read_prompt(file, p, golden->model->config()));
  golden->greedy_prompt = static_cast<int>(file.integer("golden.greedy_prompt").value());
  golden->greedy_tokens = values<int32_t>(file, "greedy.tokens");
  golden->logits_tolerance = file.real("golden.logits_tolerance").value();
  golden->out_tolerance = file.real("golden.out_tolerance").value();
  golden->weights_tolerance = file.real("golden.weights_tolerance").value();
  return golden;
}

void Recorder::layer_output(int layer, const float* rows, int n_rows, int d_model) {
  std::vector<float>& out = layers_[static_cast<size_t>(layer)].out;
  out.insert(out.end(), rows, rows + static_cast<size_t>(n_rows) * static_cast<size_t>(d_model));
}

void Recorder::routes(int layer, int32_t* experts, float* weights, int n_rows, int n_active) {
  LayerTrace& own = layers_[static_cast<size_t>(layer)];
  const auto n = static_cast<size_t>(n_rows) * static_cast<size_t>(n_active);
  const size_t done = own.experts.size();
  own.experts.insert(own.experts.end(), experts, experts + n);
  own.weights.insert(own.weights.end(), weights, weights + n);
  if (!forced_) return;
  const LayerTrace& from = forced_->layers[static_cast<size_t>(layer)];
  std::copy_n(from.experts.begin() + static_cast<long>(done), n, experts);
  std::copy_n(from.weights.begin() + static_cast<long>(done), n, weights);
}

void Recorder::source_output(const float* rows, size_t stride, int n_rows, int d_model) {
  for (int row = 0; row < n_rows; ++row, rows += stride)
    encoded_.insert(encoded_.end(), rows, rows + d_model);
}

void encode_source(runtime::Forward& forward, runtime::SequenceState& state,
                   const std::vector<int32_t>& source, runtime::ForwardObserver* observer) {
  if (source.empty()) return;
  std::vector<runtime::TokenRow> rows;
  for (const int32_t token : source)
    rows.push_back({token, static_cast<int32_t>(rows.size()), 0, false});
  runtime::SequenceState* sequences[] = {&state};
  const Status status = forward.encode(rows, sequences, nullptr, observer);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
}

PromptTrace run_tokens(const std::shared_ptr<const runtime::Model>& model,
                       const std::vector<int32_t>& tokens, const RunOptions& options,
                       const std::vector<int32_t>& source) {
  const auto n = static_cast<int32_t>(tokens.size());
  const int32_t chunk = options.chunk > 0 ? options.chunk : n;
  runtime::ForwardOptions with = options.forward;
  with.max_rows = with.max_logits = chunk;
  auto forward = runtime::Forward::create(model, with);
  REQUIRE_MESSAGE(forward.ok(), forward.status().to_string());
  const int32_t room = std::max(n, static_cast<int32_t>(source.size()));
  auto state = runtime::SequenceState::create(model->config(), room, options.cache);
  REQUIRE_MESSAGE(state.ok(), state.status().to_string());

  Recorder recorder(model->config().n_layers(), options.forced);
  const auto n_vocab = static_cast<size_t>(model->config().n_vocab);
  PromptTrace trace;
  trace.tokens = tokens;
  trace.source = source;
  encode_source(**forward, **state, source, options.records ? &recorder : nullptr);
  runtime::SequenceState* sequences[] = {state->get()};
  for (int32_t begin = 0; begin < n; begin += chunk) {
    const int32_t end = std::min(n, begin + chunk);
    std::vector<runtime::TokenRow> rows;
    for (int32_t i = begin; i < end; ++i)
      rows.push_back({tokens[static_cast<size_t>(i)], i, 0, true});
    const Status status =
        (*forward)->run(rows, sequences, nullptr, options.records ? &recorder : nullptr);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    for (int32_t i = 0; i < end - begin; ++i) {
      const float* logits = (*forward)->logits(i);
      trace.logits.insert(trace.logits.end(), logits, logits + n_vocab);
    }
  }
  trace.layers = recorder.layers();
  trace.encoded = recorder.encoded();
  return trace;
}

}  // namespace larder::tests
