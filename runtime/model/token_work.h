// What a token costs: the bytes it makes a machine read and the operations it asks for. The one
// definition that figures of speed are derived from.
#pragma once

#include <cstdint>

#include "runtime/model/cache_type.h"
#include "runtime/model/model_config.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

// A multiplication and an addition are two operations. Norms, rotations and activation functions
// count bytes but no operations: they are no part of any matrix product.
struct Work {
  uint64_t bytes = 0;
  uint64_t ops = 0;
  uint64_t int8_ops = 0;  // of these, with 8-bit activations, unless arithmetic is exact

  friend Work operator+(Work a, Work b) noexcept {
    return {a.bytes + b.bytes, a.ops + b.ops, a.int8_ops + b.int8_ops};
  }
  friend Work operator*(uint64_t n, Work a) noexcept {
    return {n * a.bytes, n * a.ops, n * a.int8_ops};
  }
};

struct TokenWork {
  Work body;  // its embedding row and the decoder's weights; of experts the active ones
  Work head;  // from the last layer's output to logits
  // Attention over one visible position, in the layers that see every earlier one, and in those
  // that see the window.
  Work position, windowed_position;
  Work source_position;  // attention over one position of a source, in all layers
  // Operations of these that a token is spared which wants no logits: of the last layer it needs
  // keys and values only. By visible position, too, in one of both.
  uint64_t spared_ops = 0;
  uint64_t spared_position_ops = 0, spared_windowed_position_ops = 0;
  Window window;

  // One token behind which there are `n_positions` (itself included) and wants logits, with nothing
  // shared with other tokens: a step of decoding.
  Work decode(int64_t n_positions, int64_t n_source = 0) const noexcept;
  // The operations of tokens at positions [first, first + n_tokens), the last of which wants
  // logits. Bytes depend on how many tokens meet in an expert, so there are none here.
  uint64_t prefill_ops(int64_t first, int64_t n_tokens) const noexcept;

 private:
  uint64_t n_seen_in_windows(int64_t first, int64_t n_tokens) const noexcept;
};

// One token's way through one routed expert of a layer.
Work expert_work(const LayerWeights& layer) noexcept;

TokenWork token_work(const ModelConfig& config, const ModelWeights& weights,
                     CacheTypes cache) noexcept;

}  // namespace larder::runtime
