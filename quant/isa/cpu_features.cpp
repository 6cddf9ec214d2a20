#include "quant/isa/cpu_features.h"

#include <cpuid.h>

#include <cstdint>
#include <xsimd/xsimd.hpp>

namespace larder::quant {
namespace {

// Bits of XCR0: the register files that the operating system saves. Source: Intel SDM vol. 1, 13.3.
constexpr uint32_t kSavesYmm = 0x06;
constexpr uint32_t kSavesZmm = 0xe6;
constexpr uint32_t kLeaf1EcxOsXsave = 1u << 27;

uint32_t saved_registers() noexcept {
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kLeaf1EcxOsXsave) == 0) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

CpuFeatures detect_cpu_features() noexcept {
  // xsimd asks the processor only, and knows neither F16C nor VL nor VNNI.
  const auto known = xsimd::available_architectures();
  __builtin_cpu_init();
  const uint32_t saved = saved_registers();
  CpuFeatures features;
  features.avx2 = known.fma3_avx2 && __builtin_cpu_supports("avx2") &&
                  __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
                  (saved & kSavesYmm) == kSavesYmm;
  features.avx512_vnni = features.avx2 && known.avx512f && known.avx512bw && known.avx512dq &&
                         __builtin_cpu_supports("avx512vl") &&
                         __builtin_cpu_supports("avx512vnni") && (saved & kSavesZmm) == kSavesZmm;
  return features;
}

}  // namespace larder::quant
