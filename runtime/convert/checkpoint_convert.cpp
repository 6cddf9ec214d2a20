#include "runtime/convert/checkpoint_convert.h"

#include <algorithm>
#include <filesystem>
#include <new>
#include <utility>

#include "quant/parallel.h"
#include "runtime/convert/checkpoint_config.h"
#include "runtime/convert/checkpoint_keys.h"
#include "runtime/convert/checkpoint_stream.h"
#include "runtime/convert/checkpoint_text.h"
#include "runtime/convert/checkpoint_vocabulary.h"
#include "runtime/convert/model_outline.h"
#include "runtime/convert/quantize_plan.h"
#include "runtime/session/session_options.h"

namespace larder::runtime {
namespace {

using formats::DataValue;
using formats::GgufType;
using formats::SafetensorsSet;

Result<const FamilyRow*> find_family_of(CheckpointConfig& config) {
  const std::string type = config.string("model_type").value_or("");
  if (const FamilyRow* const family = find_family(type)) return family;
  std::string known;
  for (const FamilyRow& row : families())
    known += (known.empty() ? "" : ", ") + std::string(row.model_type);
  return Status(Cause::architecture, "'" + type + "' is not supported; supported are " + known,
                "key model_type");
}

// Ways of quantising that tensors' names do not tell.
Status check_quantization(CheckpointConfig& config) {
  const auto method = config.string("quantization_config.quant_method");
  if (method && *method != "fp8" && *method != "mxfp4")
    return Status(
        Cause::unsupported,
        "a checkpoint quantised by " + *method + "; convert the original, then `larder quantize`",
        "key quantization_config.quant_method");
  return {};
}

Status check_known(const CheckpointConfig& config) {
  std::string unknown;
  for (const std::string& key : config.unknown_keys())
    unknown += (unknown.empty() ? "" : ", ") + key;
  if (unknown.empty()) return {};
  return Status(Cause::hyper_parameter,
                "unknown here, so it may change what is computed; where it does not, "
                "--ignore-key allows it",
                "key " + unknown);
}

uint64_t bytes_of(const CheckpointTensor& tensor) {
  uint64_t n = tensor.dims[0] / tensor.type->block_elements * tensor.type->block_bytes;
  for (size_t i = 1; i < tensor.dims.size(); ++i) n *= tensor.dims[i];
  return n;
}

// The folder's own name.
std::string name_of(const std::string& folder) {
  std::error_code error;
  const auto path = std::filesystem::canonical(folder, error);
  return error ? folder : path.filename().string();
}

bool has_tensor(const std::vector<CheckpointTensor>& tensors, std::string_view name) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [name](const CheckpointTensor& tensor) { return tensor.name == name; });
}

void add_factors(CheckpointConfig& config, std::vector<CheckpointTensor>& tensors) {
  for (RopeFactors& factors : rope_factors(config)) {
    CheckpointTensor tensor;
    tensor.name = std::move(factors.name);
    tensor.dims = {factors.values.size()};
    tensor.values = std::move(factors.values);
    tensor.type = formats::find_tensor_type(static_cast<int32_t>(quant::Format::f32));
    if (tensor.dims[0] > 0) tensors.push_back(std::move(tensor));
  }
}

}  // namespace

CheckpointPlan::CheckpointPlan(SafetensorsSet set, uint64_t most_shard_bytes)
    : set_(std::move(set)), writer_(std::make_unique<formats::GgufSplitWriter>(most_shard_bytes)) {}

