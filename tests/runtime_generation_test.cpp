// Sessions and the decoding loop, on the bundled model.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "formats/gguf/gguf_writer.h"
#include "quant/dispatch.h"
#include "runtime/model/model.h"
#include "runtime/session/generation.h"
#include "runtime/session/prompt.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"

namespace {

using larder::Cause;
using larder::formats::SpecialTokens;
using larder::formats::TokenId;
using larder::runtime::Flow;
using larder::runtime::generate;
using larder::runtime::Generation;
using larder::runtime::GenerationOptions;
using larder::runtime::Model;
using larder::runtime::Sampler;
using larder::runtime::SamplerOptions;
using larder::runtime::Session;
using larder::runtime::SessionOptions;
using larder::runtime::StopReason;

std::shared_ptr<const Model> model() {
  static const auto opened =
      Model::open(std::string(LARDER_SOURCE_DIR) + "/apps/models/storyteller-q4.gguf");
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return *opened;
}

std::unique_ptr<Session> open(SessionOptions options = {}) {
  auto session = Session::create(model(), options);
  REQUIRE_MESSAGE(session.ok(), session.status().to_string());
  return std::move(*session);
}

std::vector<TokenId> encode(const std::string& text) {
  std::vector<TokenId> ids;
  REQUIRE(model()->tokenizer()->encode(text, SpecialTokens::recognised, ids).ok());
  return ids;
}

const std::string kPrompt = "Once upon a time, there was a little";

Sampler greedy_sampler() {
  SamplerOptions options;
  options.temperature = 0;
  return Sampler(options, model()->config().n_vocab);
}

struct Shown {
  Generation generation;
  std::string text;
  std::vector<std::string> pieces;
};

// Greedy text from `prompt`, and what the callback saw.
Shown run(Session& session, const std::string& prompt, const GenerationOptions& options) {
  session.truncate(0);
  REQUIRE(session.append(encode(prompt)).ok());
  Sampler sampler = greedy_sampler();
  Shown shown;
  auto generated = generate(session, sampler, options, [&](std::string_view piece) {
    shown.text += piece;
    shown.pieces.emplace_back(piece);
    return Flow::go_on;
  });
  REQUIRE_MESSAGE(generated.ok(), generated.status().to_string());
  shown.generation = std::move(*generated);
  CHECK(shown.text == shown.generation.text);
  CHECK(shown.generation.tokens.size() == shown.generation.logprobs.size());
  return shown;
}

GenerationOptions at_most(int32_t n) {
  GenerationOptions options;
  options.max_tokens = n;
  return options;
}

}  // namespace

TEST_CASE("generation: ends after max_tokens, and 0 asks for none") {
  const auto session = open();
  const Shown shown = run(*session, kPrompt, at_most(7));
  CHECK(shown.generation.tokens.size() == 7);
  CHECK(shown.generation.reason == StopReason::length);
  CHECK(session->tokens().size() == encode(kPrompt).size() + 6);
  const Shown none = run(*session, kPrompt, at_most(0));
  CHECK(none.generation.tokens.empty());
  CHECK(none.generation.reason == StopReason::length);
}

TEST_CASE("generation: an end-of-generation token ends it, unless it shall be ignored") {
  const auto session = open();
  const std::string prompt = "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n";
  const Shown shown = run(*session, prompt, at_most(100));
  CHECK(shown.generation.reason == StopReason::end_of_generation);
  CHECK(model()->tokenizer()->is_end_of_generation(shown.generation.tokens.back()));
  CHECK(shown.text.find("<|im_end|>") == std::string::npos);

  GenerationOptions options = at_most(static_cast<int32_t>(shown.generation.tokens.size()) + 5);
  options.ignore_end = true;
  CHECK(run(*session, prompt, options).generation.reason == StopReason::length);
  options.show_control = true;
  CHECK(run(*session, prompt, options).text.find("<|im_end|>") != std::string::npos);
}

