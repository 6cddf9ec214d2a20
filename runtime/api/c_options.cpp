// Options, set one by one.
#include "runtime/api/arguments.h"
#include "runtime/api/larder.h"
#include "runtime/api/options.h"

using namespace larder;
using namespace larder::runtime;

larder_status larder_options_new(larder_options** options, larder_error** error) {
  return guarded(error, cleared(options), [options]() -> Outcome {
    *options = new larder_options(std::in_place);
    return {};
  });
}

void larder_options_free(larder_options* options) { close_quietly(options); }

larder_status larder_options_set_integer(larder_options* options, larder_option option,
                                         int64_t value, larder_error** error) {
  return guarded(error, check(options), [=] { return (*options)->set(option, value); });
}

larder_status larder_options_set_real(larder_options* options, larder_option option, double value,
                                      larder_error** error) {
  return guarded(error, check(options), [=] { return (*options)->set(option, value); });
}

larder_status larder_options_set_text(larder_options* options, larder_option option,
                                      const char* text, size_t n_bytes, larder_error** error) {
  const TextArgument value{text, n_bytes};
  return guarded(error, first_failure(check(value), check(options)),
                 [&] { return (*options)->set(option, value.view()); });
}

larder_status larder_options_set_progress(larder_options* options, larder_progress_fn progress,
                                          void* user, larder_error** error) {
  return guarded(error, check(options), [=]() -> Outcome {
    (*options)->progress = {progress, user};
    return {};
  });
}

larder_status larder_options_set_log(larder_options* options, larder_log_fn log, void* user,
                                     larder_error** error) {
  return guarded(error, check(options), [=]() -> Outcome {
    (*options)->log = {log, user};
    return {};
  });
}
