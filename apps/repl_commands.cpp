#include "apps/repl_commands.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstdio>
#include <string>
#include <vector>

#include "apps/exit_code.h"
#include "apps/model_path.h"
#include "apps/paging_report.h"
#include "apps/template_flags.h"
#include "apps/terminal.h"
#include "apps/transcript.h"

namespace larder::apps {
namespace {

using runtime::ChatOptions;

struct Command {
  std::vector<std::string_view> names;
  const char* arguments;
  const char* what;
  Next (*run)(Conversation& conversation, std::string_view arguments);
};

const std::vector<Command>& commands();

std::string_view trim(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(" \t\n") + 1);
}

// "temp 0.5" to "temp" and "0.5".
std::pair<std::string_view, std::string_view> split_first(std::string_view text) {
  const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
  return {text.substr(0, end), trim(text.substr(end))};
}

// The beginning, for a line of the screen.
std::string one_line(std::string_view text) {
  constexpr size_t kMost = 60;
  const std::string_view line = text.substr(0, text.find('\n'));
  size_t n = std::min(line.size(), kMost);
  while (n > 0 && n < line.size() && (line[n] & 0xc0) == 0x80) --n;  // whole characters
  return for_terminal(line.substr(0, n)) + (n < text.size() ? " ..." : "");
}

Next help(Conversation&, std::string_view) {
  for (const Command& command : commands()) {
    std::string names;
    for (const std::string_view name : command.names) {
      names += (names.empty() ? "/" : " /") + std::string(name);
    }
    std::fprintf(stderr, "  %-22s %s\n", (names + command.arguments).c_str(), command.what);
  }
  std::fputs(
      "  \"\"\"                    begins and ends a message of several lines; Alt-Enter adds a "
      "line\n"
      "  Ctrl-C                 stops the answer; at an empty prompt, twice leaves\n",
      stderr);
  return Next::read_on;
}

Next leave(Conversation&, std::string_view) { return Next::leave; }

Next clear(Conversation& conversation, std::string_view) {
  conversation.chat().clear();
  std::fputs("The conversation is forgotten.\n", stderr);
  return Next::read_on;
}

Next regenerate(Conversation& conversation, std::string_view) {
  const auto reason = conversation.regenerate();
  if (!reason) fail(reason.status());
  return Next::read_on;
}

Next undo(Conversation& conversation, std::string_view) {
  const auto text = conversation.chat().undo();
  if (!text) {
    complain("there is nothing to take back");
  } else {
    std::fprintf(stderr, "Taken back: %s\n", one_line(*text).c_str());
  }
  return Next::read_on;
}

// "1 message is", "2 messages are".
std::string messages_text(Conversation& conversation) {
  const size_t n = conversation.chat().messages().size();
  return counted(static_cast<int64_t>(n), "message") + (n == 1 ? " is" : " are");
}

Next save(Conversation& conversation, std::string_view path) {
  if (path.empty()) {
    complain("/save needs the name of a file");
    return Next::read_on;
  }
  const Status saved = save_messages(std::string(path), conversation.chat().messages(),
                                     paths_of(conversation.session().model().file()));
  if (!saved.ok()) {
    fail(saved);
  } else {
    std::fprintf(stderr, "%s saved.\n", messages_text(conversation).c_str());
  }
  return Next::read_on;
}

Next load(Conversation& conversation, std::string_view path) {
  if (path.empty()) {
    complain("/load needs the name of a file");
    return Next::read_on;
  }
  auto messages = load_messages(std::string(path));
  if (!messages) {
    fail(messages.status());
    return Next::read_on;
  }
  conversation.chat().set_messages(std::move(*messages));
  const auto& loaded = conversation.chat().messages();
  const bool awaits_answer = !loaded.empty() && loaded.back().role == "user";
  std::fprintf(stderr, "%s loaded, in place of the conversation%s.\n",
               messages_text(conversation).c_str(),
               awaits_answer ? "; /regen answers the last" : "");
  return Next::read_on;
}

Next think(Conversation& conversation, std::string_view wish) {
  ChatOptions options = conversation.chat().options();
  if (wish.empty()) {
    std::fprintf(stderr, "thinking: %s\n",
                 options.thinking.empty() ? "auto" : options.thinking.c_str());
    return Next::read_on;
  }
  options.thinking = wish == "auto" ? "" : wish;
  warn_of_thinking(conversation.chat().chat_template(), options.thinking);
  if (Status s = conversation.chat().set_options(std::move(options)); !s.ok()) fail(s);
  return Next::read_on;
}

Next system(Conversation& conversation, std::string_view text) {
  if (text.empty()) {
    const std::string now(conversation.chat().system());
    std::fprintf(stderr, "%s\n",
                 now.empty() ? "There is no system prompt." : for_terminal(now).c_str());
  } else {
    const bool removes = text == "\"\"";
    conversation.chat().set_system(removes ? "" : std::string(text));
    std::fprintf(stderr, "The system prompt is %s; that counts from the next message on.\n",
                 removes ? "removed" : "set");
  }
  return Next::read_on;
}

Next stats(Conversation& conversation, std::string_view) {
  const runtime::Session& session = conversation.session();
  // What a forgotten conversation left is held for prompts that begin alike, and is no part of one.
  const bool is_new = conversation.chat().messages().empty();
  std::fprintf(stderr, "context %zu of %d tokens, %s, %.1f MiB cache and buffers\n",
               is_new ? size_t{0} : session.tokens().size(), session.n_ctx(),
               counted(conversation.n_turns(), "answer").c_str(),
               static_cast<double>(session.bytes()) / (1 << 20));
  std::fprintf(stderr, "%s, %s%s\n", session.isa(),
               counted(session.options().n_threads, "thread").c_str(),
               session.options().exact ? ", float32 activations" : "");
  if (const auto statistics = session.expert_statistics()) {
    std::fprintf(stderr, "%s\n%s\n", paging_text(statistics->facts, session.ram()).c_str(),
                 paging_line(*statistics, 0).c_str());
  }
  if (const auto& timings = conversation.last_timings()) {
    std::fprintf(stderr, "last answer: %d prompt tokens (%d more were held), %d tokens  %s\n",
                 timings->n_prompt, timings->n_cached, timings->n_predicted,
                 timings->to_line().c_str());
  }
  return Next::read_on;
}

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

std::string text_of(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
  return text;
}

template <std::integral T>
std::string text_of(T value) {
  return std::to_string(value);
}

// One thing that /set sets: false if the text is no such value.
struct Setting {
  std::string_view name;
  bool (*read)(ChatOptions& options, std::string_view text);
  std::string (*show)(const ChatOptions& options);
};

template <auto Member>
constexpr Setting sampling(std::string_view name) {
  return {name,
          [](ChatOptions& options, std::string_view text) {
            return read_number(text, options.sampler.*Member);
          },
          [](const ChatOptions& options) { return text_of(options.sampler.*Member); }};
}

using runtime::SamplerOptions;
constexpr std::array kSettings = {sampling<&SamplerOptions::temperature>("temp"),
                                  sampling<&SamplerOptions::top_k>("top-k"),
                                  sampling<&SamplerOptions::top_p>("top-p"),
                                  sampling<&SamplerOptions::min_p>("min-p"),
                                  sampling<&SamplerOptions::typical_p>("typical"),
                                  sampling<&SamplerOptions::repeat_penalty>("repeat-penalty"),
                                  sampling<&SamplerOptions::repeat_last_n>("repeat-last-n"),
                                  sampling<&SamplerOptions::presence_penalty>("presence-penalty"),
                                  sampling<&SamplerOptions::frequency_penalty>("frequency-penalty"),
                                  sampling<&SamplerOptions::seed>("seed"),
                                  Setting{"predict",
                                          [](ChatOptions& options, std::string_view text) {
                                            int32_t& most = options.generation.max_tokens;
                                            return read_number(text, most) && most >= -1;
                                          },
                                          [](const ChatOptions& options) {
                                            return std::to_string(options.generation.max_tokens);
                                          }}};

void show(const Setting& setting, const ChatOptions& options) {
  std::fprintf(stderr, "  %-18s %s\n", std::string(setting.name).c_str(),
               setting.show(options).c_str());
}

void show_settings(Conversation& conversation) {
  for (const Setting& setting : kSettings) show(setting, conversation.chat().options());
  std::fprintf(stderr, "  %-18s %s\n", "thinking", conversation.hides_thinking() ? "off" : "on");
}

void set_thinking(Conversation& conversation, std::string_view value) {
  if (value == "on" || value == "off") {
    conversation.hide_thinking(value == "off");
  } else {
    complain("/set thinking takes on or off");
  }
}

Next set(Conversation& conversation, std::string_view arguments) {
  const auto [name, value] = split_first(arguments);
  if (name.empty()) {
    show_settings(conversation);
    return Next::read_on;
  }
  if (name == "thinking") {
    set_thinking(conversation, value);
    return Next::read_on;
  }
  const auto setting = std::find_if(kSettings.begin(), kSettings.end(),
                                    [&](const Setting& one) { return one.name == name; });
  if (setting == kSettings.end()) {
    complain("there is no setting '" + std::string(name) + "'; /set alone lists them");
    return Next::read_on;
  }
  ChatOptions options = conversation.chat().options();
  if (!value.empty() && !setting->read(options, value)) {
    complain("'" + std::string(value) + "' is no value for " + std::string(name));
    return Next::read_on;
  }
  const Status s = conversation.chat().set_options(std::move(options));
  if (!s.ok()) {
    fail(s);
  } else {
    show(*setting, conversation.chat().options());
  }
  return Next::read_on;
}

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {{"help", "?"}, "", "this list", help},
      {{"exit", "bye", "quit"}, "", "leave, as Ctrl-D does", leave},
      {{"clear"}, "", "forget the conversation, keep the system prompt", clear},
      {{"regen", "retry"}, "", "answer the last message again", regenerate},
      {{"undo"}, "", "take back the last message and its answer", undo},
      {{"save"}, " FILE", "write the conversation to a file", save},
      {{"load"}, " FILE", "go on with a conversation from a file", load},
      {{"think"}, " [on|off|LEVEL]", "ask the model to think or not, if it can do both", think},
      {{"system"}, " [TEXT]", "show or set the system prompt; \"\" removes it", system},
      {{"set"}, " [NAME VALUE]", "show or change sampling; /set thinking off hides it", set},
      {{"stats"}, "", "context, memory and speed", stats}};
  return all;
}

}  // namespace

Next run_command(Conversation& conversation, std::string_view line) {
  const auto [name, arguments] = split_first(trim(line).substr(1));
  for (const Command& command : commands()) {
    if (std::find(command.names.begin(), command.names.end(), name) != command.names.end()) {
      return command.run(conversation, arguments);
    }
  }
  complain("there is no command /" + std::string(name) +
           "; /help lists them, and a space before it makes it a message");
  return Next::read_on;
}

}  // namespace larder::apps
