#include "runtime/session/session_options.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "quant/dispatch.h"
#include "quant/parallel.h"
#include "runtime/model/token_work.h"
#include "runtime/session/sequence_state.h"

namespace larder::runtime {
namespace {

constexpr int kMaxThreads = 1024;       // more than any one machine's team can use
constexpr int32_t kMaxBatch = 1 << 16;  // keeps every buffer size far from overflow
// A decoded token reads this much for every thread at least. Below, its barriers cost what another
// thread saves, and on a busy machine many times that. Measured on Zen 5 with the bundled model
// (4 MiB a token): 4,200 tokens a second with one thread; with two 2,500, and 40 beside others.
constexpr uint64_t kBytesPerThread = uint64_t{8} << 20;

Status bad_option(std::string_view name, std::string message) {
  return Status(Cause::invalid_argument, std::move(message), "option " + std::string(name));
}

int default_threads(const Model& model) {
  const TokenWork work = token_work(model.config(), model.weights(), {});
  const uint64_t useful = 1 + work.decode(1).bytes / kBytesPerThread;
  return static_cast<int>(std::min<uint64_t>(useful, quant::default_threads()));
}

}  // namespace

Result<SessionOptions> fill_in(SessionOptions options, const Model& model) {
  const ModelConfig& config = model.config();
  if (options.n_ctx < 0 || options.n_ctx > kMaxContext) {
    return bad_option("ctx-size", "must be between 1 and " + std::to_string(kMaxContext) +
                                      ", or 0 for the model's own");
  }
  if (options.n_ctx == 0) {
    options.n_ctx = config.context_length > 0 ? std::min(config.context_length, kDefaultContext)
                                              : kDefaultContext;
  }
  if (options.n_threads < 0 || options.n_threads > kMaxThreads) {
    return bad_option("threads", "must be between 1 and " + std::to_string(kMaxThreads) +
                                     ", or 0 for the machine's cores");
  }
  if (options.n_threads == 0) options.n_threads = default_threads(model);
  options.n_threads = choose_threads(options.n_threads);
  if (options.batch_size < 1 || options.batch_size > kMaxBatch) {
    return bad_option("batch-size", "must be between 1 and " + std::to_string(kMaxBatch));
  }
  options.batch_size = std::min(options.batch_size, options.n_ctx);
  const CacheType unasked = options.exact ? CacheType::f32 : CacheType::f16;
  options.cache_k = options.cache_k.value_or(unasked);
  options.cache_v = options.cache_v.value_or(unasked);
  if (Status s = SequenceState::check(config, {*options.cache_k, *options.cache_v}); !s.ok())
    return s;
  return options;
}

int choose_threads(int n_asked) {
  return n_asked > 0 ? std::min(n_asked, quant::most_threads()) : quant::default_threads();
}

Result<const quant::KernelSet*> choose_kernels(const std::string& name) {
  if (name.empty()) return &quant::best_kernels();
  if (const quant::KernelSet* kernels = quant::find_kernels(name)) return kernels;
  std::string known;
  for (const quant::KernelSet* kernels : quant::kernel_sets()) {
    if (!quant::is_supported(*kernels)) continue;
    known += (known.empty() ? "" : ", ") + std::string(kernels->name);
  }
  return bad_option("isa",
                    "\"" + name + "\" is unknown or this machine lacks it; it has: " + known);
}

ForwardOptions forward_options(const SessionOptions& options, const quant::KernelSet* kernels) {
  ForwardOptions forward;
  forward.arithmetic = options.exact ? quant::Arithmetic::exact : quant::Arithmetic::integer;
  forward.n_threads = options.n_threads;
  forward.max_rows = options.batch_size;
  forward.max_positions = options.n_ctx;
  forward.kernels = kernels;
  return forward;
}

Status check_threads(int n_threads) {
  if (quant::can_start_threads(n_threads)) return {};
  return Status(Cause::out_of_memory, "the system refuses " + std::to_string(n_threads) +
                                          " threads; choose fewer with --threads, or raise its "
                                          "limits of processes and memory");
}

}  // namespace larder::runtime
