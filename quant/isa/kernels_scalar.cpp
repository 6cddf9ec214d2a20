#include "quant/isa/dot_probe_scalar.h"
#include "quant/isa/int8_scalar.h"
#include "quant/isa/matmul_kernels.h"
#include "quant/isa/probes.h"
#include "quant/isa/vector_ops.h"

namespace larder::quant::scalar {

extern const KernelSet kKernels;
constinit const KernelSet kKernels = kernel_set<ScalarInt8>(
    "scalar", "any x86-64", vector_kernels<Scalar>(), probe_kernels<Scalar, DotProbe>());

}  // namespace larder::quant::scalar
