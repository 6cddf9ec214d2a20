#include "runtime/model/tensor_binder.h"

#include <new>

#include "quant/dispatch.h"

namespace larder::runtime {
namespace {

using formats::GgufTensor;

std::string subject_of(const std::string& name) { return "tensor " + name; }
std::string subject_of(const GgufTensor& tensor) { return subject_of(std::string(tensor.name)); }

std::string shape_text(const uint64_t* dims, size_t n) {
  std::string text = "[";
  for (size_t i = 0; i < n; ++i)
    text += (i ? ", " : "") + (dims[i] ? std::to_string(dims[i]) : std::string("any"));
  return text + "]";
}

// Where a slot keeps its values as floats; null for matrices and stacks.
template <class Owner>
const float** float_slot(const Slot<Owner>& slot, Owner& owner) {
  if (const auto* to = std::get_if<const float * Owner::*>(&slot)) return &(owner.**to);
  if (const auto* to = std::get_if<BiasOf<Owner>>(&slot)) return &(owner.*to->of).bias;
  if (const auto* to = std::get_if<ColumnsOf<Owner>>(&slot)) return &(owner.*to->of);
  if (const auto* to = std::get_if<Norm Owner::*>(&slot)) return &(owner.**to).weight;
  if (const auto* to = std::get_if<BiasOf<Owner, Norm>>(&slot)) return &(owner.*to->of).bias;
  if (const auto* to = std::get_if<BiasOf<Owner, ExpertStack>>(&slot)) return &(owner.*to->of).bias;
  return nullptr;
}

}  // namespace

std::string numbered(std::string name, int64_t expert) {
  const size_t at = name.find('*');
  return at == std::string::npos ? name : name.replace(at, 1, std::to_string(expert));
}

int64_t Dims::get(Dim dim) const noexcept {
  if (dim == Dim::d_ff_twice) return 2 * get(Dim::d_ff);
  return values_[static_cast<size_t>(dim)];
}

bool Dims::accept(Dim dim, uint64_t size) noexcept {
  if (get(dim) != 0) return size == static_cast<uint64_t>(get(dim));
  const uint64_t limit = dim == Dim::n_vocab ? INT32_MAX : kMaxWidth;
  if (size == 0 || size > limit) return false;
  if (dim == Dim::d_ff_twice) {
    if (size % 2 != 0) return false;
    dim = Dim::d_ff;
    size /= 2;
  }
  set(dim, static_cast<int64_t>(size));
  return true;
}

bool TensorBinder::is_used(const std::string& name) const {
  const GgufTensor* tensor = file_.find_tensor(name);
  return tensor && used_[static_cast<size_t>(tensor - file_.tensors().data())];
}

Status TensorBinder::check_shape(const GgufTensor& tensor, const std::array<Dim, 3>& shape,
                                 Dims& dims) const {
  std::array<uint64_t, 3> expected;
  size_t n = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    expected[i] = static_cast<uint64_t>(dims.get(shape[i]));
    if (shape[i] != Dim::one) n = i + 1;
  }
  bool fits = tensor.dims[3] == 1;
  for (size_t i = 0; i < shape.size(); ++i) fits = fits && dims.accept(shape[i], tensor.dims[i]);
  if (fits) return {};
  return Status(Cause::shape,
                "expected " + shape_text(expected.data(), n) + ", file has " +
                    shape_text(tensor.dims.data(), static_cast<size_t>(tensor.n_dims)),
                subject_of(tensor));
}

std::span<const std::byte> TensorBinder::data(const GgufTensor& tensor) const noexcept {
  const auto held = memory_ ? memory_->bytes(tensor) : std::span<const std::byte>();
  return held.empty() ? file_.data(tensor) : held;
}

Result<quant::Matrix> TensorBinder::matrix(const GgufTensor& tensor) const {
  const quant::FormatTraits* format = quant::find_format(tensor.type->id);
  if (!format)
    return Status(Cause::tensor_type,
                  "there are no kernels for type " + std::string(tensor.type->name) +
                      "; use a file quantised to another type",
                  subject_of(tensor));
  quant::Matrix out;
  out.data = reinterpret_cast<const uint8_t*>(data(tensor).data());
  out.format = format->format;
  out.n_rows = static_cast<int32_t>(tensor.dims[1]);
  out.n_cols = static_cast<int32_t>(tensor.dims[0]);
  return out;
}

Result<const float*> TensorBinder::floats(const GgufTensor& tensor) {
  const quant::FormatTraits* format = quant::find_format(tensor.type->id);
  if (!format || (format->format != quant::Format::f32 && format->format != quant::Format::f16 &&
                  format->format != quant::Format::bf16))
    return Status(Cause::tensor_type,
                  "is " + std::string(tensor.type->name) + "; must be F32, F16 or BF16",
                  subject_of(tensor));
  const auto* bytes = reinterpret_cast<const uint8_t*>(data(tensor).data());
  if (format->format == quant::Format::f32 &&
      reinterpret_cast<uintptr_t>(bytes) % alignof(float) == 0)
    return reinterpret_cast<const float*>(bytes);

  const size_t n = tensor.n_rows() * tensor.dims[0];
  std::unique_ptr<float[]> copy(new (std::nothrow) float[n]);
  if (!copy)
    return Status(Cause::out_of_memory, "no memory for its float32 form", subject_of(tensor));
  quant::best_kernels().vector.dequantize(format->format, bytes, static_cast<int64_t>(n),
                                          copy.get());
  weights_.converted.push_back(std::move(copy));
  return weights_.converted.back().get();
}

