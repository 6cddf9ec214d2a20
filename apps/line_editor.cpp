#include "apps/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <optional>
#include <string_view>
#include <utility>

#include "apps/signals.h"
#include "apps/terminal.h"

namespace larder::apps {
namespace {

constexpr std::string_view kBlockMark = "\"\"\"";
constexpr wchar_t kNewlineChar = 0x2424;  // kNewlineSymbol
constexpr wchar_t kEscape = 0x1b;
// The terminal brackets what is pasted. Source: xterm's control sequences, mode 2004.
constexpr std::string_view kBracketedPasteOn = "\x1b[?2004h";
constexpr std::string_view kBracketedPasteOff = "\x1b[?2004l";

// libedit reads and draws by the locale's characters; where that is not UTF-8, take one that is.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

// Bytes of the UTF-8 character that begins with `lead`; 1 for what begins none.
int utf8_length(unsigned char lead) {
  if (lead >= 0xf0 && lead < 0xf8) return 4;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xc0 && lead < 0xe0) return 2;
  return 1;
}

enum class ByteRead : uint8_t { byte, end, interrupted };

// Goes on after signals that only change the screen; `on_screen_change` draws it again.
template <class F>
ByteRead read_byte(unsigned char& byte, F&& on_screen_change) {
  for (;;) {
    if (is_ending()) return ByteRead::interrupted;
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n == 1) return ByteRead::byte;
    if (n == 0 || errno != EINTR) return ByteRead::end;
    if (take_screen_change()) on_screen_change();
  }
}

}  // namespace

struct LineEditor::Impl {
  explicit Impl(HistoryFile history_file) : file(std::move(history_file)) {}
  ~Impl();

  void start();
  Typed read_line(const std::string& line_prompt);
  Typed read_plain();
  Typed read_edited();
  void remember(const std::string& text);
  Typed stopped(bool was_empty) const;

  static int next_char(EditLine* edit, wchar_t* out);
  static unsigned char paste(EditLine* edit, int);
  static unsigned char add_newline(EditLine* edit, int);
  static char* current_prompt(EditLine* edit);
  static Impl& of(EditLine* edit);

  HistoryFile file;
  EditLine* edit = nullptr;  // null: plain lines
  History* history = nullptr;
  std::string prompt;
  std::optional<unsigned char> held;  // read, and no part of the character before it
};

LineEditor::Impl::~Impl() {
  if (edit != nullptr) el_end(edit);
  if (history != nullptr) history_end(history);
}

LineEditor::Impl& LineEditor::Impl::of(EditLine* edit) {
  void* self = nullptr;
  el_get(edit, EL_CLIENTDATA, &self);
  return *static_cast<Impl*>(self);
}

char* LineEditor::Impl::current_prompt(EditLine* edit) { return of(edit).prompt.data(); }

// One character for libedit. An interruption ends the line that is being edited.
int LineEditor::Impl::next_char(EditLine* edit, wchar_t* out) {
  const auto redraw = [edit] {
    el_resize(edit);
    el_set(edit, EL_PREP_TERM, 1);  // after SIGCONT the shell has left its own mode behind
    el_set(edit, EL_REFRESH);
  };
  char bytes[4];
  int n = 0;
  do {
    std::optional<unsigned char>& held = of(edit).held;
    unsigned char byte = held.value_or(0);
    if (!held) {
      const ByteRead result = read_byte(byte, redraw);
      if (result == ByteRead::interrupted) errno = EINTR;
      if (result != ByteRead::byte) return result == ByteRead::end ? 0 : -1;
    }
    held.reset();
    if (n > 0 && (byte & 0xc0) != 0x80) {  // what went before was cut short, and is no UTF-8
      held = byte;
      break;
    }
    bytes[n++] = static_cast<char>(byte);
  } while (n < utf8_length(static_cast<unsigned char>(bytes[0])));
  std::mbstate_t state{};
  const size_t used = std::mbrtowc(out, bytes, static_cast<size_t>(n), &state);
  if (used > static_cast<size_t>(n)) *out = 0xfffd;  // no character
  return 1;
}

// Bound to the sequence that begins a bracketed paste: takes everything up to its end as text.
unsigned char LineEditor::Impl::paste(EditLine* edit, int) {
  constexpr std::wstring_view kEnd = L"\x1b[201~";
  std::wstring text;
  for (wchar_t c = 0; next_char(edit, &c) == 1;) {
    if (c == L'\r' || c == L'\n') {
      text += kNewlineChar;
    } else if (c >= 0x20 || c == L'\t' || c == kEscape) {
      text += c;
    }
    if (std::wstring_view(text).ends_with(kEnd)) {
      text.resize(text.size() - kEnd.size());
      break;
    }
  }
  std::erase(text, kEscape);
  text.resize(text.find_last_not_of(kNewlineChar) + 1);
  if (!text.empty()) el_winsertstr(edit, text.c_str());
  return CC_REFRESH;
}

unsigned char LineEditor::Impl::add_newline(EditLine* edit, int) {
  const wchar_t text[] = {kNewlineChar, 0};
  el_winsertstr(edit, text);
  return CC_REFRESH;
}

