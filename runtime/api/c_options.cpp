// Options, set one by one.
#include "runtime/api/arguments.h"
#include "runtime/api/larder.h"
#include "runtime/api/options.h"

namespace larder::runtime {
namespace {

template <class Value>
Outcome set(larder_options* options, larder_option option, Value value) {
  if (Outcome o = check(options); !o.ok()) return o;
  return (*options)->set(option, value);
}

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_options_new(larder_options** options, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (options == nullptr) return invalid("options is null");
    *options = nullptr;
    *options = new larder_options(std::in_place);
    return {};
  });
}

void larder_options_free(larder_options* options) {
  if (check(options).ok()) options->close(options);
}

larder_status larder_options_set_integer(larder_options* options, larder_option option,
                                         int64_t value, larder_error** error) {
  return guarded(error, [&] { return set(options, option, value); });
}

larder_status larder_options_set_real(larder_options* options, larder_option option, double value,
                                      larder_error** error) {
  return guarded(error, [&] { return set(options, option, value); });
}

larder_status larder_options_set_text(larder_options* options, larder_option option,
                                      const char* text, size_t n_bytes, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    const TextArgument argument{text, n_bytes};
    if (Outcome o = check(argument); !o.ok()) return o;
    return set(options, option, argument.view());
  });
}

larder_status larder_options_set_progress(larder_options* options, larder_progress_fn progress,
                                          void* user, larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (Outcome o = check(options); !o.ok()) return o;
    (*options)->progress = {progress, user};
    return {};
  });
}

larder_status larder_options_set_log(larder_options* options, larder_log_fn log, void* user,
                                     larder_error** error) {
  return guarded(error, [&]() -> Outcome {
    if (Outcome o = check(options); !o.ok()) return o;
    (*options)->log = {log, user};
    return {};
  });
}
