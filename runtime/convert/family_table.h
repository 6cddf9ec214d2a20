// Hugging Face's model families: one row each, with what their names become. A family's own rows
// stand before those that all families share. What a name becomes is the name that arch_table and
// tensor_schema read.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace larder::runtime {

// How a checkpoint's tensor becomes rows of ours. Shapes outermost first, as in the checkpoint.
enum class Recipe : uint8_t {
  plain,
  squeezed,  // without dims of 1
  rope_query,
  rope_key,  // rows of heads from halves to adjacent pairs
  first_half,
  second_half,  // of the rows of fused [..., 2 n, c]
  first_columns,
  second_columns,  // [e, i, 2 f]: halves of the columns, turned to [e, f, i]
  even_columns,
  odd_columns,  // [e, i, 2 f]: every other column, turned to [e, f, i]
  even_values,
  odd_values,  // [e, 2 f] to [e, f]
  turned,      // [e, f, o] to [e, o, f]
  even_blocks,
  odd_blocks,
  blocks,  // MXFP4's [e, rows, blocks, 16], with scales of their own
  expert_rows,
  expert_rows_turned,  // [e f, c] to [e, f, c], and to [e, c, f]
  latent_keys,
  latent_values,  // of rows of heads, keys before values
  grouped_mix,
  grouped_gate,  // queries, keys and values of key heads; what gates them
  tiled_heads,   // value heads from groups of key heads to turns of them
  tiled_mix,     // the same behind queries and keys
  tiled_columns
};

// What is done to each value.
enum class ValueChange : uint8_t { none, plus_one, negative_exponential };

// '#' is a layer's number, '*' an expert's.
struct NameRow {
  std::string_view tensor, name;
  Recipe recipe = Recipe::plain;
  ValueChange change = ValueChange::none;
};

enum class KeyKind : uint8_t { count, real, flag };

struct KeyRow {
  std::string_view config;  // names in order of preference, '|' between them
  std::string_view key;     // behind the architecture's name
  KeyKind kind = KeyKind::count;
};

// What keys cannot say by themselves, in code of checkpoint_keys.cpp.
enum class KeyTask : uint8_t {
  latent_widths,  // of latent attention
  expert_groups,
  sigmoid_router,
  mixed_layers,  // layer_types says which layers attend
  periodic_layers,
  chunked_layers,
  windowed_layers,
  clamped_activation,
  sparse_mixer,
  merged_shared_width,
  plain_shared_width,
  scaled_base,  // of rope, by alpha
  layer_norm,
  encoder
};

struct FamilyRow {
  std::string_view model_type;    // of config.json
  std::string_view architecture;  // of arch_table
  std::span<const NameRow> names = {};
  std::span<const KeyRow> keys = {};
  std::span<const KeyTask> tasks = {};
  bool permutes_rope = false;  // rows of queries and keys are to be adjacent pairs
  bool shifts_norms = false;   // weights of norms lack 1
  std::string_view pre = {};   // the field's name of the pre-tokenizer, where its rule has several
};

const FamilyRow* find_family(std::string_view model_type) noexcept;  // null if unknown
std::span<const FamilyRow> families() noexcept;
std::span<const NameRow> shared_names() noexcept;
std::span<const KeyRow> shared_keys() noexcept;
// Tensors that no plain decoding reads, by what their names contain.
std::span<const std::string_view> skipped_tensors() noexcept;
// Keys of config.json that change nothing that is computed.
std::span<const std::string_view> harmless_keys() noexcept;
// Keys with the only values that are supported, as JSON, '|' between them.
struct CheckedKey {
  std::string_view config, values;
};
std::span<const CheckedKey> checked_keys() noexcept;

}  // namespace larder::runtime
