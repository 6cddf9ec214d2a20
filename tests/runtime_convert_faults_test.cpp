// Conversion on disks and in moments that fail it: an error, and no file.
#include <doctest/doctest.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "quant/dispatch.h"
#include "runtime/convert/checkpoint_convert.h"
#include "tests/full_disk_at_last.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using runtime::CheckpointPlan;

const std::string kFolder = LARDER_TEST_DATA_DIR "/checkpoints/mixtral";
const std::string kFirstShard = "/model-00001-of-00002.safetensors";

long n_files(const TemporaryDirectory& directory) {
  return std::distance(fs::directory_iterator(directory.path("")), fs::directory_iterator());
}

CheckpointPlan plan_of(const std::string& folder, uint64_t most_shard_bytes = 0) {
  runtime::CheckpointOptions options;
  options.most_shard_bytes = most_shard_bytes;
  auto plan = CheckpointPlan::create(folder, options);
  REQUIRE_MESSAGE(plan.ok(), plan.status().to_string());
  return std::move(*plan);
}

Status run(CheckpointPlan& plan, const std::string& out, CheckpointPlan::RunOptions options = {}) {
  options.kernels = &quant::best_kernels();
  return plan.run(out, options).status();
}

}  // namespace

TEST_CASE("convert: a disk that is full at last, when all is written, leaves nothing") {
  for (const uint64_t most_shard_bytes : {0, 300'000}) {
    const TemporaryDirectory directory;
    CheckpointPlan plan = plan_of(kFolder, most_shard_bytes);
    disk_is_full_at_last = true;
    const Status status = run(plan, directory.path("out.gguf"));
    disk_is_full_at_last = false;
    CHECK(status.cause() == Cause::io);
    CHECK(n_files(directory) == 0);
  }
}

TEST_CASE("convert: a shard that is cut short while it is read is an error") {
  const TemporaryDirectory directory;
  const std::string folder = directory.path("checkpoint");
  fs::copy(kFolder, folder);
  CheckpointPlan plan = plan_of(folder);
  fs::resize_file(folder + kFirstShard, fs::file_size(folder + kFirstShard) / 2);
  const Status status = run(plan, directory.path("out.gguf"));
  CHECK(status.cause() == Cause::truncated);
  CHECK(status.detail().file == folder + kFirstShard);
  CHECK(status.detail().subject.starts_with("tensor "));
  CHECK(n_files(directory) == 1);
}

TEST_CASE("convert: cancelled between any two pieces, nothing stays") {
  int n_pieces = 0;
  {
    const TemporaryDirectory directory;
    CheckpointPlan plan = plan_of(kFolder);
    CheckpointPlan::RunOptions options;
    options.progress = [&](uint64_t n_done, uint64_t n_total) {
      CHECK(n_done <= n_total);
      ++n_pieces;
      return true;
    };
    REQUIRE(run(plan, directory.path("out.gguf"), options).ok());
  }
  CHECK(n_pieces > 50);
  for (int stop = 1; stop <= n_pieces; stop += 7) {
    const TemporaryDirectory directory;
    CheckpointPlan plan = plan_of(kFolder);
    CheckpointPlan::RunOptions options;
    int n = 0;
    options.progress = [&](uint64_t, uint64_t) { return ++n < stop; };
    CHECK(run(plan, directory.path("out.gguf"), options).cause() == Cause::cancelled);
    CHECK(n_files(directory) == 0);
  }
}

}  // namespace larder::tests
