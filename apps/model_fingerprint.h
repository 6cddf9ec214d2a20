// What tells one model's files from another's, without reading all of them.
#pragma once

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/template/value.h"

namespace larder::apps {

// {"bytes", "sha256", "covers"}: of every file its size, all of its header, and of each tensor the
// first, the middle and the last 4 KiB. Bytes elsewhere may differ unseen; names and times of files
// do not count. Errors: `io`, `truncated`.
Result<formats::DataValue> fingerprint(const formats::GgufFile& file);

}  // namespace larder::apps
