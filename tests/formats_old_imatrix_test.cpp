// Importance files of the old kind, whole and damaged.
#include <doctest/doctest.h>

#include <limits>
#include <span>
#include <string>

#include "formats/imatrix/old_imatrix.h"
#include "tests/gguf_builder.h"

namespace larder::tests {
namespace {

using formats::OldImatrix;

Bytes text(std::string_view s) { return le32(s.size()) + Bytes(s); }

Bytes entry(std::string_view name, uint32_t n_calls, std::initializer_list<float> values) {
  Bytes bytes = text(name) + le32(n_calls) + le32(values.size());
  for (const float value : values) bytes += le_f32(value);
  return bytes;
}

Bytes whole() {
  return le32(2) + entry("blk.0.attn_q.weight", 3, {1.0F, 2.5F}) +
         entry("output.weight", 0, {0.0F}) + le32(7) + text("some text");
}

Result<OldImatrix> parse(const Bytes& bytes) {
  return formats::parse_old_imatrix(std::as_bytes(std::span(bytes)));
}

}  // namespace

TEST_CASE("old importance file: entries, chunks and the text's name") {
  const auto imatrix = parse(whole());
  REQUIRE(imatrix.ok());
  REQUIRE(imatrix->entries.size() == 2);
  CHECK(imatrix->entries[0].tensor == "blk.0.attn_q.weight");
  CHECK(imatrix->entries[0].n_calls == 3);
  CHECK(imatrix->entries[0].values == std::vector<float>{1.0F, 2.5F});
  CHECK(imatrix->n_chunks == 7);
  CHECK(imatrix->dataset == "some text");
}

TEST_CASE("old importance file: cut anywhere it is an error, or an older file") {
  const Bytes bytes = whole();
  const size_t entries_end = bytes.size() - 4 - text("some text").size();
  for (size_t n = 0; n < bytes.size(); ++n) {
    CAPTURE(n);
    const auto imatrix = parse(bytes.substr(0, n));
    const bool is_older = n == entries_end || n == entries_end + 4;  // wrote no text, no chunks
    CHECK(imatrix.ok() == is_older);
    if (!imatrix) CHECK(imatrix.status().cause() == Cause::truncated);
  }
}

TEST_CASE("old importance file: counts and values that cannot be are told with their place") {
  CHECK(parse(le32(0)).status().cause() == Cause::limit);
  CHECK(parse(le32(0xffffffff)).status().cause() == Cause::limit);
  CHECK(parse(le32(1) + le32(0)).status().cause() == Cause::limit);
  CHECK(parse(le32(1) + le32(0x7fffffff)).status().cause() == Cause::limit);
  CHECK(parse(le32(1) + text("a") + le32(1) + le32(0x7fffffff)).status().cause() ==
        Cause::truncated);
  for (const float bad : {-1.0F, std::numeric_limits<float>::quiet_NaN()}) {
    const Status status = parse(le32(1) + entry("a", 1, {1.0F, bad})).status();
    CHECK(status.cause() == Cause::numeric);
    CHECK(status.detail().subject == "entry a");
  }
}

}  // namespace larder::tests
