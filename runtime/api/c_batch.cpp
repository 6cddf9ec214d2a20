// Batches: sequences go in, passes are run, answers come out.
#include <algorithm>
#include <string>
#include <utility>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder_batch.h"

namespace larder::runtime {
namespace {

// What an encoder reads, or else what tokens are appended to.
EngineItem begun_with(const Model& model, uint64_t tag, std::span<const int32_t> ids) {
  EngineItem item;
  item.tag = tag;
  const bool has_encoder = model.config().has_encoder();
  (has_encoder ? item.source : item.tokens).assign(ids.begin(), ids.end());
  if (has_encoder) item.tokens = {model.config().decoder_start};
  return item;
}

Outcome submit(OpenBatch& open, EngineItem item) {
  if (!open.engine->has_room()) return {LARDER_NO_ROOM, "step, and take what is finished"};
  std::list<BatchEnd> end(1);
  end.front().answer = std::make_unique<larder_answer>(std::in_place);
  OpenAnswer& answer = **end.front().answer;
  if (item.first_scored > 0)
    answer.scores.reserve(item.tokens.size() - static_cast<size_t>(item.first_scored));
  if (Status s = open.engine->submit(std::move(item)); !s.ok()) return s;
  open.spare.splice(open.spare.end(), end);
  return {};
}

// REQUIRES: `answer` has room for as many scores.
void fill_in(OpenAnswer& answer, EngineResult&& result) noexcept {
  if (result.generation) {
    Generation& generation = *result.generation;
    answer.message = {"assistant", std::move(generation.text)};
    answer.tokens = std::move(generation.tokens);
    answer.logprobs = std::move(generation.logprobs);
    answer.reason = generation.reason;
  }
  answer.is_greedy = !result.scores.empty();
  for (const ScoredToken& score : result.scores) {
    answer.scores.push_back(score.logprob);
    answer.is_greedy = answer.is_greedy && score.is_argmax;
  }
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_batch_open(const larder_model* model, const larder_options* options,
                                larder_batch** batch, larder_error** error) {
  const OptionsArgument with(options);
  const Outcome arguments = first_failure(cleared(batch), check(model), with.check());
  return guarded(error, arguments, [&]() -> Outcome {
    auto engine = Engine::create((*model)->model, with->engine(), with->progress.of_bytes());
    if (!engine) return engine.status();
    *batch = new larder_batch(std::in_place, OpenBatch{std::move(*engine), {}, {}});
    return {};
  });
}

larder_status larder_batch_close(larder_batch* batch) { return close_unused(batch); }

void larder_batch_cancel(larder_batch* batch) {
  if (check(batch).ok()) (*batch)->engine->cancel();
}

void larder_batch_forget_cancel(larder_batch* batch) {
  if (check(batch).ok()) (*batch)->engine->forget_cancel();
}

larder_status larder_batch_generate(larder_batch* batch, uint64_t tag, const int32_t* ids,
                                    size_t n_ids, const larder_options* options,
                                    larder_error** error) {
  const OptionsArgument with(options);
  const IdsArgument begun{ids, n_ids};
  return leased(error, first_failure(check(begun), with.check()), batch,
                [&](OpenBatch& open) -> Outcome {
                  const Model& model = open.engine->model();
                  auto sampler = with->sampler(model.file());
                  if (!sampler) return sampler.status();
                  EngineItem item = begun_with(model, tag, begun.view());
                  item.generation = GenerationRequest{*sampler, with->generation()};
                  return submit(open, std::move(item));
                });
}

larder_status larder_batch_score(larder_batch* batch, uint64_t tag, const int32_t* context,
                                 size_t n_context, const int32_t* continuation,
                                 size_t n_continuation, larder_error** error) {
  const IdsArgument before{context, n_context}, scored{continuation, n_continuation};
  const Outcome arguments =
      first_failure(check(before), check(scored), check_sizes(before, scored));
  return leased(error, arguments, batch, [&](OpenBatch& open) -> Outcome {
    EngineItem item = begun_with(open.engine->model(), tag, before.view());
    item.first_scored = static_cast<int32_t>(item.tokens.size());
    const std::span<const int32_t> behind = scored.view();
    item.tokens.insert(item.tokens.end(), behind.begin(), behind.end());
    return submit(open, std::move(item));
  });
}

larder_status larder_batch_step(larder_batch* batch, size_t* n_held, larder_error** error) {
  return leased(error, cleared(n_held), batch, [&](OpenBatch& open) -> Outcome {
    const Status status = open.engine->advance([&](EngineResult&& result) {
      // The least room that suffices: what is left then suffices for the others.
      const auto room = [&](const BatchEnd& end) {
        const size_t n = (*end.answer)->scores.capacity();
        return n < result.scores.size() ? SIZE_MAX : n;
      };
      open.finished.splice(open.finished.end(), open.spare,
                           std::min_element(open.spare.begin(), open.spare.end(),
                                            [&](const BatchEnd& a, const BatchEnd& b) {
                                              return room(a) < room(b);
                                            }));
      open.finished.back().result = std::move(result);
    });
    *n_held = status.ok() ? open.engine->n_held() : 0;
    return status;
  });
}

larder_status larder_batch_take(larder_batch* batch, uint64_t* tag, larder_answer** answer,
                                larder_error** error) {
  return leased(error, cleared(tag, answer), batch, [&](OpenBatch& open) -> Outcome {
    if (open.finished.empty()) return {};
    BatchEnd end = std::move(open.finished.front());
    open.finished.pop_front();
    *tag = end.result.tag;
    if (!end.result.status.ok()) return end.result.status;
    fill_in(**end.answer, std::move(end.result));
    *answer = end.answer.release();
    return {};
  });
}

larder_status larder_answer_scores(const larder_answer* answer, const double** logprobs,
                                   size_t* n_tokens, int32_t* is_greedy, larder_error** error) {
  if (logprobs != nullptr) *logprobs = nullptr;
  if (n_tokens != nullptr) *n_tokens = 0;
  if (is_greedy != nullptr) *is_greedy = 0;
  return guarded(error, check(answer), [=]() -> Outcome {
    if (logprobs != nullptr) *logprobs = (*answer)->scores.data();
    if (n_tokens != nullptr) *n_tokens = (*answer)->scores.size();
    if (is_greedy != nullptr) *is_greedy = (*answer)->is_greedy ? 1 : 0;
    return {};
  });
}
