// The window: a conversation, a line to write in, and what it costs.
#pragma once

#include <gtk/gtk.h>

#include <memory>
#include <string>

#include "talker.h"

namespace desktop {

class ChatWindow {
 public:
  // Shows itself at once; the model loads meanwhile. Deletes itself when it is closed.
  static void open(GtkApplication* application, const std::string& model_path);

 private:
  explicit ChatWindow(GtkApplication* application);
  ChatWindow(const ChatWindow&) = delete;
  ChatWindow& operator=(const ChatWindow&) = delete;
  ~ChatWindow();

  GtkWidget* make_header();
  GtkWidget* make_conversation();
  GtkWidget* make_writing_line();
  GtkWidget* make_status_line();
  void add_keys();
  void make_new_placeholder();

  void handle_events();
  void handle(const Event& event);
  void send();
  void send_or_stop();
  void begin_anew();
  void copy_last_answer();
  void set_answering(bool is_answering);
  GtkWidget* add_bubble(const char* css_class, GtkAlign side);
  void append(GtkWidget* label, const std::string& piece);
  void remove_placeholder();
  void show_memory(int64_t bytes);
  void show_failure(const std::string& why);

  GtkWidget *window_ = nullptr, *subtitle_ = nullptr, *progress_ = nullptr;
  GtkWidget *conversation_ = nullptr, *placeholder_ = nullptr;
  GtkWidget *entry_ = nullptr, *button_ = nullptr, *memory_ = nullptr, *speed_ = nullptr;
  GtkWidget *thinking_ = nullptr, *answer_ = nullptr;  // of the last answer; or null
  bool is_answering_ = false, is_ready_ = false;
  bool shows_first_word_ = false;  // next
  bool is_unwanted_ = false;       // what is being answered belongs to an earlier conversation
  std::unique_ptr<Talker> talker_;
};

}  // namespace desktop
