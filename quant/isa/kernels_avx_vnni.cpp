#include "quant/isa/dot_probe_avx_vnni.h"
#include "quant/isa/int8_avx_vnni.h"
#include "quant/isa/matmul_kernels.h"
#include "quant/isa/probes.h"
#include "quant/isa/vector_ops.h"

namespace larder::quant::avx_vnni {

extern const KernelSet kKernels;
constinit const KernelSet kKernels =
    kernel_set<AvxVnniInt8>("avx-vnni", "AVX2, FMA, F16C and AVX-VNNI",
                            vector_kernels<avx2::Avx2>(), probe_kernels<avx2::Avx2, DotProbe>());

}  // namespace larder::quant::avx_vnni
