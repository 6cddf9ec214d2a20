#include "runtime/convert/element_reader.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "formats/gguf/printable_name.h"
#include "quant/reference.h"

namespace larder::runtime {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

constexpr uint64_t kBlock = 128;  // rows and columns that share a scale. Source: DeepSeek-V3

uint64_t blocks_of(uint64_t n) { return (n + kBlock - 1) / kBlock; }

float widen(uint8_t byte, int mantissa_bits, int bias, bool has_infinity) noexcept {
  const int n_mantissa = 1 << mantissa_bits;
  const int exponent_mask = 0x7f >> mantissa_bits;
  const int mantissa = byte & (n_mantissa - 1), exponent = (byte & 0x7f) >> mantissa_bits;
  const float sign = (byte & 0x80) != 0 ? -1.0f : 1.0f;
  if (has_infinity && exponent == exponent_mask)
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  if (!has_infinity && (byte & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const int significand = exponent == 0 ? mantissa : mantissa + n_mantissa;
  const int power = (exponent == 0 ? 1 : exponent) - bias - mantissa_bits;
  return sign * std::ldexp(static_cast<float>(significand), power);
}

using Table = std::array<float, 256>;

const Table& table_of(SafetensorsType type) {
  static const auto fill = [](auto widen_byte) {
    Table table = {};
    for (size_t i = 0; i < table.size(); ++i) table[i] = widen_byte(static_cast<uint8_t>(i));
    return table;
  };
  static const Table e4m3 = fill(widen_f8_e4m3), e5m2 = fill(widen_f8_e5m2);
  return type == SafetensorsType::f8_e4m3 ? e4m3 : e5m2;
}

}  // namespace

bool is_f8(SafetensorsType type) noexcept {
  return type == SafetensorsType::f8_e4m3 || type == SafetensorsType::f8_e5m2;
}

float widen_f8_e4m3(uint8_t byte) noexcept { return widen(byte, 3, 7, false); }
float widen_f8_e5m2(uint8_t byte) noexcept { return widen(byte, 2, 15, true); }

quant::Format ElementReader::format_of(const SafetensorsTensor& tensor) noexcept {
  switch (tensor.type) {
    case SafetensorsType::f16:
      return quant::Format::f16;
    case SafetensorsType::bf16:
      return quant::Format::bf16;
    default:
      return quant::Format::f32;
  }
}

Result<const SafetensorsTensor*> find_scales(const formats::SafetensorsSet& set,
                                             const SafetensorsTensor& tensor) {
  const auto subject = formats::tensor_subject(tensor.name);
  const SafetensorsTensor* scales = nullptr;
  for (const std::string_view suffix : kScaleSuffixes)
    if (scales == nullptr) scales = set.find(tensor.name + std::string(suffix));
  if (scales == nullptr)
    return Status(Cause::missing, "8-bit floats without a tensor of scales", subject);
  if (tensor.shape.size() != 2)
    return Status(Cause::shape,
                  "8-bit floats of the shape " + tensor.shape_text() +
                      ", where it is known for matrices alone which of them share a scale",
                  subject);
  const bool is_float = scales->type == SafetensorsType::f32 ||
                        scales->type == SafetensorsType::f16 ||
                        scales->type == SafetensorsType::bf16;
  const std::vector blocks = {blocks_of(tensor.shape[0]), blocks_of(tensor.shape[1])};
  if (!is_float || (scales->n_elements() != 1 && scales->shape != blocks))
    return Status(Cause::shape,
                  "its scales are " + std::string(traits_of(scales->type).name) + " of the shape " +
                      scales->shape_text() + ", expected one float, or floats of the shape " +
                      formats::shape_text(blocks) + ": one for each block of 128 by 128",
                  subject);
  return scales;
}

Status ElementReader::read_scales(const SafetensorsTensor& tensor) {
  if (scaled_ == &tensor) return {};
  const auto scales = find_scales(set_, tensor);
  if (!scales) return scales.status();
  std::vector<std::byte> bytes((*scales)->n_elements() * traits_of((*scales)->type).bytes);
  if (Status s = set_.read(**scales, 0, bytes); !s.ok()) return s;
  std::vector<double> wide((*scales)->n_elements());
  quant::reference::dequantize(format_of(**scales), reinterpret_cast<const uint8_t*>(bytes.data()),
                               static_cast<int64_t>(wide.size()), wide.data());
  scales_.assign(wide.begin(), wide.end());
  if (scales_.size() == 1)
    scales_.resize(blocks_of(tensor.shape[0]) * blocks_of(tensor.shape[1]), scales_.front());
  scaled_ = &tensor;
  return {};
}

void ElementReader::will_read(const SafetensorsTensor& tensor, uint64_t first,
                              uint64_t n) const noexcept {
  const uint64_t element_bytes = traits_of(tensor.type).bytes;
  set_.will_read(tensor, first * element_bytes, n * element_bytes);
}

Status ElementReader::read(const SafetensorsTensor& tensor, uint64_t first, uint64_t n,
                           std::vector<std::byte>& out) {
  const uint64_t element_bytes = traits_of(tensor.type).bytes;
  if (!is_f8(tensor.type)) {
    out.resize(n * element_bytes);
    return set_.read(tensor, first * element_bytes, out);
  }
  if (Status s = read_scales(tensor); !s.ok()) return s;
  bytes_.resize(n);
  if (Status s = set_.read(tensor, first, bytes_); !s.ok()) return s;
  out.resize(n * sizeof(float));
  const Table& table = table_of(tensor.type);
  const uint64_t n_columns = tensor.shape[1], scales_per_row = blocks_of(n_columns);
  uint64_t row = first / n_columns, column = first % n_columns;
  for (uint64_t i = 0; i < n; ++i) {
    const float value = table[static_cast<uint8_t>(bytes_[i])] *
                        scales_[row / kBlock * scales_per_row + column / kBlock];
    std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
    if (++column == n_columns) {
      column = 0;
      ++row;
    }
  }
  return {};
}

}  // namespace larder::runtime
