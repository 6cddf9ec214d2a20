// larder imatrix: how much each input of each weight matters for a text.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/evaluated_text.h"
#include "apps/exit_code.h"
#include "apps/importance_report.h"
#include "apps/model_loader.h"
#include "apps/model_path.h"
#include "apps/output.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/terminal.h"
#include "formats/json/json.h"
#include "runtime/importance/importance.h"
#include "runtime/importance/importance_collector.h"
#include "runtime/session/scorer.h"

namespace larder::apps {
namespace {

using runtime::Importance;
using runtime::ImportanceCollector;

struct ImatrixOptions {
  std::string model, output_file;
  std::vector<std::string> texts, in_files;
  int64_t n_chunks = 0;  // at most; 0: all
  int64_t first_chunk = 0, save_every = 10;
  bool has_head = false;
  OutputOptions output;
  runtime::SessionOptions session;
};

// One chunk of the texts, as a session reads it.
struct Chunk {
  std::vector<formats::TokenId> source, tokens;
};

// The chunks to be read: those of all texts one behind another, from the first_chunk-th on.
Result<std::vector<Chunk>> read_chunks(const runtime::Model& model, int32_t n_ctx,
                                       const ImatrixOptions& options) {
  const auto scorer = runtime::Scorer::create(model, n_ctx);
  if (!scorer) return scorer.status();
  const TextMode mode = model.config().has_encoder() ? TextMode::rolling : TextMode::chunks;
  const TextWindows windows(*scorer, *model.tokenizer(), mode, n_ctx);
  std::vector<Chunk> chunks;
  int64_t index = 0;
  for (const std::string& path : options.texts) {
    const Result<EvaluatedText> text = windows.read(path);
    if (!text) return text.status();
    for (size_t i = 0; i < text->n_windows; ++i, ++index) {
      if (index < options.first_chunk) continue;
      if (options.n_chunks > 0 && index - options.first_chunk >= options.n_chunks) break;
      runtime::EngineItem item = windows.item(*text, i, 0);
      chunks.push_back({std::move(item.source), std::move(item.tokens)});
    }
  }
  if (!chunks.empty()) return chunks;
  return Status(Cause::invalid_argument, "the texts have " + std::to_string(index) +
                                             " chunks, none behind --chunk " +
                                             std::to_string(options.first_chunk));
}

Status read_chunk(runtime::Session& session, const Chunk& chunk, bool has_head,
                  ImportanceCollector& collector) {
  session.truncate(0);
  if (!chunk.source.empty())
    if (Status s = session.encode(chunk.source, &collector); !s.ok()) return s;
  if (!has_head) return session.append(chunk.tokens, {}, &collector);
  return session.append_all_logits(
      chunk.tokens, [](int32_t, std::span<const float>) {}, &collector);
}

// What earlier runs have found, in one.
Result<Importance> read_earlier(const std::vector<std::string>& paths) {
  Importance earlier;
  for (const std::string& path : paths) {
    const Result<Importance> read = runtime::read_importance(path);
    if (!read) return read.status();
    if (Status s = merge(earlier, *read); !s.ok()) return s.with_file(path);
  }
  return earlier;
}

// Chunk after chunk, written down now and then. A signal is obeyed behind a chunk, with all that
// was found by then in the file.
class Collection {
 public:
  Collection(runtime::Session& session, const ImatrixOptions& options, Importance& total)
      : session_(session), options_(options), total_(total) {}

  Status run(ImportanceCollector& collector, const std::vector<Chunk>& chunks) {
    const Terminal screen(STDERR_FILENO, options_.output.color);
    ProgressLine progress(screen, "chunks", options_.output.is_quiet);
    const Importance earlier = std::move(total_);
    Importance& own = collector.importance();
    own.chunk_tokens = session_.n_ctx();
    own.datasets = options_.texts;
    for (const Chunk& chunk : chunks) {
      progress.update(own.n_chunks, static_cast<int64_t>(chunks.size()));
      if (is_ending()) break;
      if (Status s = read_chunk(session_, chunk, options_.has_head, collector); !s.ok()) return s;
      ++own.n_chunks;
      const bool is_due = options_.save_every > 0 && own.n_chunks % options_.save_every == 0;
      if (is_due && own.n_chunks < static_cast<int64_t>(chunks.size()))
        if (Status s = save(earlier, own); !s.ok()) return s;
    }
    if (own.n_chunks == 0) return Status(Cause::cancelled, "interrupted");
    return save(earlier, own);
  }

