// The built program on checkpoints that are broken, and on disks and moments that fail it: an error
// with a name, a code, and nothing left behind.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/larder_program.h"

namespace fs = std::filesystem;

namespace {

using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::run;
using larder::tests::run_for;
using larder::tests::TemporaryFolder;

const std::string kShards = LARDER_TEST_DATA_DIR "/checkpoints/mixtral";
const std::string kFirstShard = "/model-00001-of-00002.safetensors";

struct Copy {
  explicit Copy(const std::string& from = kShards) : path(folder.path() + "/checkpoint") {
    fs::copy(from, path);
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path + "/" + name, std::ios::binary) << bytes;
  }
  // In a JSON file, a text by another.
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = content(path + "/" + name);
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    write(name, text.replace(at, from.size(), to));
  }
  std::string out() const { return folder.path() + "/out.gguf"; }
  Finished convert() const { return larder_run({"convert", path, "-o", out(), "-q"}); }
  // Files beside the checkpoint, but for the checkpoint.
  long n_left() const {
    return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) - 1;
  }

  TemporaryFolder folder;
  std::string path;
};

void check_refused(const Copy& copy, int code, const std::string& part) {
  check_error(copy.convert(), code, part);
  CHECK(copy.n_left() == 0);
}

}  // namespace

TEST_CASE("convert: --dry-run tells what becomes of every tensor, and writes nothing") {
  const Copy copy;
  const Finished plan = larder_run({"convert", copy.path, "--dry-run"});
  CHECK(plan.code == 0);
  CHECK(has(plan.out, "blk.2.ffn_gate_exps.weight"));
  CHECK(has(plan.out, "model.layers.2.block_sparse_moe.experts.0.w1.weight and 7 more parts"));
  CHECK(copy.n_left() == 0);
  CHECK(larder_run({"convert", copy.path}).code == 2);
}

TEST_CASE("convert: the result runs") {
  const Copy copy;
  CHECK(copy.convert().code == 0);
  CHECK(larder_run({"generate", "-m", copy.out(), "-p", "a", "-n", "2", "-q"}).code == 0);
}

TEST_CASE("convert: what is broken is told before anything is written") {
  {
    const Copy copy;
    check_error(larder_run({"convert", copy.path + "/absent", "-o", copy.out()}), 3,
                "absent: there is no such folder");
    check_error(larder_run({"convert", copy.path + kFirstShard, "-o", copy.out()}), 3,
                "expected a folder with model.safetensors or ");
  }
  {
    const Copy copy;
    fs::resize_file(copy.path + kFirstShard, fs::file_size(copy.path + kFirstShard) - 1);
    check_refused(copy, 3, kFirstShard);
  }
  {
    const Copy copy;
    fs::remove(copy.path + kFirstShard);
    check_refused(copy, 3, kFirstShard);
  }
  {
    const Copy copy;
    copy.replace("config.json", "\"hidden_size\": 64", "\"hidden_size\": 96");
    check_refused(copy, 3, "tensor ");
  }
  {
    const Copy copy;
    copy.replace("config.json", "\"hidden_act\"", "\"wonder\": 1, \"hidden_act\"");
    check_refused(copy, 3, "wonder");
    CHECK(
        larder_run({"convert", copy.path, "-o", copy.out(), "-q", "--ignore-key", "wonder"}).code ==
        0);
  }
  {
    const Copy copy;
    copy.replace("config.json", "\"hidden_act\"",
                 "\"output_gate_type\": \"sigmoid\", \"hidden_act\"");
    check_refused(copy, 3, "output_gate_type");
  }
  {
    const Copy copy;
    copy.replace("config.json", "\"silu\"", "\"gelu\"");
    check_refused(copy, 3, "gelu");
  }
  {
    const Copy copy;
    copy.replace("config.json", "\"mixtral\"", "\"unheard_of\"");
    check_refused(copy, 3, "unheard_of");
  }
  {
    const Copy copy;
    copy.replace("tokenizer.json", "Prepend", "Lowercase");
    check_refused(copy, 3, "Lowercase");
  }
}

TEST_CASE("convert: a tensor of an unknown name stops it with the name") {
  const Copy copy;
  const std::string from = "layers.0.self_attn.q_proj", to = "layers.0.self_attn.qq_prj";
  copy.replace(kFirstShard, from, to);
  copy.replace("model.safetensors.index.json", from, to);
  check_refused(copy, 3, "qq_prj");
}

TEST_CASE("convert: a weight that is no number is told with its tensor, and leaves nothing") {
  const Copy copy;
  std::string bytes = content(copy.path + kFirstShard);
  const float nan = NAN;
  std::memcpy(bytes.data() + bytes.size() - sizeof nan, &nan, sizeof nan);
  copy.write(kFirstShard, bytes);
  check_refused(copy, 1, "is not finite");
}

TEST_CASE("convert: a full disk at every 64 KiB is an error that leaves nothing") {
  const Copy copy;
  CHECK(copy.convert().code == 0);
  const auto n_bytes = fs::file_size(copy.out());
  fs::remove(copy.out());
  // ulimit counts blocks of 512 bytes
  for (uintmax_t limit = 0; limit < n_bytes; limit += 64 << 10) {
    const Finished full =
        run({"/bin/sh", "-c",
             "ulimit -f " + std::to_string(limit / 512) + " && exec " LARDER_PROGRAM " convert " +
                 copy.path + " -o " + copy.out() + " -q"});
    CAPTURE(limit);
    check_error(full, 1, "cannot write");
    CHECK(copy.n_left() == 0);
  }
}

TEST_CASE(
    "convert: killed at any moment it leaves no file of the name, and the next run tidies up") {
  const Copy copy;
  for (int microseconds = 0; microseconds < 40'000; microseconds += 2'500) {
    run_for({LARDER_PROGRAM, "convert", copy.path, "-o", copy.out(), "-q"}, SIGKILL, microseconds);
    if (!fs::exists(copy.out())) continue;
    // then it is whole
    CHECK(larder_run({"inspect", copy.out()}).code == 0);
    fs::remove(copy.out());
  }
  CHECK(copy.convert().code == 0);
  CHECK(copy.n_left() == 1);
  CHECK(content(kShards + kFirstShard) == content(copy.path + kFirstShard));
}

TEST_CASE("convert: a shard is no output") {
  const Copy copy;
  const std::string shard = copy.path + kFirstShard, before = content(shard);
  check_error(larder_run({"convert", copy.path, "-o", shard, "-q"}), 2, "already");
  fs::create_hard_link(shard, copy.out());
  check_error(copy.convert(), 2, "already");
  CHECK(content(shard) == before);
}

TEST_CASE("convert: a folder that may not be written to will do") {
  const Copy copy;
  fs::permissions(copy.path, fs::perms::owner_read | fs::perms::owner_exec);
  CHECK(copy.convert().code == 0);
  fs::permissions(copy.path, fs::perms::owner_all);
}
