#include "runtime/model/model.h"

#include <new>

#include "runtime/model/arch_table.h"
#include "runtime/model/config_reader.h"

namespace larder::runtime {
namespace {

// The template under the plain key; files may carry others under names, which nobody asked for.
Result<std::shared_ptr<const formats::ChatTemplate>> read_template(const formats::GgufFile& file) {
  const Result<std::string_view> source = file.string("tokenizer.chat_template");
  if (!source) return source.status();
  return formats::ChatTemplate::parse(*source);
}

Status check_going_on(const Model::GoesOn& goes_on, int step) {
  if (!goes_on || goes_on(step)) return {};
  return Status(Cause::cancelled, "the model is not opened");
}

}  // namespace

Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::open(const std::string& path,
                                                 const GoesOn& goes_on) try {
  if (Status s = check_going_on(goes_on, 0); !s.ok()) return s;
  Result<std::shared_ptr<const formats::GgufFile>> file = formats::GgufFile::open(path);
  if (!file) return file.status();
  return create(std::move(*file), goes_on);
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::shared_ptr<const Model>> Model::create(std::shared_ptr<const formats::GgufFile> file) {
  return create(std::move(file), {});
}

Result<std::shared_ptr<const Model>> Model::create(std::shared_ptr<const formats::GgufFile> file,
                                                   const GoesOn& goes_on) {
  try {
    return build(file, goes_on);
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for the model's tables").with_file(file->path());
  }
}

Result<std::shared_ptr<const Model>> Model::over(const Model& model,
                                                 std::shared_ptr<const TensorMemory> memory) {
  try {
    std::shared_ptr<Model> moved(new Model);
    moved->file_ = model.file_;
    moved->config_ = model.config_;
    moved->memory_ = std::move(memory);
    Result<ModelWeights> weights =
        bind_weights(*moved->file_, moved->config_, moved->memory_.get());
    if (!weights) return weights.status().with_file(moved->file_->path());
    moved->weights_ = std::move(*weights);
    moved->tokenizer_ = model.tokenizer_;
    moved->chat_template_ = model.chat_template_;
    moved->chat_template_status_ = model.chat_template_status_;
    return std::shared_ptr<const Model>(std::move(moved));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for the model's tables")
        .with_file(model.file_->path());
  }
}

Result<std::shared_ptr<const Model>> Model::build(std::shared_ptr<const formats::GgufFile> file,
                                                  const GoesOn& goes_on) {
  if (Status s = check_going_on(goes_on, 1); !s.ok()) return s;
  const std::string& path = file->path();
  const Result<const ArchRow*> row = read_architecture(*file);
  if (!row) return row.status().with_file(path);
  std::shared_ptr<Model> model(new Model);

  Result<ModelConfig> config = read_config(*file, **row);
  if (!config) return config.status().with_file(path);
  model->config_ = std::move(*config);

  Result<ModelWeights> weights = bind_weights(*file, model->config_);
  if (!weights) return weights.status().with_file(path);
  model->weights_ = std::move(*weights);

  if (Status s = check_going_on(goes_on, 2); !s.ok()) return s;
  Result<std::shared_ptr<const formats::Tokenizer>> tokenizer = formats::Tokenizer::create(*file);
  if (!tokenizer) return tokenizer.status().with_file(path);
  model->tokenizer_ = std::move(*tokenizer);
  if (model->tokenizer_->n_vocab() != model->config_.n_vocab)
    return Status(Cause::vocabulary,
                  "has " + std::to_string(model->tokenizer_->n_vocab()) +
                      " tokens, the model's embedding has " +
                      std::to_string(model->config_.n_vocab),
                  "key tokenizer.ggml.tokens")
        .with_file(path);

  Result<std::shared_ptr<const formats::ChatTemplate>> chat = read_template(*file);
  if (chat)
    model->chat_template_ = std::move(*chat);
  else
    model->chat_template_status_ = chat.status().with_file(path);
  model->file_ = std::move(file);
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace larder::runtime
