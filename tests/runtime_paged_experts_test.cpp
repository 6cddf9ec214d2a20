// Paged experts give the bits of mapped ones, whatever the slab, the threads, the reads and their
// order; and what goes wrong with a read is an error of that request alone.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "runtime/experts/dense_weights.h"
#include "runtime/experts/paged_expert_store.h"
#include "tests/fault_reads.h"
#include "tests/golden_case.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

using MakeBackend = decltype(PagedStoreOptions::make_backend);

MakeBackend threads(int n_lanes) {
  return [=](size_t capacity) { return make_thread_reads(n_lanes, capacity); };
}

MakeBackend uring(int n_lanes) {
  return [=](size_t capacity) { return make_uring_reads(n_lanes, capacity); };
}

MakeBackend faulty(FaultReads::Fate fate, bool reorders) {
  return [=](size_t capacity) -> Result<std::unique_ptr<ReadBackend>> {
    auto inner = make_thread_reads(2, capacity);
    if (!inner) return inner.status();
    return std::unique_ptr<ReadBackend>(
        std::make_unique<FaultReads>(std::move(*inner), fate, reorders));
  };
}

// A model whose dense weights are in memory of their own and whose experts are paged.
struct Paged {
  std::shared_ptr<const Model> model;
  std::shared_ptr<ExpertStore> store;
};

Paged page(const std::shared_ptr<const Model>& model, uint64_t slab_bytes, MakeBackend backend) {
  const auto files = WeightFiles::open(model->file());
  REQUIRE_MESSAGE(files.ok(), files.status().to_string());
  auto dense = DenseWeights::load(*files, model->weights().dense, {});
  REQUIRE_MESSAGE(dense.ok(), dense.status().to_string());
  auto moved = Model::over(*model, *dense);
  REQUIRE_MESSAGE(moved.ok(), moved.status().to_string());
  auto store = make_paged_expert_store(**moved, {slab_bytes, std::move(backend)});
  REQUIRE_MESSAGE(store.ok(), store.status().to_string());
  return {*moved, *store};
}

uint64_t floor_of(const Model& model) {
  return ExpertLayout(model.config(), model.weights()).floor_bytes();
}
uint64_t all_of(const Model& model) {
  return ExpertLayout(model.config(), model.weights()).all_bytes();
}

PromptTrace run(const Paged& paged, const std::vector<int32_t>& tokens, int n_threads,
                int32_t chunk) {
  RunOptions options;
  options.forward.n_threads = n_threads;
  options.forward.experts = paged.store;
  options.chunk = chunk;
  return run_tokens(paged.model, tokens, options);
}

void check_same_bits(const PromptTrace& a, const PromptTrace& b) {
  CHECK(a.logits == b.logits);
  for (size_t l = 0; l < a.layers.size(); ++l) CHECK(a.layers[l].out == b.layers[l].out);
}

// A tiny model's file, opened; enough experts that few of them fit.
struct TinyFile {
  TinyFile() {
    TinyShape shape;
    shape.n_experts = 16;
    shape.n_active = 2;
    shape.d_model = 64;
    shape.d_ff = 64;
    path = folder.write("model.gguf", tiny_model(shape).build());
    auto opened = Model::open(path);
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    model = *opened;
  }
  TemporaryDirectory folder;
  std::string path;
  std::shared_ptr<const Model> model;
};

// One sequence over a paged model.
struct Runner {
  explicit Runner(const Paged& paged, int n_threads = 1) : model(paged.model) {
    auto made = Forward::create(
        model, {.n_threads = n_threads, .max_rows = 8, .max_logits = 8, .experts = paged.store});
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    forward = std::move(*made);
    auto sequence = SequenceState::create(model->config(), 64, CacheType::f32);
    REQUIRE(sequence.ok());
    state = std::move(*sequence);
  }
  Status step(int32_t n = 8) {
    state->truncate(0);
    std::vector<TokenRow> rows;
    for (int32_t i = 0; i < n; ++i) rows.push_back({i * 29 % 256, i, 0, true});
    SequenceState* sequences[] = {state.get()};
    return forward->run(rows, sequences);
  }
  std::vector<float> logits(int32_t n = 8) const {
    return {forward->logits(0), forward->logits(0) + n * model->config().n_vocab};
  }
  std::shared_ptr<const Model> model;
  std::unique_ptr<Forward> forward;
  std::unique_ptr<SequenceState> state;
};

