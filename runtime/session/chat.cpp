#include "runtime/session/chat.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <new>
#include <utility>

namespace larder::runtime {
namespace {

std::tm local_now() noexcept {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

// A failure, or a cancellation before there was any text.
bool is_nothing(const Result<Answer>& answered) noexcept {
  return !answered ||
         (answered->reason == StopReason::cancelled && answered->message.content.empty() &&
          answered->message.thinking.empty() && answered->message.calls.empty());
}

}  // namespace

Result<formats::MarkedText> render_prompt(const formats::ChatTemplate& chat_template,
                                          const formats::Tokenizer& tokenizer,
                                          const std::vector<Message>& messages,
                                          std::string_view thinking,
                                          const formats::DataValue& variables) {
  formats::DataValue all = formats::DataValue::make_dict(
      {{"messages", to_data(messages, thinking_field(chat_template.source()))}});
  add_variables(all, variables.dict);
  if (!thinking.empty()) add_variables(all, thinking_variables(chat_template.source(), thinking));
  add_default_variables(all, &tokenizer);
  return chat_template.render(all, local_now());
}

Chat::Chat(Session& session, std::shared_ptr<const formats::ChatTemplate> chat_template)
    : session_(session),
      template_(std::move(chat_template)),
      styles_(thinking_styles(template_->source())) {}

Result<std::unique_ptr<Chat>> Chat::create(
    Session& session, ChatOptions options,
    std::shared_ptr<const formats::ChatTemplate> chat_template) try {
  if (chat_template == nullptr) chat_template = session.model().chat_template();
  if (chat_template == nullptr) {
    auto read = read_chat_template(session.model().file());
    if (!read) return read.status();
    chat_template = *read;
  }
  std::unique_ptr<Chat> chat(new Chat(session, std::move(chat_template)));
  if (Status s = chat->set_options(std::move(options)); !s.ok()) return s;
  return chat;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status Chat::set_options(ChatOptions options) try {
  if (Status s = check(options.sampler); !s.ok()) return s;
  const Model& model = session_.model();
  options.generation.shown_control = mark_tokens(styles_, *model.tokenizer());
  if (sampler_)
    sampler_->continue_as(options.sampler, RandomStream(options.sampler.seed));
  else
    sampler_ = std::make_unique<Sampler>(options.sampler, model.config().n_vocab);
  options_ = std::move(options);
  return {};
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

bool Chat::has_system() const noexcept {
  return !messages_.empty() && messages_.front().role == "system";
}

std::string_view Chat::system() const noexcept {
  return has_system() ? std::string_view(messages_.front().content) : std::string_view();
}

void Chat::set_system(std::string text) {
  if (has_system()) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {"system", std::move(text)});
}

std::optional<std::string> Chat::undo() {
  const auto last = std::find_if(messages_.rbegin(), messages_.rend(),
                                 [](const Message& message) { return message.role == "user"; });
  if (last == messages_.rend()) return std::nullopt;
  std::string text = std::move(last->content);
  messages_.erase(last.base() - 1, messages_.end());
  return text;
}

void Chat::clear() { messages_.resize(has_system() ? 1 : 0); }

Result<Answer> Chat::say(std::string text, const Progress& progress, const OnPart& on_part) try {
  messages_.push_back({"user", std::move(text)});
  Result<Answer> answered = answer(progress, on_part);
  if (is_nothing(answered)) {
    messages_.pop_back();
  } else {
    messages_.push_back(answered->message);
  }
  return answered;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<Answer> Chat::regenerate(const Progress& progress, const OnPart& on_part) try {
  std::optional<Message> old;
  if (!messages_.empty() && messages_.back().role == "assistant") {
    old = std::move(messages_.back());
    messages_.pop_back();
  } else if (messages_.empty() || messages_.back().role == "system") {
    return Status(Cause::invalid_argument, "there is no message yet to answer");
  }
  Result<Answer> answered = answer(progress, on_part);
  if (!is_nothing(answered)) old = answered->message;
  if (old) messages_.push_back(std::move(*old));
  return answered;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<Answer> Chat::answer(const Progress& progress, const OnPart& on_part) try {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const formats::Tokenizer& tokenizer = *session_.model().tokenizer();
  const Result<formats::MarkedText> prompt =
      render_prompt(*template_, tokenizer, messages_, options_.thinking, options_.variables);
  if (!prompt) return prompt.status();
  const Result<std::vector<formats::TokenId>> ids = encode_prompt(tokenizer, *prompt);
  if (!ids) return ids.status();

  Answer answer;
  answer.n_prompt = static_cast<int32_t>(ids->size());
  answer.n_reused = session_.n_reusable(*ids);
  if (Status s = session_.continue_as(*ids, progress); !s.ok()) return s;
  answer.prompt_seconds = std::chrono::duration<double>(Clock::now() - start).count();

  ThinkingSplitter splitter(styles_, opening(styles_, *prompt), on_part);
  Result<Generation> generated =
      generate(session_, *sampler_, options_.generation,
               [&splitter](std::string_view piece) { return splitter.push(piece); });
  if (!generated) return generated.status();
  if (splitter.finish() == Flow::cancel) generated->reason = StopReason::cancelled;
  if (splitter.has_ended()) generated->reason = StopReason::end_of_generation;
  answer.message = {"assistant", splitter.answer(), splitter.thinking(), splitter.calls()};
  answer.tokens = std::move(generated->tokens);
  answer.logprobs = std::move(generated->logprobs);
  answer.reason = generated->reason;
  answer.answer_seconds = generated->seconds;
  return answer;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime
