// Reads arbitrary bytes as a safetensors file's header.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/safetensors/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::formats;
  if (size < kSafetensorsLengthBytes) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto n_bytes = safetensors_header_bytes(bytes.first<kSafetensorsLengthBytes>(), size);
  if (!n_bytes.ok()) return 0;
  const std::string_view header(reinterpret_cast<const char*>(data) + kSafetensorsLengthBytes,
                                *n_bytes);
  const auto tensors = parse_safetensors_header(header, size);
  if (!tensors.ok()) return 0;
  uint64_t n_tensor_bytes = 0;
  for (const SafetensorsTensor& tensor : *tensors) {
    if (tensor.file_offset + tensor.size_bytes > size) __builtin_trap();
    n_tensor_bytes += tensor.size_bytes;
  }
  // every byte behind the header is of one tensor
  if (n_tensor_bytes + *n_bytes + kSafetensorsLengthBytes != size) __builtin_trap();
  return 0;
}
