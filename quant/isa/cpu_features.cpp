#include "quant/isa/cpu_features.h"

#include <cstdint>
#include <xsimd/xsimd.hpp>

namespace larder::quant {
namespace {

// Bits of XCR0: the register files that the operating system saves. Source: Intel SDM vol. 1, 13.3.
constexpr uint32_t kSavesYmm = 0x06;
constexpr uint32_t kSavesZmm = 0xe6;

// Bits of CPUID leaf 1, ecx. Source: Intel SDM vol. 2, CPUID.
constexpr uint32_t kHasXsave = 1u << 27;
constexpr uint32_t kHasF16c = 1u << 29;

// Bit of CPUID leaf 7, sub-leaf 1, eax.
constexpr uint32_t kHasAvxVnni = 1u << 4;

struct Cpuid {
  uint32_t eax, ebx, ecx, edx;
};

Cpuid cpuid(uint32_t leaf, uint32_t sub_leaf) noexcept {
  Cpuid r{leaf, 0, sub_leaf, 0};
  __asm__("cpuid" : "+a"(r.eax), "=b"(r.ebx), "+c"(r.ecx), "=d"(r.edx));
  return r;
}

bool has_avx_vnni() noexcept {
  return cpuid(0, 0).eax >= 7 && cpuid(7, 0).eax >= 1 && (cpuid(7, 1).eax & kHasAvxVnni) != 0;
}

// REQUIRES: kHasXsave.
uint32_t saved_registers() noexcept {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

CpuFeatures detect_cpu_features() noexcept {
  // xsimd asks the processor alone, not the operating system, and knows neither F16C nor VL nor
  // VNNI.
  const auto known = xsimd::available_architectures();
  CpuFeatures features;
  constexpr uint32_t kNeeded = kHasXsave | kHasF16c;
  if (!known.fma3_avx2 || (cpuid(1, 0).ecx & kNeeded) != kNeeded) return features;
  const uint32_t saved = saved_registers();
  features.avx2 = (saved & kSavesYmm) == kSavesYmm;
  features.avx_vnni = features.avx2 && has_avx_vnni();
  __builtin_cpu_init();
  features.avx512_vnni = features.avx2 && (saved & kSavesZmm) == kSavesZmm && known.avx512f &&
                         known.avx512bw && known.avx512dq && __builtin_cpu_supports("avx512vl") &&
                         __builtin_cpu_supports("avx512vnni");
  return features;
}

}  // namespace larder::quant
