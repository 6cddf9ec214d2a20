// The small files of a checkpoint's folder, whole.
#pragma once

#include <string>

#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::runtime {

bool is_readable(const std::string& path) noexcept;
// Errors name the file: `io`, `truncated`, `limit`.
Result<std::string> read_small_file(const std::string& path);
Result<formats::DataValue> read_json_file(const std::string& path);

}  // namespace larder::runtime
