// What was typed, kept across runs: one entry a line, readable by its owner alone, of bounded size.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace larder::apps {

// Stands for a newline inside an entry: a file line is a whole entry, and a screen line too.
// U+2424 SYMBOL FOR NEWLINE.
inline constexpr std::string_view kNewlineSymbol = "\xe2\x90\xa4";

std::string to_one_line(std::string_view text);    // newlines become symbols
std::string from_one_line(std::string_view line);  // and back

class HistoryFile {
 public:
  static constexpr size_t kMaxBytes = 256 << 10;
  static constexpr size_t kMaxEntryBytes = 16 << 10;  // longer ones are not kept

  // $XDG_STATE_HOME/larder/history, else ~/.local/state/larder/history; empty if neither is known.
  static std::string default_path();

  // An empty path keeps nothing. The folder is made when the first entry is added.
  explicit HistoryFile(std::string path) : path_(std::move(path)) {}

  // The entries, oldest first, each as one line. A file past kMaxBytes is cut to its newest half.
  std::vector<std::string> load() const;
  // Failures are silent: a history that cannot be kept is no reason to stop a conversation.
  void append(std::string_view one_line) const;

 private:
  void rewrite(const std::vector<std::string>& entries) const;
  std::string path_;
};

}  // namespace larder::apps
