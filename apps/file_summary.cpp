#include "apps/file_summary.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "apps/digest.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::GgufFile;
using formats::GgufTensor;
using runtime::Model;

std::string text_or_empty(const GgufFile& file, std::string_view key) {
  const auto text = file.string(key);
  return text ? std::string(*text) : std::string();
}

void add_tensors(FileSummary& summary, const GgufFile& file) {
  for (const GgufTensor& tensor : file.tensors()) {
    auto share = std::find_if(summary.types.begin(), summary.types.end(),
                              [&](const TypeShare& s) { return s.type == tensor.type->name; });
    if (share == summary.types.end()) {
      share = summary.types.insert(summary.types.end(), {std::string(tensor.type->name)});
    }
    const uint64_t n_weights = tensor.dims[0] * tensor.n_rows();
    ++share->n_tensors;
    share->n_weights += n_weights;
    share->size_bytes += tensor.size_bytes;
    ++summary.n_tensors;
    summary.n_weights += n_weights;
    summary.tensor_bytes += tensor.size_bytes;
  }
  std::stable_sort(
      summary.types.begin(), summary.types.end(),
      [](const TypeShare& a, const TypeShare& b) { return a.size_bytes > b.size_bytes; });
}

ExpertFigures expert_figures(const Model& model, uint64_t n_weights) {
  ExpertFigures figures;
  figures.n_active_weights = n_weights;
  for (size_t i = 0; i < model.config().layers.size(); ++i) {
    const runtime::LayerConfig& layer = model.config().layers[i];
    if (!layer.is_moe()) continue;
    const runtime::LayerWeights& weights = model.weights().layers[i];
    ++figures.n_moe_layers;
    figures.n_experts = std::max(figures.n_experts, layer.router.n_experts);
    figures.n_active = std::max(figures.n_active, layer.router.n_active);
    for (const runtime::ExpertStack* stack : {&weights.gate, &weights.up, &weights.down}) {
      const auto one = uint64_t(stack->first.n_rows) * uint64_t(stack->first.n_cols);
      figures.n_weights += one * uint64_t(stack->n_experts());
      figures.size_bytes += stack->bytes();
      figures.n_active_weights -= one * uint64_t(stack->n_experts() - layer.router.n_active);
    }
  }
  return figures;
}

std::string scaled(double value, double base, const std::array<const char*, 5>& units) {
  size_t i = 0;
  while (value >= base && i + 1 < units.size()) {
    value /= base;
    ++i;
  }
  char text[32];
  std::snprintf(text, sizeof text, i == 0 ? "%.0f %s" : "%.2f %s", value, units[i]);
  std::string trimmed = text;
  while (trimmed.ends_with(' ')) trimmed.pop_back();
  return trimmed;
}

double bits_per_weight(uint64_t bytes, uint64_t n_weights) {
  return n_weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(n_weights);
}

DataValue number(uint64_t value) { return static_cast<int64_t>(value); }

std::string line(const char* name, const std::string& value) {
  char text[32];
  std::snprintf(text, sizeof text, "%-14s ", name);
  return text + value + "\n";
}

std::string type_lines(const FileSummary& summary) {
  std::string text = "\ntype      tensors       weights   bits/weight         size\n";
  for (const TypeShare& share : summary.types) {
    char row[96];
    std::snprintf(
        row, sizeof row, "%-8s %8llu %13s %13.2f %12s\n", share.type.c_str(),
        static_cast<unsigned long long>(share.n_tensors), count_text(share.n_weights).c_str(),
        bits_per_weight(share.size_bytes, share.n_weights), size_text(share.size_bytes).c_str());
    text += row;
  }
  return text;
}

}  // namespace

std::string size_text(uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024, {"B", "KiB", "MiB", "GiB", "TiB"});
}

std::string shape_text(const GgufTensor& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.n_dims; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(tensor.dims[static_cast<size_t>(i)]);
  }
  return text + "]";
}

std::string count_text(uint64_t n) {
  return scaled(static_cast<double>(n), 1000, {"", "K", "M", "B", "T"});
}

FileSummary summarize(const GgufFile& file, const Result<std::shared_ptr<const Model>>& model) {
  FileSummary summary;
  summary.path = file.path();
  summary.architecture = text_or_empty(file, "general.architecture");
  summary.name = text_or_empty(file, "general.name");
  summary.version = file.version();
  summary.n_shards = file.n_shards();
  summary.size_bytes = file.size_bytes();
  add_tensors(summary, file);
  if (const auto tokenizer = formats::Tokenizer::create(file)) {
    summary.n_vocab = (*tokenizer)->n_vocab();
    summary.tokenizer = (*tokenizer)->model_name();
    const std::string_view pre = (*tokenizer)->pre_tokenizer_name();
    if (!pre.empty()) summary.tokenizer += ", " + std::string(pre);
  }
  const std::string chat_template = text_or_empty(file, "tokenizer.chat_template");
  summary.template_bytes = chat_template.size();
  if (!chat_template.empty()) summary.template_sha256 = sha256_hex(chat_template);
  summary.model_status = model.status();
  if (model) {
    const runtime::ModelConfig& config = (*model)->config();
    summary.experts = expert_figures(**model, summary.n_weights);
    summary.n_layers = config.n_layers();
    summary.n_encoder_layers = config.n_encoder_layers;
    summary.d_model = config.d_model;
    summary.context_length = config.context_length;
  }
  return summary;
}

