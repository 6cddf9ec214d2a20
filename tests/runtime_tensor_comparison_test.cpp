// Two files of one model, tensor by tensor.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/compare/tensor_comparison.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

struct Opened {
  explicit Opened(const GgufBuilder& builder) : bytes(builder.build()) {
    auto parsed = formats::GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf");
    REQUIRE_MESSAGE(parsed.ok(), parsed.status().to_string());
    file = *parsed;
  }
  Bytes bytes;
  std::shared_ptr<const formats::GgufFile> file;
};

const TensorDifference& find(const std::vector<TensorDifference>& all, const std::string& name) {
  for (const TensorDifference& one : all)
    if (one.name == name) return one;
  FAIL("no tensor ", name);
  return all.front();
}

constexpr const char* kChanged = "blk.1.ffn_down_exps.weight";

}  // namespace

TEST_CASE("tensor comparison: the error of one weight, by hand, for any number of threads") {
  GgufBuilder base = tiny_model(), other = tiny_model();
  double squares = 0;
  const uint64_t n = base.tensor(kChanged).data.size() / sizeof(float);
  for (uint64_t i = 0; i < n; ++i) {
    const float x = static_cast<float>(i % 5) - 2;
    squares += static_cast<double>(x) * static_cast<double>(x);
    set_float(base.tensor(kChanged), i, x);
    set_float(other.tensor(kChanged), i, i == 77 ? x + 3 : x);
  }
  const Opened a(base), b(other);
  REQUIRE(check_same_model(*a.file, *b.file).ok());
  for (const int n_threads : {1, 2}) {
    const auto all = compare_tensors(*a.file, *b.file, n_threads);
    REQUIRE(all.ok());
    CHECK(all->size() == base.tensors.size());
    for (const TensorDifference& one : *all) {
      CAPTURE(one.name);
      CHECK(one.relative_error == (one.name == kChanged ? std::sqrt(9 / squares) : 0.0));
      CHECK(one.base.n_not_finite == 0);
      CHECK(one.base.bits_per_weight == 32.0);
    }
  }
}

TEST_CASE("tensor comparison: weights that are not finite are counted, and are in no error") {
  GgufBuilder base = tiny_model(), other = tiny_model();
  set_float(other.tensor(kChanged), 5, std::numeric_limits<float>::quiet_NaN());
  set_float(other.tensor(kChanged), 6, std::numeric_limits<float>::infinity());
  const Opened a(base), b(other);
  const auto all = compare_tensors(*a.file, *b.file, 2);
  REQUIRE(all.ok());
  const TensorDifference& changed = find(*all, kChanged);
  CHECK(changed.base.n_not_finite == 0);
  CHECK(changed.other.n_not_finite == 2);
  CHECK(changed.relative_error == 0.0);
}

TEST_CASE("tensor comparison: other shapes, tensors, tokens and architectures are named") {
  const Opened base(tiny_model());
  TinyShape wide;
  wide.d_ff = 64;
  const Opened other_shape(tiny_model(wide));
  CHECK(check_same_model(*base.file, *other_shape.file).cause() == Cause::shape);
  TinyShape tied;
  tied.has_head = false;
  const Opened without_head(tiny_model(tied));
  const Status missing = check_same_model(*base.file, *without_head.file);
  CHECK(missing.cause() == Cause::missing);
  CHECK(missing.detail().subject == "tensor output.weight");
  CHECK(check_same_model(*without_head.file, *base.file).cause() == Cause::missing);
  TinyShape larger;
  larger.n_vocab = 300;
  const Opened other_tokens(tiny_model(larger));
  CHECK(check_same_model(*base.file, *other_tokens.file).cause() == Cause::vocabulary);
  const Opened other_kind(tiny_model(tiny_mixtral()));
  CHECK(check_same_model(*base.file, *other_kind.file).cause() == Cause::architecture);
}

TEST_CASE("tensor comparison: may be given up") {
  const Opened base(tiny_model());
  const auto all =
      compare_tensors(*base.file, *base.file, 1, [](uint64_t, uint64_t) { return false; });
  CHECK(all.status().cause() == Cause::cancelled);
}
