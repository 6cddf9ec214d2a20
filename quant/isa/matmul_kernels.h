// All kernels of one instruction set, as dispatch.cpp sees them.
#pragma once

#include "quant/isa/dot_iq4.h"
#include "quant/isa/dot_mxfp4.h"
#include "quant/isa/dot_q2_k.h"
#include "quant/isa/dot_q3_k.h"
#include "quant/isa/dot_q4.h"
#include "quant/isa/dot_q4_k.h"
#include "quant/isa/dot_q5.h"
#include "quant/isa/dot_q5_k.h"
#include "quant/isa/dot_q6_k.h"
#include "quant/isa/dot_q8_0.h"
#include "quant/isa/gemv.h"
#include "quant/isa/panel_gemm.h"
#include "quant/isa/small_block_gemv.h"

namespace larder::quant {

template <class Isa, template <class> class Dot>
struct FormatKernels {
  static constexpr auto gemv() {
    if constexpr (sizeof(typename Dot<Isa>::Activation) == sizeof(ActivationBlock256)) {
      return &Gemv<Isa, Dot<Isa>>::run;
    } else {
      return &SmallBlockGemv<Isa, Dot<Isa>>::run;
    }
  }
  static constexpr MatmulKernels kKernels = {gemv(), &Panel<Isa, Dot<Isa>>::pack,
                                             &PanelGemm<Isa, Dot<Isa>>::run,
                                             &Panel<Isa, Dot<Isa>>::bytes};
};

template <class Isa>
constexpr KernelSet kernel_set(const char* name, const char* description,
                               const VectorKernels& vector, const ProbeKernels& probe) {
  KernelSet set{name, description, {}, vector, probe};
  const auto at = [&set](Format format) -> const MatmulKernels*& {
    return set.matmul[static_cast<int>(format)];
  };
  at(Format::q4_0) = &FormatKernels<Isa, DotQ4_0>::kKernels;
  at(Format::q4_1) = &FormatKernels<Isa, DotQ4_1>::kKernels;
  at(Format::q5_0) = &FormatKernels<Isa, DotQ5_0>::kKernels;
  at(Format::q5_1) = &FormatKernels<Isa, DotQ5_1>::kKernels;
  at(Format::q8_0) = &FormatKernels<Isa, DotQ8_0>::kKernels;
  at(Format::q2_k) = &FormatKernels<Isa, DotQ2_K>::kKernels;
  at(Format::q3_k) = &FormatKernels<Isa, DotQ3_K>::kKernels;
  at(Format::q4_k) = &FormatKernels<Isa, DotQ4_K>::kKernels;
  at(Format::q5_k) = &FormatKernels<Isa, DotQ5_K>::kKernels;
  at(Format::q6_k) = &FormatKernels<Isa, DotQ6_K>::kKernels;
  at(Format::iq4_nl) = &FormatKernels<Isa, DotIQ4_NL>::kKernels;
  at(Format::iq4_xs) = &FormatKernels<Isa, DotIQ4_XS>::kKernels;
  at(Format::mxfp4) = &FormatKernels<Isa, DotMXFP4>::kKernels;
  return set;
}

}  // namespace larder::quant
