// In place of libc's fsync: a disk that tells only when asked to make durable that it is full. For
// one source of a program.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace larder::tests {

inline std::atomic<bool> disk_is_full_at_last{false};

}  // namespace larder::tests

extern "C" int fsync(int descriptor) {
  if (larder::tests::disk_is_full_at_last) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}
