// What a thread does between two looks at memory that another is about to write.
#pragma once

#include <immintrin.h>

namespace larder::quant {

// Leaves the core to its other thread for a moment; every x86-64 has it.
inline void spin_pause() noexcept { _mm_pause(); }

}  // namespace larder::quant
