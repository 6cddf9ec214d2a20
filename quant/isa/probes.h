// Loops that reach a limit of the machine and do nothing else: loads whose sum is worthless, and
// 8-bit dot products of registers. Protocol and linkage: primitives_scalar.h. `Dot` is the
// dot_probe_<isa>.h of the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/kernel_set.h"

namespace larder::quant {

template <class Isa, class Dot>
struct Probes {
  using Ints = typename Isa::Ints;
  using Register = typename Dot::Register;

  // Four chains of 64 bytes, so that no addition waits for the one before.
  static int32_t read(const void* data, size_t n_bytes) noexcept {
    const auto* p = static_cast<const int32_t*>(data);
    const int32_t* end = p + n_bytes / sizeof(int32_t);
    Ints a = Ints::zero(), b = a, c = a, d = a;
    for (; p < end; p += 64) {
      a = a + Ints::load(p);
      b = b + Ints::load(p + 16);
      c = c + Ints::load(p + 32);
      d = d + Ints::load(p + 48);
    }
    return reduce_add((a + b) + (c + d));
  }

  // Eight chains: more than the latency of a dot product times the number of its ports.
  static int32_t int8_dots(int64_t n_rounds) noexcept {
    Register weights = Dot::broadcast(3);
    const Register activations = Dot::broadcast(2);
    const auto add_dot = [&](Register& sum) {
      // Without this the compiler computes one product for all.
      asm volatile("" : "+x"(weights));
      sum = Dot::dot(sum, weights, activations);
    };
    Register a = weights, b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (int64_t i = 0; i < n_rounds; ++i) {
      add_dot(a);
      add_dot(b);
      add_dot(c);
      add_dot(d);
      add_dot(e);
      add_dot(f);
      add_dot(g);
      add_dot(h);
    }
    const Register low = Dot::add(Dot::add(a, b), Dot::add(c, d));
    return Dot::first(Dot::add(low, Dot::add(Dot::add(e, f), Dot::add(g, h))));
  }
};

template <class Isa, class Dot>
constexpr ProbeKernels probe_kernels() {
  return {&Probes<Isa, Dot>::read, &Probes<Isa, Dot>::int8_dots, 8 * Dot::kOps};
}

}  // namespace larder::quant
