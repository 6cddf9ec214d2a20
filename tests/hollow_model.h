// A model of hundreds of megabytes that takes no place on the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/gguf_builder.h"
#include "tests/tiny_model.h"

namespace larder::tests {

// Writes a model whose routed experts are zeros that take no place on the disk.
inline constexpr uint64_t kHollowExpertBytes = 3 * (uint64_t{128} << 20);
inline void write_hollow_model(const std::string& path) {
  constexpr uint32_t kWidth = 4096;
  TinyShape shape;
  shape.n_layers = 1;
  shape.d_model = 256;
  shape.n_experts = 32;
  GgufBuilder builder = tiny_model(shape);
  builder.key("qwen3moe.expert_feed_forward_length").value = le32(kWidth);
  uint64_t end = 0;
  for (RawTensor& tensor : builder.tensors) {
    if (tensor.name.find("_exps") != Bytes::npos) tensor.data.clear();
    end += (tensor.data.size() + builder.alignment - 1) / builder.alignment * builder.alignment;
  }
  for (RawTensor& tensor : builder.tensors) {
    if (tensor.name.find("_exps") == Bytes::npos) continue;
    tensor.dims[tensor.name.find("down") != Bytes::npos ? 0 : 1] = kWidth;
    tensor.offset = end;
    end += kHollowExpertBytes / 3;
  }
  const Bytes bytes = builder.build();
  std::ofstream(path, std::ios::binary) << bytes;
  std::filesystem::resize_file(path, bytes.size() + kHollowExpertBytes);
}

}  // namespace larder::tests
