// Generating: whole answers, and a sampler for loops of the caller's.
#include <optional>
#include <utility>

#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"
#include "runtime/session/generation.h"

namespace larder::runtime {
namespace {

struct TextCallback {
  larder_text_fn call;
  void* user;

  Flow operator()(int32_t part, std::string_view piece) const {
    if (call == nullptr) return Flow::go_on;
    switch (call(user, part, piece.data(), piece.size())) {
      case LARDER_CONTINUE:
        return Flow::go_on;
      case LARDER_STOP:
        return Flow::stop;
      default:
        return Flow::cancel;
    }
  }
};

int32_t number_of(AnswerPart part) noexcept {
  switch (part) {
    case AnswerPart::thinking:
      return LARDER_PART_THINKING;
    case AnswerPart::call:
      return LARDER_PART_CALL;
    case AnswerPart::answer:
      break;
  }
  return LARDER_PART_ANSWER;
}

// Before anything is computed, so that a call that has succeeded can say what it did.
using NewAnswer = std::unique_ptr<larder_answer>;
NewAnswer new_answer() { return NewAnswer(new larder_answer(std::in_place)); }

Outcome generate_answer(OpenSession& open, const OptionValues& options, TextCallback text,
                        Answer& answer) {
  Session& session = *open.session;
  if (session.logits().empty()) return no_logits();
  const auto with = options.sampler(session.model().file());
  if (!with) return with.status();
  Sampler sampler(*with, session.model().config().n_vocab);
  answer.n_prompt = static_cast<int32_t>(session.tokens().size());
  answer.n_reused = answer.n_prompt;
  Result<Generation> generated =
      generate(session, sampler, options.generation(),
               [&text](std::string_view piece) { return text(LARDER_PART_ANSWER, piece); });
  if (!generated) return generated.status();
  answer.message = {"assistant", std::move(generated->text)};
  answer.tokens = std::move(generated->tokens);
  answer.logprobs = std::move(generated->logprobs);
  answer.reason = generated->reason;
  answer.answer_seconds = generated->seconds;
  return {};
}

Outcome chat_answer(OpenSession& open, const std::vector<Message>& messages,
                    const OptionValues& options, TextCallback text, Answer& answer) {
  Session& session = *open.session;
  Result<ChatOptions> with = options.chat(session.model().file());
  if (!with) return with.status();
  auto given = options.chat_template();
  if (!given) return given_template_failure(given.status());
  auto chat = Chat::create(session, std::move(*with), std::move(*given));
  if (!chat) return own_template_failure(chat.status());
  (*chat)->set_messages(messages);
  Result<Answer> answered = (*chat)->answer(
      open.options.progress.of_tokens(),
      [&text](AnswerPart part, std::string_view piece) { return text(number_of(part), piece); });
  if (!answered) return answered.status();
  answer = std::move(*answered);
  return {};
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_session_generate(larder_session* session, const larder_options* options,
                                      larder_text_fn text, void* user, larder_answer** answer,
                                      larder_error** error) {
  if (answer != nullptr) *answer = nullptr;
  const OptionsArgument with(options);
  return leased(error, with.check(), session, [&](OpenSession& open) -> Outcome {
    NewAnswer made = new_answer();
    if (Outcome o = generate_answer(open, *with, {text, user}, **made); !o.ok()) return o;
    if (answer != nullptr) *answer = made.release();
    return {};
  });
}

larder_status larder_session_chat(larder_session* session, const larder_messages* messages,
                                  const larder_options* options, larder_text_fn text, void* user,
                                  larder_answer** answer, larder_error** error) {
  if (answer != nullptr) *answer = nullptr;
  const OptionsArgument with(options);
  const Outcome arguments = first_failure(check(messages), with.check());
  return leased(error, arguments, session, [&](OpenSession& open) -> Outcome {
    if ((*messages)->empty()) return invalid("there are no messages");
    NewAnswer made = new_answer();
    if (Outcome o = chat_answer(open, **messages, *with, {text, user}, **made); !o.ok()) return o;
    if (answer != nullptr) *answer = made.release();
    return {};
  });
}

larder_status larder_sampler_new(const larder_model* model, const larder_options* options,
                                 larder_sampler** sampler, larder_error** error) {
  const OptionsArgument with(options);
  const Outcome arguments = first_failure(cleared(sampler), check(model), with.check());
  return guarded(error, arguments, [&]() -> Outcome {
    const Model& opened = *(*model)->model;
    const auto chosen = with->sampler(opened.file());
    if (!chosen) return chosen.status();
    const int32_t n_vocab = opened.config().n_vocab;
    *sampler = new larder_sampler(
        std::in_place, OpenSampler{std::make_unique<Sampler>(*chosen, n_vocab), n_vocab});
    return {};
  });
}

void larder_sampler_free(larder_sampler* sampler) { close_quietly(sampler); }

larder_status larder_sampler_sample(larder_sampler* sampler, const larder_session* session,
                                    int32_t* token, float* logprob, larder_error** error) {
  if (logprob != nullptr) *logprob = 0;
  const Outcome arguments = cleared(token);
  if (token != nullptr) *token = formats::kNoToken;
  return leased(error, arguments, sampler, [&](OpenSampler& chooser) -> Outcome {
    const Lease lease(session);
    if (!lease.outcome().ok()) return lease.outcome();
    const std::span<const float> logits = lease->session->logits();
    if (logits.empty()) return no_logits();
    if (logits.size() != static_cast<size_t>(chooser.n_vocab))
      return invalid("the sampler is of another model");
    const Result<Sampled> sampled = chooser.sampler->sample(logits, lease->session->tokens());
    if (!sampled) return sampled.status();
    *token = sampled->token;
    if (logprob != nullptr) *logprob = sampled->logprob;
    return {};
  });
}
