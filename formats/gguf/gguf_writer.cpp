#include "formats/gguf/gguf_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "formats/gguf/checked_size.h"
#include "formats/gguf/gguf_limits.h"
#include "formats/gguf/name_index.h"
#include "formats/gguf/output_file.h"
#include "formats/gguf/printable_name.h"

namespace larder::formats {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
void put(Bytes& out, T value) {
  static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
  const size_t at = out.size();
  out.resize(at + sizeof(T));
  std::memcpy(out.data() + at, &value, sizeof(T));
}

void put_bytes(Bytes& out, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const size_t at = out.size();
  out.resize(at + bytes.size());
  std::memcpy(out.data() + at, bytes.data(), bytes.size());
}

void put_string(Bytes& out, std::string_view text) {
  put(out, uint64_t{text.size()});
  put_bytes(out, std::as_bytes(std::span(text)));
}

template <class T>
bool fits(int64_t value) {
  if constexpr (std::is_same_v<T, uint64_t>) return value >= 0;
  return value >= int64_t{std::numeric_limits<T>::min()} &&
         (sizeof(T) == 8 || value <= static_cast<int64_t>(std::numeric_limits<T>::max()));
}

template <class T>
void put_as(Bytes& out, int64_t value) {
  assert(fits<T>(value));
  put(out, static_cast<T>(value));
}

// REQUIRES: is_integer(type); the type can hold the value
void put_integer(Bytes& out, GgufType type, int64_t value) {
  switch (type) {
    case GgufType::u8:
      return put_as<uint8_t>(out, value);
    case GgufType::i8:
      return put_as<int8_t>(out, value);
    case GgufType::u16:
      return put_as<uint16_t>(out, value);
    case GgufType::i16:
      return put_as<int16_t>(out, value);
    case GgufType::u32:
      return put_as<uint32_t>(out, value);
    case GgufType::i32:
      return put_as<int32_t>(out, value);
    case GgufType::u64:
      return put_as<uint64_t>(out, value);
    default:
      assert(type == GgufType::i64);
      return put(out, value);
  }
}

struct Pair {
  std::string key;
  GgufType type;
  Bytes value;
};

struct PlannedTensor {
  std::string name;
  const TensorType* type;
  std::vector<uint64_t> dims;
  CheckedSize bytes;
  CheckedSize offset;  // in the data section
};

Bytes array_prefix(GgufType type, size_t count) {
  Bytes value;
  put(value, type);
  put(value, uint64_t{count});
  return value;
}

Status refuse(const PlannedTensor& tensor, std::string why) {
  return Status(Cause::invalid_argument, std::move(why), tensor_subject(tensor.name));
}

// Only what the reader would accept is written.
Status check_tensors(std::span<const PlannedTensor> tensors) {
  NameIndex seen;
  for (const PlannedTensor& tensor : tensors) {
    if (tensor.name.empty() || tensor.name.size() > kMaxTensorNameBytes || !is_utf8(tensor.name) ||
        tensor.name.find('\0') != std::string::npos) {
      return refuse(tensor, "not a tensor name");
    }
    if (!seen.insert(tensor.name, 0)) return refuse(tensor, "added twice");
    const auto& dims = tensor.dims;
    if (dims.empty() || dims.size() > kMaxTensorDims || std::ranges::count(dims, 0U) != 0 ||
        dims[0] % tensor.type->block_elements != 0) {
      return refuse(tensor, "not a shape of " + std::string(tensor.type->name));
    }
    if (!(tensor.offset + tensor.bytes).ok()) return refuse(tensor, "too large for any file");
  }
  return {};
}

bool is_alignment(uint32_t value) {
  return std::has_single_bit(value) && value >= kMinAlignment && value <= kMaxAlignment;
}

Status check_keys(std::span<const Pair> pairs) {
  for (const Pair& pair : pairs) {
    const auto is_odd = [](char c) { return c == '\0' || static_cast<unsigned char>(c) > 0x7f; };
    if (pair.key.empty() || pair.key.size() > kMaxKeyBytes ||
        std::any_of(pair.key.begin(), pair.key.end(), is_odd)) {
      return Status(Cause::invalid_argument, "not a key", key_subject(pair.key));
    }
  }
  return {};
}

}  // namespace

