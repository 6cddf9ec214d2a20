// larder_batch.h for C++17, as larder.hpp.
#pragma once

#include <larder_batch.h>

#include <cstdint>
#include <larder.hpp>
#include <optional>
#include <utility>

namespace larder {
inline namespace v1 {

// A sequence that is finished. Of one that failed alone, its error.
struct Finished {
  uint64_t tag = 0;
  Result<Answer> answer;
};

class Batch {
 public:
  static Result<Batch> open(const Model& model, const Options* options = nullptr) {
    larder_batch* made = nullptr;
    auto opened = detail::answered(
        [&](auto error) {
          return larder_batch_open(model.get(), options ? options->get() : nullptr, &made, error);
        },
        [&] { return Batch(made); });
    detail::rethrow();
    return opened;
  }
  // From every thread, while the batch is open.
  void cancel() const noexcept { larder_batch_cancel(get()); }
  void forget_cancel() const noexcept { larder_batch_forget_cancel(get()); }

  // LARDER_NO_ROOM: step and take first.
  Result<> generate(uint64_t tag, const Tokens& ids, const Options* options = nullptr) {
    return detail::done([&](auto error) {
      return larder_batch_generate(get(), tag, ids.data(), ids.size(),
                                   options ? options->get() : nullptr, error);
    });
  }
  Result<> score(uint64_t tag, const Tokens& context, const Tokens& continuation) {
    return detail::done([&](auto error) {
      return larder_batch_score(get(), tag, context.data(), context.size(), continuation.data(),
                                continuation.size(), error);
    });
  }
  // How many sequences are not finished yet.
  Result<size_t> step() {
    size_t n_held = 0;
    return detail::answered([&](auto error) { return larder_batch_step(get(), &n_held, error); },
                            [&] { return n_held; });
  }
  // One that is finished, in the order in which they were; none where there is none now.
  std::optional<Finished> take() {
    uint64_t tag = 0;
    larder_answer* made = nullptr;
    detail::Failure failure;
    if (larder_batch_take(get(), &tag, &made, failure.out()) != LARDER_OK)
      return Finished{tag, failure.take()};
    if (made == nullptr) return std::nullopt;
    return Finished{tag, Answer(made)};
  }
  larder_batch* get() const noexcept { return batch_.get(); }

 private:
  explicit Batch(larder_batch* batch) : batch_(batch) {}
  detail::Handle<larder_batch, larder_batch_close> batch_;
};

// Of an answer that was scored, each token's; else empty.
inline std::vector<double> scores(const Answer& answer, bool* is_greedy = nullptr) {
  const double* logprobs = nullptr;
  size_t n = 0;
  int32_t greedy = 0;
  larder_answer_scores(answer.get(), &logprobs, &n, &greedy, nullptr);
  if (is_greedy) *is_greedy = greedy != 0;
  return std::vector<double>(logprobs, logprobs + n);
}

}  // namespace v1
}  // namespace larder
