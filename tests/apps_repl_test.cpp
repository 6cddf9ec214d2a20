// The conversation at a terminal: streaming, editing, commands, Ctrl-C, thinking.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/gguf/gguf_writer.h"
#include "tests/child_process.h"

namespace {

using larder::tests::AtTerminal;
using larder::tests::Environment;
using larder::tests::run;
using larder::tests::TemporaryFolder;

constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";
constexpr const char* kUp = "\x1b[A";
const std::string kModel = std::string(LARDER_SOURCE_DIR) + "/apps/models/storyteller-q4.gguf";

std::vector<std::string> chat(std::vector<std::string> more = {}) {
  std::vector<std::string> command = {LARDER_PROGRAM, "chat", "--temp", "0"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

Environment at(const TemporaryFolder& folder) {
  return {{"XDG_STATE_HOME", folder.path()}, {"TERM", "xterm"}, {"NO_COLOR", ""}, {"HOME", "/"}};
}

std::string history(const TemporaryFolder& folder) {
  std::ifstream file(folder.path() + "/larder/history", std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The bundled model with another chat template.
std::string with_template(const TemporaryFolder& folder, const std::string& chat_template) {
  const auto file = larder::formats::GgufFile::open(kModel);
  REQUIRE(file.ok());
  larder::formats::GgufWriter writer;
  for (const auto& entry : (*file)->entries()) writer.copy(entry.key, entry.value);
  writer.set_string("tokenizer.chat_template", chat_template);
  for (const auto& tensor : (*file)->tensors()) {
    writer.add_tensor(tensor.name, *tensor.type,
                      std::span(tensor.dims).first(static_cast<size_t>(tensor.n_dims)));
  }
  const std::string path = folder.path() + "/other.gguf";
  REQUIRE(writer.begin(path).ok());
  for (const auto& tensor : (*file)->tensors()) REQUIRE(writer.append((*file)->data(tensor)).ok());
  REQUIRE(writer.finish().ok());
  return path;
}

// A template whose prompt opens a block of thinking that this model never closes.
const char* const kThinkingTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n<think>\n{# ends with </think> #}";

}  // namespace

TEST_CASE("repl: answers stream, the history is kept for the owner alone, Ctrl-D leaves") {
  const TemporaryFolder folder;
  {
    AtTerminal terminal(chat(), at(folder));
    REQUIRE(terminal.wait_for("> "));
    terminal.send("Hello!\r");
    REQUIRE(terminal.wait_for("Hello! "));
    REQUIRE(terminal.wait_for("t/s ]"));
    REQUIRE(terminal.wait_for("> "));
    terminal.send(kCtrlD);
    CHECK(terminal.finish() == 0);
    // A single turn writes bracketed paste on and off; nothing else is switched on.
    CHECK(terminal.output().find("\x1b[?2004l") != std::string::npos);
  }
  CHECK(history(folder) == "Hello!\n");
  struct stat info {};
  REQUIRE(stat((folder.path() + "/larder/history").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);

  // Another run: the arrow brings the message back, and editing changes it.
  AtTerminal terminal(chat(), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kUp);
  terminal.send("\x7f, caf\xc3\xa9\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("/exit\r");
  CHECK(terminal.finish() == 0);
  CHECK(history(folder) == "Hello!\nHello, caf\xc3\xa9\n/exit\n");
}

TEST_CASE("repl: Ctrl-C stops the answer and not the program, the next one leaves with 130") {
  const TemporaryFolder folder;
  AtTerminal terminal(chat({"--ignore-eos", "-c", "60000"}), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("Tell me a story about a dog.\r");
  REQUIRE(terminal.wait_for("Once upon"));
  terminal.send(kCtrlC);
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("/stats\r");
  REQUIRE(terminal.wait_for("of 60000 tokens"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("Another one.\r");
  REQUIRE(terminal.wait_for("\n"));
  REQUIRE(terminal.wait_for("a"));
  terminal.send(kCtrlC);
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlC);
  CHECK(terminal.finish() == 130);
}

TEST_CASE("repl: Ctrl-C drops a half typed line, warns at an empty one, then leaves") {
  const TemporaryFolder folder;
  AtTerminal terminal(chat(), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("half a li");
  REQUIRE(terminal.wait_for("half a li"));
  terminal.send(kCtrlC);
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlC);
  REQUIRE(terminal.wait_for("once more leaves"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("/help\r");  // something typed between: it counts anew
  REQUIRE(terminal.wait_for("/regen"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlC);
  REQUIRE(terminal.wait_for("once more leaves"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlC);
  CHECK(terminal.finish() == 130);
  CHECK(history(folder) == "/help\n");
}

TEST_CASE("repl: a paste of several lines is one message, and so is a block") {
  const TemporaryFolder folder;
  AtTerminal terminal(chat({"-n", "4"}), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("Read: \x1b[200~one\ntwo\tx\rthree\n\x1b[201~ and answer\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("\"\"\"first\r");
  REQUIRE(terminal.wait_for(". "));
  terminal.send("second\"\"\"\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("up\x1b\rdown\r");  // Alt-Enter
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("/stats\r");
  REQUIRE(terminal.wait_for("3 answers"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlD);
  CHECK(terminal.finish() == 0);
  CHECK(history(folder) ==
        "Read: one\xe2\x90\xa4two\tx\xe2\x90\xa4three and answer\n"
        "first\xe2\x90\xa4second\nup\xe2\x90\xa4"
        "down\n/stats\n");
}

TEST_CASE("repl: what is typed or pasted in Latin-1 swallows no key after it") {
  const TemporaryFolder folder;
  AtTerminal terminal(chat({"-n", "2"}), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("caf\xe9\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("\x1b[200~caf\xe9\x1b[201~\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("/exit\r");
  CHECK(terminal.finish() == 0);
  CHECK(history(folder) == "caf\xef\xbf\xbd\ncaf\xef\xbf\xbd\n/exit\n");
}

TEST_CASE("repl: a damaged line of the history hides no older one") {
  const TemporaryFolder folder;
  REQUIRE(mkdir((folder.path() + "/larder").c_str(), 0700) == 0);
  folder.file("larder/history", "Good morning!\n\xff\xfe\nlast\n");
  AtTerminal terminal(chat({"-n", "2"}), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(std::string(kUp) + kUp);
  REQUIRE(terminal.wait_for("Good morning!"));
  terminal.send("\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlD);
  CHECK(terminal.finish() == 0);
}

TEST_CASE("repl: a history that is no file is neither waited for nor changed") {
  const TemporaryFolder folder;
  REQUIRE(mkdir((folder.path() + "/larder").c_str(), 0700) == 0);
  const std::string pipe = folder.path() + "/larder/history";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  REQUIRE(fchmod(reader, 0660) == 0);
  AtTerminal terminal(chat({"-n", "2"}), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send("Hello!\r");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlD);
  CHECK(terminal.finish() == 0);
  char byte = 0;
  CHECK(read(reader, &byte, 1) <= 0);
  close(reader);
  struct stat info {};
  REQUIRE(stat(pipe.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0660);
}

TEST_CASE("repl: commands set, show, clear and answer again; unknown ones are told") {
  const TemporaryFolder folder;
  AtTerminal terminal(chat(), at(folder));
  REQUIRE(terminal.wait_for("> "));
  const auto say = [&](const std::string& line, const std::string& expected) {
    CAPTURE(line);
    terminal.send(line);
    terminal.send("\r");
    CHECK(terminal.wait_for(expected));
    CHECK(terminal.wait_for("> "));
  };
  say("/regen", "no message yet");
  say("/dance", "no command /dance");
  say("/set", "min-p");
  say("/set top-p 2", "top-p");
  say("/set top-p none", "no value");
  say("/set volume 11", "no setting");
  say("/set predict 5", "\n");
  say("/set", "predict            5");
  say("/set predict -2", "no value");
  say("/set predict", "predict            5");
  say("/set seed 12345678901", "12345678901\r");
  say("/set temp 0.25", "temp               0.25");
  say("/system", "no system prompt");
  say("/system You are an owl.", "is set");
  say("/system", "You are an owl.");
  say("/system \"\"", "is removed");
  say("Hello!", "t/s ]");
  say("/regen", "t/s ]");
  say("/stats", "5 tokens");
  say("/clear", "forgotten");
  say("/stats", "context 0 of");
  say("/set thinking maybe", "on or off");
  terminal.send("/bye\r");
  CHECK(terminal.finish() == 0);
}

TEST_CASE("repl: SIGTERM at the prompt ends with 143 and a sane terminal") {
  const TemporaryFolder folder;
  AtTerminal terminal(chat(), at(folder));
  REQUIRE(terminal.wait_for("> "));
  terminal.send_signal(SIGTERM);
  CHECK(terminal.finish() == 143);
  CHECK(terminal.output().ends_with("\x1b[?2004l\r\n"));
}

TEST_CASE("thinking: dim at a terminal, in words without colour, hidden on request") {
  const TemporaryFolder folder;
  const std::string model = with_template(folder, kThinkingTemplate);
  const std::vector<std::string> command = {LARDER_PROGRAM, "chat", "--temp", "0",  "-n",
                                            "12",           "-m",   model,    "-p", "Hello!"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = command;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  {
    AtTerminal terminal(command, at(folder));
    CHECK(terminal.wait_for("\x1b[2m"));
    CHECK(terminal.finish() == 0);
    CHECK(terminal.output().find("\x1b[0m") != std::string::npos);
  }
  {
    Environment plain = at(folder);
    plain.insert_or_assign("NO_COLOR", std::string("1"));
    AtTerminal terminal(command, plain);
    CHECK(terminal.wait_for("[thinking]"));
    CHECK(terminal.finish() == 0);
    CHECK(terminal.output().find("\x1b[2m") == std::string::npos);
  }
  // Piped, thinking is no result: it goes to stderr, or nowhere.
  const auto piped = run(command);
  CHECK(piped.code == 0);
  CHECK(piped.out.empty());
  CHECK(piped.err.find("[thinking]") != std::string::npos);
  CHECK(run(with({"--hide-thinking"})).err.find("[thinking]") == std::string::npos);
  CHECK(run(with({"-q"})).err.empty());
  const auto as_json = run(with({"--json", "-q"}));
  CHECK(as_json.out.find("\"reasoning_content\":\"") != std::string::npos);
  CHECK(as_json.out.find("\"content\":\"\"") != std::string::npos);
}

TEST_CASE("repl: typed lines work without a screen that can be edited on") {
  const TemporaryFolder folder;
  Environment dumb = at(folder);
  dumb.insert_or_assign("TERM", std::string("dumb"));
  AtTerminal terminal(chat({"-n", "4"}), dumb);
  REQUIRE(terminal.wait_for("/help"));
  REQUIRE(terminal.wait_for("\n> "));
  terminal.send("Hello!\n");
  REQUIRE(terminal.wait_for("t/s ]"));
  REQUIRE(terminal.wait_for("\n> "));
  terminal.send(kCtrlD);
  CHECK(terminal.finish() == 0);
  CHECK(terminal.output().find("\x1b") == std::string::npos);
}

TEST_CASE("repl: a conversation is saved, taken back and loaded again") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/talk.json", model = folder.path() + "/model.gguf";
  std::filesystem::copy_file(kModel, model);
  AtTerminal terminal(chat({"-n", "4", "-m", model}), at(folder));
  const auto type = [&](const std::string& line, const char* answer) {
    REQUIRE(terminal.wait_for("> "));
    terminal.send(line + "\r");
    REQUIRE(terminal.wait_for(answer));
  };
  type("/undo", "nothing to take back");
  type("Hello!", "t/s ]");
  type("/save " + path, "2 messages are saved");
  type("/save " + model, "this run uses the file already");
  type("/undo", "Taken back: Hello!");
  type("/undo", "nothing to take back");
  type("/load " + path, "2 messages are loaded");
  type("/load " + folder.path() + "/absent", "cannot be read");
  const std::string question =
      folder.file("question.json", R"([{"role": "user", "content": "Hello!"}])");
  type("/load " + question, "1 message is loaded, in place of the conversation; /regen answers");
  type("/regen", "t/s ]");
  type("/undo", "Taken back: Hello!");
  type("/save", "needs the name of a file");
  type("/think off", "no switch");
  type("/think", "thinking: off");
  REQUIRE(terminal.wait_for("> "));
  terminal.send(kCtrlD);
  CHECK(terminal.finish() == 0);
}
