// Makes the Nth call of the system fail: files opened, examined, mapped, read, written and renamed,
// memory mapped, threads started, reads through io_uring. Replaces these functions, so that one
// source of a program includes this.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace larder::tests {

enum class Breakdown { none, once, for_good };
inline std::atomic<Breakdown> breakdown = Breakdown::none;
inline std::atomic<int64_t> n_calls_left = 0;  // until the failure

inline bool call_fails(int error) noexcept {
  const Breakdown mode = breakdown.load(std::memory_order_relaxed);
  if (mode == Breakdown::none) return false;
  const int64_t before = n_calls_left.fetch_sub(1, std::memory_order_relaxed);
  if (before != 0 && (before > 0 || mode == Breakdown::once)) return false;
  errno = error;
  return true;
}

// The function that is replaced.
template <class Function>
Function* replaced(const char* name) noexcept {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// OpenMP ends the process when it gets no thread: the library asks the system before OpenMP does,
// and what comes between the two nobody can mend.
inline std::atomic<bool> spares_openmp = true;
inline bool is_of_openmp(const void* caller) noexcept {
  Dl_info where = {};
  return dladdr(caller, &where) != 0 && where.dli_fname != nullptr &&
         std::strstr(where.dli_fname, "gomp") != nullptr;
}

}  // namespace larder::tests

extern "C" {

int open(const char* path, int flags, ...) {
  static auto* const real = larder::tests::replaced<int(const char*, int, ...)>("open");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return larder::tests::call_fails(EIO) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  static auto* const real = larder::tests::replaced<int(int, const char*, int, ...)>("openat");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return larder::tests::call_fails(EIO) ? -1 : real(folder, path, flags, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  static auto* const real = larder::tests::replaced<FILE*(const char*, const char*)>("fopen64");
  return larder::tests::call_fails(EIO) ? nullptr : real(path, mode);
}

int fstat(int descriptor, struct stat* info) noexcept {
  static auto* const real = larder::tests::replaced<int(int, struct stat*)>("fstat");
  return larder::tests::call_fails(EIO) ? -1 : real(descriptor, info);
}

// Sanitizers map memory before dlsym() can be called.
void* mmap(void* at, size_t n_bytes, int protection, int flags, int descriptor,
           off_t offset) noexcept {
  if (larder::tests::call_fails(descriptor >= 0 ? EIO : ENOMEM)) return MAP_FAILED;
  return reinterpret_cast<void*>(
      syscall(SYS_mmap, at, n_bytes, protection, flags, descriptor, offset));
}

int mprotect(void* at, size_t n_bytes, int protection) noexcept {
  if (larder::tests::call_fails(ENOMEM)) return -1;
  return static_cast<int>(syscall(SYS_mprotect, at, n_bytes, protection));
}

ssize_t read(int descriptor, void* to, size_t n_bytes) {
  static auto* const real = larder::tests::replaced<ssize_t(int, void*, size_t)>("read");
  return larder::tests::call_fails(EIO) ? -1 : real(descriptor, to, n_bytes);
}

ssize_t pread(int descriptor, void* to, size_t n_bytes, off_t offset) {
  static auto* const real = larder::tests::replaced<ssize_t(int, void*, size_t, off_t)>("pread");
  return larder::tests::call_fails(EIO) ? -1 : real(descriptor, to, n_bytes, offset);
}

ssize_t write(int descriptor, const void* from, size_t n_bytes) {
  static auto* const real = larder::tests::replaced<ssize_t(int, const void*, size_t)>("write");
  return larder::tests::call_fails(ENOSPC) ? -1 : real(descriptor, from, n_bytes);
}

int fsync(int descriptor) {
  static auto* const real = larder::tests::replaced<int(int)>("fsync");
  return larder::tests::call_fails(EIO) ? -1 : real(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = larder::tests::replaced<int(const char*, const char*)>("rename");
  return larder::tests::call_fails(EIO) ? -1 : real(from, to);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) noexcept {
  static auto* const real =
      larder::tests::replaced<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>(
          "pthread_create");
  const bool is_spared =
      larder::tests::spares_openmp && larder::tests::is_of_openmp(__builtin_return_address(0));
  if (!is_spared && larder::tests::call_fails(EAGAIN)) return EAGAIN;
  return real(thread, attributes, body, argument);
}

struct io_uring;
int io_uring_queue_init(unsigned n_entries, io_uring* ring, unsigned flags) {
  static auto* const real =
      larder::tests::replaced<int(unsigned, io_uring*, unsigned)>("io_uring_queue_init");
  return larder::tests::call_fails(ENOSYS) ? -ENOSYS : real(n_entries, ring, flags);
}

int io_uring_submit(io_uring* ring) {
  static auto* const real = larder::tests::replaced<int(io_uring*)>("io_uring_submit");
  return larder::tests::call_fails(EBADF) ? -EBADF : real(ring);
}

int io_uring_submit_and_wait(io_uring* ring, unsigned n_waits) {
  static auto* const real =
      larder::tests::replaced<int(io_uring*, unsigned)>("io_uring_submit_and_wait");
  return larder::tests::call_fails(EBADF) ? -EBADF : real(ring, n_waits);
}
}