void LineEditor::Impl::start() {
  use_utf8();
  edit = el_init("larder", stdin, stderr, stderr);
  history = history_init();
  if (edit == nullptr || history == nullptr) {
    if (edit != nullptr) el_end(std::exchange(edit, nullptr));
    return;
  }
  constexpr int kMaxEntries = 2000;  // of one run; the file has its own limit
  HistEvent event;
  ::history(history, &event, H_SETSIZE, kMaxEntries);
  ::history(history, &event, H_SETUNIQUE, 1);
  for (const std::string& entry : file.load()) {
    // libedit goes back no further than to an entry that it cannot decode.
    if (std::mbstowcs(nullptr, entry.c_str(), 0) == static_cast<size_t>(-1)) continue;
    ::history(history, &event, H_ENTER, entry.c_str());
  }
  el_set(edit, EL_CLIENTDATA, this);
  el_set(edit, EL_EDITOR, "emacs");
  el_set(edit, EL_SIGNAL, 0);
  el_set(edit, EL_GETCFN, next_char);
  el_set(edit, EL_PROMPT, current_prompt);
  el_set(edit, EL_HIST, ::history, history);
  // el_set() would make copies of these texts that nobody frees.
  el_wset(edit, EL_ADDFN, L"larder-paste", L"Insert what is pasted", paste);
  el_wset(edit, EL_ADDFN, L"larder-newline", L"Insert a newline", add_newline);
  el_set(edit, EL_BIND, "\\e[200~", "larder-paste", nullptr);
  el_set(edit, EL_BIND, "\\e\\015", "larder-newline", nullptr);
  el_set(edit, EL_BIND, "\\e\\012", "larder-newline", nullptr);
  el_set(edit, EL_BIND, "\\011", "ed-insert", nullptr);  // a tab is text, nothing is completed
  el_set(edit, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  el_set(edit, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_set(edit, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_source(edit, nullptr);  // the person's own ~/.editrc
}

Typed LineEditor::Impl::stopped(bool was_empty) const {
  return {is_terminated() ? Typed::Kind::terminated : Typed::Kind::interrupted, {}, was_empty};
}

Typed LineEditor::Impl::read_plain() {
  std::string text;
  for (;;) {
    unsigned char byte = 0;
    const ByteRead result = read_byte(byte, [] {});
    if (result == ByteRead::interrupted) return stopped(text.empty());
    if (result == ByteRead::end && text.empty()) return {Typed::Kind::end, {}, true};
    if (result == ByteRead::end || byte == '\n') return {Typed::Kind::line, text, text.empty()};
    text += static_cast<char>(byte);
  }
}

Typed LineEditor::Impl::read_edited() {
  std::fputs(kBracketedPasteOn.data(), stderr);
  // Before the prompt, which invites typing: libedit itself does it after.
  el_set(edit, EL_PREP_TERM, 1);
  int n = 0;
  const char* const line = el_gets(edit, &n);
  const bool was_stopped = is_ending();
  const LineInfo* const info = el_line(edit);
  const bool was_empty = info->lastchar == info->buffer;
  std::fputs(kBracketedPasteOff.data(), stderr);
  if (was_stopped) {
    std::fputs("\n", stderr);
    el_reset(edit);
    return stopped(was_empty);
  }
  if (line == nullptr || n <= 0) return {Typed::Kind::end, {}, true};
  std::string text(line, static_cast<size_t>(n));
  if (text.ends_with('\n')) text.pop_back();
  return {Typed::Kind::line, from_one_line(text), text.empty()};
}

Typed LineEditor::Impl::read_line(const std::string& line_prompt) {
  if (edit == nullptr) {
    if (isatty(STDERR_FILENO) == 1) std::fputs(line_prompt.c_str(), stderr);
    return read_plain();
  }
  prompt = line_prompt;
  return read_edited();
}

void LineEditor::Impl::remember(const std::string& text) {
  if (edit == nullptr || text.empty()) return;
  const std::string entry = to_one_line(text);
  HistEvent event;
  ::history(history, &event, H_ENTER, entry.c_str());
  file.append(entry);
}

LineEditor::LineEditor(HistoryFile history) : impl_(std::make_unique<Impl>(std::move(history))) {
  const Terminal screen(STDERR_FILENO, ColorMode::automatic);
  if (isatty(STDIN_FILENO) == 1 && screen.can_redraw()) impl_->start();
}

LineEditor::~LineEditor() = default;

Typed LineEditor::read(const std::string& prompt, const std::string& continuation_prompt) {
  Typed typed = impl_->read_line(prompt);
  if (typed.kind != Typed::Kind::line) return typed;
  if (typed.text.starts_with(kBlockMark)) {
    std::string& text = typed.text;
    const auto is_closed = [&text] {
      return text.size() >= 2 * kBlockMark.size() && text.ends_with(kBlockMark);
    };
    while (!is_closed()) {
      const Typed more = impl_->read_line(continuation_prompt);
      if (more.kind == Typed::Kind::end) break;
      if (more.kind != Typed::Kind::line) return {more.kind, {}, false};
      text += "\n" + more.text;
    }
    text.erase(0, kBlockMark.size());
    if (text.ends_with(kBlockMark)) text.resize(text.size() - kBlockMark.size());
    if (text.starts_with('\n')) text.erase(0, 1);
    if (text.ends_with('\n')) text.pop_back();
  }
  impl_->remember(typed.text);
  return typed;
}

}  // namespace larder::apps
