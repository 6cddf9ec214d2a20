#include "apps/history_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace larder::apps {
namespace {

std::string replace_all(std::string_view text, std::string_view old, std::string_view replacement) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(old, at), text.size());
    result += text.substr(at, found - at);
    if (found == text.size()) break;
    result += replacement;
    at = found + old.size();
  }
  return result;
}

// The base directory specification asks for 0700 on folders that are made for it.
void make_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder, ignored) || folder.empty()) return;
  make_folder(folder.parent_path());
  mkdir(folder.c_str(), 0700);
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(descriptor, bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

std::string to_one_line(std::string_view text) { return replace_all(text, "\n", kNewlineSymbol); }
std::string from_one_line(std::string_view line) { return replace_all(line, kNewlineSymbol, "\n"); }

std::string HistoryFile::default_path() {
  const auto variable = [](const char* name) -> std::string {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  // Source: XDG Base Directory Specification: paths that are not absolute are ignored.
  const std::string state = variable("XDG_STATE_HOME"), home = variable("HOME");
  if (state.starts_with('/')) return state + "/larder/history";
  if (home.starts_with('/')) return home + "/.local/state/larder/history";
  return {};
}

std::vector<std::string> HistoryFile::load() const {
  std::vector<std::string> entries;
  std::error_code failed;
  if (!std::filesystem::is_regular_file(path_, failed)) return entries;  // a FIFO would wait
  std::ifstream file(path_, std::ios::binary);
  size_t total_bytes = 0;
  for (std::string line; std::getline(file, line);) {
    total_bytes += line.size() + 1;
    entries.push_back(std::move(line));
  }
  if (total_bytes <= kMaxBytes) return entries;
  auto oldest = entries.begin();
  while (total_bytes > kMaxBytes / 2) total_bytes -= (oldest++)->size() + 1;
  entries.erase(entries.begin(), oldest);
  rewrite(entries);
  return entries;
}

void HistoryFile::append(std::string_view one_line) const {
  if (path_.empty() || one_line.empty() || one_line.size() > kMaxEntryBytes) return;
  make_folder(std::filesystem::path(path_).parent_path());
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;
  const int file = open(path_.c_str(), flags, 0600);
  if (file < 0) return;
  struct stat info {};
  // A link to /dev/null keeps no history, and its mode is everybody's.
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
    fchmod(file, 0600);
    // One write, so that two conversations at once do not mix their lines.
    write_all(file, std::string(one_line) + "\n");
  }
  close(file);
}

// Through a file beside it, so that a crash leaves the old or the new one.
void HistoryFile::rewrite(const std::vector<std::string>& entries) const {
  std::string text;
  for (const std::string& entry : entries) text += entry + "\n";
  std::string temporary = path_ + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (file < 0) return;
  const bool is_written = write_all(file, text) && close(file) == 0;
  if (!is_written || std::rename(temporary.c_str(), path_.c_str()) != 0) {
    unlink(temporary.c_str());
  }
}

}  // namespace larder::apps
