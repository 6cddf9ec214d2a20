#include "runtime/session/anonymous_memory.h"

#include <sys/mman.h>

#include <string>

namespace larder::runtime {

Result<AnonymousMemory> AnonymousMemory::allocate(size_t bytes, const char* purpose) {
  AnonymousMemory memory;
  if (bytes == 0) return memory;
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    return Status(Cause::out_of_memory,
                  std::to_string(bytes) + " bytes for " + purpose + " cannot be had");
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  return memory;
}

AnonymousMemory::~AnonymousMemory() {
  if (data_) munmap(data_, size_);
}

}  // namespace larder::runtime
