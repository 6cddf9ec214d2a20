// How a session's paged experts were used, kept in a folder for the next session.
#pragma once

#include <memory>
#include <string>

#include "formats/gguf/gguf_reader.h"
#include "runtime/experts/expert_profile.h"
#include "runtime/experts/expert_store.h"

namespace larder::runtime {

class KeptUse {
 public:
  // Gives the store what the folder holds for this model. Keeps nothing where the store counts
  // nothing, or the folder's name is empty.
  void load(const std::string& folder, const formats::GgufFile& model,
            std::shared_ptr<ExpertStore> experts);
  // Where writing fails, the next session learns anew.
  void save() const noexcept;

  const std::string& note() const noexcept { return note_; }  // why what is there is not used

 private:
  std::shared_ptr<ExpertStore> experts_;  // null: nothing is kept
  std::string path_, note_;
  ModelFingerprint model_;
};

}  // namespace larder::runtime
