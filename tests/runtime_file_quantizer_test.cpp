// Files quantised: what they hold, and what is left when disk, source or weights fail.
#include <doctest/doctest.h>
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>

#include "quant/dispatch.h"
#include "quant/reference.h"
#include "runtime/convert/file_quantizer.h"
#include "runtime/convert/quant_mix.h"
#include "runtime/model/model.h"
#include "tests/full_disk_at_last.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using formats::GgufFile;
using formats::GgufTensor;
using runtime::FileQuantizerOptions;
using runtime::QuantizedFile;

GgufBuilder wide_model() {
  TinyShape shape;
  shape.d_model = shape.d_ff = 256;
  return tiny_model(shape);
}

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

size_t n_files(const TemporaryDirectory& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory.path("")), fs::directory_iterator()));
}

Result<QuantizedFile> quantized(const GgufFile& in, const char* mix_name, const std::string& out,
                                FileQuantizerOptions options = {}) {
  const runtime::QuantMix& mix = *runtime::find_mix(mix_name);
  const runtime::MixModel model = runtime::mix_model(in, options.importance != nullptr);
  const auto plan = runtime::plan_quantization(
      in, [&](const GgufTensor& tensor) { return runtime::format_in(mix, model, tensor); }, {});
  if (!plan) return plan.status();
  if (options.kernels == nullptr) options.kernels = &quant::best_kernels();
  options.file_type = mix.file_type;
  return runtime::quantize_file(in, *plan, out, options);
}

std::vector<double> weights_of(const GgufFile& file, const GgufTensor& tensor) {
  const auto n = static_cast<int64_t>(tensor.dims[0] * tensor.n_rows());
  std::vector<double> out(static_cast<size_t>(n));
  quant::reference::dequantize(static_cast<quant::Format>(tensor.type->id),
                               reinterpret_cast<const uint8_t*>(file.data(tensor).data()), n,
                               out.data());
  return out;
}

double relative_error(const std::vector<double>& x, const std::vector<double>& y) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * (x[i] - y[i]);
    norm += x[i] * x[i];
  }
  return norm == 0 ? 0 : std::sqrt(error / norm);
}

}  // namespace

TEST_CASE("file quantiser: every mix makes a model that opens, near the one it was made of") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("in.gguf", wide_model().build());
  const auto in = *GgufFile::open(path);
  for (const runtime::QuantMix& mix : runtime::quant_mixes()) {
    CAPTURE(mix.name);
    const std::string out = directory.path("out.gguf");
    REQUIRE(quantized(*in, std::string(mix.name).c_str(), out).status().ok());
    const auto file = *GgufFile::open(out);
    CHECK(file->warnings().empty());
    CHECK(*file->integer("general.file_type") == mix.file_type);
    CHECK(*file->integer("general.quantization_version") == 2);
    for (const formats::GgufEntry& entry : in->entries()) {
      if (entry.key == "general.file_type") continue;
      REQUIRE(file->find(entry.key) != nullptr);
      CHECK(std::ranges::equal(file->find(entry.key)->raw(), entry.value.raw()));
    }
    for (const GgufTensor& tensor : in->tensors()) {
      const GgufTensor* const made = file->find_tensor(tensor.name);
      REQUIRE(made != nullptr);
      CHECK(made->dims == tensor.dims);
      const double error = relative_error(weights_of(*in, tensor), weights_of(*file, *made));
      // Uniform weights: a step of range / 2^bits, two bits at least.
      CHECK(error <= (made->type == tensor.type ? 0.0 : 0.25));
    }
    CHECK(runtime::Model::create(file).status().ok());
    CHECK(n_files(directory) == 2);
  }
  CHECK(read_all(path) == wide_model().build());
}

TEST_CASE("file quantiser: the same bytes for any instruction set and number of threads") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  std::string first;
  for (const quant::KernelSet* set : quant::kernel_sets()) {
    if (!quant::is_supported(*set)) continue;
    for (const int n_threads : {1, 3}) {
      FileQuantizerOptions options;
      options.kernels = set;
      options.n_threads = n_threads;
      REQUIRE(quantized(*in, "q4_k_m", directory.path("out.gguf"), options).status().ok());
      const std::string bytes = read_all(directory.path("out.gguf"));
      if (first.empty()) first = bytes;
      CHECK(bytes == first);
    }
  }
}

