#include "chat_window.h"

#include <cstdio>
#include <utility>

namespace desktop {
namespace {

GtkWidget* new_label(const char* text, const char* css_class) {
  GtkWidget* const label = gtk_label_new(text);
  gtk_widget_add_css_class(label, css_class);
  return label;
}

template <class F>
void on_click(GtkWidget* button, ChatWindow* window, F* handler) {
  g_signal_connect_swapped(button, "clicked", G_CALLBACK(handler), window);
}

// Follows what is written below, unless the reader has scrolled up.
void follow(GtkAdjustment* adjustment, gpointer) {
  const double end =
      gtk_adjustment_get_upper(adjustment) - gtk_adjustment_get_page_size(adjustment);
  auto* const was_at_end = static_cast<double*>(g_object_get_data(G_OBJECT(adjustment), "end"));
  if (gtk_adjustment_get_value(adjustment) >= *was_at_end - 24)
    gtk_adjustment_set_value(adjustment, end);
  *was_at_end = end;
}

}  // namespace

void ChatWindow::open(GtkApplication* application, const std::string& model_path) {
  auto* const self = new ChatWindow(application);
  // Whatever thread wakes it, events are handled by the main loop.
  self->talker_ = std::make_unique<Talker>(model_path, [self] {
    g_idle_add_full(
        G_PRIORITY_DEFAULT,
        [](gpointer user) -> gboolean {
          static_cast<ChatWindow*>(user)->handle_events();
          return G_SOURCE_REMOVE;
        },
        self, nullptr);
  });
  gtk_window_present(GTK_WINDOW(self->window_));
  g_info("window shown");
}

ChatWindow::ChatWindow(GtkApplication* application)
    : window_(gtk_application_window_new(application)) {
  gtk_window_set_title(GTK_WINDOW(window_), "larder");
  gtk_window_set_default_size(GTK_WINDOW(window_), 640, 720);
  gtk_window_set_titlebar(GTK_WINDOW(window_), make_header());
  GtkWidget* const column = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
  progress_ = gtk_progress_bar_new();
  gtk_widget_add_css_class(progress_, "osd");
  gtk_box_append(GTK_BOX(column), progress_);
  gtk_box_append(GTK_BOX(column), make_conversation());
  gtk_box_append(GTK_BOX(column), make_writing_line());
  gtk_box_append(GTK_BOX(column), make_status_line());
  gtk_window_set_child(GTK_WINDOW(window_), column);
  add_keys();
  gtk_widget_grab_focus(entry_);
  g_signal_connect_swapped(window_, "destroy", G_CALLBACK(+[](ChatWindow* self) { delete self; }),
                           this);
}

// The thread first, so that nobody wakes what is gone; then what it has left to be handled.
ChatWindow::~ChatWindow() {
  talker_.reset();
  while (g_idle_remove_by_data(this)) {
  }
}

GtkWidget* ChatWindow::make_header() {
  GtkWidget* const header = gtk_header_bar_new();
  GtkWidget* const titles = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
  gtk_widget_set_valign(titles, GTK_ALIGN_CENTER);
  gtk_box_append(GTK_BOX(titles), new_label("larder", "title"));
  subtitle_ = new_label("loading the model", "subtitle");
  gtk_box_append(GTK_BOX(titles), subtitle_);
  gtk_header_bar_set_title_widget(GTK_HEADER_BAR(header), titles);
  GtkWidget* const anew = gtk_button_new_with_label("New chat");
  on_click(
      anew, this, +[](ChatWindow* self) { self->begin_anew(); });
  gtk_header_bar_pack_start(GTK_HEADER_BAR(header), anew);
  return header;
}

GtkWidget* ChatWindow::make_conversation() {
  conversation_ = gtk_box_new(GTK_ORIENTATION_VERTICAL, 10);
  gtk_widget_add_css_class(conversation_, "conversation");
  make_new_placeholder();
  GtkWidget* const scrolled = gtk_scrolled_window_new();
  gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(scrolled), GTK_POLICY_NEVER,
                                 GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(scrolled), conversation_);
  gtk_widget_set_vexpand(scrolled, TRUE);
  GtkAdjustment* const adjustment =
      gtk_scrolled_window_get_vadjustment(GTK_SCROLLED_WINDOW(scrolled));
  g_object_set_data_full(G_OBJECT(adjustment), "end", new double(0),
                         [](gpointer end) { delete static_cast<double*>(end); });
  g_signal_connect(adjustment, "changed", G_CALLBACK(follow), nullptr);
  return scrolled;
}

