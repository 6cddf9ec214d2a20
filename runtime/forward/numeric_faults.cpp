#include "runtime/forward/numeric_faults.h"

#include <string>

#include "formats/told_status.h"
#include "runtime/forward/pass.h"
#include "runtime/model/tensor_schema.h"

namespace larder::runtime {
namespace {

// Asked inside parallel regions, by every layer of every pass: a text is made where there is a
// fault.
using formats::told;

// REQUIRES: flag.is_raised().
Status not_finite(const Pass& pass, const RowFlag& flag, const std::string& what,
                  std::string subject) {
  const TokenRow& row = pass.rows[static_cast<size_t>(flag.row())];
  return Status(Cause::numeric,
                what + " not finite for token " + std::to_string(row.token) + " at position " +
                    std::to_string(row.position),
                std::move(subject));
}

}  // namespace

Status NumericFaults::of_embedding(const Pass& pass) const noexcept {
  if (!embedding.is_raised()) return {};
  return told(
      [&] { return not_finite(pass, embedding, "the embedding is", "tensor token_embd.weight"); });
}

Status NumericFaults::of_layer(const Pass& pass, int index) const noexcept {
  if (!mixer.is_raised() && !router.is_raised() && !layer.is_raised()) return {};
  return told([&] {
    const std::string number = std::to_string(index), block = block_name(pass.config, index);
    if (mixer.is_raised())
      return not_finite(pass, mixer, "what the mixer adds is", "layer " + number);
    // The router is to blame only if what it read was sound.
    if (router.is_raised() &&
        pass.vector().all_finite(pass.space.input.row(router.row()), pass.config.d_model))
      return not_finite(pass, router, "router logits of layer " + number + " are",
                        "tensor " + block + ".ffn_gate_inp.weight");
    if (router.is_raised())
      return not_finite(pass, router, "what experts read is",
                        "tensor " + block + ".ffn_norm.weight");
    return not_finite(pass, layer, "the layer's output is", "layer " + number);
  });
}

Status NumericFaults::of_source(const Pass& pass) const noexcept {
  if (!source.is_raised()) return {};
  return told([&] {
    return not_finite(pass, source, "what the encoder answers is", "tensor enc.output_norm.weight");
  });
}

Status NumericFaults::of_logits(const Pass& pass) const noexcept {
  if (!logits.is_raised()) return {};
  return told([&] {
    return not_finite(pass, logits, "logits are",
                      pass.config.is_tied ? "tensor token_embd.weight" : "tensor output.weight");
  });
}

}  // namespace larder::runtime