std::vector<float> mapped_logits(const std::shared_ptr<const Model>& model) {
  Runner runner({model, nullptr});
  REQUIRE(runner.step().ok());
  return runner.logits();
}

size_t n_descriptors() {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

}  // namespace

TEST_CASE("paged experts: the bits of the mapped run at the smallest slab, on every golden") {
  for (const char* name :
       {"mixtral", "qwen3moe", "qwen3moe-quant", "gpt-oss-mxfp4", "deepseek-v2-lite", "qwen2moe",
        "llama4", "dbrx", "granitemoeshared", "lfm2moe", "qwen3next"}) {
    const auto golden = load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no reference data for ", name);
      continue;
    }
    CAPTURE(name);
    const std::vector<int32_t>& tokens = golden->prompts.front().tokens;
    const PromptTrace expected = run({golden->model, nullptr}, tokens, 1, 0);
    const uint64_t least = floor_of(*golden->model), all = all_of(*golden->model);
    for (const uint64_t slab : {least, (least + all) / 2, all}) {
      const Paged paged = page(golden->model, slab, threads(2));
      for (const int n_threads : {1, 2}) {
        for (const int32_t chunk : {0, 1, 3}) {
          CAPTURE(slab);
          CAPTURE(n_threads);
          CAPTURE(chunk);
          check_same_bits(expected, run(paged, tokens, n_threads, chunk));
        }
      }
    }
  }
}

TEST_CASE("paged experts: io_uring, late answers and answers in any order change no bit") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  std::vector<MakeBackend> backends = {threads(1), threads(8), faulty({}, true)};
  if (make_uring_reads(4, 1).ok())
    backends.push_back(uring(4));
  else
    MESSAGE("skipped: no io_uring here");
  for (const MakeBackend& backend : backends) {
    for (const int n_threads : {1, 2}) {
      Runner runner(page(file.model, floor_of(*file.model), backend), n_threads);
      for (int i = 0; i < 20; ++i) {
        REQUIRE(runner.step().ok());
        REQUIRE(runner.logits() == expected);
      }
    }
  }
}

TEST_CASE("paged experts: a batch reads each missing expert once") {
  const TinyFile file;
  const Paged paged = page(file.model, floor_of(*file.model), threads(2));
  Runner runner(paged);
  for (int i = 0; i < 4; ++i) {
    const ExpertCounters before = paged.store->statistics()->counters;
    REQUIRE(runner.step().ok());
    ExpertCounters now = paged.store->statistics()->counters;
    now -= before;
    CHECK(now.n_tokens == 8);
    CHECK(now.n_hits + now.n_misses <= 2 * 16);  // layers, experts of each
    CHECK(now.n_reads == 3 * now.n_misses);
    const uint64_t of_expert = 3 * 64 * 64 * sizeof(float);
    CHECK(now.bytes_read >= now.n_misses * of_expert);
    CHECK(now.bytes_read <= now.n_misses * (of_expert + 3 * 2 * 4096));
  }
}

TEST_CASE("paged experts: interrupted, short and once failing reads are gone on with") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  int n = 0;
  std::set<uint64_t> failed;
  const std::vector<FaultReads::Fate> fates = {
      [&n](const RawRead&) {
        return ReadFate{++n % 2 ? -EINTR : 0, 0};
      },
      [&n](const RawRead&) {
        return ReadFate{++n % 2 ? -EAGAIN : 0, 0};
      },
      [&failed](const RawRead& read) {
        return ReadFate{failed.insert(read.offset).second ? -EIO : 0, 0};
      },
      [](const RawRead&) {
        return ReadFate{0, 4096};
      },
      [&n](const RawRead&) {
        return ReadFate{0, ++n % 2 ? 1000U : 0U};
      }};
  for (const FaultReads::Fate& fate : fates) {
    n = 0;
    Runner runner(page(file.model, floor_of(*file.model), faulty(fate, false)));
    for (int i = 0; i < 3; ++i) {
      const Status status = runner.step();
      REQUIRE_MESSAGE(status.ok(), status.to_string());
      CHECK(runner.logits() == expected);
    }
  }
  CHECK(!failed.empty());
}

