// Where a name stands in a table. The hash is keyed with random bits, so that a file cannot be
// made whose names all collide.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace larder::formats {

// Layout: open addressing with linear probing in a table of a power of two, at most two thirds
// full; hashes are kept, so that growing reads no name.
class NameIndex {
 public:
  static constexpr uint32_t kAbsent = ~uint32_t{0};

  NameIndex() noexcept;  // with a key of its own

  // False, and nothing changed, if the name is there. The name's bytes must outlive the index.
  // REQUIRES: position != kAbsent
  bool insert(std::string_view name, uint32_t position);
  uint32_t find(std::string_view name) const noexcept;  // O(1); kAbsent if it is not there

 private:
  struct Slot {
    std::string_view name;
    uint32_t hash = 0;
    uint32_t position = kAbsent;  // of an empty slot
  };

  uint32_t hash_of(std::string_view name) const noexcept;
  // The slot that holds the name, or the empty one where it belongs. REQUIRES: !slots_.empty()
  size_t slot_of(std::string_view name, uint32_t hash) const noexcept;
  void grow();

  std::array<uint64_t, 2> key_;
  std::vector<Slot> slots_;
  size_t n_names_ = 0;
};

}  // namespace larder::formats
