// Where a result goes: stdout or a file. Unbuffered, so that text streams as it comes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/status.h"

namespace larder::apps {

class Output {
 public:
  // "-" is stdout. A file is written beside its place and takes it when finish() succeeds, so that
  // a run that fails leaves what was there; devices and pipes are written as they are. A file that
  // the run uses already, under whatever name, is refused.
  static Result<Output> open(const std::string& path, std::span<const std::string> in_use = {});
  static Output standard();
  // As open(), for a run that alone may write there: a file begun by an earlier one that was
  // killed, PATH.partial, is begun again, and does not stay.
  static Result<Output> open_alone(const std::string& path,
                                   std::span<const std::string> in_use = {});
  // What open() or open_alone() would fail with, as far as that is known before; makes nothing.
  static Status check(const std::string& path, std::span<const std::string> in_use = {});
  static Status check_alone(const std::string& path, std::span<const std::string> in_use = {});
  // Whether results have places of their own, whatever these are called; /dev/null takes any
  // number.
  static Status check_apart(std::span<const std::string> paths);

  Output(Output&& other) noexcept;
  Output& operator=(Output&&) = delete;
  ~Output();

  // False once something could not be written; later calls do nothing.
  bool write(std::string_view bytes);
  int descriptor() const noexcept { return descriptor_; }
  // The error, if any. A reader that left (EPIPE) is none: the program just ends. A file is on the
  // disk when it takes its place, so that not even a power cut leaves half of it there.
  Status finish();
  bool has_lost_reader() const noexcept;

 private:
  Output(int descriptor, std::string name, bool is_owned)
      : descriptor_(descriptor), name_(std::move(name)), is_owned_(is_owned) {}
  enum class Owner : uint8_t { many, alone };
  static Result<Output> open_for(const std::string& path, std::span<const std::string> in_use,
                                 Owner owner);
  static Result<Output> open_beside(const std::string& path, Owner owner);
  void take_place();
  void give_up() noexcept;

  int descriptor_;
  std::string name_;
  bool is_owned_;
  int error_ = 0;                 // errno
  std::string partial_, target_;  // the file written, and its place; empty if there is no such move
};

}  // namespace larder::apps
