#include "runtime/convert/quantize_plan.h"

#include <algorithm>
#include <array>

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufTensor;
using quant::Format;

// Parts of names of tensors that stay as they are. Source: llama.cpp's quantiser, 2026-08.
constexpr std::string_view kKept[] = {
    "_norm.",         "ffn_gate_inp", "exp_probs_b",   "attn_sinks",  "rope_", "ssm_conv1d",
    "shortconv.conv", "attn_rel_b",   "position_embd", "token_types", "ssm_a", "ssm_dt"};

bool is_float(int32_t id) {
  const auto format = static_cast<Format>(id);
  return format == Format::f32 || format == Format::f16 || format == Format::bf16;
}

std::string subject(const GgufTensor& tensor) { return "tensor " + std::string(tensor.name); }

Format chosen_format(const GgufTensor& tensor, const FormatChoice& choice,
                     const QuantizePlanOptions& options) {
  Format format = choice(tensor);
  if (tensor.name == "output.weight" && options.output_format) format = *options.output_format;
  if (tensor.name == "token_embd.weight" && options.embedding_format) {
    format = *options.embedding_format;
  }
  for (const TensorOverride& override : options.overrides) {
    if (matches(override.pattern, tensor.name)) format = override.format;
  }
  return format;
}

Status check_source(const GgufTensor& tensor, bool allows_requantize) {
  const int32_t id = tensor.type->id;
  if (quant::find_format(id) == nullptr) {
    return Status(Cause::unsupported,
                  "its type " + std::string(tensor.type->name) + " cannot be read here",
                  subject(tensor));
  }
  if (is_float(id) || allows_requantize) return {};
  return Status(Cause::unsupported,
                "it is quantised already, as " + std::string(tensor.type->name) +
                    "; quantising again loses more than quantising the original: take that, or "
                    "allow it with --allow-requantize",
                subject(tensor));
}

uint64_t bytes_as(const GgufTensor& tensor, const formats::TensorType& type) {
  return tensor.dims[0] / type.block_elements * type.block_bytes * tensor.n_rows();
}

Result<TensorPlan> plan_tensor(const GgufTensor& tensor, const FormatChoice& choice,
                               const QuantizePlanOptions& options) {
  TensorPlan plan = {&tensor, tensor.type, tensor.size_bytes, false};
  if (!may_be_quantized(tensor)) return plan;
  const Format wanted = chosen_format(tensor, choice, options);
  const Format format = fitting_format(wanted, tensor.dims[0]);
  if (static_cast<int32_t>(format) == tensor.type->id) return plan;
  if (Status s = check_source(tensor, options.allows_requantize); !s.ok()) return s;
  plan.type = formats::find_tensor_type(static_cast<int32_t>(format));
  plan.size_bytes = bytes_as(tensor, *plan.type);
  plan.is_fallback = format != wanted;
  return plan;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view tensor) noexcept {
  size_t from = 0;
  while (true) {
    const size_t star = pattern.find('*');
    const std::string_view part = pattern.substr(0, star);
    const size_t at = tensor.find(part, from);
    if (at == std::string_view::npos) return false;
    if (star == std::string_view::npos) return true;
    from = at + part.size();
    pattern.remove_prefix(star + 1);
  }
}

bool may_be_quantized(const GgufTensor& tensor) noexcept {
  if (tensor.n_rows() <= 1 || !tensor.name.ends_with(".weight")) return false;
  return std::none_of(std::begin(kKept), std::end(kKept), [&](std::string_view part) {
    return tensor.name.find(part) != std::string_view::npos;
  });
}

Format fitting_format(Format format, uint64_t n_cols) noexcept {
  const auto fits = [n_cols](Format f) {
    return n_cols %
               static_cast<uint64_t>(quant::find_format(static_cast<int32_t>(f))->block_elements) ==
           0;
  };
  if (fits(format)) return format;
  constexpr std::array<std::pair<Format, Format>, 6> kSmaller = {
      {{Format::q2_k, Format::q4_0},
       {Format::q3_k, Format::q4_0},
       {Format::q4_k, Format::q5_0},
       {Format::q5_k, Format::q5_1},
       {Format::q6_k, Format::q8_0},
       {Format::iq4_xs, Format::iq4_nl}}};
  for (const auto& [super, small] : kSmaller) {
    if (super == format && fits(small)) return small;
  }
  return Format::f16;
}

Result<QuantizePlan> plan_quantization(const GgufFile& file, const FormatChoice& choice,
                                       const QuantizePlanOptions& options) {
  QuantizePlan plan;
  for (const GgufTensor& tensor : file.tensors()) {
    auto planned = plan_tensor(tensor, choice, options);
    if (!planned) return planned.status().with_file(file.path());
    plan.source_bytes += tensor.size_bytes;
    plan.size_bytes += planned->size_bytes;
    plan.tensors.push_back(*planned);
  }
  for (const TensorOverride& override : options.overrides) {
    const bool is_used =
        std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const TensorPlan& tensor) {
          return may_be_quantized(*tensor.source) && matches(override.pattern, tensor.source->name);
        });
    if (!is_used) plan.unmatched.push_back(override.pattern);
  }
  return plan;
}

}  // namespace larder::runtime
