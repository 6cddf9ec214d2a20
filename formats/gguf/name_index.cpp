#include "formats/gguf/name_index.h"

#include <sys/random.h>

#include <bit>
#include <chrono>
#include <cstring>

namespace larder::formats {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t word) noexcept {
    v3 ^= word;
    round();
    v0 ^= word;
  }
};

}  // namespace

KeyedHash::KeyedHash() noexcept : key_{} {
  const ssize_t n = ::getrandom(key_.data(), sizeof(key_), GRND_NONBLOCK);
  if (n == static_cast<ssize_t>(sizeof(key_))) return;
  // Early in a machine's boot there is no randomness yet; time and place are better than nothing.
  key_ = {static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()),
          reinterpret_cast<uintptr_t>(this)};
}

size_t KeyedHash::operator()(std::string_view text) const noexcept {
  // The initial words are the paper's ("somepseudorandomlygeneratedbytes").
  SipState state{key_[0] ^ 0x736f6d6570736575U, key_[1] ^ 0x646f72616e646f6dU,
                 key_[0] ^ 0x6c7967656e657261U, key_[1] ^ 0x7465646279746573U};
  const size_t n_words = text.size() / 8;
  for (size_t i = 0; i < n_words; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + 8 * i, 8);
    state.absorb(word);
  }
  uint64_t last = 0;
  if (text.size() % 8 != 0) std::memcpy(&last, text.data() + 8 * n_words, text.size() % 8);
  state.absorb(last | uint64_t{text.size()} << 56);
  state.v2 ^= 0xff;
  for (int i = 0; i < 3; ++i) state.round();
  return static_cast<size_t>(state.v0 ^ state.v1 ^ state.v2 ^ state.v3);
}

}  // namespace larder::formats
