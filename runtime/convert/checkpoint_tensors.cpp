#include "runtime/convert/checkpoint_tensors.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <utility>

#include "formats/gguf/printable_name.h"
#include "quant/format.h"
#include "runtime/convert/element_reader.h"
#include "runtime/convert/tensor_recipes.h"

namespace larder::runtime {
namespace {

using formats::SafetensorsSet;
using formats::SafetensorsTensor;
using formats::SafetensorsType;

constexpr std::string_view kBlocks = "_blocks", kScales = "_scales";
constexpr uint64_t kMaxIndex = 1 << 20;

struct Indices {
  int64_t layer = -1, expert = -1;
};

// '#' and '*' of the pattern stand for numbers.
bool matches_row(std::string_view pattern, std::string_view name, Indices& indices) {
  indices = {};
  while (!pattern.empty()) {
    const char wanted = pattern.front();
    pattern.remove_prefix(1);
    if (wanted != '#' && wanted != '*') {
      if (name.empty() || name.front() != wanted) return false;
      name.remove_prefix(1);
      continue;
    }
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
    if (error != std::errc() || value > kMaxIndex) return false;
    name.remove_prefix(static_cast<size_t>(end - name.data()));
    (wanted == '#' ? indices.layer : indices.expert) = static_cast<int64_t>(value);
  }
  return name.empty();
}

// The name without what only models of several kinds of input have.
std::string plain_name(std::string_view name) {
  constexpr std::string_view kInner = "model.language_model.", kOuter = "language_model.";
  if (name.starts_with(kInner)) return "model." + std::string(name.substr(kInner.size()));
  return std::string(name.starts_with(kOuter) ? name.substr(kOuter.size()) : name);
}

bool is_skipped(std::string_view name, const CheckpointSizes& sizes) {
  for (const std::string_view start :
       {"mtp.", "model.mtp.", "model.visual.", "visual.", "vision_model.", "model.vision_tower.",
        "multi_modal_projector."})
    if (name.starts_with(start)) return true;
  for (const std::string_view part : skipped_tensors())
    if (name.find(part) != std::string_view::npos) return true;
  if (sizes.is_tied && name == "lm_head.weight") return true;
  // Layers behind the last one predict several tokens at once.
  constexpr std::string_view kLayers = "model.layers.";
  int64_t layer = 0;
  if (!name.starts_with(kLayers)) return false;
  std::from_chars(name.data() + kLayers.size(), name.data() + name.size(), layer);
  return layer >= sizes.n_layers;
}

std::string filled(std::string_view pattern, int64_t layer) {
  const size_t at = pattern.find('#');
  if (at == std::string_view::npos) return std::string(pattern);
  return std::string(pattern.substr(0, at)) + std::to_string(layer) +
         std::string(pattern.substr(at + 1));
}

class Planner {
 public:
  Planner(const FamilyRow& family, const SafetensorsSet& set, const CheckpointSizes& sizes)
      : family_(family), set_(set), sizes_(sizes) {}

  Result<CheckpointTensors> run();

 private:
  struct Member {
    Indices indices;
    const SafetensorsTensor* tensor;
  };
  using Members = std::vector<Member>;

  Status place(const SafetensorsTensor& tensor, const std::string& name);
  bool place_by(std::span<const NameRow> rows, const SafetensorsTensor& tensor,
                const std::string& name);
  Result<CheckpointTensor> combine(const std::string& name, const NameRow& row, Members members);
  Status add_sidecars(ViewedTensor& viewed, const SafetensorsTensor& tensor);
  bool is_f8(const std::string& name) const;
  bool is_sidecar(const std::string& name) const;
  bool scales_activations(const std::string& name) const;

