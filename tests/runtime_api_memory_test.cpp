// Every allocation from opening a model to a conversation's end fails, once or with all behind it:
// a status each, and afterwards everything works.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/api/larder_batch.h"
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

// Two sequences through a batch, in three attempts at each call. Answers the last failure; counts
// how often each tag comes out.
larder_status run_batch(larder_batch* batch, const larder_options* options, Opened& o,
                        int (&n_taken)[2]) {
  const int32_t ids[] = {1, 2, 3, 4, 5};
  larder_status last = LARDER_OK;
  const auto again = [&](auto&& call) {
    for (int i = 0; i < 3; ++i) {
      larder_error_free(o.error);
      const larder_status status = call();
      if (status == LARDER_OK) return;
      last = status;
    }
  };
  size_t n_added = 0;
  again([&] {
    const larder_status s = larder_batch_generate(batch, 7, ids, 4, options, &o.error);
    n_added += s == LARDER_OK ? 1 : 0;
    return s;
  });
  again([&] {
    const larder_status s = larder_batch_score(batch, 8, ids, 2, ids + 2, 3, &o.error);
    n_added += s == LARDER_OK ? 1 : 0;
    return s;
  });
  size_t n_held = n_added;
  for (int i = 0; i < 100 && n_held > 0; ++i) {
    again([&] { return larder_batch_step(batch, &n_held, &o.error); });
    for (bool has_more = true; has_more;) {
      uint64_t tag = 0;
      larder_answer* answer = nullptr;
      larder_error_free(o.error);
      const larder_status status = larder_batch_take(batch, &tag, &answer, &o.error);
      has_more = answer != nullptr || status != LARDER_OK;
      if (status != LARDER_OK) last = status;
      if (has_more) ++n_taken[tag == 7 ? 0 : 1];
      larder_answer_free(answer);
    }
  }
  return last;
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

TEST_CASE("C library: each allocation of a batch may fail, and all that was added comes out") {
  const TemporaryDirectory folder;
  const ApiModel model = open_api_model(folder.write("model.gguf", tiny_model().build()));
  const ApiOptions options = new_options({{LARDER_OPTION_CONTEXT_SIZE, 64},
                                          {LARDER_OPTION_THREADS, 1},
                                          {LARDER_OPTION_IGNORE_END, 1},
                                          {LARDER_OPTION_MAX_TOKENS, 6}});
  larder_batch* batch = nullptr;
  REQUIRE(larder_batch_open(model.get(), options.get(), &batch, nullptr) == LARDER_OK);
  for (int n = 0;; ++n) {
    REQUIRE(n < kMostAllocations);
    Opened opened;
    int n_taken[2] = {0, 0};
    n_left = n;
    exhaustion = Exhaustion::once;
    const larder_status status = run_batch(batch, options.get(), opened, n_taken);
    exhaustion = Exhaustion::none;
    CAPTURE(n);
    REQUIRE((status == LARDER_OK || status == LARDER_OUT_OF_MEMORY));
    CHECK((n_taken[0] == 1 && n_taken[1] == 1));
    if (n_left >= 0) break;
  }
  CHECK(larder_batch_close(batch) == LARDER_OK);
}

}  // namespace larder::tests
