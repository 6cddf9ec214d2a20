#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "quant/dispatch.h"
#include "tests/golden_case.h"

using namespace larder;
using namespace larder::tests;

namespace {

// What is compared with the reference, and, of that, what is run in every other way, too.
const char* const kCases[] = {"mixtral",
                              "mixtral-256",
                              "qwen3moe",
                              "qwen3moe-256",
                              "qwen3moe-quant",
                              "llama-dense",
                              "qwen3-dense",
                              "gpt-oss",
                              "gpt-oss-mxfp4",
                              "phimoe",
                              "phimoe-256",
                              "dbrx",
                              "llama4",
                              "lfm2moe",
                              "qwen3next",
                              "qwen35moe",
                              "deepseek-v2",
                              "deepseek-v2-lite",
                              "deepseek-v2-lite-legacy",
                              "deepseek-v3",
                              "deepseek-v3-256",
                              "switch",
                              "qwen2moe",
                              "olmoe",
                              "granitemoe",
                              "granitemoeshared",
                              "glm4moe",
                              "dots1",
                              "bailingmoe2",
                              "ernie4_5-moe",
                              "hunyuan-moe",
                              "minimax-m2",
                              "deepseek"};
constexpr size_t kCasesInEveryWay = 22;

// Threads, and tokens of one call (0: all), beside one thread and all tokens.
struct Way {
  int threads;
  int32_t chunk;
};
constexpr Way kWays[] = {{1, 1}, {1, 7}, {2, 7}};

template <class F>
void for_each_case(size_t n_cases, F&& f) {
  for (const char* name : std::span(kCases).first(n_cases)) {
    const std::unique_ptr<GoldenCase> golden = load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no reference data for ", name);
      continue;
    }
    for (const quant::KernelSet* kernels : quant::kernel_sets()) {
      if (!quant::is_supported(*kernels)) continue;
      const std::string isa = kernels->name;
      INFO("case ", golden->name, ", instruction set ", isa);
      f(*golden, *kernels);
    }
  }
}

RunOptions exact(const quant::KernelSet& kernels) {
  RunOptions options;
  options.forward.arithmetic = quant::Arithmetic::exact;
  options.forward.kernels = &kernels;
  return options;
}

double max_difference(const std::vector<float>& a, const std::vector<float>& b, size_t b_from = 0) {
  REQUIRE(a.size() + b_from == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[b_from + i]);
    most = std::isnan(difference) ? INFINITY : std::max(most, difference);
  }
  return most;
}

double relative_rms(const std::vector<float>& reference, const std::vector<float>& other) {
  REQUIRE(reference.size() == other.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    error += std::pow(static_cast<double>(reference[i]) - static_cast<double>(other[i]), 2);
    norm += std::pow(static_cast<double>(reference[i]), 2);
  }
  return std::sqrt(error / norm);
}

void check_trace(const GoldenCase& golden, const PromptTrace& expected, const PromptTrace& got) {
  for (size_t l = 0; l < expected.layers.size(); ++l) {
    CAPTURE(l);
    CHECK(got.layers[l].experts == expected.layers[l].experts);
    CHECK(max_difference(expected.layers[l].weights, got.layers[l].weights) <=
          golden.weights_tolerance);
    CHECK(max_difference(expected.layers[l].out, got.layers[l].out) <= golden.out_tolerance);
  }
  CHECK(max_difference(expected.encoded, got.encoded) <= golden.out_tolerance);
  const auto from = static_cast<size_t>(expected.logits_from) *
                    static_cast<size_t>(golden.model->config().n_vocab);
  CHECK(max_difference(expected.logits, got.logits, from) <= golden.logits_tolerance);
}

void check_same_bits(const PromptTrace& a, const PromptTrace& b) {
  CHECK(a.logits == b.logits);
  CHECK(a.encoded == b.encoded);
  for (size_t l = 0; l < a.layers.size(); ++l) {
    CHECK(a.layers[l].out == b.layers[l].out);
    CHECK(a.layers[l].experts == b.layers[l].experts);
    CHECK(a.layers[l].weights == b.layers[l].weights);
  }
}

// The sources of all prompts in one batch, the last one first.
void encode_together(const GoldenCase& golden, runtime::Forward& forward,
                     std::span<runtime::SequenceState* const> sequences) {
  std::vector<runtime::TokenRow> rows;
  for (size_t s = sequences.size(); s-- > 0;)
    for (size_t i = 0; i < golden.prompts[s].source.size(); ++i)
      rows.push_back(
          {golden.prompts[s].source[i], static_cast<int32_t>(i), static_cast<int32_t>(s), false});
  if (rows.empty()) return;
  const Status status = forward.encode(rows, sequences);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
}

