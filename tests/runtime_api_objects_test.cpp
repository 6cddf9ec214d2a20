// What is closed, of another kind, or in use already.
#include <doctest/doctest.h>

#include "tests/api_objects.h"

namespace larder::tests {

TEST_CASE("C library: an object is not taken for one of another kind") {
  const ApiModel model = open_api_model();
  const ApiOptions options = new_options();
  const auto* const wrong = reinterpret_cast<const larder_options*>(model.get());
  larder_session* session = nullptr;
  refuses("a model", LARDER_CLOSED,
          [&](auto e) { return larder_session_open(model.get(), wrong, &session, e); });
  CHECK(larder_model_close(reinterpret_cast<larder_model*>(options.get())) == LARDER_CLOSED);
}

TEST_CASE("C library: a session that calls itself from inside is busy, and stays sound") {
  const ApiModel model = open_api_model();
  const ApiOptions options = new_options({{LARDER_OPTION_MAX_TOKENS, 3}});
  const ApiSession session = open_api_session(model);
  struct Inside {
    larder_session* session;
    int n = 0;
  } inside{session.get()};
  const larder_text_fn call = [](void* user, int32_t, const char*, size_t) -> larder_flow {
    auto& self = *static_cast<Inside*>(user);
    ++self.n;
    CHECK(larder_session_step(self.session, 1, nullptr) == LARDER_BUSY);
    CHECK(larder_session_rewind(self.session, 0, nullptr, nullptr) == LARDER_BUSY);
    CHECK(larder_session_close(self.session) == LARDER_BUSY);
    return LARDER_CONTINUE;
  };
  const ApiMessages messages = conversation({"Tell me a story."});
  CHECK(larder_session_chat(session.get(), messages.get(), options.get(), call, &inside, nullptr,
                            nullptr) == LARDER_OK);
  CHECK(inside.n > 0);
  CHECK(larder_session_step(session.get(), 1, nullptr) == LARDER_OK);
}

#ifndef NDEBUG
TEST_CASE("C library: debug builds find use after closing") {
  larder_model* const model = open_api_model().release();
  larder_session* session = nullptr;
  REQUIRE(larder_session_open(model, nullptr, &session, nullptr) == LARDER_OK);
  larder_options* const options = new_options().release();
  REQUIRE(larder_session_close(session) == LARDER_OK);
  CHECK(larder_session_close(session) == LARDER_CLOSED);
  refuses("session", LARDER_CLOSED, [&](auto e) { return larder_session_step(session, 1, e); });
  larder_session_cancel(session);
  REQUIRE(larder_model_close(model) == LARDER_OK);
  refuses("model", LARDER_CLOSED,
          [&](auto e) { return larder_session_open(model, nullptr, &session, e); });
  larder_options_free(options);
  refuses("options", LARDER_CLOSED,
          [&](auto e) { return larder_options_set_integer(options, LARDER_OPTION_SEED, 1, e); });
  larder_options_free(options);
}
#endif

}  // namespace larder::tests
