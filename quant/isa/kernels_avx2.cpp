#include "quant/isa/dot_probe_avx2.h"
#include "quant/isa/int8_avx2.h"
#include "quant/isa/matmul_kernels.h"
#include "quant/isa/probes.h"
#include "quant/isa/vector_ops.h"

namespace larder::quant::avx2 {

extern const KernelSet kKernels;
constinit const KernelSet kKernels = kernel_set<Avx2Int8>(
    "avx2", "AVX2, FMA, F16C", vector_kernels<Avx2>(), probe_kernels<Avx2, DotProbe>());

}  // namespace larder::quant::avx2
