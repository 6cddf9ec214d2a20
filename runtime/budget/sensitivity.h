// How much a model's answers suffer from each tensor's rounding, measured, and what that predicts
// for any choice of types.
//
// The model of the loss. Let e(t, f) be the relative squared error of what tensor t gives when its
// weights are rounded to format f (weight_rounding.h). Small errors of different tensors are taken
// for independent, and the divergence of the answers, being 0 and smallest without errors, for
// proportional to their squares:
//   KL(types) = sum over t of s(t) e(t, type of t)
// The sensitivity s(t) is measured: all of the model's weights stay as they are but those of t,
// which are rounded to a probe format p; the mean divergence over a text's tokens, divided by
// e(t, p), is s(t). Rounding of activations is no part of it.
// Cost: one pass over the text and one rounding to each format for every tensor. Memory: the
// largest tensor twice, and the logits that are compared with, kKeptLogitsBytes at most.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/status.h"
#include "quant/format.h"
#include "runtime/importance/importance.h"
#include "runtime/model/model.h"

namespace larder::runtime {

inline constexpr uint64_t kKeptLogitsBytes = uint64_t{256} << 20;

struct TensorSensitivity {
  std::string name;
  double sensitivity = 0;                                // nats a unit of relative squared error
  double probe_divergence = 0;                           // nats, measured
  std::vector<std::pair<quant::Format, double>> errors;  // of each format that fits the rows

  // Predicted nats; -1 for a format that was not looked at.
  double loss(quant::Format format) const noexcept;
};

struct Sensitivities {
  std::string model;
  int64_t n_tokens = 0;                    // whose answers were compared
  std::vector<TensorSensitivity> tensors;  // those that may be quantised, in file order
};

struct SensitivityOptions {
  std::string isa;
  int n_threads = 0;                       // 0: the machine's cores
  const Importance* importance = nullptr;  // may be null
  // Asked behind every tensor; false cancels.
  std::function<bool(size_t n_done, size_t n_tensors)> progress;
};

// The types that budgets choose among, the smallest first.
std::span<const quant::Format> budget_formats() noexcept;

// Over texts of tokens, each for itself. Errors: those of sessions; `unsupported` for a model with
// an encoder and for one that is quantised already; `invalid_argument` for texts of less than 2
// tokens.
Result<Sensitivities> measure_sensitivities(std::shared_ptr<const Model> model,
                                            const std::vector<std::vector<formats::TokenId>>& texts,
                                            const SensitivityOptions& options);

// As JSON. Errors of the second: those of parse_json, `value_type` and `missing`.
std::string to_json(const Sensitivities& sensitivities);
Result<Sensitivities> parse_sensitivities(std::string_view json);

}  // namespace larder::runtime
