// The program: understands the command line and runs one subcommand.
#include <fcntl.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "apps/exit_code.h"
#include "apps/options.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/usage_error.h"

namespace larder::apps {
namespace {

// Where a standard stream is closed, no file opened later may take its number. What is opened in
// its place fails as a closed one does.
void hold_standard_streams() {
  for (const int descriptor : {0, 1, 2}) {
    if (fcntl(descriptor, F_GETFD) < 0)
      (void)!open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
  }
}

int understand_and_run(int argc, char** argv) {
  CLI::App program("Runs quantized mixture-of-experts language models on ordinary CPUs.", "larder");
  program.set_version_flag("--version", "larder " LARDER_VERSION);
  program.require_subcommand(0, 1);  // none is told below, after an unknown word was named
  program.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  program.footer(
      "`larder COMMAND --help` tells a command's options. Without -m, the bundled model.");
  Run run;
  for (const auto add : {add_chat, add_generate, add_tokenize, add_render, add_logits, add_inspect,
                         add_experts, add_score, add_perplexity, add_imatrix, add_compare,
                         add_sensitivity, add_quantize, add_convert, add_batch, add_bench}) {
    add(program, run);
  }
  try {
    program.parse(read_arguments(argc, argv));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    complain(usage_message(program, error));
    return kUsage;
  }
  if (!run) {
    complain("a command is needed; `larder --help` lists them");
    return kUsage;
  }
  return run();
}

}  // namespace
}  // namespace larder::apps

int main(int argc, char** argv) {
  using namespace larder::apps;
  hold_standard_streams();
  install_signal_handlers();
  try {
    return understand_and_run(argc, argv);
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return kOverBudget;
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return kFailure;
}