DataValue to_data(const FileSummary& summary) {
  DataValue types = DataValue::make_list();
  for (const TypeShare& share : summary.types) {
    types.list.push_back(DataValue::make_dict(
        {{"type", share.type},
         {"n_tensors", number(share.n_tensors)},
         {"n_weights", number(share.n_weights)},
         {"size_bytes", number(share.size_bytes)},
         {"bits_per_weight", bits_per_weight(share.size_bytes, share.n_weights)}}));
  }
  DataValue data = DataValue::make_dict(
      {{"path", summary.path},
       {"gguf_version", number(summary.version)},
       {"n_shards", summary.n_shards},
       {"size_bytes", number(summary.size_bytes)},
       {"architecture", summary.architecture},
       {"name", summary.name},
       {"n_tensors", number(summary.n_tensors)},
       {"n_weights", number(summary.n_weights)},
       {"bits_per_weight", bits_per_weight(summary.tensor_bytes, summary.n_weights)},
       {"types", std::move(types)},
       {"tokenizer", summary.tokenizer},
       {"n_vocab", summary.n_vocab},
       {"chat_template_bytes", number(summary.template_bytes)},
       {"chat_template_sha256", summary.template_sha256},
       {"can_run", summary.model_status.ok()}});
  if (!summary.model_status.ok()) {
    data.dict.emplace_back("error", summary.model_status.to_string());
    return data;
  }
  data.dict.emplace_back("n_active_weights", number(summary.experts.n_active_weights));
  data.dict.emplace_back("n_layers", summary.n_layers);
  data.dict.emplace_back("n_encoder_layers", summary.n_encoder_layers);
  data.dict.emplace_back("n_moe_layers", summary.experts.n_moe_layers);
  data.dict.emplace_back("n_experts", summary.experts.n_experts);
  data.dict.emplace_back("n_active", summary.experts.n_active);
  data.dict.emplace_back("expert_bytes", number(summary.experts.size_bytes));
  data.dict.emplace_back("d_model", summary.d_model);
  data.dict.emplace_back("context_length", summary.context_length);
  return data;
}

std::string to_text(const FileSummary& summary) {
  std::string text =
      line("file",
           summary.path + " (" + size_text(summary.size_bytes) + ", GGUF " +
               std::to_string(summary.version) +
               (summary.n_shards > 1 ? ", " + std::to_string(summary.n_shards) + " shards)" : ")"));
  if (!summary.name.empty()) text += line("name", summary.name);
  text += line("architecture", summary.architecture);
  std::string weights = count_text(summary.n_weights);
  if (summary.model_status.ok()) {
    weights += ", " + count_text(summary.experts.n_active_weights) + " of them for each token";
  }
  text += line("weights", weights);
  char bits[32];
  std::snprintf(bits, sizeof bits, "%.2f",
                bits_per_weight(summary.tensor_bytes, summary.n_weights));
  text += line("bits/weight", bits);
  if (summary.model_status.ok()) {
    const int32_t n_encode = summary.n_encoder_layers;
    text += line("layers", std::to_string(summary.n_layers) +
                               (n_encode == 0 ? ""
                                              : " (" + std::to_string(n_encode) + " encode, " +
                                                    std::to_string(summary.n_layers - n_encode) +
                                                    " decode)") +
                               ", d_model " + std::to_string(summary.d_model));
    const ExpertFigures& experts = summary.experts;
    text += line("experts", experts.n_moe_layers == 0
                                ? "none"
                                : std::to_string(experts.n_experts) + " in each of " +
                                      std::to_string(experts.n_moe_layers) + " layers, " +
                                      std::to_string(experts.n_active) + " for each token, " +
                                      size_text(experts.size_bytes));
    text += line("context", std::to_string(summary.context_length) + " tokens");
  }
  text += line("tokenizer",
               summary.tokenizer.empty()
                   ? "cannot be read"
                   : summary.tokenizer + ", " + std::to_string(summary.n_vocab) + " tokens");
  text += line("chat template", summary.template_bytes == 0
                                    ? "none"
                                    : std::to_string(summary.template_bytes) + " bytes, sha256 " +
                                          summary.template_sha256);
  return text + type_lines(summary);
}

}  // namespace larder::apps