TEST_CASE("file quantiser: shards of a limited size are one model, and can be quantised again") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  REQUIRE(quantized(*in, "f16", directory.path("whole.gguf")).status().ok());
  FileQuantizerOptions options;
  options.most_shard_bytes = 600'000;
  const auto split = quantized(*in, "f16", directory.path("split.gguf"), options);
  REQUIRE(split.ok());
  REQUIRE(split->paths.size() > 2);
  CHECK(split->paths.front().ends_with("split-00001-of-0000" + std::to_string(split->paths.size()) +
                                       ".gguf"));
  const auto shards = *GgufFile::open(split->paths.front());
  const auto whole = *GgufFile::open(directory.path("whole.gguf"));
  REQUIRE(shards->tensors().size() == whole->tensors().size());
  for (const GgufTensor& tensor : whole->tensors()) {
    CHECK(std::ranges::equal(shards->data(*shards->find_tensor(tensor.name)), whole->data(tensor)));
  }
  REQUIRE(quantized(*shards, "q8_0", directory.path("a.gguf")).status().ok());
  REQUIRE(quantized(*whole, "q8_0", directory.path("b.gguf")).status().ok());
  const auto a = *GgufFile::open(directory.path("a.gguf"));
  CHECK(a->find("split.count") == nullptr);
  CHECK(read_all(directory.path("a.gguf")) == read_all(directory.path("b.gguf")));
}

TEST_CASE("file quantiser: no shard takes the place of one that is read") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  FileQuantizerOptions options;
  options.most_shard_bytes = in->size_bytes() / 2;
  const auto split = quantized(*in, "f32", directory.path("m.gguf"), options);
  REQUIRE(split.ok());
  const std::string first = split->paths.front(), before = read_all(first);
  const auto shards = *GgufFile::open(first);
  const Status status = quantized(*shards, "f32", directory.path("m.gguf"), options).status();
  CHECK(status.cause() == Cause::invalid_argument);
  CHECK(read_all(first) == before);
  CHECK(n_files(directory) == 1 + split->paths.size());
}

TEST_CASE("file quantiser: importance is obeyed, by expert, and told in the file") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  const GgufTensor& experts = *in->find_tensor("blk.0.ffn_up_exps.weight");
  runtime::Importance importance;
  importance.datasets = {"some.txt"};
  importance.n_chunks = 7;
  runtime::TensorImportance& figures = importance.tensors["blk.0.ffn_up_exps.weight"];
  figures.n_columns = 256;
  figures.counts = {10, 0, 10, 10};  // nothing is known of expert 1
  figures.sums.assign(4 * 256, 1.0);
  for (size_t i = 0; i < figures.sums.size(); i += 2) figures.sums[i] = 1000.0;
  FileQuantizerOptions options;
  options.importance = &importance;
  options.importance_path = "some.imatrix";
  const auto done = quantized(*in, "q4_0", directory.path("out.gguf"), options);
  REQUIRE(done.ok());
  CHECK(std::count(done->without_importance.begin(), done->without_importance.end(),
                   "blk.0.ffn_up_exps.weight") == 0);
  CHECK_FALSE(done->without_importance.empty());
  REQUIRE(quantized(*in, "q4_0", directory.path("plain.gguf")).status().ok());
  const auto out = *GgufFile::open(directory.path("out.gguf"));
  const auto plain = *GgufFile::open(directory.path("plain.gguf"));
  CHECK(*out->string("quantize.imatrix.file") == "some.imatrix");
  CHECK(*out->string("quantize.imatrix.dataset") == "some.txt");
  CHECK(*out->integer("quantize.imatrix.entries_count") == 1);
  CHECK(*out->integer("quantize.imatrix.chunks_count") == 7);
  const auto matrix = [&](const GgufFile& file, size_t m) {
    const auto bytes = file.data(*file.find_tensor(experts.name));
    return bytes.subspan(m * bytes.size() / 4, bytes.size() / 4);
  };
  CHECK_FALSE(std::ranges::equal(matrix(*out, 0), matrix(*plain, 0)));
  CHECK(std::ranges::equal(matrix(*out, 1), matrix(*plain, 1)));
  CHECK_FALSE(std::ranges::equal(matrix(*out, 3), matrix(*plain, 3)));

  // A file of the old kind tells the same, but for which experts were met.
  Bytes old = le32(1) + le32(24) + Bytes("blk.0.ffn_up_exps.weight") + le32(10) + le32(4 * 256);
  for (const double sum : figures.sums) old += le_f32(static_cast<float>(sum));
  const auto read = runtime::read_importance(directory.write("old.dat", old));
  REQUIRE(read.ok());
  options.importance = &*read;
  REQUIRE(quantized(*in, "q4_0", directory.path("old.gguf"), options).status().ok());
  const auto from_old = *GgufFile::open(directory.path("old.gguf"));
  CHECK(std::ranges::equal(matrix(*from_old, 0), matrix(*out, 0)));
  CHECK_FALSE(std::ranges::equal(matrix(*from_old, 1), matrix(*plain, 1)));
  CHECK(std::ranges::equal(matrix(*from_old, 3), matrix(*out, 3)));

  options.importance = &importance;
  figures.sums.pop_back();
  const Status other = quantized(*in, "q4_0", directory.path("x.gguf"), options).status();
  CHECK(other.cause() == Cause::shape);
  CHECK(other.to_string().find("blk.0.ffn_up_exps.weight") != std::string::npos);
  CHECK_FALSE(fs::exists(directory.path("x.gguf")));
}

