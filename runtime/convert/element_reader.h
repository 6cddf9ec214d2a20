// Elements of a checkpoint's tensors as what kernels read: float formats stay as they are, FP8 with
// its blocks' scales becomes float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/safetensors/safetensors_set.h"
#include "formats/status.h"
#include "quant/format.h"

namespace larder::runtime {

class ElementReader {
 public:
  explicit ElementReader(const formats::SafetensorsSet& set) : set_(set) {}

  // What read() gives of a tensor. REQUIRES: a float type
  static quant::Format format_of(const formats::SafetensorsTensor& tensor) noexcept;
  // Elements [first, first + n). Errors: those of the set, and `missing` and `shape` of scales.
  Status read(const formats::SafetensorsTensor& tensor, uint64_t first, uint64_t n,
              std::vector<std::byte>& out);
  // A hint that elements [first, first + n) will be read soon.
  void will_read(const formats::SafetensorsTensor& tensor, uint64_t first,
                 uint64_t n) const noexcept;

 private:
  Status read_scales(const formats::SafetensorsTensor& tensor);

  const formats::SafetensorsSet& set_;
  const formats::SafetensorsTensor* scaled_ = nullptr;  // whose scales are at hand
  std::vector<float> scales_;
  std::vector<std::byte> bytes_;
};

bool is_f8(formats::SafetensorsType type) noexcept;

// What FP8 tensors' names have behind them where it names their scales, which multiply.
inline constexpr std::string_view kScaleSuffixes[] = {"_scale_inv", "_scale"};

// And where the scale of what they are multiplied by stands: static FP8 rounds activations, too.
// Weights are whole without it, and activations are not rounded to FP8 here.
inline constexpr std::string_view kActivationScaleSuffixes[] = {".input_scale",
                                                                ".activation_scale"};

// Of an FP8 matrix: one for all of it, or one for each block of 128 by 128. Errors: `missing`,
// `shape`, with the matrix' name.
Result<const formats::SafetensorsTensor*> find_scales(const formats::SafetensorsSet& set,
                                                      const formats::SafetensorsTensor& tensor);

// The value of one byte. Source: OCP 8-bit floating point (OFP8) 1.0.
float widen_f8_e4m3(uint8_t byte) noexcept;
float widen_f8_e5m2(uint8_t byte) noexcept;

}  // namespace larder::runtime
