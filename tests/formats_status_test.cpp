#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>
#include <type_traits>

#include "formats/status.h"

namespace larder {

TEST_CASE("status: every cause has a name of its own") {
  std::set<std::string_view> names;
  const int n_causes = static_cast<int>(Cause::invalid_argument) + 1;
  for (int i = 0; i < n_causes; ++i) names.insert(cause_name(static_cast<Cause>(i)));
  CHECK(names.size() == static_cast<size_t>(n_causes));
  CHECK(names.count("unknown") == 0);
  CHECK(cause_name(Cause::ok) == "ok");
  CHECK(cause_name(Cause::duplicate_tensor) == "duplicate_tensor");
  CHECK(cause_name(Cause::hyper_parameter) == "hyper_parameter");
  CHECK(cause_name(Cause::template_limit) == "template_limit");
  CHECK(cause_name(Cause::invalid_argument) == "invalid_argument");
  CHECK(cause_name(static_cast<Cause>(200)) == "unknown");
}

TEST_CASE("status: ok is empty, an error tells file, subject, message and byte") {
  CHECK(Status().ok());
  CHECK(Status().cause() == Cause::ok);
  CHECK(Status().to_string() == "ok");
  CHECK(Status(Cause::io, "cannot open").to_string() == "cannot open");
  const Status status(Cause::shape, "expected 4", "tensor t", 1234);
  CHECK_FALSE(status.ok());
  CHECK(status.to_string() == "tensor t: expected 4 (byte 1234)");
  CHECK(status.with_file("m.gguf").to_string() == "m.gguf: tensor t: expected 4 (byte 1234)");
  CHECK(Status(Cause::io, "x", {}, 0).to_string() == "x (byte 0)");
}

TEST_CASE("status: the first file named stays, and the original is unchanged") {
  const Status bare(Cause::io, "cannot read");
  const Status named = bare.with_file("shard-2");
  CHECK(named.with_file("shard-1").detail().file == "shard-2");
  CHECK(bare.detail().file.empty());
  CHECK(Status().with_file("x").ok());
}

TEST_CASE("status: out of memory can be told without any") {
  const Status status = Status::out_of_memory();
  CHECK(status.cause() == Cause::out_of_memory);
  CHECK(status.to_string() == "out of memory");
  CHECK(status.with_file("m.gguf").to_string() == "m.gguf: out of memory");
  static_assert(std::is_nothrow_constructible_v<Status, Cause, const char*>);
  static_assert(noexcept(status.with_file("x")));
}

TEST_CASE("result: holds a value or the status that says why there is none") {
  Result<std::unique_ptr<int>> value(std::make_unique<int>(7));
  CHECK(value.ok());
  CHECK(static_cast<bool>(value));
  CHECK(value.status().ok());
  CHECK(**value == 7);
  const std::unique_ptr<int> moved = *std::move(value);
  CHECK(*moved == 7);

  const Result<std::string> error(Status(Cause::missing, "no key"));
  CHECK_FALSE(error.ok());
  CHECK(error.status().cause() == Cause::missing);
  CHECK(Result<std::string>(std::string("abc"))->size() == 3);
}

}  // namespace larder