TEST_CASE("file quantiser: a weight that is not finite is told by tensor and element") {
  const TemporaryDirectory directory;
  for (const char* name : {"blk.1.ffn_down_exps.weight", "blk.1.attn_norm.weight"}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      GgufBuilder builder = wide_model();
      set_float(builder.tensor(name), 77, bad);
      const auto in = *GgufFile::open(directory.write("in.gguf", builder.build()));
      const Status status = quantized(*in, "q4_k_m", directory.path("out.gguf")).status();
      CHECK(status.cause() == Cause::numeric);
      CHECK(status.to_string().find(std::string("tensor ") + name + ": element 77 ") !=
            std::string::npos);
      CHECK(n_files(directory) == 1);
    }
  }
  GgufBuilder builder = wide_model();
  set_float(builder.tensor("blk.0.attn_q.weight"), 5, 70000.0f);
  const auto in = *GgufFile::open(directory.write("in.gguf", builder.build()));
  CHECK(quantized(*in, "f16", directory.path("out.gguf")).status().cause() == Cause::numeric);
  CHECK(quantized(*in, "bf16", directory.path("out.gguf")).status().ok());
}

TEST_CASE("file quantiser: a disk that is full at any 64 KiB leaves the old file and no other") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  const std::string out = directory.write("out.gguf", "old");
  REQUIRE(quantized(*in, "q8_0", directory.path("size.gguf")).status().ok());
  const uint64_t size = fs::file_size(directory.path("size.gguf"));
  REQUIRE(size > 1'000'000);
  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  for (rlim_t limit = 0; limit < size; limit += 65'536) {
    CAPTURE(limit);
    const rlimit small = {limit, before.rlim_max};
    FileQuantizerOptions options;
    options.most_shard_bytes = limit % 131'072 == 0 ? 0 : size / 3;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const Status status = quantized(*in, "q8_0", out, options).status();
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    // A shard may be smaller than the limit.
    if (options.most_shard_bytes == 0 || !status.ok()) CHECK(status.cause() == Cause::io);
    if (status.ok()) break;
    CHECK(n_files(directory) == 3);
    CHECK(read_all(out) == "old");
  }
  std::signal(SIGXFSZ, old_handler);
}

TEST_CASE("file quantiser: a disk that is full at last, when all is written, leaves nothing") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  for (const uint64_t most_shard_bytes : {0, 300'000}) {
    FileQuantizerOptions options;
    options.most_shard_bytes = most_shard_bytes;
    disk_is_full_at_last = true;
    const Status status = quantized(*in, "q8_0", directory.path("out.gguf"), options).status();
    disk_is_full_at_last = false;
    CHECK(status.cause() == Cause::io);
    CHECK(n_files(directory) == 1);
  }
}

TEST_CASE("file quantiser: a source that is cut short while it is read is an error") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("in.gguf", wide_model().build());
  const auto in = *GgufFile::open(path);
  fs::resize_file(path, fs::file_size(path) / 2);
  const Status status = quantized(*in, "q8_0", directory.path("out.gguf")).status();
  CHECK(status.cause() == Cause::truncated);
  CHECK(status.detail().file == path);
  CHECK(n_files(directory) == 1);
}

TEST_CASE("file quantiser: cancelled between any two pieces, nothing stays") {
  const TemporaryDirectory directory;
  const auto in = *GgufFile::open(directory.write("in.gguf", wide_model().build()));
  int n_pieces = 0;
  FileQuantizerOptions options;
  options.progress = [&](uint64_t n_read, uint64_t n_total) {
    CHECK(n_read <= n_total);
    ++n_pieces;
    return true;
  };
  REQUIRE(quantized(*in, "q8_0", directory.path("out.gguf"), options).status().ok());
  fs::remove(directory.path("out.gguf"));
  for (int stop = 1; stop <= n_pieces; ++stop) {
    int n = 0;
    options.progress = [&](uint64_t, uint64_t) { return ++n < stop; };
    CHECK(quantized(*in, "q8_0", directory.path("out.gguf"), options).status().cause() ==
          Cause::cancelled);
    CHECK(n_files(directory) == 1);
  }
}

}  // namespace larder::tests
