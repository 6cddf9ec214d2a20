#include "apps/npy.h"

#include <bit>
#include <string_view>

namespace larder::apps {

std::string npy_header(int64_t n_rows, int64_t n_cols) {
  constexpr size_t kAlignment = 64;
  constexpr size_t kPrefix = 10;  // magic, version, length of the text
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                     std::to_string(n_rows) + ", " + std::to_string(n_cols) + "), }";
  const size_t used = kPrefix + text.size() + 1;
  text.append((kAlignment - used % kAlignment) % kAlignment, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

bool write_npy_row(Output& output, std::span<const float> row) {
  static_assert(std::endian::native == std::endian::little);
  return output.write({reinterpret_cast<const char*>(row.data()), row.size_bytes()});
}

}  // namespace larder::apps
