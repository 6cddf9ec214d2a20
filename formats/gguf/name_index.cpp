#include "formats/gguf/name_index.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <cstring>

namespace larder::formats {
namespace {

// SipHash-1-3. Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012.
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

constexpr size_t kFirstSlots = 64;

}  // namespace

NameIndex::NameIndex() noexcept : key_{} {
  const ssize_t n = ::getrandom(key_.data(), sizeof(key_), GRND_NONBLOCK);
  if (n == static_cast<ssize_t>(sizeof(key_))) return;
  // Early in a machine's boot there is no randomness yet; time and place are better than nothing.
  key_ = {static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()),
          reinterpret_cast<uintptr_t>(this)};
}

uint32_t NameIndex::hash_of(std::string_view name) const noexcept {
  // The initial words are the paper's ("somepseudorandomlygeneratedbytes").
  SipState state{key_[0] ^ 0x736f6d6570736575U, key_[1] ^ 0x646f72616e646f6dU,
                 key_[0] ^ 0x6c7967656e657261U, key_[1] ^ 0x7465646279746573U};
  const size_t n_words = name.size() / 8;
  for (size_t i = 0; i < n_words; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, name.data() + 8 * i, 8);
    state.absorb(word);
  }
  uint64_t last = 0;
  if (name.size() % 8 != 0) std::memcpy(&last, name.data() + 8 * n_words, name.size() % 8);
  state.absorb(last | uint64_t{name.size()} << 56);
  state.v2 ^= 0xff;
  for (int i = 0; i < 3; ++i) state.round();
  return static_cast<uint32_t>(state.v0 ^ state.v1 ^ state.v2 ^ state.v3);
}

size_t NameIndex::slot_of(std::string_view name, uint32_t hash) const noexcept {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].position != kAbsent && (slots_[at].hash != hash || slots_[at].name != name)) {
    at = (at + 1) & mask;
  }
  return at;
}

bool NameIndex::insert(std::string_view name, uint32_t position) {
  assert(position != kAbsent);
  if (3 * (n_names_ + 1) > 2 * slots_.size()) grow();
  const uint32_t hash = hash_of(name);
  Slot& slot = slots_[slot_of(name, hash)];
  if (slot.position != kAbsent) return false;
  slot = {name, hash, position};
  ++n_names_;
  return true;
}

uint32_t NameIndex::find(std::string_view name) const noexcept {
  if (slots_.empty()) return kAbsent;
  return slots_[slot_of(name, hash_of(name))].position;
}

void NameIndex::grow() {
  std::vector<Slot> old(std::max(kFirstSlots, 2 * slots_.size()));
  slots_.swap(old);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.position == kAbsent) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].position != kAbsent) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

}  // namespace larder::formats
