// A model on a thread of its own: what it does comes as events, what it is to do is asked for.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <larder.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace desktop {

struct Event {
  enum class Kind { loading, ready, thinking, text, ended, failed };
  Kind kind = Kind::loading;
  std::string text;      // ready: the model's name; failed: why
  double fraction = 0;   // loading: done
  double speed = 0;      // ended: tokens a second
  int64_t n_tokens = 0;  // ended: of the conversation
  int64_t n_context = 0;
  int64_t memory_bytes = 0;  // ready, ended
  bool was_stopped = false;  // ended
};

class Talker {
 public:
  // wake: called on the talker's thread when there are events to be taken.
  Talker(std::string model_path, std::function<void()> wake);
  ~Talker();  // ends what is running

  // On any thread; none of them waits.
  void say(std::string text);
  void stop();
  void begin_anew();
  // Pieces of text that came since the last time are one event.
  std::deque<Event> take_events();

 private:
  struct Wish {
    std::optional<std::string> message;  // none: a new conversation
  };

  void run();
  larder::Result<> load();
  void answer(const std::string& text);
  larder::Result<> chat(const std::string& text, Event& ended);
  void post(Event event);
  std::optional<Wish> next_wish();

  const std::string path_;
  const std::function<void()> wake_;

  // Of the talker's thread.
  std::optional<larder::Model> model_;
  std::optional<larder::Messages> messages_;
  std::optional<larder::Session> session_;

  std::mutex mutex_;
  std::condition_variable has_wish_;
  std::deque<Wish> wishes_;
  std::deque<Event> events_;
  bool is_answering_ = false;  // session_ is open, and may be cancelled
  bool is_ending_ = false;

  std::thread thread_;  // last, so that it finds all else
};

}  // namespace desktop