struct GgufWriter::Impl {
  std::vector<Pair> pairs;
  std::unordered_map<std::string, size_t> pair_index;
  std::vector<PlannedTensor> tensors;
  std::optional<OutputFile> file;
  size_t current = 0;            // the tensor that the next bytes belong to
  uint64_t current_written = 0;  // of its bytes

  void set(std::string_view key, GgufType type, Bytes value);
  uint64_t alignment() const;  // 0 if general.alignment is none
  void place_tensors();
  Bytes header() const;
  Status append(std::span<const std::byte> data);
  Status pad_after_tensor();
};

void GgufWriter::Impl::set(std::string_view key, GgufType type, Bytes value) {
  const auto [place, is_new] = pair_index.try_emplace(std::string(key), pairs.size());
  if (is_new) {
    pairs.push_back({std::string(key), type, std::move(value)});
  } else {
    pairs[place->second].type = type;
    pairs[place->second].value = std::move(value);
  }
}

uint64_t GgufWriter::Impl::alignment() const {
  const auto found = pair_index.find("general.alignment");
  if (found == pair_index.end()) return kDefaultAlignment;
  const Pair& pair = pairs[found->second];
  if (pair.type != GgufType::u32) return 0;
  uint32_t alignment = 0;
  std::memcpy(&alignment, pair.value.data(), sizeof(alignment));
  return is_alignment(alignment) ? alignment : 0;
}

void GgufWriter::Impl::place_tensors() {
  CheckedSize offset = 0;
  for (PlannedTensor& tensor : tensors) {
    tensor.offset = offset;
    offset = (offset + tensor.bytes).aligned_to(alignment());
  }
}

Bytes GgufWriter::Impl::header() const {
  Bytes out;
  put_bytes(out, std::as_bytes(std::span<const char>("GGUF", 4)));
  put(out, uint32_t{3});
  put(out, uint64_t{tensors.size()});
  put(out, uint64_t{pairs.size()});
  for (const Pair& pair : pairs) {
    put_string(out, pair.key);
    put(out, pair.type);
    put_bytes(out, pair.value);
  }
  for (const PlannedTensor& tensor : tensors) {
    put_string(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) put(out, dim);
    put(out, tensor.type->id);
    put(out, tensor.offset.ok() ? tensor.offset.value() : ~uint64_t{0});
  }
  out.resize(CheckedSize(out.size()).aligned_to(alignment()).value());
  return out;
}

Status GgufWriter::Impl::append(std::span<const std::byte> data) {
  while (!data.empty()) {
    if (current == tensors.size()) {
      return Status(Cause::invalid_argument,
                    std::to_string(data.size()) + " bytes more than the tensors hold");
    }
    const uint64_t wanted = tensors[current].bytes.value() - current_written;
    const auto piece = data.first(std::min<uint64_t>(wanted, data.size()));
    if (Status status = file->write(piece); !status.ok()) return status;
    data = data.subspan(piece.size());
    current_written += piece.size();
    if (piece.size() == wanted) {
      if (Status status = pad_after_tensor(); !status.ok()) return status;
    }
  }
  return {};
}

Status GgufWriter::Impl::pad_after_tensor() {
  static constexpr std::array<std::byte, kMaxAlignment> kZeros = {};
  const CheckedSize end = tensors[current].bytes;
  const uint64_t padding = end.aligned_to(alignment()).value() - end.value();
  ++current;
  current_written = 0;
  return file->write(std::span(kZeros).first(padding));
}

GgufWriter::GgufWriter() : impl_(std::make_unique<Impl>()) {}
GgufWriter::GgufWriter(GgufWriter&& other) noexcept = default;
GgufWriter& GgufWriter::operator=(GgufWriter&& other) noexcept = default;
GgufWriter::~GgufWriter() = default;

void GgufWriter::set_integer(std::string_view key, GgufType type, int64_t value) {
  Bytes bytes;
  put_integer(bytes, type, value);
  impl_->set(key, type, std::move(bytes));
}