// The prompts in one batch, each a sequence of its own, in pieces that interleave.
std::vector<std::vector<float>> run_together(const GoldenCase& golden, const RunOptions& options,
                                             int32_t piece) {
  runtime::ForwardOptions with = options.forward;
  with.max_rows = with.max_logits = piece * static_cast<int32_t>(golden.prompts.size());
  auto forward = runtime::Forward::create(golden.model, with);
  REQUIRE(forward.ok());
  std::vector<std::unique_ptr<runtime::SequenceState>> states;
  std::vector<runtime::SequenceState*> sequences;
  int32_t longest = 0;
  for (const PromptTrace& prompt : golden.prompts) {
    const auto n = static_cast<int32_t>(prompt.tokens.size());
    longest = std::max(longest, n);
    auto state = runtime::SequenceState::create(golden.model->config(), n + 3, options.cache);
    REQUIRE(state.ok());
    sequences.push_back(state->get());
    states.push_back(std::move(*state));
  }
  encode_together(golden, **forward, sequences);
  std::vector<std::vector<float>> logits(sequences.size());
  for (int32_t begin = 0; begin < longest; begin += piece) {
    std::vector<runtime::TokenRow> rows;
    for (int32_t i = begin; i < begin + piece; ++i)
      for (size_t s = 0; s < sequences.size(); ++s)
        if (static_cast<size_t>(i) < golden.prompts[s].tokens.size())
          rows.push_back(
              {golden.prompts[s].tokens[static_cast<size_t>(i)], i, static_cast<int32_t>(s), true});
    const Status status = (*forward)->run(rows, sequences);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    for (size_t r = 0; r < rows.size(); ++r) {
      const float* from = (*forward)->logits(static_cast<int>(r));
      auto& to = logits[static_cast<size_t>(rows[r].sequence)];
      to.insert(to.end(), from, from + golden.model->config().n_vocab);
    }
  }
  return logits;
}

}  // namespace

TEST_CASE("golden: routes, weights, layer outputs and logits with float activations") {
  for_each_case(std::size(kCases), [](const GoldenCase& golden, const quant::KernelSet& kernels) {
    for (const PromptTrace& prompt : golden.prompts) {
      RunOptions options = exact(kernels);
      // the reference chooses LongRoPE's factors by the length of each prompt
      options.forward.max_positions = static_cast<int32_t>(prompt.tokens.size());
      check_trace(golden, prompt, run_tokens(golden.model, prompt.tokens, options, prompt.source));
    }
  });
}

TEST_CASE("golden: greedy continuation, token by token") {
  for_each_case(std::size(kCases), [](const GoldenCase& golden, const quant::KernelSet& kernels) {
    const PromptTrace& prompt = golden.prompts[static_cast<size_t>(golden.greedy_prompt)];
    const auto n = static_cast<int32_t>(prompt.tokens.size());
    runtime::ForwardOptions options = exact(kernels).forward;
    options.max_rows = n;
    options.max_positions = n + 32;
    auto forward = runtime::Forward::create(golden.model, options);
    REQUIRE(forward.ok());
    auto state =
        runtime::SequenceState::create(golden.model->config(), n + 32, runtime::CacheType::f32);
    REQUIRE(state.ok());
    encode_source(**forward, **state, prompt.source);
    runtime::SequenceState* sequences[] = {state->get()};
    std::vector<runtime::TokenRow> rows;
    for (int32_t i = 0; i < n; ++i)
      rows.push_back({prompt.tokens[static_cast<size_t>(i)], i, 0, i == n - 1});
    std::vector<int32_t> tokens;
    while (tokens.size() < golden.greedy_tokens.size()) {
      const Status status = (*forward)->run(rows, sequences);
      REQUIRE_MESSAGE(status.ok(), status.to_string());
      tokens.push_back(
          kernels.vector.argmax((*forward)->logits(0), golden.model->config().n_vocab));
      rows.assign(1, {tokens.back(), (*state)->n_positions(), 0, true});
    }
    CHECK(tokens == golden.greedy_tokens);
  });
}

