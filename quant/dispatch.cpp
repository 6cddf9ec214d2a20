#include "quant/dispatch.h"

#include <array>

#include "quant/isa/cpu_features.h"

namespace larder::quant {

namespace avx512_vnni {
extern const KernelSet kKernels;
}
namespace avx_vnni {
extern const KernelSet kKernels;
}
namespace avx2 {
extern const KernelSet kKernels;
}
namespace scalar {
extern const KernelSet kKernels;
}

namespace {

constexpr std::array kSets = {&avx512_vnni::kKernels, &avx_vnni::kKernels, &avx2::kKernels,
                              &scalar::kKernels};

const CpuFeatures& features() noexcept {
  static const CpuFeatures detected = detect_cpu_features();
  return detected;
}

}  // namespace

std::span<const KernelSet* const> kernel_sets() noexcept { return kSets; }

bool is_supported(const KernelSet& kernels) noexcept {
  if (&kernels == &avx512_vnni::kKernels) return features().avx512_vnni;
  if (&kernels == &avx_vnni::kKernels) return features().avx_vnni;
  if (&kernels == &avx2::kKernels) return features().avx2;
  return &kernels == &scalar::kKernels;
}

const KernelSet& best_kernels() noexcept {
  for (const KernelSet* set : kSets) {
    if (is_supported(*set)) return *set;
  }
  return scalar::kKernels;
}

const KernelSet* find_kernels(std::string_view name) noexcept {
  for (const KernelSet* set : kSets) {
    if (name == set->name && is_supported(*set)) return set;
  }
  return nullptr;
}

}  // namespace larder::quant