Result<CheckpointPlan> CheckpointPlan::create(const std::string& folder,
                                              const CheckpointOptions& options) try {
  Result<SafetensorsSet> set = SafetensorsSet::open(folder);
  if (!set) return set.status();
  CheckpointPlan plan(std::move(*set), options.most_shard_bytes);
  if (Status s = plan.prepare(folder, options); !s.ok()) return s.with_file(folder);
  return plan;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status CheckpointPlan::prepare(const std::string& folder, const CheckpointOptions& options) {
  const std::string config_path = folder + "/config.json";
  const Result<DataValue> root = read_json_file(config_path);
  if (!root) return root.status();
  CheckpointConfig config(*root);
  const auto family = find_family_of(config);
  if (!family) return family.status().with_file(config_path);
  architecture_ = (*family)->architecture;
  if (Status s = check_quantization(config); !s.ok()) return s.with_file(config_path);
  for (const std::string& key : options.ignored_keys) config.ignore(key);

  formats::GgufWriter& metadata = writer_->metadata();
  metadata.set_string("general.architecture", architecture_);
  metadata.set_string("general.type", "model");
  metadata.set_string("general.name", name_of(folder));
  const auto sizes = write_checkpoint_keys(**family, config, metadata);
  if (!sizes) return sizes.status().with_file(config_path);
  Result<CheckpointTensors> tensors = plan_checkpoint_tensors(**family, set_, *sizes);
  if (!tensors) return tensors.status();
  tensors_ = std::move(*tensors);
  add_factors(config, tensors_.tensors);
  if (!config.status().ok()) return config.status().with_file(config_path);
  if (Status s = check_known(config); !s.ok()) return s.with_file(config_path);
  if (config.boolean("tie_word_embeddings") == false &&
      !has_tensor(tensors_.tensors, "output.weight"))
    return Status(Cause::missing, "absent, and the embedding is not to be used for it",
                  "tensor lm_head.weight");
  const auto embedding =
      std::find_if(tensors_.tensors.begin(), tensors_.tensors.end(),
                   [](const CheckpointTensor& t) { return t.name == "token_embd.weight"; });
  if (embedding == tensors_.tensors.end() || embedding->dims.size() != 2)
    return Status(Cause::missing, "there is no matrix of embeddings", "tensor token_embd.weight");
  if (Status s = write_vocabulary(folder, *root, (*family)->pre, embedding->dims[1], metadata);
      !s.ok())
    return s;
  return choose_types(options);
}

Status CheckpointPlan::choose_types(const CheckpointOptions& options) {
  const auto outline = ModelOutline::create(writer_->metadata(), tensors_.tensors);
  if (!outline) return outline.status();
  const formats::GgufFile& file = (*outline)->file();
  const MixModel model = mix_model(file, false);
  const auto type_of = [](quant::Format format) {
    return formats::find_tensor_type(static_cast<int32_t>(format));
  };
  for (CheckpointTensor& tensor : tensors_.tensors) {
    if (tensor.holds_blocks()) continue;
    const formats::GgufTensor& outlined = *file.find_tensor(tensor.name);
    if (!may_be_quantized(outlined))
      tensor.type = type_of(quant::Format::f32);
    else if (options.mix != nullptr)
      tensor.type =
          type_of(fitting_format(format_in(*options.mix, model, outlined), tensor.dims[0]));
  }
  for (const CheckpointTensor& tensor : tensors_.tensors) size_bytes_ += bytes_of(tensor);
  int32_t file_type = options.mix != nullptr ? options.mix->file_type : 0;
  if (options.mix == nullptr)  // that of the embedding, which no mix keeps apart among floats
    for (const QuantMix& mix : quant_mixes())
      if (static_cast<int32_t>(mix.base) == file.find_tensor("token_embd.weight")->type->id &&
          mix.rules.empty())
        file_type = mix.file_type;
  writer_->metadata().set_integer("general.file_type", GgufType::u32, file_type);
  writer_->metadata().set_integer("general.quantization_version", GgufType::u32, 2);
  return {};
}

Result<std::vector<std::string>> CheckpointPlan::run(const std::string& out,
                                                     const RunOptions& options) try {
  if (Status s = check_threads(options.n_threads); !s.ok()) return s;
  // What is not finished is removed with it.
  const std::unique_ptr<formats::GgufSplitWriter> writer = std::move(writer_);
  if (Status s = write_tensors(*writer, out, options); !s.ok()) return s;
  if (Status s = writer->finish(); !s.ok()) return s;
  return writer->paths();
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status CheckpointPlan::write_tensors(formats::GgufSplitWriter& writer, const std::string& out,
                                     const RunOptions& options) {
  uint64_t most_columns = 1, n_done = 0;
  for (const CheckpointTensor& tensor : tensors_.tensors) {
    most_columns = std::max(most_columns, tensor.dims[0]);
    writer.add_tensor(tensor.name, *tensor.type, tensor.dims);
  }
  quant::Parallel parallel(options.n_threads);
  CheckpointStream stream(set_, *options.kernels, parallel, static_cast<int64_t>(most_columns));
  if (Status s = writer.begin(out); !s.ok()) return s;
  const auto sink = [&](std::span<const std::byte> bytes) {
    n_done += bytes.size();
    if (options.progress && !options.progress(n_done, size_bytes_))
      return Status(Cause::cancelled, "interrupted");
    return writer.append(bytes);
  };
  for (const CheckpointTensor& tensor : tensors_.tensors)
    if (Status s = stream.write(tensor, sink); !s.ok()) return s;
  return {};
}

}  // namespace larder::runtime
