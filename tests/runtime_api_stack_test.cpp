// Calls on threads whose stack is exactly what larder(3) says that they need.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "quant/dispatch.h"
#include "runtime/api/larder_batch.h"
#include "runtime/convert/file_quantizer.h"
#include "runtime/convert/quant_mix.h"
#include "tests/api_objects.h"
#include "tests/source_tree.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr size_t kFrameGrowth = 8;  // frames of sanitizers and of code that is not optimised
#else
constexpr size_t kFrameGrowth = 1;
#endif
constexpr size_t kComputingBytes = size_t{256} << 10, kTemplateBytes = size_t{2} << 20;  // as told
constexpr size_t kGuardBytes = size_t{1} << 20;

// Memory for a thread's stack, with some below that nobody may touch.
class PaintedStack {
 public:
  explicit PaintedStack(size_t told_bytes) : n_bytes_(told_bytes * kFrameGrowth) {
    void* const all = mmap(nullptr, kGuardBytes + n_bytes_, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(all != MAP_FAILED);
    all_ = static_cast<unsigned char*>(all);
    REQUIRE(mprotect(stack(), n_bytes_, PROT_READ | PROT_WRITE) == 0);
  }
  PaintedStack(const PaintedStack&) = delete;
  PaintedStack& operator=(const PaintedStack&) = delete;
  ~PaintedStack() { munmap(all_, kGuardBytes + n_bytes_); }

  // Runs f on a thread with this stack: how many bytes of it were written to.
  size_t run(const std::function<void()>& f) {
    std::memset(stack(), kPaint, n_bytes_);
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstack(&attributes, stack(), n_bytes_) == 0);
    pthread_t thread = {};
    const auto call = [](void* function) -> void* {
      (*static_cast<const std::function<void()>*>(function))();
      return nullptr;
    };
    REQUIRE(pthread_create(&thread, &attributes, call,
                           const_cast<void*>(static_cast<const void*>(&f))) == 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    const auto deepest =
        std::find_if(stack(), stack() + n_bytes_, [](unsigned char c) { return c != kPaint; });
    return static_cast<size_t>(stack() + n_bytes_ - deepest);
  }

 private:
  static constexpr unsigned char kPaint = 0xa5;
  unsigned char* stack() const { return all_ + kGuardBytes; }
  size_t n_bytes_;
  unsigned char* all_ = nullptr;
};

struct Call {
  const char* what;
  std::function<larder_status()> run;
};

// Makes the calls, each on a thread of its own. The most that one takes.
size_t run_all(const std::string& where, const std::vector<Call>& calls) {
  PaintedStack stack(kComputingBytes);
  size_t most = 0;
  for (const Call& call : calls) {
    CAPTURE(where);
    CAPTURE(call.what);
    larder_status status = LARDER_INTERNAL;
    const size_t n = stack.run([&] { status = call.run(); });
    CHECK(status == LARDER_OK);
    most = std::max(most, n);
  }
  return most;
}

std::vector<int32_t> some_tokens(size_t n) {
  std::vector<int32_t> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<int32_t>((i * 37 + 11) % 250);
  return ids;
}

// Loading, reading a prompt in one pass, tokens one by one and four at once.
size_t computing(const std::string& path, const std::string& isa) {
  const ApiOptions options = new_options({{LARDER_OPTION_CONTEXT_SIZE, 128},
                                          {LARDER_OPTION_THREADS, 2},
                                          {LARDER_OPTION_MAX_TOKENS, 4}});
  REQUIRE(larder_options_set_text(options.get(), LARDER_OPTION_ISA, isa.data(), isa.size(),
                                  nullptr) == LARDER_OK);
  larder_model* model = nullptr;
  larder_session* session = nullptr;
  larder_batch* batch = nullptr;
  const std::vector<int32_t> ids = some_tokens(64);
  const larder_options* const with = options.get();
  const size_t most = run_all(
      path + ", " + isa,
      {{"open", [&] { return larder_model_open(path.data(), path.size(), with, &model, nullptr); }},
       {"session", [&] { return larder_session_open(model, with, &session, nullptr); }},
       {"decode", [&] { return larder_session_step(session, 5, nullptr); }},
       {"4 tokens", [&] { return larder_session_prefill(session, ids.data(), 4, nullptr); }},
       {"prefill", [&] { return larder_session_prefill(session, ids.data(), 64, nullptr); }},
       {"generate",
        [&] { return larder_session_generate(session, with, nullptr, nullptr, nullptr, nullptr); }},
       {"batch", [&] { return larder_batch_open(model, with, &batch, nullptr); }},
       {"add", [&] { return larder_batch_score(batch, 1, ids.data(), 3, &ids[3], 9, nullptr); }},
       {"step", [&] {
          size_t n_held = 0;
          return larder_batch_step(batch, &n_held, nullptr);
        }}});
  larder_batch_close(batch);
  larder_session_close(session);
  larder_model_close(model);
  return most;
}

// Of a model that is wide enough for every type, one file for each mix of types.
std::vector<std::string> write_mixes(const TemporaryDirectory& folder) {
  TinyShape shape;
  shape.d_model = shape.d_ff = 256;
  const auto in = formats::GgufFile::open(folder.write("float.gguf", tiny_model(shape).build()));
  REQUIRE(in.ok());
  std::vector<std::string> paths;
  for (const runtime::QuantMix& mix : runtime::quant_mixes()) {
    const runtime::MixModel model = runtime::mix_model(**in, false);
    const auto plan = runtime::plan_quantization(
        **in,
        [&](const formats::GgufTensor& tensor) { return runtime::format_in(mix, model, tensor); },
        {});
    REQUIRE(plan.ok());
    paths.push_back(folder.path(std::string(mix.name) + ".gguf"));
    runtime::FileQuantizerOptions options;
    options.kernels = &quant::best_kernels();
    REQUIRE(runtime::quantize_file(**in, *plan, paths.back(), options).ok());
  }
  return paths;
}

std::string repeated(const std::string& text, size_t n) {
  std::string all;
  while (n-- > 0) all += text;
  return all;
}

// A macro whose calls, in this expression, go on until a limit ends them.
std::string endless(const std::string& expression) {
  return "{% macro f(n) %}{{ " + expression + " }}{% endmacro %}{{ f(1) }}";
}

}  // namespace