TEST_CASE("golden: the same bits in pieces, on threads and beside neighbours") {
  for_each_case(kCasesInEveryWay, [](const GoldenCase& golden, const quant::KernelSet& kernels) {
    RunOptions options = exact(kernels);
    // float weights are multiplied the same way in both
    const bool rounds = golden.name == "qwen3moe-quant" || golden.name == "gpt-oss-mxfp4";
    for (const bool is_exact : {true, false}) {
      if (is_exact && !rounds) continue;
      options.forward.arithmetic = is_exact ? quant::Arithmetic::exact : quant::Arithmetic::integer;
      std::vector<PromptTrace> whole;
      options.chunk = 0;
      options.forward.n_threads = 1;
      for (const PromptTrace& prompt : golden.prompts)
        whole.push_back(run_tokens(golden.model, prompt.tokens, options, prompt.source));
      for (const auto& [threads, chunk] : kWays) {
        options.chunk = chunk;
        options.forward.n_threads = threads;
        CAPTURE(threads);
        CAPTURE(chunk);
        check_same_bits(whole[1], run_tokens(golden.model, golden.prompts[1].tokens, options,
                                             golden.prompts[1].source));
      }
      options.forward.n_threads = 1;
      for (const int32_t piece : {1, 11}) {
        const auto together = run_together(golden, options, piece);
        for (size_t s = 0; s < together.size(); ++s) CHECK(together[s] == whole[s].logits);
      }
    }
  });
}

// The reference's routing is imposed, so that what is left is the rounding of activations and, in
// the second figure, of the cache.
TEST_CASE("golden: what integer kernels and a float16 cache add") {
  for_each_case(kCasesInEveryWay, [](const GoldenCase& golden, const quant::KernelSet& kernels) {
    const PromptTrace& prompt = golden.prompts.back();
    RunOptions options = exact(kernels);
    options.forced = &prompt;
    const auto added = [&](quant::Arithmetic arithmetic, runtime::CacheType cache) {
      options.forward.arithmetic = arithmetic;
      options.cache = cache;
      const PromptTrace got = run_tokens(golden.model, prompt.tokens, options, prompt.source);
      double most = 0;
      for (size_t l = 0; l < got.layers.size(); ++l)
        most = std::max(most, relative_rms(prompt.layers[l].out, got.layers[l].out));
      return most;
    };
    const double integer = added(quant::Arithmetic::integer, runtime::CacheType::f32);
    const double both = added(quant::Arithmetic::integer, runtime::CacheType::f16);
    MESSAGE(golden.name, " ", std::string(kernels.name), ": integer kernels ", integer,
            ", with a float16 cache ", both, " (relative rms of the worst layer's output)");
    // Rounding to 1/127 of a block's maximum, about 3 rms, is an error of 3 / 127 / sqrt(12) =
    // 0.7 % of the rms in each of a layer's sums; what several layers make of it stays below 5 %.
    CHECK(integer <= 0.05);
    CHECK(both <= 0.05);
  });
}

// A rounded cache moves logits in two ways: by what the rounding adds, and, where it turns a router
// to another expert, by what that expert answers. Without the second the first is small.
TEST_CASE("golden: a q8_0 cache moves logits little where routes stay as they are") {
  for_each_case(std::size(kCases), [](const GoldenCase& golden, const quant::KernelSet& kernels) {
    const runtime::CacheType rounded = runtime::CacheType::q8_0;
    if (!runtime::SequenceState::check(golden.model->config(), rounded).ok()) return;
    for (const PromptTrace& prompt : golden.prompts) {
      RunOptions options = exact(kernels);
      const PromptTrace whole = run_tokens(golden.model, prompt.tokens, options, prompt.source);
      options.cache = rounded;
      const PromptTrace free = run_tokens(golden.model, prompt.tokens, options, prompt.source);
      options.forced = &whole;
      const PromptTrace forced = run_tokens(golden.model, prompt.tokens, options, prompt.source);
      const double added = relative_rms(whole.logits, forced.logits);
      const double with_routes = relative_rms(whole.logits, free.logits);
      CAPTURE(added);
      CAPTURE(with_routes);
      CHECK(added > 0);
      // Half of 1/127 of a block's maximum at most, as for activations: an error of 0.7 % in each
      // of a layer's keys and values.
      CHECK(added <= 0.02);
      size_t n_turned = 0;
      for (size_t l = 0; l < whole.layers.size(); ++l)
        n_turned += whole.layers[l].experts != free.layers[l].experts;
      CHECK((n_turned > 0 || with_routes <= 0.02));
    }
  });
}
