#include "talker.h"

#include <algorithm>
#include <utility>

namespace desktop {
namespace {

int64_t statistic(const larder::Session& session, int32_t which) {
  const auto values = session.statistics();
  return values ? (*values)[static_cast<size_t>(which)] : 0;
}

bool is_text(Event::Kind kind) {
  return kind == Event::Kind::text || kind == Event::Kind::thinking;
}

}  // namespace

Talker::Talker(std::string model_path, std::function<void()> wake)
    : path_(std::move(model_path)), wake_(std::move(wake)), thread_([this] { run(); }) {}

Talker::~Talker() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    if (is_answering_) session_->cancel();
  }
  has_wish_.notify_one();
  thread_.join();
}

void Talker::say(std::string text) {
  {
    const std::lock_guard lock(mutex_);
    wishes_.push_back({std::move(text)});
  }
  has_wish_.notify_one();
}

void Talker::begin_anew() {
  stop();
  {
    const std::lock_guard lock(mutex_);
    wishes_.push_back({});
  }
  has_wish_.notify_one();
}

void Talker::stop() {
  const std::lock_guard lock(mutex_);
  const bool is_asked = std::any_of(wishes_.begin(), wishes_.end(),
                                    [](const Wish& wish) { return wish.message.has_value(); });
  if (is_answering_ || is_asked) session_->cancel();
}

std::deque<Event> Talker::take_events() {
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

void Talker::post(Event event) {
  {
    const std::lock_guard lock(mutex_);
    const bool goes_on =
        is_text(event.kind) && !events_.empty() && events_.back().kind == event.kind;
    if (goes_on) {
      events_.back().text += event.text;
      return;
    }
    events_.push_back(std::move(event));
  }
  wake_();
}

std::optional<Talker::Wish> Talker::next_wish() {
  std::unique_lock lock(mutex_);
  has_wish_.wait(lock, [this] { return is_ending_ || !wishes_.empty(); });
  if (is_ending_) return std::nullopt;
  Wish wish = std::move(wishes_.front());
  wishes_.pop_front();
  is_answering_ = wish.message.has_value();
  return wish;
}

void Talker::run() {
  if (const auto loaded = load(); !loaded) {
    Event failed;
    failed.kind = Event::Kind::failed;
    failed.text = loaded.error().message;
    return post(std::move(failed));
  }
  Event ready;
  ready.kind = Event::Kind::ready;
  ready.text = std::string(model_->text(LARDER_MODEL_NAME));
  ready.memory_bytes = statistic(*session_, LARDER_STATISTIC_RAM_BYTES);
  post(std::move(ready));
  while (const auto wish = next_wish()) {
    if (wish->message)
      answer(*wish->message);
    else
      (void)messages_->truncate(0);
  }
}

larder::Result<> Talker::load() {
  auto options = larder::Options::make();
  if (!options) return options.error();
  const auto told = options->on_progress([this](uint64_t done, uint64_t total) -> larder_flow {
    Event loading;
    loading.fraction = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
    post(std::move(loading));
    const std::lock_guard lock(mutex_);
    return is_ending_ ? LARDER_CANCEL : LARDER_CONTINUE;
  });
  if (!told) return told.error();
  auto model = larder::Model::open(path_, &*options);
  if (!model) return model.error();
  auto session = larder::Session::open(*model, &*options);
  if (!session) return session.error();
  auto messages = larder::Messages::make();
  if (!messages) return messages.error();
  model_ = std::move(*model);
  session_ = std::move(*session);
  messages_ = std::move(*messages);
  return larder::Done{};
}

void Talker::answer(const std::string& text) {
  const size_t n_before = messages_->size();
  Event ended;
  ended.kind = Event::Kind::ended;
  const auto result = chat(text, ended);
  {
    const std::lock_guard lock(mutex_);
    is_answering_ = false;
    session_->forget_cancel();
  }
  ended.n_tokens = statistic(*session_, LARDER_STATISTIC_N_TOKENS);
  ended.n_context = statistic(*session_, LARDER_STATISTIC_CONTEXT_SIZE);
  ended.memory_bytes = statistic(*session_, LARDER_STATISTIC_RAM_BYTES);
  if (!result) {
    (void)messages_->truncate(n_before);  // as if it had not been said
    ended.was_stopped = result.status() == LARDER_CANCELLED;
    if (!ended.was_stopped) {
      ended.kind = Event::Kind::failed;
      ended.text = result.error().message;
    }
  }
  post(std::move(ended));
}

larder::Result<> Talker::chat(const std::string& text, Event& ended) {
  if (auto added = messages_->add("user", text); !added) return added;
  const auto answer =
      session_->chat(*messages_, nullptr, [this](int32_t part, std::string_view piece) {
        Event event;
        event.kind = part == LARDER_PART_ANSWER ? Event::Kind::text : Event::Kind::thinking;
        event.text = piece;
        post(std::move(event));
        return LARDER_CONTINUE;
      });
  if (!answer) return answer.error();
  const auto us = static_cast<double>(answer->number(LARDER_ANSWER_US));
  const auto n_tokens = static_cast<double>(answer->number(LARDER_ANSWER_N_TOKENS));
  ended.speed = us > 0 ? n_tokens / us * 1e6 : 0;
  ended.was_stopped = answer->number(LARDER_ANSWER_REASON) == LARDER_REASON_CANCELLED;
  return messages_->add(*answer);
}

}  // namespace desktop
