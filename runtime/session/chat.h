// A conversation over a session: the model's own template makes the prompt, what the session holds
// already is not computed again, and thinking comes apart from the answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/status.h"
#include "formats/template/chat_template.h"
#include "runtime/session/generation.h"
#include "runtime/session/prompt.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"
#include "runtime/session/thinking.h"

namespace larder::runtime {

struct ChatOptions {
  SamplerOptions sampler;
  GenerationOptions generation;  // shown_control is filled in
  std::string thinking = {};  // "on", "off" or a level that the template knows; empty: as it likes
  // A dict of further variables that the template sees; they win over all but the messages.
  formats::DataValue variables = formats::DataValue::make_dict();
};

struct Answer {
  Message message;  // the assistant's
  std::vector<formats::TokenId> tokens;
  std::vector<float> logprobs;  // of each token
  StopReason reason = StopReason::end_of_generation;
  int32_t n_prompt = 0;  // tokens of the prompt,
  int32_t n_reused = 0;  // of which the session held so many already
  double prompt_seconds = 0, answer_seconds = 0;
};

// What the template makes of a conversation, up to where the assistant answers. `thinking` as in
// ChatOptions; `variables`: a dict of further ones. Errors: those of ChatTemplate::render.
Result<formats::MarkedText> render_prompt(const formats::ChatTemplate& chat_template,
                                          const formats::Tokenizer& tokenizer,
                                          const std::vector<Message>& messages,
                                          std::string_view thinking,
                                          const formats::DataValue& variables);

class Chat {
 public:
  // Errors: `missing` where the model has no chat template (and what to do instead),
  // `template_syntax`, `invalid_argument` of the sampler's options. The session must outlive the
  // chat and be used by nobody else meanwhile.
  // chat_template: another than the model's own, unless null.
  static Result<std::unique_ptr<Chat>> create(
      Session& session, ChatOptions options,
      std::shared_ptr<const formats::ChatTemplate> chat_template = nullptr);

  // Answers a user's message. A failure, or a cancellation before anything was answered, takes the
  // message back, so that the conversation is what it was; an answer that was cut short stays.
  // Errors: those of rendering, Session::continue_as and generate.
  Result<Answer> say(std::string text, const Progress& progress, const OnPart& on_part);
  // Answers the conversation as it stands, and adds nothing to it. Errors: as say.
  Result<Answer> answer(const Progress& progress, const OnPart& on_part);
  // Forgets the last answer, if the conversation ends in one, and answers its last message. Errors:
  // `invalid_argument` if there is none, and as say.
  Result<Answer> regenerate(const Progress& progress, const OnPart& on_part);
  // Forgets the last user's message and what came after it, and returns its text; nullopt if there
  // is none.
  std::optional<std::string> undo();

  const std::vector<Message>& messages() const noexcept { return messages_; }
  void add(Message message) { messages_.push_back(std::move(message)); }
  void set_messages(std::vector<Message> messages) { messages_ = std::move(messages); }
  // Empty text removes it. The conversation stays.
  void set_system(std::string text);
  std::string_view system() const noexcept;
  void clear();  // all but the system prompt

  const ChatOptions& options() const noexcept { return options_; }
  const formats::ChatTemplate& chat_template() const noexcept { return *template_; }
  // Error `invalid_argument` leaves the old options. The random stream starts anew.
  Status set_options(ChatOptions options);

 private:
  Chat(Session& session, std::shared_ptr<const formats::ChatTemplate> chat_template);
  bool has_system() const noexcept;

  Session& session_;
  std::shared_ptr<const formats::ChatTemplate> template_;
  std::vector<ThinkingStyle> styles_;
  ChatOptions options_;
  std::unique_ptr<Sampler> sampler_;
  std::vector<Message> messages_;
};

}  // namespace larder::runtime
