// A session as bytes, for a later session of the same model: tokens, cache, and the next logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "formats/status.h"
#include "runtime/session/session.h"

namespace larder::runtime {

// Takes all of the bytes, or fills all of them.
using ByteSink = std::function<Status(std::span<const std::byte>)>;
using ByteSource = std::function<Status(std::span<std::byte>)>;

uint64_t saved_bytes(const Session& session) noexcept;
// Gives saved_bytes() to the sink. Errors: those of the sink, `io`; `unsupported` for models that
// are not in a file.
Status save(const Session& session, const ByteSink& sink);
// Errors that leave what is held: `magic` (nothing of this kind, or damaged), `version`, `changed`
// (of another model, or other types of cache), `context_full`; and where it is found late, nothing:
// `magic`, those of the source.
Status restore(Session& session, const ByteSource& source);

}  // namespace larder::runtime