  const FamilyRow& family_;
  const SafetensorsSet& set_;
  const CheckpointSizes& sizes_;
  // By layer, then in the order of the checkpoint's first.
  std::map<std::tuple<int64_t, std::string>, std::pair<const NameRow*, Members>> placed_;
  CheckpointTensors out_;
};

bool Planner::is_f8(const std::string& name) const {
  const SafetensorsTensor* const tensor = set_.find(name);
  return tensor != nullptr && runtime::is_f8(tensor->type);
}

bool Planner::scales_activations(const std::string& name) const {
  for (const std::string_view suffix : kActivationScaleSuffixes)
    if (name.ends_with(suffix))
      return is_f8(name.substr(0, name.size() - suffix.size()) + ".weight");
  return false;
}

bool Planner::is_sidecar(const std::string& name) const {
  for (const std::string_view suffix : kScaleSuffixes)
    if (name.ends_with(suffix)) return is_f8(name.substr(0, name.size() - suffix.size()));
  if (!name.ends_with(kScales)) return false;
  const std::string stem = name.substr(0, name.size() - kScales.size());
  return set_.find(stem + std::string(kBlocks)) != nullptr;
}

bool Planner::place_by(std::span<const NameRow> rows, const SafetensorsTensor& tensor,
                       const std::string& name) {
  bool is_known = false;
  Indices indices;
  for (const NameRow& row : rows) {
    if (!matches_row(row.tensor, name, indices)) continue;
    is_known = true;
    auto& [of_row, members] = placed_[{indices.layer, filled(row.name, indices.layer)}];
    of_row = &row;
    members.push_back({indices, &tensor});
  }
  return is_known;
}

Status Planner::place(const SafetensorsTensor& tensor, const std::string& name) {
  if (is_skipped(name, sizes_) || scales_activations(tensor.name)) {
    out_.skipped.push_back(tensor.name);
    return {};
  }
  if (is_sidecar(tensor.name)) return {};
  if (place_by(family_.names, tensor, name) || place_by(shared_names(), tensor, name)) return {};
  return Status(
             Cause::name,
             "unknown in a " + std::string(family_.model_type) + " checkpoint, so it would be lost",
             formats::tensor_subject(tensor.name))
      .with_file(set_.path_of(tensor));
}

// Scales of FP8 and of MXFP4 blocks.
Status Planner::add_sidecars(ViewedTensor& viewed, const SafetensorsTensor& tensor) {
  if (runtime::is_f8(tensor.type)) return find_scales(set_, tensor).status();
  if (!tensor.name.ends_with(kBlocks)) return {};
  const std::string stem = tensor.name.substr(0, tensor.name.size() - kBlocks.size());
  const SafetensorsTensor* const scales = set_.find(stem + std::string(kScales));
  std::vector<uint64_t> shape = tensor.shape;
  shape.pop_back();
  if (scales == nullptr || scales->type != SafetensorsType::u8 || scales->shape != shape)
    return Status(Cause::missing, "lacks scales of its shape",
                  formats::tensor_subject(tensor.name));
  for (StridedView& view : viewed.views) view.scales = scales;
  return {};
}

// The float type of the checkpoint, or the closest.
Result<const formats::TensorType*> type_of(const SafetensorsTensor& tensor, bool holds_blocks) {
  const auto id = [&]() -> std::optional<quant::Format> {
    if (holds_blocks) return quant::Format::mxfp4;
    switch (tensor.type) {
      case SafetensorsType::f32:
        return quant::Format::f32;
      case SafetensorsType::f16:
        return quant::Format::f16;
      case SafetensorsType::bf16:
      case SafetensorsType::f8_e4m3:
      case SafetensorsType::f8_e5m2:
        return quant::Format::bf16;
      default:
        return std::nullopt;
    }
  }();
  if (!id)
    return Status(
        Cause::tensor_type,
        "has the type " + std::string(traits_of(tensor.type).name) + ", which is none of weights",
        formats::tensor_subject(tensor.name));
  return formats::find_tensor_type(static_cast<int32_t>(*id));
}

Result<CheckpointTensor> Planner::combine(const std::string& name, const NameRow& row,
                                          Members members) {
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.indices.expert < b.indices.expert; });
  CheckpointTensor out;
  out.name = name;
  out.change = row.change;
  if (family_.shifts_norms && name.ends_with("norm.weight") && !name.ends_with("ssm_norm.weight"))
    out.change = ValueChange::plus_one;
  const bool is_stack = members.front().indices.expert >= 0;
  const bool is_rotated = row.recipe == Recipe::rope_query || row.recipe == Recipe::rope_key;
  const Recipe recipe = is_rotated && !family_.permutes_rope ? Recipe::plain : row.recipe;
  for (size_t i = 0; i < members.size(); ++i) {
    const SafetensorsTensor& tensor = *members[i].tensor;
    const auto subject = formats::tensor_subject(tensor.name);
    if (!is_stack && i > 0) return Status(Cause::duplicate_tensor, "would be " + name, subject);
    if (is_stack && members[i].indices.expert != static_cast<int64_t>(i))
      return Status(Cause::missing, "expert " + std::to_string(i) + " of " + name + " is absent",
                    subject);
    Result<ViewedTensor> viewed = apply_recipe(recipe, tensor, sizes_);
    if (!viewed) return viewed.status();
    if (Status s = add_sidecars(*viewed, tensor); !s.ok()) return s;
    if (i == 0) out.dims = viewed->dims;
    if (viewed->dims != out.dims || tensor.type != members[0].tensor->type)
      return Status(Cause::shape, "differs in shape or type from the first expert's", subject);
    out.views.insert(out.views.end(), viewed->views.begin(), viewed->views.end());
  }
  if (is_stack && static_cast<int64_t>(members.size()) != sizes_.n_experts)
    return Status(
        Cause::missing,
        "has " + std::to_string(members.size()) + " experts of " + std::to_string(sizes_.n_experts),
        formats::tensor_subject(name));
  if (is_stack) out.dims.push_back(members.size());
  const auto type = type_of(*members[0].tensor, out.holds_blocks());
  if (!type) return type.status();
  out.type = *type;
  return out;
}

Result<CheckpointTensors> Planner::run() {
  for (const SafetensorsTensor& tensor : set_.tensors())
    if (Status s = place(tensor, plain_name(tensor.name)); !s.ok()) return s;
  for (auto& [key, placed] : placed_) {
    Result<CheckpointTensor> tensor =
        combine(std::get<1>(key), *placed.first, std::move(placed.second));
    if (!tensor) return tensor.status();
    out_.tensors.push_back(std::move(*tensor));
  }
  return std::move(out_);
}

}  // namespace

Result<CheckpointTensors> plan_checkpoint_tensors(const FamilyRow& family,
                                                  const SafetensorsSet& set,
                                                  const CheckpointSizes& sizes) {
  return Planner(family, set, sizes).run();
}

}  // namespace larder::runtime