TEST_CASE("generation: chosen control tokens are shown, others are not") {
  const auto session = open();
  const std::string prompt = "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n";
  GenerationOptions options = at_most(20);
  options.ignore_end = true;
  const std::string hidden = run(*session, prompt, options).text;
  options.shown_control = encode("<|im_end|>");
  REQUIRE(options.shown_control.size() == 1);
  const std::string shown = run(*session, prompt, options).text;
  CHECK(hidden.find("<|im_end|>") == std::string::npos);
  CHECK(shown.find("<|im_end|>") != std::string::npos);
  CHECK(shown.find("<|im_start|>") == std::string::npos);
}

TEST_CASE("generation: every stop string inside the text is cut off, split over tokens or not") {
  const auto session = open();
  const std::string full = run(*session, kPrompt, at_most(40)).text;
  REQUIRE(full.size() > 60);
  for (size_t begin = 5; begin + 12 < 60; begin += 3) {
    for (const size_t length : {1, 2, 5, 11}) {
      const std::string stop = full.substr(begin, length);
      const size_t first = full.find(stop);
      CAPTURE(stop);
      GenerationOptions options = at_most(40);
      options.stop = {"never said at all", stop};
      const Shown shown = run(*session, kPrompt, options);
      CHECK(shown.generation.reason == StopReason::stop_string);
      CHECK(shown.text == full.substr(0, first));
    }
  }
}

TEST_CASE("generation: a stop string that does not come changes nothing and loses nothing") {
  const auto session = open();
  const std::string full = run(*session, kPrompt, at_most(40)).text;
  GenerationOptions options = at_most(40);
  // Its beginning is the text's very end: held back, then shown.
  options.stop = {full.substr(full.size() - 6) + "~"};
  const Shown shown = run(*session, kPrompt, options);
  CHECK(shown.text == full);
  CHECK(shown.generation.reason == StopReason::length);
}

TEST_CASE("generation: pieces are whole UTF-8 characters, and a last half one is dropped") {
  // Byte tokens of a character, forced by a model that would never write them: through the prompt's
  // own decoder only whole characters come out.
  const auto tokenizer = model()->tokenizer();
  const std::string text = "caf\xc3\xa9 \xf0\x9f\x90\x89 \xe2\x82\xac";
  std::vector<TokenId> ids = encode(text);
  larder::formats::StreamDecoder decoder(tokenizer);
  std::string decoded;
  for (const TokenId id : ids) {
    const std::string piece = decoder.push(id);
    if (!piece.empty()) CHECK((static_cast<unsigned char>(piece[0]) & 0xc0) != 0x80);
    decoded += piece;
  }
  CHECK(decoded == text);
}

TEST_CASE("generation: the callback can stop and can cancel") {
  const auto session = open();
  for (const Flow wish : {Flow::stop, Flow::cancel}) {
    session->truncate(0);
    REQUIRE(session->append(encode(kPrompt)).ok());
    Sampler sampler = greedy_sampler();
    int n_pieces = 0;
    const auto generated = generate(*session, sampler, at_most(100), [&](std::string_view) {
      return ++n_pieces == 3 ? wish : Flow::go_on;
    });
    REQUIRE(generated.ok());
    CHECK(n_pieces == 3);
    CHECK(generated->reason ==
          (wish == Flow::stop ? StopReason::stop_string : StopReason::cancelled));
  }
}

TEST_CASE("generation: a full context is an end with a reason") {
  SessionOptions options;
  for (const int32_t n_ctx : {1, 9, 10, 12}) {
    CAPTURE(n_ctx);
    options.n_ctx = n_ctx;
    const auto session = open(options);
    std::vector<TokenId> prompt = encode(kPrompt);
    REQUIRE(prompt.size() == 9);
    prompt.resize(std::min<size_t>(prompt.size(), static_cast<size_t>(n_ctx)));
    REQUIRE(session->append(prompt).ok());
    Sampler sampler = greedy_sampler();
    const auto generated = generate(*session, sampler, at_most(-1), {});
    REQUIRE(generated.ok());
    CHECK(generated->reason == StopReason::context_full);
    // The last token was chosen, and had no place to be appended.
    CHECK(generated->tokens.size() == static_cast<size_t>(n_ctx) - prompt.size() + 1);
    CHECK(session->tokens().size() == static_cast<size_t>(n_ctx));
  }
}