GtkWidget* ChatWindow::make_writing_line() {
  GtkWidget* const line = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 10);
  gtk_widget_add_css_class(line, "writing");
  entry_ = gtk_entry_new();
  gtk_entry_set_placeholder_text(GTK_ENTRY(entry_), "Write a message");
  gtk_widget_set_hexpand(entry_, TRUE);
  g_signal_connect_swapped(entry_, "activate", G_CALLBACK(+[](ChatWindow* self) { self->send(); }),
                           this);
  button_ = gtk_button_new_with_label("Send");
  gtk_widget_add_css_class(button_, "suggested-action");
  gtk_widget_set_sensitive(button_, FALSE);
  on_click(
      button_, this, +[](ChatWindow* self) { self->send_or_stop(); });
  gtk_box_append(GTK_BOX(line), entry_);
  gtk_box_append(GTK_BOX(line), button_);
  return line;
}

GtkWidget* ChatWindow::make_status_line() {
  GtkWidget* const line = gtk_center_box_new();
  gtk_widget_add_css_class(line, "status");
  memory_ = gtk_label_new("");
  speed_ = gtk_label_new("");
  gtk_center_box_set_start_widget(GTK_CENTER_BOX(line), memory_);
  gtk_center_box_set_end_widget(GTK_CENTER_BOX(line), speed_);
  return line;
}

// Escape stops; Ctrl+Shift+C copies the last answer.
void ChatWindow::add_keys() {
  GtkEventController* const keys = gtk_shortcut_controller_new();
  gtk_shortcut_controller_set_scope(GTK_SHORTCUT_CONTROLLER(keys), GTK_SHORTCUT_SCOPE_GLOBAL);
  const auto add = [keys, this](const char* trigger, GtkShortcutFunc action) {
    gtk_shortcut_controller_add_shortcut(
        GTK_SHORTCUT_CONTROLLER(keys),
        gtk_shortcut_new(gtk_shortcut_trigger_parse_string(trigger),
                         gtk_callback_action_new(action, this, nullptr)));
  };
  add("Escape", [](GtkWidget*, GVariant*, gpointer self) -> gboolean {
    static_cast<ChatWindow*>(self)->talker_->stop();
    return TRUE;
  });
  add("<Control><Shift>c", [](GtkWidget*, GVariant*, gpointer self) -> gboolean {
    static_cast<ChatWindow*>(self)->copy_last_answer();
    return TRUE;
  });
  gtk_widget_add_controller(window_, keys);
}

void ChatWindow::make_new_placeholder() {
  placeholder_ = new_label("Ask for a story.", "placeholder");
  gtk_widget_set_vexpand(placeholder_, TRUE);
  gtk_box_append(GTK_BOX(conversation_), placeholder_);
}

void ChatWindow::remove_placeholder() {
  if (placeholder_ != nullptr) gtk_box_remove(GTK_BOX(conversation_), placeholder_);
  placeholder_ = nullptr;
}

void ChatWindow::handle_events() {
  for (const Event& event : talker_->take_events()) handle(event);
}