 private:
  Status save(const Importance& earlier, const Importance& own) {
    total_ = earlier;
    if (Status s = merge(total_, own); !s.ok()) return s;
    return write_importance(total_, options_.output_file);
  }

  runtime::Session& session_;
  const ImatrixOptions& options_;
  Importance& total_;
};

int collect(runtime::Session& session, const ImatrixOptions& options, Importance total) {
  const auto chunks = read_chunks(session.model(), session.n_ctx(), options);
  if (!chunks) return fail(chunks.status());
  auto collector = ImportanceCollector::create(session.model());
  if (!collector) return fail(collector.status());
  const int64_t n_earlier = total.n_chunks;
  Collection collection(session, options, total);
  if (Status s = collection.run(*collector, *chunks); !s.ok()) return fail(s);
  const ImportanceReport report(session.model(), total);
  if (!options.output.is_quiet) {
    for (const std::string& warning : report.warnings()) complain("warning: " + warning);
  }
  Output output = Output::standard();
  output.write(options.output.is_json ? to_json(report.to_data()) + "\n" : report.to_text());
  if (Status s = output.finish(); !s.ok()) return fail(s);
  const int64_t n_done = total.n_chunks - n_earlier;
  if (n_done == static_cast<int64_t>(chunks->size())) return kOk;
  complain("interrupted; " + options.output_file + " holds " + std::to_string(n_done) +
           " chunks of this run; to go on: --in-file it, --chunk " +
           std::to_string(options.first_chunk + n_done));
  return fail(Status(Cause::cancelled, "interrupted"));
}

// The sums are part of what the process may take.
Status leave_room(const runtime::Model& model, runtime::SessionOptions& session) {
  if (session.ram_bytes == runtime::kAutoRam || session.ram_bytes == runtime::kUnlimitedRam)
    return {};
  const Result<uint64_t> bytes = ImportanceCollector::bytes_for(model);
  if (!bytes) return bytes.status();
  session.ram_bytes -= std::min(*bytes, session.ram_bytes - 1);
  return {};
}

int run_imatrix(ImatrixOptions options) {
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  std::vector<std::string> in_use = paths_of((*model)->file());
  in_use.insert(in_use.end(), options.texts.begin(), options.texts.end());
  if (Status s = Output::check(options.output_file, in_use); !s.ok()) return fail(s);
  Result<Importance> earlier = read_earlier(options.in_files);
  if (!earlier) return fail(earlier.status());
  if (options.session.n_ctx == 0)
    options.session.n_ctx = std::min(kChunkTokens, (*model)->config().context_length);
  if (Status s = leave_room(**model, options.session); !s.ok()) return fail(s);
  const auto session = open_session(std::move(*model), options.session, options.output);
  if (!session) return fail_model(session.status());
  cancel_on_signal(nullptr);
  end_at_second_signal();
  return collect(**session, options, std::move(*earlier));
}

}  // namespace

void add_imatrix(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand(
      "imatrix", "How much each input of each weight matters for a text; quantising uses it");
  auto options = std::make_shared<ImatrixOptions>();
  add_model_option(command, options->model);
  command
      .add_option("-f,--file", options->texts, "A text; may be given again; - is standard input")
      ->type_name("FILE")
      ->required()
      ->take_all();
  command
      .add_option("-o,--output", options->output_file,
                  "The importance file (default: imatrix.gguf)")
      ->type_name("FILE")
      ->default_val("imatrix.gguf")
      ->default_str("");
  command
      .add_option("--in-file", options->in_files,
                  "Add to what this importance file tells; may be given again")
      ->type_name("FILE")
      ->take_all();
  command.add_option("--chunks", options->n_chunks, "At most so many chunks of -c tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31).description(""))
      ->type_name("N");
  command
      .add_option("--chunk,--from-chunk", options->first_chunk, "Leave out so many chunks first")
      ->check(CLI::NonNegativeNumber.description(""))
      ->type_name("N");
  command
      .add_option("--output-frequency", options->save_every,
                  "Write the file every so many chunks (default: 10; 0: at the end)")
      ->check(CLI::NonNegativeNumber.description(""))
      ->type_name("N");
  command.add_flag("--process-output", options->has_head, "Also of the head (output.weight)");
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_imatrix(*options); }; });
}

}  // namespace larder::apps