TEST_CASE("session: a prompt longer than the context is an error that says what to do") {
  SessionOptions options;
  options.n_ctx = 8;
  const auto session = open(options);
  const auto status = session->append(encode(kPrompt));
  REQUIRE(!status.ok());
  CHECK(status.cause() == Cause::context_full);
  CHECK(status.to_string().find("9 tokens") != std::string::npos);
  CHECK(status.to_string().find("--ctx-size") != std::string::npos);
  CHECK(session->tokens().empty());
  CHECK(session->logits().empty());
}

TEST_CASE("session: options out of range are refused by name") {
  const auto refuses = [](auto change, const char* name) {
    SessionOptions options;
    change(options);
    const auto session = Session::create(model(), options);
    CAPTURE(name);
    REQUIRE(!session.ok());
    CHECK(session.status().cause() == Cause::invalid_argument);
    CHECK(session.status().to_string().find(name) != std::string::npos);
  };
  refuses([](SessionOptions& o) { o.n_ctx = -1; }, "ctx-size");
  refuses([](SessionOptions& o) { o.n_ctx = INT32_MAX; }, "ctx-size");
  refuses([](SessionOptions& o) { o.n_threads = -1; }, "threads");
  refuses([](SessionOptions& o) { o.n_threads = INT32_MAX; }, "threads");
  refuses([](SessionOptions& o) { o.batch_size = 0; }, "batch-size");
  refuses([](SessionOptions& o) { o.batch_size = INT32_MAX; }, "batch-size");
  refuses([](SessionOptions& o) { o.isa = "z80"; }, "isa");
}

TEST_CASE("session: tokens outside the vocabulary, and none at all, are the caller's mistake") {
  const auto session = open();
  const int32_t n_vocab = model()->config().n_vocab;
  for (const TokenId bad : {-1, n_vocab, INT32_MAX}) {
    const std::vector<TokenId> tokens = {1, bad};
    const auto status = session->append(tokens);
    CHECK(status.cause() == Cause::invalid_argument);
  }
  CHECK(session->append({}).cause() == Cause::invalid_argument);
  CHECK(session->continue_as({}).cause() == Cause::invalid_argument);
  CHECK(session->tokens().empty());
}

TEST_CASE("session: logits do not depend on chunks, on reuse or on which rows were wanted") {
  const std::vector<TokenId> tokens = encode(kPrompt + " girl named Lily. She loved to play");
  const auto reference = open();
  REQUIRE(reference->append(tokens).ok());
  const std::vector<float> expected(reference->logits().begin(), reference->logits().end());
  const auto is_expected = [&](const Session& session) {
    const auto logits = session.logits();
    return std::equal(logits.begin(), logits.end(), expected.begin(), expected.end());
  };
  for (const int32_t batch : {1, 3, 16}) {
    SessionOptions options;
    options.batch_size = batch;
    const auto session = open(options);
    REQUIRE(session->append(tokens).ok());
    CHECK(is_expected(*session));

    session->truncate(4);
    CHECK(session->logits().empty());
    CHECK(session->n_reusable(tokens) == 4);
    REQUIRE(session->continue_as(tokens).ok());
    CHECK(is_expected(*session));
    CHECK(session->tokens() == tokens);

    // All of it is held: only the last token is computed again.
    CHECK(session->n_reusable(tokens) == static_cast<int32_t>(tokens.size()) - 1);
    int32_t n_computed = 0;
    REQUIRE(session
                ->continue_as(tokens,
                              [&](int32_t, int32_t total) {
                                n_computed = total;
                                return true;
                              })
                .ok());
    CHECK(n_computed == 1);
    CHECK(is_expected(*session));

    session->truncate(0);
    std::vector<float> last;
    int32_t n_seen = 0;
    REQUIRE(session
                ->append_all_logits(tokens,
                                    [&](int32_t position, std::span<const float> logits) {
                                      CHECK(position == n_seen++);
                                      last.assign(logits.begin(), logits.end());
                                    })
                .ok());
    CHECK(n_seen == static_cast<int32_t>(tokens.size()));
    CHECK(last == expected);
    CHECK(is_expected(*session));
  }
}

