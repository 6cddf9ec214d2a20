// Saving, restoring and copying sessions.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "formats/gguf/mapped_file.h"
#include "formats/gguf/output_file.h"
#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"
#include "runtime/session/saved_session.h"

namespace larder::runtime {
namespace {

Status io_error(const char* what) {
  return Status(Cause::io, what + (": " + std::system_category().message(errno)));
}

Outcome check_descriptor(int descriptor) {
  return descriptor < 0 ? invalid("no descriptor") : Outcome();
}

Status ends_early() { return Status(Cause::truncated, "the saved session ends early"); }

// Bytes of the caller's, from the first on.
template <class Byte>
struct Buffer {
  Byte* data;
  size_t n_bytes;
  size_t at = 0;

  // The next n of them; null: there are not so many.
  Byte* take(size_t n) noexcept {
    if (n > n_bytes - at) return nullptr;
    Byte* const taken = data + at;
    at += n;
    return taken;
  }
};

// EINTR and short writes are continued.
Status write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return io_error("cannot write");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status read_all(int descriptor, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::read(descriptor, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("cannot read");
    if (n == 0) return ends_early();
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

// Fewer, larger calls of the system than there are pieces.
class Gathered {
 public:
  explicit Gathered(int descriptor) : descriptor_(descriptor) { bytes_.reserve(kBytes); }

  Status add(std::span<const std::byte> bytes) {
    if (bytes_.size() + bytes.size() > kBytes)
      if (Status s = flush(); !s.ok()) return s;
    if (bytes.size() > kBytes) return write_all(descriptor_, bytes);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Status flush() {
    Status written = write_all(descriptor_, bytes_);
    bytes_.clear();
    return written;
  }

 private:
  static constexpr size_t kBytes = 1 << 18;
  int descriptor_;
  std::vector<std::byte> bytes_;
};

Outcome save_file(const Session& session, std::string_view path) {
  auto file = formats::OutputFile::create(std::string(path), formats::OutputFile::Readers::owner);
  if (!file) return file.status();
  if (Status s =
          save(session, [&](std::span<const std::byte> bytes) { return file->write(bytes); });
      !s.ok())
    return s;
  return file->commit();
}

Outcome restore_file(Session& session, std::string_view path) {
  const auto file = formats::MappedFile::open(std::string(path));
  if (!file) return file.status();
  uint64_t at = 0;
  const Status status = restore(session, [&](std::span<std::byte> bytes) {
    Status read = file->read_at(at, bytes);
    at += bytes.size();
    return read;
  });
  return status.with_file(path);
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_session_saved_bytes(const larder_session* session, size_t* n_bytes,
                                         larder_error** error) {
  return leased(error, cleared(n_bytes), session, [&](const OpenSession& open) -> Outcome {
    *n_bytes = saved_bytes(*open.session);
    return {};
  });
}

larder_status larder_session_save(const larder_session* session, void* buffer, size_t n_bytes,
                                  size_t* n_written, larder_error** error) {
  const Outcome room = buffer == nullptr && n_bytes > 0 ? null_with_length() : Outcome();
  const Outcome arguments = first_failure(cleared(n_written), room);
  return leased(error, arguments, session, [&](const OpenSession& open) -> Outcome {
    const size_t needed = saved_bytes(*open.session);
    if (needed > n_bytes) {
      *n_written = needed;
      return invalid("the buffer is too small");
    }
    Buffer<std::byte> into{static_cast<std::byte*>(buffer), n_bytes};
    const Status status = save(*open.session, [&](std::span<const std::byte> bytes) {
      std::byte* const to = into.take(bytes.size());
      if (to == nullptr) return Status(Cause::overflow, "more bytes than were announced");
      std::memcpy(to, bytes.data(), bytes.size());
      return Status();
    });
    if (status.ok()) *n_written = into.at;
    return status;
  });
}

larder_status larder_session_restore(larder_session* session, const void* buffer, size_t n_bytes,
                                     larder_error** error) {
  const Outcome arguments = buffer == nullptr ? invalid("buffer is null") : Outcome();
  return leased(error, arguments, session, [&](OpenSession& open) -> Outcome {
    Buffer<const std::byte> from{static_cast<const std::byte*>(buffer), n_bytes};
    return restore(*open.session, [&](std::span<std::byte> bytes) {
      const std::byte* const next = from.take(bytes.size());
      if (next == nullptr) return ends_early();
      std::memcpy(bytes.data(), next, bytes.size());
      return Status();
    });
  });
}

larder_status larder_session_save_file(const larder_session* session, const char* path,
                                       size_t n_path, larder_error** error) {
  const TextArgument file{path, n_path};
  return leased(error, check_path(file), session,
                [&](const OpenSession& open) { return save_file(*open.session, file.view()); });
}

larder_status larder_session_restore_file(larder_session* session, const char* path, size_t n_path,
                                          larder_error** error) {
  const TextArgument file{path, n_path};
  return leased(error, check_path(file), session,
                [&](OpenSession& open) { return restore_file(*open.session, file.view()); });
}

larder_status larder_session_save_descriptor(const larder_session* session, int descriptor,
                                             larder_error** error) {
  return leased(
      error, check_descriptor(descriptor), session, [&](const OpenSession& open) -> Outcome {
        Gathered gathered(descriptor);
        const Status status = save(
            *open.session, [&](std::span<const std::byte> bytes) { return gathered.add(bytes); });
        return status.ok() ? gathered.flush() : status;
      });
}

larder_status larder_session_restore_descriptor(larder_session* session, int descriptor,
                                                larder_error** error) {
  return leased(error, check_descriptor(descriptor), session, [&](OpenSession& open) -> Outcome {
    return restore(*open.session,
                   [&](std::span<std::byte> bytes) { return read_all(descriptor, bytes); });
  });
}

larder_status larder_session_copy(const larder_session* session, larder_session** copy,
                                  larder_error** error) {
  return leased(error, cleared(copy), session, [&](const OpenSession& open) -> Outcome {
    auto copied = open.session->copy();
    if (!copied) return copied.status();
    *copy = new larder_session(std::in_place, OpenSession{std::move(*copied), open.options});
    return {};
  });
}
