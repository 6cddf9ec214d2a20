// The subcommands, one file each. Every function declares its options; parsing it chooses `run`.
#pragma once

#include <CLI/CLI.hpp>

#include "apps/options.h"

namespace larder::apps {

void add_chat(CLI::App& program, Run& run);
void add_generate(CLI::App& program, Run& run);
void add_tokenize(CLI::App& program, Run& run);
void add_render(CLI::App& program, Run& run);
void add_logits(CLI::App& program, Run& run);
void add_inspect(CLI::App& program, Run& run);
void add_experts(CLI::App& program, Run& run);
void add_batch(CLI::App& program, Run& run);
void add_perplexity(CLI::App& program, Run& run);
void add_imatrix(CLI::App& program, Run& run);
void add_compare(CLI::App& program, Run& run);
void add_sensitivity(CLI::App& program, Run& run);
void add_quantize(CLI::App& program, Run& run);
void add_convert(CLI::App& program, Run& run);
void add_score(CLI::App& program, Run& run);
void add_bench(CLI::App& program, Run& run);

}  // namespace larder::apps
