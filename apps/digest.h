// SHA-256: whole, as text; or cut to 16 bytes, where it only tells things apart.
#pragma once

#include <sha256.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace larder::apps {

using Digest = std::array<uint8_t, 16>;

class Hasher {
 public:
  Hasher() { SHA256Init(&context_); }
  void add(std::span<const std::byte> bytes) {
    SHA256Update(&context_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  // Once; the hasher is used up.
  Digest digest() {
    std::array<uint8_t, SHA256_DIGEST_LENGTH> all;
    SHA256Final(all.data(), &context_);
    Digest first;
    std::copy_n(all.begin(), first.size(), first.begin());
    return first;
  }
  std::string hex() {
    char text[SHA256_DIGEST_STRING_LENGTH];
    SHA256End(&context_, text);
    return text;
  }

 private:
  SHA256_CTX context_;
};

inline std::string sha256_hex(std::string_view text) {
  Hasher hasher;
  hasher.add(text);
  return hasher.hex();
}

inline Digest digest_of(std::string_view text) {
  Hasher hasher;
  hasher.add(text);
  return hasher.digest();
}

}  // namespace larder::apps
