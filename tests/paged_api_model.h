// A model through the C library whose experts do not fit the memory it may take.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/api_objects.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {

struct PagedApiModel {
  explicit PagedApiModel(const TemporaryDirectory& folder) {
    TinyShape shape;
    shape.n_experts = 32;
    shape.d_model = 64;
    shape.d_ff = 256;
    model = open_api_model(folder.write("paged.gguf", tiny_model(shape).build()));
    options = new_options({{LARDER_OPTION_CONTEXT_SIZE, 2048},
                           {LARDER_OPTION_BATCH_SIZE, 4},
                           {LARDER_OPTION_THREADS, 1}});
    std::vector<int64_t> bytes(LARDER_MEMORY_IS_PAGED + 1);
    REQUIRE(larder_options_set_integer(options.get(), LARDER_OPTION_RAM_BYTES, -1, nullptr) ==
            LARDER_OK);
    REQUIRE(larder_model_estimate(model.get(), options.get(), bytes.data(), bytes.size(),
                                  nullptr) == LARDER_OK);
    const int64_t least = bytes[LARDER_MEMORY_LEAST], all = bytes[LARDER_MEMORY_TOTAL];
    REQUIRE(least < all);
    ram_bytes = least + (all - least) / 4;
    REQUIRE(larder_options_set_integer(options.get(), LARDER_OPTION_RAM_BYTES, ram_bytes,
                                       nullptr) == LARDER_OK);
  }

  std::vector<int32_t> tokens(size_t n) const {
    std::vector<int32_t> ids(n);
    for (size_t i = 0; i < n; ++i) ids[i] = static_cast<int32_t>((i * 37 + 11) % 250);
    return ids;
  }

  ApiModel model;
  ApiOptions options;
  int64_t ram_bytes = 0;
};

}  // namespace larder::tests
