#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "quant/dispatch.h"

using namespace larder::quant;

TEST_CASE("dispatch: best first, scalar last and always there") {
  REQUIRE(kernel_sets().size() == 4);
  CHECK(std::strcmp(kernel_sets()[0]->name, "avx512-vnni") == 0);
  CHECK(std::strcmp(kernel_sets()[1]->name, "avx-vnni") == 0);
  CHECK(std::strcmp(kernel_sets()[2]->name, "avx2") == 0);
  CHECK(std::strcmp(kernel_sets()[3]->name, "scalar") == 0);
  CHECK(is_supported(*kernel_sets()[3]));
  for (const KernelSet* set : kernel_sets()) {
    if (!is_supported(*set)) continue;
    CHECK(&best_kernels() == set);
    break;
  }
}

TEST_CASE("dispatch: a name gives that set or nothing") {
  for (const KernelSet* set : kernel_sets()) {
    CHECK(find_kernels(set->name) == (is_supported(*set) ? set : nullptr));
  }
  for (const char* name : {"", "AVX2", "avx", "avx2 ", "neon", "sse2"}) {
    CHECK(find_kernels(name) == nullptr);
  }
}

TEST_CASE("dispatch: the sets share no kernel, so a forced one really runs") {
  const int q4_k = static_cast<int>(Format::q4_k);
  std::set<const void*> gemvs, adds;
  for (const KernelSet* set : kernel_sets()) {
    gemvs.insert(reinterpret_cast<const void*>(set->matmul[q4_k]->gemv));
    adds.insert(reinterpret_cast<const void*>(set->vector.add));
  }
  CHECK(gemvs.size() == kernel_sets().size());
  CHECK(adds.size() == kernel_sets().size());
}

TEST_CASE("dispatch: what the compiler asks the processor agrees") {
  if (find_kernels("avx2") != nullptr) CHECK(__builtin_cpu_supports("avx2"));
  // Not asked: compilers of the day do not know the name avxvnni there.
  if (find_kernels("avx-vnni") != nullptr) CHECK(find_kernels("avx2") != nullptr);
  if (find_kernels("avx512-vnni") != nullptr) {
    CHECK(__builtin_cpu_supports("avx512vnni"));
    CHECK(find_kernels("avx2") != nullptr);
  }
}
