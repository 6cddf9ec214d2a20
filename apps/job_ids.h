// Which ids have come: a hash table in a file without a name, so that millions of them take no
// memory.
#pragma once

#include <cstdint>
#include <string>

#include "apps/digest.h"
#include "formats/status.h"

namespace larder::apps {

// 16 bytes an id on the disk, at most about twice that; a page read and a slot written for each.
class IdSet {
 public:
  // The file lives in `folder` and is gone with the program. Error `io`.
  static Result<IdSet> create(const std::string& folder);
  IdSet(IdSet&& other) noexcept;
  IdSet& operator=(IdSet&&) = delete;
  ~IdSet();

  // Whether it is new. Error `io`.
  Result<bool> insert(const Digest& id);

 private:
  explicit IdSet(int descriptor) : descriptor_(descriptor) {}
  Status double_pages();
  Status read_page(uint64_t page, uint8_t* bytes) const;
  Status write(uint64_t offset, const uint8_t* bytes, size_t n);

  int descriptor_;
  uint64_t n_pages_ = 1;  // a power of two; an id's page: its first bytes, modulo this
};

}  // namespace larder::apps
