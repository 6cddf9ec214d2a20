// Opens what a subcommand works with, telling progress on stderr.
#pragma once

#include <memory>
#include <string>

#include "apps/options.h"
#include "formats/gguf/gguf_reader.h"
#include "formats/text/tokenizer.h"
#include "runtime/model/model.h"
#include "runtime/session/session.h"

namespace larder::apps {

// Opens the model; its weights are not read yet.
Result<std::shared_ptr<const runtime::Model>> load_model(const std::string& model,
                                                         const OutputOptions& output);

// Reads the cold parts of the mapped file once from end to end, unless it will be paged or the free
// memory does not hold it. Error `cancelled` by a signal.
Status warm_up(const runtime::Model& model, const runtime::SessionOptions& options,
               const OutputOptions& output);

// A session that signals cancel, with its weights in memory: as they are in the mapped file, cold
// parts read once from end to end where the free memory holds them, so that the first answer does
// not wait for the disk page by page; or paged, within options.ram_bytes. Says on stderr what is
// paged, and when the context is longer than the model's own. Error `cancelled` by a signal.
Result<std::unique_ptr<runtime::Session>> open_session(std::shared_ptr<const runtime::Model> model,
                                                       const runtime::SessionOptions& options,
                                                       const OutputOptions& output);

// Says on stderr, unless it is quiet, that fewer threads run than were asked for.
void tell_threads(int n_asked, int n_threads, const OutputOptions& output);

// All that generating needs. The session holds the model.
struct Engine {
  std::unique_ptr<runtime::Session> session;
  runtime::SamplerOptions sampler;
};
Result<Engine> open_engine(const std::string& model, const runtime::SessionOptions& session,
                           const SamplingFlags& sampling, const OutputOptions& output);

// The header and the tokenizer alone, for files that may hold nothing else.
struct Vocabulary {
  std::shared_ptr<const formats::GgufFile> file;
  std::shared_ptr<const formats::Tokenizer> tokenizer;
};
Result<Vocabulary> load_vocabulary(const std::string& model);

}  // namespace larder::apps
