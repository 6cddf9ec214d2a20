// Chooses the kernels once: the best this machine can run, or one by name.
#pragma once

#include <span>
#include <string_view>

#include "quant/kernel_set.h"

namespace larder::quant {

// All sets of this build, best first: "avx512-vnni", "avx-vnni", "avx2", "scalar".
std::span<const KernelSet* const> kernel_sets() noexcept;
// Whether this machine (processor and operating system) can run them.
bool is_supported(const KernelSet& kernels) noexcept;
// The first supported set; "scalar" runs on any x86-64.
const KernelSet& best_kernels() noexcept;
// Null for a name that is unknown or not supported here: never a silent other.
const KernelSet* find_kernels(std::string_view name) noexcept;

}  // namespace larder::quant
