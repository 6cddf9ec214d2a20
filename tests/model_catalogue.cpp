#include "tests/model_catalogue.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>

#include "runtime/forward/forward.h"

namespace larder::tests {
namespace {

constexpr double kMaxSeconds = 1.0;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Status answer(const std::shared_ptr<const runtime::Model>& model) {
  auto forward = runtime::Forward::create(model, {.max_rows = 8, .max_logits = 8});
  if (!forward) return forward.status();
  auto state = runtime::SequenceState::create(model->config(), 8, runtime::CacheType::f16);
  if (!state) return state.status();
  std::vector<runtime::TokenRow> rows;
  for (const int32_t token : {1, 2, 3, 250})
    rows.push_back({token, static_cast<int32_t>(rows.size()), 0, true});
  runtime::SequenceState* sequences[] = {state->get()};
  if (model->config().has_encoder())
    if (Status status = (*forward)->encode(rows, sequences); !status.ok()) return status;
  const Status status = (*forward)->run(rows, sequences);
  if (!status.ok()) {
    CHECK((*state)->n_positions() == 0);
    return status;
  }
  for (size_t r = 0; r < rows.size(); ++r)
    for (int32_t i = 0; i < model->config().n_vocab; ++i)
      REQUIRE(std::isfinite((*forward)->logits(static_cast<int>(r))[i]));
  return {};
}

std::string full(const char* key) { return std::string("qwen3moe.") + key; }

ModelCase changed(std::string id, const std::function<void(GgufBuilder&)>& change,
                  std::vector<Cause> causes, std::string subject, const TinyShape& shape) {
  GgufBuilder file = tiny_model(shape);
  change(file);
  return {std::move(id), std::move(file), std::move(causes), std::move(subject)};
}

void check(const ModelCase& one) {
  INFO("case ", one.id);
  const auto start = std::chrono::steady_clock::now();
  const OpenedModel opened = open_model(one.file);
  CHECK(seconds_since(start) <= kMaxSeconds);
  const Status status = opened.model ? answer(*opened.model) : opened.model.status();
  INFO(status.to_string());
  if (one.causes.empty()) {
    CHECK(status.ok());
    return;
  }
  REQUIRE_FALSE(status.ok());
  bool is_expected = false;
  for (const Cause cause : one.causes) is_expected = is_expected || status.cause() == cause;
  CHECK_MESSAGE(is_expected, "the cause is ", std::string(cause_name(status.cause())));
  CHECK(status.detail().subject.find(one.subject) != std::string::npos);
  CHECK(!status.detail().message.empty());
}

}  // namespace larder::tests