void ChatWindow::handle(const Event& event) {
  switch (event.kind) {
    case Event::Kind::loading:
      gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(progress_), event.fraction);
      return;
    case Event::Kind::ready:
      g_info("model loaded");
      is_ready_ = true;
      gtk_widget_set_visible(progress_, FALSE);
      gtk_label_set_text(GTK_LABEL(subtitle_), event.text.c_str());
      show_memory(event.memory_bytes);
      return set_answering(false);
    case Event::Kind::thinking:
      if (is_unwanted_) return;
      if (thinking_ == nullptr) thinking_ = add_bubble("thinking", GTK_ALIGN_START);
      return append(thinking_, event.text);
    case Event::Kind::text:
      if (is_unwanted_) return;
      if (std::exchange(shows_first_word_, false)) g_info("first word");
      if (answer_ == nullptr) answer_ = add_bubble("answer", GTK_ALIGN_START);
      return append(answer_, event.text);
    case Event::Kind::ended: {
      g_info(event.was_stopped ? "answer stopped" : "answer ended");
      char line[96];
      std::snprintf(line, sizeof line, "%.0f tokens/s \u00b7 %lld of %lld tokens", event.speed,
                    static_cast<long long>(event.n_tokens),
                    static_cast<long long>(event.n_context));
      if (event.speed > 0) gtk_label_set_text(GTK_LABEL(speed_), line);
      show_memory(event.memory_bytes);
      return set_answering(false);
    }
    case Event::Kind::failed:
      return show_failure(event.text);
  }
}

void ChatWindow::show_failure(const std::string& why) {
  remove_placeholder();
  append(add_bubble("failure", GTK_ALIGN_START), why);
  gtk_widget_set_visible(progress_, FALSE);
  if (!is_ready_) gtk_label_set_text(GTK_LABEL(subtitle_), "no model");
  set_answering(false);
}

void ChatWindow::show_memory(int64_t bytes) {
  char line[64];
  std::snprintf(line, sizeof line, "%.0f MB of memory", static_cast<double>(bytes) / 1e6);
  gtk_label_set_text(GTK_LABEL(memory_), line);
}

void ChatWindow::send_or_stop() { is_answering_ ? talker_->stop() : send(); }

void ChatWindow::send() {
  GtkEntryBuffer* const buffer = gtk_entry_get_buffer(GTK_ENTRY(entry_));
  const std::string text = gtk_entry_buffer_get_text(buffer);
  if (!is_ready_ || is_answering_ || text.empty()) return;
  g_info("message sent");
  remove_placeholder();
  append(add_bubble("user", GTK_ALIGN_END), text);
  gtk_entry_buffer_set_text(buffer, "", 0);
  thinking_ = answer_ = nullptr;
  shows_first_word_ = true;
  set_answering(true);
  talker_->say(text);
}

void ChatWindow::begin_anew() {
  if (!is_ready_) return;
  is_unwanted_ = is_answering_;
  talker_->begin_anew();
  while (GtkWidget* const child = gtk_widget_get_first_child(conversation_))
    gtk_box_remove(GTK_BOX(conversation_), child);
  thinking_ = answer_ = nullptr;
  make_new_placeholder();
  gtk_widget_grab_focus(entry_);
}

void ChatWindow::copy_last_answer() {
  if (answer_ == nullptr) return;
  gdk_clipboard_set_text(gtk_widget_get_clipboard(window_), gtk_label_get_text(GTK_LABEL(answer_)));
}

void ChatWindow::set_answering(bool is_answering) {
  is_answering_ = is_answering;
  is_unwanted_ = false;
  gtk_button_set_label(GTK_BUTTON(button_), is_answering ? "Stop" : "Send");
  gtk_widget_set_sensitive(button_, is_ready_);
  if (is_answering)
    gtk_widget_remove_css_class(button_, "suggested-action");
  else
    gtk_widget_add_css_class(button_, "suggested-action");
}

GtkWidget* ChatWindow::add_bubble(const char* css_class, GtkAlign side) {
  GtkWidget* const label = new_label("", "bubble");
  gtk_widget_add_css_class(label, css_class);
  gtk_widget_set_halign(label, side);
  gtk_label_set_wrap(GTK_LABEL(label), TRUE);
  gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_xalign(GTK_LABEL(label), 0);
  gtk_label_set_max_width_chars(GTK_LABEL(label), 58);
  gtk_label_set_selectable(GTK_LABEL(label), TRUE);
  gtk_widget_set_focusable(label, FALSE);
  gtk_box_append(GTK_BOX(conversation_), label);
  return label;
}

void ChatWindow::append(GtkWidget* label, const std::string& piece) {
  const std::string all = gtk_label_get_text(GTK_LABEL(label)) + piece;
  gtk_label_set_text(GTK_LABEL(label), all.c_str());
}

}  // namespace desktop
