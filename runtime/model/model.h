// A model: one file's configuration, weights, tokenizer and chat template. Immutable after open;
// any number of sessions on any threads may share one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/template/chat_template.h"
#include "formats/text/tokenizer.h"
#include "runtime/model/model_config.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

class Model {
 public:
  // Reads the header, resolves the architecture, checks every tensor's presence, type and shape,
  // and maps the data. Touches no expert weights. Errors: those of the reader, and `architecture`,
  // `hyper_parameter`, `shape`, `missing`, `tensor_type`, `vocabulary`; and `cancelled`, where
  // `goes_on`, asked before each of kOpeningSteps steps, says no.
  using GoesOn = std::function<bool(int step)>;
  static constexpr int kOpeningSteps = 3;  // header, tensors, vocabulary
  static Result<std::shared_ptr<const Model>> open(const std::string& path,
                                                   const GoesOn& goes_on = {});
  // The same over a reader that is open already (tests, fuzzing).
  static Result<std::shared_ptr<const Model>> create(std::shared_ptr<const formats::GgufFile> file);
  // The same model over weights that `memory` holds; what it does not hold stays in the mapped
  // file. Errors: those of create() about tensors.
  static Result<std::shared_ptr<const Model>> over(const Model& model,
                                                   std::shared_ptr<const TensorMemory> memory);
  ~Model();

  const formats::GgufFile& file() const noexcept { return *file_; }
  const ModelConfig& config() const noexcept { return config_; }
  const ModelWeights& weights() const noexcept { return weights_; }
  const std::shared_ptr<const formats::Tokenizer>& tokenizer() const noexcept { return tokenizer_; }
  // Null if the file has none that can be parsed; chatting is then the error below.
  const std::shared_ptr<const formats::ChatTemplate>& chat_template() const noexcept {
    return chat_template_;
  }
  // Ok, or why there is no chat template: `missing`, or the template's own error.
  const Status& chat_template_status() const noexcept { return chat_template_status_; }
  // Things that are odd but harmless (tensors that nothing reads), one sentence each.
  std::span<const std::string> warnings() const noexcept { return weights_.warnings; }

 private:
  Model() = default;
  static Result<std::shared_ptr<const Model>> create(std::shared_ptr<const formats::GgufFile> file,
                                                     const GoesOn& goes_on);
  static Result<std::shared_ptr<const Model>> build(std::shared_ptr<const formats::GgufFile> file,
                                                    const GoesOn& goes_on);
  std::shared_ptr<const formats::GgufFile> file_;
  ModelConfig config_;
  std::shared_ptr<const TensorMemory> memory_;  // null: all weights are in the mapped file
  ModelWeights weights_;
  std::shared_ptr<const formats::Tokenizer> tokenizer_;
  std::shared_ptr<const formats::ChatTemplate> chat_template_;
  Status chat_template_status_;
};

}  // namespace larder::runtime
