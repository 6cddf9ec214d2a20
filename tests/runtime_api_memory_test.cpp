// Every allocation from opening a model to a conversation's end fails, once or with all behind it:
// a status each, and afterwards everything works.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/api_attempt.h"
#include "tests/api_objects.h"
#include "tests/failing_allocations.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {
namespace {

constexpr int kMostAllocations = 200'000;

larder_status converse(larder_session* session, Opened& o) {
  larder_error** const e = &o.error;
  larder_status status = larder_options_new(&o.options, e);
  const auto then = [&](auto&& call) {
    if (status == LARDER_OK) status = call();
  };
  then([&] { return larder_options_set_integer(o.options, LARDER_OPTION_MAX_TOKENS, 4, e); });
  then([&] { return larder_messages_new(&o.messages, e); });
  then([&] { return larder_messages_add(o.messages, "user", 4, "Hello!", 6, e); });
  then([&] {
    return larder_session_chat(session, o.messages, o.options, nullptr, nullptr, &o.answer, e);
  });
  then([&] { return larder_messages_add_answer(o.messages, o.answer, e); });
  then([&] { return larder_session_copy(session, &o.copy, e); });
  return status;
}

// Answers how many allocations there were.
template <class Attempt>
int each_failure(Exhaustion mode, const Attempt& attempt) {
  for (int n = 0; n < kMostAllocations; ++n) {
    Opened opened;
    n_left = n;
    exhaustion = mode;
    const larder_status status = attempt(opened);
    exhaustion = Exhaustion::none;
    const bool was_reached = n_left < 0;
    CAPTURE(n);
    CAPTURE(larder_error_message(opened.error));
    REQUIRE(larder_error_status(opened.error) == status);
    if (!was_reached) {
      REQUIRE(status == LARDER_OK);
      return n;
    }
    // What is only a convenience may be gone without without an error.
    REQUIRE((status == LARDER_OK || status == LARDER_OUT_OF_MEMORY));
  }
  FAIL("too many allocations");
  return 0;
}

}  // namespace

TEST_CASE("C library: each allocation from a file to 32 tokens may fail") {
  const TemporaryDirectory folder;
  const std::string path = folder.write("model.gguf", tiny_model().build());
  for (const Exhaustion mode : {Exhaustion::once, Exhaustion::for_good}) {
    const int n = each_failure(mode, [&](Opened& o) { return open_and_generate(path, o); });
    CHECK(n > 200);
    MESSAGE(n, " allocations");
  }
}

TEST_CASE("C library: each allocation of a conversation may fail, and the next one answers") {
  const ApiModel model = open_api_model();
  const ApiOptions options =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 128}, {LARDER_OPTION_THREADS, 1}});
  const ApiSession session = open_api_session(model, options.get());
  for (const Exhaustion mode : {Exhaustion::once, Exhaustion::for_good}) {
    const int n = each_failure(mode, [&](Opened& o) { return converse(session.get(), o); });
    CHECK(n > 50);
  }
}

}  // namespace larder::tests
