// A sequence as pieces of memory, to be kept elsewhere.
#include <algorithm>
#include <cassert>

#include "runtime/session/sequence_state.h"

namespace larder::runtime {

bool SequenceState::each_run(const HeadRows& rows, int32_t n_kv_heads, int32_t first, int32_t end,
                             const std::function<bool(std::span<std::byte>)>& visit) {
  if (rows.width == 0) return true;
  for (int h = 0; h < n_kv_heads; ++h) {
    for (int32_t at = first; at < end;) {
      // A run ends where the ring begins anew.
      const int32_t n = std::min(end - at, rows.n_places - at % rows.n_places);
      if (!visit({row_of(rows, h, at), static_cast<size_t>(n) * rows.row_bytes})) return false;
      at += n;
    }
  }
  return true;
}

bool SequenceState::each_cached_run(const Extent& extent,
                                    const std::function<bool(std::span<std::byte>)>& visit) const {
  const auto each = [&](const LayerCache& cache, int32_t first, int32_t end) {
    return each_run(cache.keys, cache.n_kv_heads, first, end, visit) &&
           each_run(cache.values, cache.n_kv_heads, first, end, visit);
  };
  for (size_t l = 0; l < caches_.own.size(); ++l) {
    const LayerCache& own = caches_.own[l];
    if (!each(own, own.is_windowed ? extent.first_windowed : 0, extent.n_positions)) return false;
    if (!each(caches_.source[l], 0, extent.n_source)) return false;
  }
  return true;
}

bool SequenceState::each_piece(const std::function<bool(std::span<const std::byte>)>& take) const {
  const auto floats = carried_.present_floats();
  return each_cached_run(extent(), take) && (floats.empty() || take(std::as_bytes(floats)));
}

bool SequenceState::hold_pieces(const Extent& extent,
                                const std::function<bool(std::span<std::byte>)>& give) {
  assert(extent.n_positions >= 0 && extent.n_positions <= capacity_ && extent.n_source >= 0 &&
         extent.n_source <= capacity_ && extent.first_windowed >= 0 &&
         extent.first_windowed <= extent.n_positions);
  hold_source(0);
  if (!each_cached_run(extent, give)) return false;
  const auto floats = carried_.begin_at(extent.n_positions);
  n_positions_ = extent.n_positions;
  n_source_ = extent.n_source;
  ring_.hold(extent.first_windowed, extent.n_positions);
  if (floats.empty() || give(std::as_writable_bytes(floats))) return true;
  hold_source(0);
  return false;
}

}  // namespace larder::runtime
