#include "quant/isa/dot_probe_avx512.h"
#include "quant/isa/int8_avx512.h"
#include "quant/isa/matmul_kernels.h"
#include "quant/isa/probes.h"
#include "quant/isa/vector_ops.h"

namespace larder::quant::avx512_vnni {

extern const KernelSet kKernels;
constinit const KernelSet kKernels =
    kernel_set<Avx512VnniInt8>("avx512-vnni", "AVX-512 F, BW, DQ, VL and VNNI",
                               vector_kernels<Avx512Vnni>(), probe_kernels<Avx512Vnni, DotProbe>());

}  // namespace larder::quant::avx512_vnni