TEST_CASE("paged experts: any read that fails is that request's error, and the next one is right") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  const size_t n_open = n_descriptors();
  for (const bool reorders : {false, true}) {
    for (int n_th = 0; n_th < 60; ++n_th) {
      CAPTURE(n_th);
      int n = 0;
      bool is_broken = true;
      uint64_t bad_offset = 0;
      // The disk has one bad place: it fails as often as it is read.
      const auto fate = [&](const RawRead& read) {
        if (n++ == n_th) bad_offset = read.offset;
        const bool is_bad = is_broken && bad_offset != 0 && read.offset == bad_offset;
        return ReadFate{is_bad ? -EIO : 0, 0};
      };
      Runner runner(page(file.model, floor_of(*file.model), faulty(fate, reorders)), 1);
      const Status status = runner.step();
      if (bad_offset == 0) break;  // fewer reads than that
      CHECK(status.cause() == Cause::io);
      CHECK(status.to_string().find("expert") != std::string::npos);
      CHECK(status.to_string().find(file.path) != std::string::npos);
      is_broken = false;
      for (int i = 0; i < 2; ++i) {
        REQUIRE(runner.step().ok());
        CHECK(runner.logits() == expected);
      }
    }
  }
  CHECK(n_descriptors() == n_open);
}

TEST_CASE("paged experts: a file that ends is truncated, one rewritten is changed") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  const Paged paged = page(file.model, floor_of(*file.model), threads(2));
  Runner runner(paged);
  REQUIRE(runner.step().ok());
  const auto size = std::filesystem::file_size(file.path);

  SUBCASE("cut short") {
    std::filesystem::resize_file(file.path, size / 2);
    CHECK(runner.step().cause() == Cause::truncated);
    CHECK(runner.step().cause() == Cause::truncated);
  }
  SUBCASE("written to") {
    std::fstream out(file.path, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<long>(size) - 100);
    out << "other weights";
    out.close();
    CHECK(runner.step().cause() == Cause::changed);
  }
  SUBCASE("replaced: the file that was opened is still there") {
    file.folder.write("other.gguf", "something else");
    std::filesystem::rename(file.folder.path("other.gguf"), file.path);
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
    // Who comes now would get another file.
    const auto store = make_paged_expert_store(*file.model, {floor_of(*file.model), threads(2)});
    REQUIRE(!store.ok());
    CHECK((store.status().cause() == Cause::truncated || store.status().cause() == Cause::changed));
  }
}

TEST_CASE("paged experts: a descriptor that is taken away is an error, no crash") {
  const TinyFile file;
  Paged paged = page(file.model, floor_of(*file.model), threads(2));
  Runner runner(paged);
  REQUIRE(runner.step().ok());
  // The youngest descriptor of the file is the store's.
  int youngest = -1;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const int number = std::stoi(entry.path().filename());
    if (std::filesystem::read_symlink(entry, ignored) == file.path)
      youngest = std::max(youngest, number);
  }
  REQUIRE(youngest >= 0);
  const int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(dup2(empty, youngest) == youngest);
  close(empty);
  const Status status = runner.step();
  CHECK(!status.ok());
  CHECK((status.cause() == Cause::io || status.cause() == Cause::truncated ||
         status.cause() == Cause::changed));
}

TEST_CASE("paged experts: cancelling between arrivals leaves everything usable") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  std::atomic<bool> cancel{false};
  int n = 0;
  const auto fate = [&](const RawRead&) {
    if (++n == 7) cancel = true;
    return ReadFate{};
  };
  Runner runner(page(file.model, floor_of(*file.model), faulty(fate, true)));
  std::vector<TokenRow> rows;
  for (int32_t i = 0; i < 8; ++i) rows.push_back({i * 29 % 256, i, 0, true});
  SequenceState* sequences[] = {runner.state.get()};
  CHECK(runner.forward->run(rows, sequences, &cancel).cause() == Cause::cancelled);
  REQUIRE(runner.step().ok());
  CHECK(runner.logits() == expected);
}

TEST_CASE("paged experts: a slab below the floor is refused, the floor is enough") {
  const TinyFile file;
  const uint64_t least = floor_of(*file.model);
  const auto refused = make_paged_expert_store(*file.model, {least - 1, threads(1)});
  REQUIRE(!refused.ok());
  CHECK(refused.status().cause() == Cause::budget);
  CHECK(make_paged_expert_store(*file.model, {least, threads(1)}).ok());
}
