// Reads arbitrary bytes as config.json, of the family that it names and, where it names none, of
// each.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/gguf/gguf_writer.h"
#include "formats/json/json.h"
#include "runtime/convert/checkpoint_config.h"
#include "runtime/convert/checkpoint_keys.h"
#include "runtime/convert/family_table.h"

namespace {

void write_keys(const larder::runtime::FamilyRow& family, const larder::formats::DataValue& root) {
  larder::runtime::CheckpointConfig config(root);
  larder::formats::GgufWriter out;
  const auto sizes = larder::runtime::write_checkpoint_keys(family, config, out);
  if (!sizes.ok()) return;
  if (sizes->n_layers <= 0 || sizes->n_heads <= 0) __builtin_trap();
  larder::runtime::rope_factors(config);
  config.unknown_keys();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto root =
      larder::formats::parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!root.ok() || root->kind != larder::formats::DataValue::Kind::dict) return 0;
  const larder::formats::DataValue* const type = root->find("model_type");
  for (const larder::runtime::FamilyRow& family : larder::runtime::families())
    if (type == nullptr || type->string == family.model_type) write_keys(family, *root);
  return 0;
}
