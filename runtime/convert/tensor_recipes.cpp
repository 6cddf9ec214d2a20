#include "runtime/convert/tensor_recipes.h"

#include <algorithm>
#include <string>

#include "formats/gguf/printable_name.h"

namespace larder::runtime {
namespace {

using formats::SafetensorsTensor;
using Dims = std::vector<uint64_t>;

constexpr uint64_t kBlockBytes = 16, kBlockElements = 32;  // of MXFP4, without its scale

struct Source {
  const SafetensorsTensor& tensor;
  const CheckpointSizes& sizes;

  const Dims& shape() const { return tensor.shape; }
  size_t n_dims() const { return tensor.shape.size(); }
  uint64_t dim(size_t i) const { return tensor.shape[i]; }
  uint64_t columns() const { return n_dims() > 1 ? shape().back() : 1; }

  StridedView view(std::array<uint64_t, 4> counts, std::array<uint64_t, 4> strides,
                   uint64_t first = 0) const {
    return {&tensor, nullptr, first, counts, strides};
  }
  Status refuse(const char* expected) const {
    return Status(Cause::shape, "has the shape " + tensor.shape_text() + ", expected " + expected,
                  formats::tensor_subject(tensor.name));
  }
};

Dims reversed(Dims shape) {
  std::reverse(shape.begin(), shape.end());
  return shape;
}

ViewedTensor plain_of(const Source& source) {
  const uint64_t columns = source.n_dims() == 0 ? 1 : source.shape().back();
  const uint64_t rows = columns == 0 ? 0 : source.tensor.n_elements() / columns;
  return {source.n_dims() == 0 ? Dims{1} : reversed(source.shape()),
          {source.view({1, 1, rows, columns}, {0, 0, columns, 1})}};
}

ViewedTensor squeezed_of(const Source& source) {
  ViewedTensor out = plain_of(source);
  std::erase(out.dims, uint64_t{1});
  if (out.dims.empty()) out.dims = {1};
  return out;
}

// Rows (head, half, pair) to (head, pair, half).
Result<ViewedTensor> rope_rows(const Source& source, int64_t n_heads) {
  const auto heads = static_cast<uint64_t>(n_heads);
  if (source.n_dims() < 1 || heads == 0 || source.dim(0) % (2 * heads) != 0)
    return source.refuse("rows of whole heads");
  const uint64_t width = source.dim(0) / heads, columns = source.columns();
  ViewedTensor out = plain_of(source);
  out.views = {source.view({heads, width / 2, 2, columns},
                           {width * columns, columns, width / 2 * columns, 1})};
  return out;
}

Result<ViewedTensor> half_rows(const Source& source, uint64_t half) {
  if (source.n_dims() < 2 || source.dim(source.n_dims() - 2) % 2 != 0)
    return source.refuse("an even number of rows");
  const uint64_t columns = source.columns(), rows = source.dim(source.n_dims() - 2) / 2;
  ViewedTensor out = plain_of(source);
  out.dims[1] = rows;
  const uint64_t n_stacked = source.n_dims() > 2 ? source.dim(0) : 1;
  out.views = {source.view({1, n_stacked, rows, columns}, {0, 2 * rows * columns, columns, 1},
                           half * rows * columns)};
  return out;
}

// [e, i, o] to [e, o, i], of the columns first, first + step, ...
Result<ViewedTensor> turned_columns(const Source& source, uint64_t first, uint64_t step,
                                    uint64_t n_parts) {
  if (source.n_dims() != 3 || source.dim(2) % n_parts != 0)
    return source.refuse("three dims, the last one of whole parts");
  const uint64_t n = source.dim(0), inputs = source.dim(1), width = source.dim(2);
  return ViewedTensor{
      {inputs, width / n_parts, n},
      {source.view({1, n, width / n_parts, inputs}, {0, inputs * width, step, width}, first)}};
}

Result<ViewedTensor> every_other_value(const Source& source, uint64_t first) {
  if (source.n_dims() != 2 || source.dim(1) % 2 != 0)
    return source.refuse("two dims, the last one even");
  const uint64_t n = source.dim(0), width = source.dim(1);
  return ViewedTensor{{width / 2, n}, {source.view({1, 1, n, width / 2}, {0, 0, width, 2}, first)}};
}

// [e, rows, blocks, 16]; n_parts 2: every other row.
Result<ViewedTensor> block_rows(const Source& source, uint64_t first, uint64_t n_parts) {
  if (source.n_dims() != 4 || source.dim(3) != kBlockBytes || source.dim(1) % n_parts != 0 ||
      source.tensor.type != formats::SafetensorsType::u8)
    return source.refuse("[experts, rows, blocks, 16] bytes");
  const uint64_t n = source.dim(0), rows = source.dim(1), blocks = source.dim(2);
  return ViewedTensor{{blocks * kBlockElements, rows / n_parts, n},
                      {source.view({1, n, rows / n_parts, blocks},
                                   {0, rows * blocks, n_parts * blocks, 1}, first * blocks)}};
}

Result<ViewedTensor> stacked_rows(const Source& source, bool turns) {
  const auto n = static_cast<uint64_t>(source.sizes.n_experts);
  if (source.n_dims() != 2 || n == 0 || source.dim(0) % n != 0)
    return source.refuse("the rows of all experts");
  const uint64_t rows = source.dim(0) / n, columns = source.dim(1);
  if (!turns)
    return ViewedTensor{{columns, rows, n},
                        {source.view({1, n, rows, columns}, {0, rows * columns, columns, 1})}};
  return ViewedTensor{{rows, columns, n},
                      {source.view({1, n, columns, rows}, {0, rows * columns, 1, columns})}};
}

// Rows (head, key or value); keys are turned, so that they map what they multiply to the latent.
Result<ViewedTensor> latent_part(const Source& source, bool is_keys) {
  const auto heads = static_cast<uint64_t>(source.sizes.n_heads);
  const auto d_key = static_cast<uint64_t>(source.sizes.d_unrotated);
  const auto d_value = static_cast<uint64_t>(source.sizes.d_value);
  if (source.n_dims() != 2 || source.dim(0) != heads * (d_key + d_value))
    return source.refuse("heads of unrotated keys and values");
  const uint64_t latent = source.dim(1), head = (d_key + d_value) * latent;
  if (is_keys)
    return ViewedTensor{{d_key, latent, heads},
                        {source.view({1, heads, latent, d_key}, {0, head, 1, latent})}};
  return ViewedTensor{
      {latent, d_value, heads},
      {source.view({1, heads, d_value, latent}, {0, head, latent, 1}, d_key * latent)}};
}

struct DeltaWidths {
  explicit DeltaWidths(const CheckpointSizes& sizes)
      : n_keys(static_cast<uint64_t>(sizes.n_key_heads)),
        n_shared(n_keys > 0 ? static_cast<uint64_t>(sizes.n_value_heads) / n_keys : 0),
        d_key(static_cast<uint64_t>(sizes.d_key_head)),
        d_value(static_cast<uint64_t>(sizes.d_value_head)) {}
  uint64_t n_keys, n_shared, d_key, d_value;  // n_shared: value heads of a key head

