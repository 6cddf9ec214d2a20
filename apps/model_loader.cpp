#include "apps/model_loader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/paging_report.h"
#include "apps/signals.h"
#include "apps/terminal.h"
#include "runtime/experts/available_memory.h"

namespace larder::apps {
namespace {

constexpr uint64_t kPieceBytes = 4 << 20;  // read at once; a multiple of the page

// Whether every page of a mapped range is in memory already.
bool is_resident(std::span<const std::byte> range) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((range.size() + page - 1) / page);
  void* const start = const_cast<std::byte*>(range.data());
  if (mincore(start, range.size(), pages.data()) != 0) return false;
  return std::all_of(pages.begin(), pages.end(),
                     [](unsigned char bits) { return (bits & 1) != 0; });
}

// Reads what is not in memory, through the descriptor: a page that cannot be read is an error
// here and no fault of the mapping.
Status read_cold_parts(const formats::GgufFile& file, ProgressLine& progress) {
  std::vector<std::byte> buffer(kPieceBytes);
  uint64_t done = 0;
  for (int i = 0; i < file.n_shards(); ++i) {
    const formats::MappedFile* const shard = file.shard(i);
    if (shard == nullptr) continue;
    const std::span<const std::byte> bytes = shard->bytes();
    for (uint64_t at = 0; at < bytes.size(); at += kPieceBytes) {
      if (is_ending()) {
        return Status(Cause::cancelled, "loading was interrupted");
      }
      const uint64_t n = std::min<uint64_t>(kPieceBytes, bytes.size() - at);
      if (!is_resident(bytes.subspan(at, n))) {
        if (Status s = shard->read_at(at, std::span(buffer).first(n)); !s.ok()) return s;
      }
      done += n;
      progress.update(static_cast<int64_t>(done >> 20),
                      static_cast<int64_t>(file.size_bytes() >> 20));
    }
  }
  return {};
}

Result<std::unique_ptr<runtime::Session>> load(std::shared_ptr<const runtime::Model> model,
                                               const runtime::SessionOptions& options,
                                               const OutputOptions& output) {
  if (Status s = warm_up(*model, options, output); !s.ok()) return s;
  const Terminal screen(STDERR_FILENO, output.color);
  ProgressLine progress(screen, "loading (MiB)", output.is_quiet);
  return runtime::Session::create(
      std::move(model), options, [&progress](uint64_t done, uint64_t total) {
        progress.update(static_cast<int64_t>(done >> 20), static_cast<int64_t>(total >> 20));
        return !is_ending();
      });
}

void tell_paging(const runtime::Session& session) {
  const auto statistics = session.expert_statistics();
  if (!statistics) return;
  const runtime::ExpertStoreFacts& facts = statistics->facts;
  const runtime::RamBudget& ram = session.ram();
  complain(paging_text(facts, ram));
  if (!facts.note.empty()) complain("warning: " + facts.note);
  if (!session.profile_note().empty())
    complain("counts of earlier use are not used: " + session.profile_note());
  if (facts.slab_bytes < facts.cycle_bytes) {
    const uint64_t enough = ram.total_bytes() + facts.cycle_bytes - facts.slab_bytes;
    complain("warning: the experts of one token do not fit at once; it is faster from --ram " +
             std::to_string((enough >> 20) + 1) + "M on");
  }
}

}  // namespace

Result<std::shared_ptr<const runtime::Model>> load_model(const std::string& model,
                                                         const OutputOptions& output) {
  const Result<std::string> path = model_path(model);
  if (!path) return path.status();
  auto opened = runtime::Model::open(*path);
  if (!opened) return opened;
  const formats::GgufFile& file = (*opened)->file();
  if (output.is_verbose) {
    for (const std::string& warning : file.warnings()) complain("warning: " + warning);
    for (const std::string& warning : (*opened)->warnings()) complain("warning: " + warning);
  }
  return opened;
}

Status warm_up(const runtime::Model& model, const runtime::SessionOptions& options,
               const OutputOptions& output) {
  const auto plan = runtime::Session::plan(model, options);
  if (!plan) return plan.status();
  const formats::GgufFile& file = model.file();
  if (plan->is_paged || file.size_bytes() > runtime::available_memory().available_bytes) return {};
  const Terminal screen(STDERR_FILENO, output.color);
  ProgressLine progress(screen, "loading (MiB)", output.is_quiet);
  return read_cold_parts(file, progress);
}

Result<std::unique_ptr<runtime::Session>> open_session(std::shared_ptr<const runtime::Model> model,
                                                       const runtime::SessionOptions& options,
                                                       const OutputOptions& output) {
  const int32_t trained = model->config().context_length;
  auto session = load(std::move(model), options, output);
  if (!session) return session;
  if (!output.is_quiet) tell_paging(**session);
  tell_threads(options.n_threads, (*session)->options().n_threads, output);
  cancel_on_signal(session->get());
  // A signal that came before there was a session to cancel.
  if (is_ending()) return Status(Cause::cancelled, "interrupted");
  const int32_t n_ctx = (*session)->n_ctx();
  if (trained > 0 && n_ctx > trained && !output.is_quiet) {
    complain("warning: the model was trained for " + std::to_string(trained) +
             " tokens of context, --ctx-size asks for " + std::to_string(n_ctx));
  }
  if (output.is_verbose) {
    std::fprintf(stderr, "larder: %s, %s, %d tokens of context, %.1f MiB\n", (*session)->isa(),
                 counted((*session)->options().n_threads, "thread").c_str(), n_ctx,
                 static_cast<double>((*session)->bytes()) / (1 << 20));
  }
  return session;
}

void tell_threads(int n_asked, int n_threads, const OutputOptions& output) {
  if (output.is_quiet || n_asked <= n_threads) return;
  complain("warning: --threads asks for " + std::to_string(n_asked) + "; " +
           std::to_string(n_threads) + " run, one for each processor that may be used");
}

Result<Engine> open_engine(const std::string& model, const runtime::SessionOptions& session,
                           const SamplingFlags& sampling, const OutputOptions& output) {
  auto loaded = load_model(model, output);
  if (!loaded) return loaded.status();
  const auto sampler = sampler_options((*loaded)->file(), sampling);
  if (!sampler) return sampler.status();
  auto opened = open_session(std::move(*loaded), session, output);
  if (!opened) return opened.status();
  if (output.is_verbose) {
    std::fprintf(stderr, "larder: seed %llu\n", static_cast<unsigned long long>(sampler->seed));
  }
  return Engine{std::move(*opened), *sampler};
}

Result<Vocabulary> load_vocabulary(const std::string& model) {
  const Result<std::string> path = model_path(model);
  if (!path) return path.status();
  auto file = formats::GgufFile::open(*path);
  if (!file) return file.status();
  auto tokenizer = formats::Tokenizer::create(**file);
  if (!tokenizer) return tokenizer.status().with_file(*path);
  return Vocabulary{*file, *tokenizer};
}

}  // namespace larder::apps
