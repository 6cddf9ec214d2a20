// What the processor offers and the operating system saves on a context switch.
#pragma once

namespace larder::quant {

struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA and F16C
  bool avx_vnni = false;     // AVX-VNNI, and all of avx2
  bool avx512_vnni = false;  // AVX-512 F, BW, DQ, VL and VNNI, and all of avx2
};

CpuFeatures detect_cpu_features() noexcept;

}  // namespace larder::quant
