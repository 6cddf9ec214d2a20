// A file that appears whole or not at all: written beside its place under another name, made
// durable, then renamed. What is not committed leaves nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/status.h"

namespace larder::formats {

class OutputFile {
 public:
  // Who may read the file: whom the process's mask allows, or its owner alone.
  enum class Readers : uint8_t { all, owner };
  // Errors: `io`, also where `path` names something that is no regular file.
  static Result<OutputFile> create(const std::string& path, Readers readers = Readers::all);

  // Removes temporary files for `path` whose writers ended without (killed, power cut). One that
  // is being written is locked, and stays.
  static void remove_abandoned(const std::string& path) noexcept;

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();  // removes the temporary file unless committed

  // Small pieces are gathered. EINTR and short writes are continued.
  Status write(std::span<const std::byte> bytes);
  // Makes the bytes durable, gives the file its name, makes the name durable.
  Status commit();

 private:
  OutputFile() = default;
  Status flush();
  Status write_through(std::span<const std::byte> bytes);
  void start_writing_back() noexcept;
  Status error(const char* what, int error) const;
  bool keep_from_removal() noexcept;

  std::string path_;
  std::string temporary_path_;  // empty once renamed or removed
  int descriptor_ = -1;
  uint64_t written_bytes_ = 0, writing_back_bytes_ = 0;
  std::vector<std::byte> pending_;
};

}  // namespace larder::formats
