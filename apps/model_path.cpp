#include "apps/model_path.h"

#include <filesystem>
#include <system_error>

namespace larder::apps {

Result<std::string> bundled_model_path() {
  namespace fs = std::filesystem;
  constexpr const char* kName = "storyteller-q4.gguf";
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return Status(Cause::io, "cannot be read: " + error.message(), "/proc/self/exe");
  const fs::path folder = program.parent_path();
  const fs::path beside = folder / "models" / kName;
  // LARDER_MODELS_FROM_PROGRAM: the installed data folder as seen from the installed program's.
  const fs::path installed = (folder / LARDER_MODELS_FROM_PROGRAM / kName).lexically_normal();
  for (const fs::path& path : {beside, installed}) {
    if (fs::exists(path, error)) return path.string();
  }
  return Status(Cause::io, "the bundled model is neither at " + beside.string() + " nor at " +
                               installed.string() + "; name a model with -m FILE");
}

std::vector<std::string> paths_of(const formats::GgufFile& model) {
  std::vector<std::string> paths;
  for (int i = 0; i < model.n_shards(); ++i) {
    if (const formats::MappedFile* const shard = model.shard(i)) paths.push_back(shard->path());
  }
  return paths;
}

}  // namespace larder::apps