  uint64_t key_rows() const { return n_keys * d_key; }
  uint64_t value_rows() const { return n_keys * n_shared * d_value; }
};

// Rows of a key head's group: query, key, values, gates of the values.
Result<ViewedTensor> grouped_rows(const Source& source, bool is_gate) {
  const DeltaWidths w(source.sizes);
  const uint64_t values = w.n_shared * w.d_value, group = 2 * w.d_key + 2 * values;
  if (source.n_dims() != 2 || w.n_keys == 0 || source.dim(0) != w.n_keys * group)
    return source.refuse("rows of groups of heads");
  const uint64_t columns = source.dim(1);
  const auto rows = [&](uint64_t n, uint64_t first) {
    return source.view({1, w.n_keys, n, columns}, {0, group * columns, columns, 1},
                       first * columns);
  };
  if (is_gate) return ViewedTensor{{columns, w.value_rows()}, {rows(values, 2 * w.d_key + values)}};
  return ViewedTensor{{columns, 2 * w.key_rows() + w.value_rows()},
                      {rows(w.d_key, 0), rows(w.d_key, w.d_key), rows(values, 2 * w.d_key)}};
}

// Value heads (key head, turn) to (turn, key head), behind `n_before` rows that stay.
Result<ViewedTensor> tiled_rows(const Source& source, bool is_mix) {
  const DeltaWidths w(source.sizes);
  const uint64_t n_before = is_mix ? 2 * w.key_rows() : 0;
  const uint64_t n_heads = w.n_keys * w.n_shared;
  if (source.n_dims() < 1 || n_heads == 0 || source.dim(0) < n_before ||
      (source.dim(0) - n_before) % n_heads != 0)
    return source.refuse("rows of value heads");
  const uint64_t columns = source.columns(), width = (source.dim(0) - n_before) / n_heads;
  ViewedTensor out = squeezed_of(source);
  out.views = {source.view({w.n_shared, w.n_keys, width, columns},
                           {width * columns, w.n_shared * width * columns, columns, 1},
                           n_before * columns)};
  if (n_before > 0)
    out.views.insert(out.views.begin(), source.view({1, 1, n_before, columns}, {0, 0, columns, 1}));
  return out;
}

Result<ViewedTensor> tiled_columns_of(const Source& source) {
  const DeltaWidths w(source.sizes);
  if (source.n_dims() != 2 || source.dim(1) != w.value_rows())
    return source.refuse("columns of value heads");
  ViewedTensor out = plain_of(source);
  out.views = {source.view({source.dim(0), w.n_shared, w.n_keys, w.d_value},
                           {w.value_rows(), w.d_value, w.n_shared * w.d_value, 1})};
  return out;
}

}  // namespace

Result<ViewedTensor> apply_recipe(Recipe recipe, const SafetensorsTensor& tensor,
                                  const CheckpointSizes& sizes) {
  const Source source{tensor, sizes};
  switch (recipe) {
    case Recipe::plain:
      return plain_of(source);
    case Recipe::squeezed:
      return squeezed_of(source);
    case Recipe::rope_query:
      return rope_rows(source, sizes.n_heads);
    case Recipe::rope_key:
      return rope_rows(source, sizes.n_kv_heads);
    case Recipe::first_half:
      return half_rows(source, 0);
    case Recipe::second_half:
      return half_rows(source, 1);
    case Recipe::first_columns:
      return turned_columns(source, 0, 1, 2);
    case Recipe::second_columns:
      return turned_columns(source, tensor.shape.empty() ? 0 : tensor.shape.back() / 2, 1, 2);
    case Recipe::even_columns:
      return turned_columns(source, 0, 2, 2);
    case Recipe::odd_columns:
      return turned_columns(source, 1, 2, 2);
    case Recipe::even_values:
      return every_other_value(source, 0);
    case Recipe::odd_values:
      return every_other_value(source, 1);
    case Recipe::turned:
      return turned_columns(source, 0, 1, 1);
    case Recipe::even_blocks:
      return block_rows(source, 0, 2);
    case Recipe::odd_blocks:
      return block_rows(source, 1, 2);
    case Recipe::blocks:
      return block_rows(source, 0, 1);
    case Recipe::expert_rows:
      return stacked_rows(source, false);
    case Recipe::expert_rows_turned:
      return stacked_rows(source, true);
    case Recipe::latent_keys:
      return latent_part(source, true);
    case Recipe::latent_values:
      return latent_part(source, false);
    case Recipe::grouped_mix:
      return grouped_rows(source, false);
    case Recipe::grouped_gate:
      return grouped_rows(source, true);
    case Recipe::tiled_heads:
      return tiled_rows(source, false);
    case Recipe::tiled_mix:
      return tiled_rows(source, true);
    case Recipe::tiled_columns:
      return tiled_columns_of(source);
  }
  return source.refuse("a known recipe");
}

}  // namespace larder::runtime