Status TensorBinder::stack_up(const GgufTensor& tensor, const quant::Matrix& matrix,
                              ExpertStack& stack) const {
  if (stack.places.empty()) stack.first = matrix;
  if (matrix.format != stack.first.format)
    return Status(Cause::tensor_type,
                  "is " + std::string(tensor.type->name) +
                      ", expert 0 of the layer has another type; use a file whose experts agree",
                  subject_of(tensor));
  const uint64_t n = tensor.dims[2];
  for (uint64_t i = 0; i < n; ++i) {
    const size_t skipped_bytes = matrix.bytes() * i;
    stack.places.push_back(
        {matrix.data + skipped_bytes, tensor.file_offset + skipped_bytes, tensor.shard});
  }
  return {};
}

Result<const float*> TensorBinder::columns(const GgufTensor& tensor) {
  const Result<const float*> rows = floats(tensor);
  if (!rows) return rows;
  const auto n_rows = static_cast<size_t>(tensor.dims[1]);
  const auto n_columns = static_cast<size_t>(tensor.dims[0]);
  std::unique_ptr<float[]> turned(new (std::nothrow) float[n_rows * n_columns]);
  if (!turned)
    return Status(Cause::out_of_memory, "no memory for its other layout", subject_of(tensor));
  for (size_t r = 0; r < n_rows; ++r)
    for (size_t c = 0; c < n_columns; ++c) turned[c * n_rows + r] = (*rows)[r * n_columns + c];
  weights_.converted.push_back(std::move(turned));
  return weights_.converted.back().get();
}

template <class Owner>
Status TensorBinder::bind(const TensorRow<Owner>& row, const std::string& name, Dims& dims,
                          Owner& owner) {
  if (name.find('*') == std::string::npos) return bind_one(row, name, dims, owner);
  for (int64_t i = 0; i < dims.get(Dim::n_experts); ++i)
    if (Status status = bind_one(row, numbered(name, i), dims, owner); !status.ok()) return status;
  return {};
}

template <class Owner>
Status TensorBinder::bind_one(const TensorRow<Owner>& row, const std::string& name, Dims& dims,
                              Owner& owner) {
  const GgufTensor* tensor = file_.find_tensor(name);
  if (!tensor) {
    const bool is_required =
        row.presence == Presence::required || (row.required_by && required_.*row.required_by);
    if (!is_required) return {};
    return Status(Cause::missing, "required and absent", subject_of(name));
  }
  used_[static_cast<size_t>(tensor - file_.tensors().data())] = true;
  if (Status status = check_shape(*tensor, row.shape, dims); !status.ok()) return status;
  if (!std::holds_alternative<ExpertStack Owner::*>(row.slot)) weights_.dense.push_back(tensor);

  if (const float** place = float_slot(row.slot, owner)) {
    const bool is_turned = std::holds_alternative<ColumnsOf<Owner>>(row.slot);
    const Result<const float*> values = is_turned ? columns(*tensor) : floats(*tensor);
    if (!values) return values.status();
    *place = *values;
    if (const auto* slot = std::get_if<BiasOf<Owner, ExpertStack>>(&row.slot))
      (owner.*slot->of).bias_stride = static_cast<size_t>(tensor->dims[0]);
    return {};
  }
  const Result<quant::Matrix> found = matrix(*tensor);
  if (!found) return found.status();
  if (const auto* slot = std::get_if<quant::Matrix Owner::*>(&row.slot)) owner.** slot = *found;
  if (const auto* slot = std::get_if<Linear Owner::*>(&row.slot)) (owner.**slot).weight = *found;
  if (const auto* slot = std::get_if<ExpertStack Owner::*>(&row.slot))
    return stack_up(*tensor, *found, owner.**slot);
  if (const auto* slot = std::get_if<HeadStack Owner::*>(&row.slot))
    owner.** slot = HeadStack{*found, found->bytes()};
  return {};
}

template Status TensorBinder::bind(const TensorRow<ModelWeights>&, const std::string&, Dims&,
                                   ModelWeights&);
template Status TensorBinder::bind(const TensorRow<LayerTensors>&, const std::string&, Dims&,
                                   LayerTensors&);

Result<std::vector<std::string>> TensorBinder::leftovers(bool (*is_expected)(std::string_view,
                                                                             int64_t),
                                                         int64_t argument) const {
  constexpr size_t kShown = 16;  // a hostile file may hold a million
  std::vector<std::string> sentences;
  size_t n_hidden = 0;
  for (size_t i = 0; i < used_.size(); ++i) {
    const GgufTensor& tensor = file_.tensors()[i];
    if (used_[i] || is_expected(tensor.name, argument)) continue;
    for (const std::string_view ending : {".bias", ".scale"}) {
      if (!tensor.name.ends_with(ending)) continue;
      const std::string_view stem = tensor.name.substr(0, tensor.name.size() - ending.size());
      if (is_used(std::string(stem) + ".weight"))
        return Status(Cause::unsupported, "this addition to a matrix is not supported here",
                      subject_of(tensor));
    }
    if (sentences.size() < kShown)
      sentences.push_back("tensor " + std::string(tensor.name) + " is not used");
    else
      ++n_hidden;
  }
  if (n_hidden > 0) sentences.push_back("and " + std::to_string(n_hidden) + " more tensors");
  return sentences;
}

}  // namespace larder::runtime