TEST_CASE("session: a prefill can be cancelled, and what is done stays") {
  SessionOptions options;
  options.batch_size = 4;
  const auto session = open(options);
  const std::vector<TokenId> tokens = encode(kPrompt + " girl named Lily.");
  const auto status = session->append(tokens, [](int32_t done, int32_t) { return done < 8; });
  CHECK(status.cause() == Cause::cancelled);
  CHECK(session->tokens().size() == 8);
  CHECK(session->logits().empty());
  REQUIRE(session->continue_as(tokens).ok());
  CHECK(!session->logits().empty());
}

TEST_CASE("session: cancel() ends the running call or the next one, and only one") {
  const auto session = open();
  const std::vector<TokenId> tokens = encode(kPrompt);
  session->cancel();
  CHECK(session->append(tokens).cause() == Cause::cancelled);
  CHECK(session->append(tokens).ok());
  session->cancel();
  session->forget_cancel();
  CHECK(session->append(tokens).ok());

  Sampler sampler = greedy_sampler();
  GenerationOptions options = at_most(-1);
  options.ignore_end = true;
  std::thread other;
  const auto generated = generate(*session, sampler, options, [&](std::string_view) {
    if (!other.joinable()) other = std::thread([&] { session->cancel(); });
    return Flow::go_on;
  });
  other.join();
  REQUIRE(generated.ok());
  CHECK(generated->reason == StopReason::cancelled);
}

TEST_CASE("sampler options: a file's recommendations are read, and nonsense is refused") {
  using larder::formats::GgufFile;
  using larder::formats::GgufType;
  const auto own = larder::runtime::sampler_options_from(model()->file());
  REQUIRE(own.ok());
  CHECK(own->temperature == 0.5f);
  CHECK(own->top_p == 0.9f);
  CHECK(own->top_k == 40);

  const auto read = [](auto fill) {
    larder::formats::GgufWriter writer;
    fill(writer);
    const std::vector<std::byte> bytes = writer.header();
    const auto file = GgufFile::parse(bytes, "made.gguf");
    REQUIRE_MESSAGE(file.ok(), file.status().to_string());
    return larder::runtime::sampler_options_from(**file);
  };
  const auto all = read([](auto& writer) {
    writer.set_integer("general.sampling.top_k", GgufType::i32, -1);
    writer.set_float("general.sampling.min_p", GgufType::f64, 0.25);
    writer.set_integer("general.sampling.temp", GgufType::u32, 1);
    writer.set_float("general.sampling.penalty_repeat", GgufType::f32, 1.5);
    writer.set_integer("general.sampling.penalty_last_n", GgufType::i64, -1);
  });
  REQUIRE(all.ok());
  CHECK(all->top_k == 0);
  CHECK(all->min_p == 0.25f);
  CHECK(all->temperature == 1);
  CHECK(all->repeat_penalty == 1.5f);
  CHECK(all->repeat_last_n == -1);
  const auto refused = [&](auto fill, Cause cause) {
    const auto options = read(fill);
    REQUIRE(!options.ok());
    CHECK(options.status().cause() == cause);
    CHECK(options.status().to_string().find("general.sampling") != std::string::npos);
  };
  refused([](auto& w) { w.set_float("general.sampling.temp", GgufType::f32, -1); },
          Cause::hyper_parameter);
  refused([](auto& w) { w.set_float("general.sampling.top_p", GgufType::f32, 7); },
          Cause::hyper_parameter);
  refused([](auto& w) { w.set_string("general.sampling.temp", "hot"); }, Cause::value_type);
}