void GgufWriter::set_float(std::string_view key, GgufType type, double value) {
  assert(type == GgufType::f32 || type == GgufType::f64);
  Bytes bytes;
  if (type == GgufType::f32) {
    put(bytes, static_cast<float>(value));
  } else {
    put(bytes, value);
  }
  impl_->set(key, type, std::move(bytes));
}

void GgufWriter::set_bool(std::string_view key, bool value) {
  impl_->set(key, GgufType::boolean, Bytes{std::byte{value}});
}

void GgufWriter::set_string(std::string_view key, std::string_view value) {
  Bytes bytes;
  put_string(bytes, value);
  impl_->set(key, GgufType::string, std::move(bytes));
}

void GgufWriter::set_integers(std::string_view key, GgufType type,
                              std::span<const int64_t> values) {
  Bytes bytes = array_prefix(type, values.size());
  for (const int64_t value : values) put_integer(bytes, type, value);
  impl_->set(key, GgufType::array, std::move(bytes));
}

void GgufWriter::set_floats(std::string_view key, std::span<const float> values) {
  Bytes bytes = array_prefix(GgufType::f32, values.size());
  put_bytes(bytes, std::as_bytes(values));
  impl_->set(key, GgufType::array, std::move(bytes));
}

void GgufWriter::set_strings(std::string_view key, std::span<const std::string_view> values) {
  Bytes bytes = array_prefix(GgufType::string, values.size());
  for (const std::string_view value : values) put_string(bytes, value);
  impl_->set(key, GgufType::array, std::move(bytes));
}

void GgufWriter::copy(std::string_view key, const GgufValue& value) {
  impl_->set(key, value.type(), Bytes(value.raw().begin(), value.raw().end()));
}

void GgufWriter::add_tensor(std::string_view name, const TensorType& type,
                            std::span<const uint64_t> dims) {
  CheckedSize n_elements = 1;
  for (const uint64_t dim : dims) n_elements = n_elements * dim;
  impl_->tensors.push_back({std::string(name),
                            &type,
                            {dims.begin(), dims.end()},
                            n_elements * type.block_bytes / type.block_elements,
                            0});
}

std::vector<std::byte> GgufWriter::header() const {
  assert(impl_->alignment() != 0);
  impl_->place_tensors();
  return impl_->header();
}

Status GgufWriter::begin(const std::string& path) try {
  if (impl_->file) return Status(Cause::invalid_argument, "a file was begun already");
  if (impl_->alignment() == 0) {
    return Status(Cause::invalid_argument, "not an alignment", "key general.alignment");
  }
  impl_->place_tensors();
  if (Status status = check_keys(impl_->pairs); !status.ok()) return status;
  if (Status status = check_tensors(impl_->tensors); !status.ok()) return status;
  const Bytes header = impl_->header();
  auto file = OutputFile::create(path);
  if (!file.ok()) return file.status();
  if (Status status = file->write(header); !status.ok()) return status;
  impl_->file.emplace(std::move(*file));
  impl_->current = 0;
  impl_->current_written = 0;
  return {};
} catch (const std::bad_alloc&) {
  return Status(Cause::out_of_memory, "no memory for the header").with_file(path);
}

Status GgufWriter::append(std::span<const std::byte> data) try {
  if (!impl_->file) return Status(Cause::invalid_argument, "no file was begun");
  Status status = impl_->append(data);
  if (!status.ok()) impl_->file.reset();  // a file with a hole must not be finished
  return status;
} catch (const std::bad_alloc&) {
  impl_->file.reset();
  return Status(Cause::out_of_memory, "no memory to gather what is written");
}

Status GgufWriter::finish() try {
  if (!impl_->file) return Status(Cause::invalid_argument, "no file was begun");
  Status status;
  if (impl_->current == impl_->tensors.size()) {
    status = impl_->file->commit();
  } else {
    const PlannedTensor& tensor = impl_->tensors[impl_->current];
    status = refuse(tensor, "its data lack " +
                                std::to_string(tensor.bytes.value() - impl_->current_written) +
                                " bytes");
  }
  impl_->file.reset();
  return status;
} catch (const std::bad_alloc&) {
  impl_->file.reset();
  return Status(Cause::out_of_memory, "no memory to finish the file");
}

}  // namespace larder::formats