TEST_CASE("C library: larder(3) says how much stack callers need") {
  const std::string page = read_source("runtime/api/larder.3");
  CHECK(page.find(std::to_string(kComputingBytes >> 10) + " KiB of stack") != std::string::npos);
  CHECK(page.find(std::to_string(kTemplateBytes >> 20) + " MiB") != std::string::npos);
}

TEST_CASE("C library: computing needs no more stack than larder(3) says") {
  const TemporaryDirectory folder;
  const std::vector<std::string> paths = write_mixes(folder);
  REQUIRE(paths.size() > 10);
  for (const quant::KernelSet* kernels : quant::kernel_sets()) {
    if (!quant::is_supported(*kernels)) continue;
    size_t most = 0;
    for (const std::string& path : paths)
      most = std::max(most, computing(path, std::string(kernels->name)));
    MESSAGE(std::string(kernels->name), ": ", most, " bytes of stack");
  }
}

TEST_CASE("C library: nor do templates and messages, as deep as they may nest") {
  const ApiModel model = open_api_model();
  constexpr size_t kDepth = 190;  // 200 is the limit
  const std::string nested = repeated("[", kDepth) + repeated("]", kDepth);
  const std::string message = R"([{"role": "user", "content": "a", "x": )" + nested + "}]";
  const std::string calls = repeated("range(", kDepth) + "1" + repeated(")", kDepth);
  const std::string templates[] = {
      "{{ " + repeated("(", kDepth) + "1" + repeated(")", kDepth) + " }}",
      "{{ " + calls + " }}",
      "{{ " + repeated("{1:", kDepth) + "1" + repeated("}", kDepth) + " }}",
      "{{ 1 | default(" + repeated("2 | default(", kDepth) + "1" + repeated(")", kDepth) + ") }}",
      "{{ x" + repeated("[x", kDepth) + repeated("]", kDepth) + " }}",
      "{% set x = " + nested + " %}{{ x | tojson }}{{ x }}{{ x == x }}",
      "{{ messages | tojson }}{{ messages }}{{ messages == messages }}",
      repeated("{% if true %}", kDepth) + "a" + repeated("{% endif %}", kDepth),
      repeated("{% for i in [1] %}", kDepth) + "a" + repeated("{% endfor %}", kDepth),
      endless("f(n)"),
      "{% macro f(n) %}{% if n %}{% for i in [1] %}{{ (f(n)) }}{% endfor %}{% endif %}"
      "{% endmacro %}{{ f(1) }}",
      endless(repeated("range(", 150) + "f(n)" + repeated(")", 150)),
      endless(repeated("1 | default(", 150) + "f(n)" + repeated(")", 150)),
      endless(repeated("namespace(a=", 150) + "f(n)" + repeated(")", 150)),
      endless(repeated("{1:", 150) + "f(n)" + repeated("}", 150)),
      endless("[1] | map('default', f(n)) | list")};
  PaintedStack stack(kTemplateBytes);
  size_t most = 0;
  for (const std::string& text : templates) {
    CAPTURE(text);
    const ApiOptions options = new_options();
    REQUIRE(larder_options_set_text(options.get(), LARDER_OPTION_TEMPLATE, text.data(), text.size(),
                                    nullptr) == LARDER_OK);
    const ApiMessages messages = conversation({});
    larder_status added = LARDER_INTERNAL, rendered = LARDER_INTERNAL;
    const size_t n = stack.run([&] {
      char* prompt = nullptr;
      size_t n_bytes = 0;
      added = larder_messages_add_json(messages.get(), message.data(), message.size(), nullptr);
      rendered = larder_model_apply_template(model.get(), messages.get(), options.get(), &prompt,
                                             &n_bytes, nullptr);
      larder_free(prompt);
    });
    CHECK(added == LARDER_OK);
    CHECK((rendered == LARDER_OK || rendered == LARDER_TEMPLATE));  // what recurs without an end
    most = std::max(most, n);
  }
  MESSAGE(most, " bytes of stack");
}

}  // namespace larder::tests
