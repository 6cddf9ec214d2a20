// FP8 checkpoints: where their scales stand, what they are, and what is refused.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "formats/safetensors/safetensors_set.h"
#include "quant/dispatch.h"
#include "quant/reference.h"
#include "runtime/convert/checkpoint_convert.h"
#include "runtime/convert/element_reader.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using formats::SafetensorsSet;
using formats::SafetensorsTensor;
using formats::SafetensorsType;
using runtime::CheckpointPlan;

const std::string kFolder = LARDER_TEST_DATA_DIR "/saved_checkpoints/qwen3_moe_fp8";
const std::string kQuery = "model.layers.0.self_attn.q_proj.weight";  // [160, 32]

struct Stored {
  std::string name;
  SafetensorsType type = SafetensorsType::f32;
  std::vector<uint64_t> shape;
  std::string bytes;
};
using Tensors = std::vector<Stored>;

std::string file_of(const Tensors& tensors) {
  std::string header = "{", data;
  for (const Stored& tensor : tensors) {
    const size_t begin = data.size();
    data += tensor.bytes;
    header += (header.size() > 1 ? ",\"" : "\"") + tensor.name + "\":{\"dtype\":\"" +
              std::string(traits_of(tensor.type).name) +
              "\",\"shape\":" + formats::shape_text(tensor.shape) + ",\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
  }
  header += "}";
  std::string file(sizeof(uint64_t), '\0');
  const uint64_t n_header_bytes = header.size();
  std::memcpy(file.data(), &n_header_bytes, sizeof n_header_bytes);
  return file + header + data;
}

SafetensorsSet open(const std::string& folder) {
  auto set = SafetensorsSet::open(folder);
  REQUIRE_MESSAGE(set.ok(), set.status().to_string());
  return std::move(*set);
}

Tensors tensors_of(const std::string& folder) {
  const SafetensorsSet set = open(folder);
  Tensors tensors;
  for (const SafetensorsTensor& tensor : set.tensors()) {
    std::string bytes(tensor.size_bytes, '\0');
    REQUIRE(set.read(tensor, 0, std::as_writable_bytes(std::span(bytes))).ok());
    tensors.push_back({tensor.name, tensor.type, tensor.shape, std::move(bytes)});
  }
  return tensors;
}

Stored& find(Tensors& tensors, const std::string& name) {
  for (Stored& tensor : tensors)
    if (tensor.name == name) return tensor;
  FAIL("no tensor ", name);
  return tensors.front();
}

// Floats as bytes of the type, which holds them without rounding.
std::string bytes_of(const std::vector<float>& values, SafetensorsType type) {
  std::string bytes;
  for (const float value : values) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    if (type == SafetensorsType::f16) bits = quant::reference::narrow_f16(value);
    if (type == SafetensorsType::bf16) bits >>= 16;
    const auto* const first = reinterpret_cast<const char*>(&bits);
    bytes.append(first, first + traits_of(type).bytes);
  }
  return bytes;
}

// What is in BF16, in F16: the numbers are the same.
void make_f16(Stored& tensor) {
  std::vector<float> values;
  for (size_t i = 0; i < tensor.bytes.size(); i += 2) {
    uint16_t half = 0;
    std::memcpy(&half, tensor.bytes.data() + i, sizeof half);
    const uint32_t bits = uint32_t{half} << 16;
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    REQUIRE(quant::reference::widen_f16(quant::reference::narrow_f16(value)) == value);
    values.push_back(value);
  }
  tensor.type = SafetensorsType::f16;
  tensor.bytes = bytes_of(values, tensor.type);
}

// The folder's checkpoint with other tensors.
struct Changed {
  explicit Changed(const std::function<void(Tensors&)>& change) {
    fs::copy(kFolder, path);
    Tensors tensors = tensors_of(kFolder);
    change(tensors);
    directory.write("checkpoint/model.safetensors", file_of(tensors));
  }
  TemporaryDirectory directory;
  std::string path = directory.path("checkpoint");
};

Status refusal(const std::function<void(Tensors&)>& change) {
  const Changed checkpoint(change);
  return CheckpointPlan::create(checkpoint.path, {}).status();
}

// The file that the checkpoint becomes.
std::string converted(const std::function<void(Tensors&)>& change) {
  const Changed checkpoint(change);
  runtime::CheckpointOptions options;
  options.mix = runtime::find_mix("f32");
  auto plan = CheckpointPlan::create(checkpoint.path, options);
  REQUIRE_MESSAGE(plan.ok(), plan.status().to_string());
  CheckpointPlan::RunOptions run;
  run.kernels = &quant::best_kernels();
  const auto paths = plan->run(checkpoint.directory.path("out.gguf"), run);
  REQUIRE_MESSAGE(paths.ok(), paths.status().to_string());
  std::ifstream file(paths->front(), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void keep(Tensors&) {}

// A matrix that is no whole number of blocks, of all numbers that are some.
constexpr uint64_t kRows = 200, kColumns = 300, kBlockRows = 2, kBlockColumns = 3;

Stored matrix() {
  Stored tensor{"w", SafetensorsType::f8_e4m3, {kRows, kColumns}, {}};
  for (uint64_t i = 0; i < kRows * kColumns; ++i)
    tensor.bytes.push_back(static_cast<char>(i % 127 + (i / 127 % 2) * 128));
  return tensor;
}

// Elements of matrix() as they are read in the steps of a reader, over the scale of their block.
void check_scaled(const Stored& scales, const std::function<float(uint64_t, uint64_t)>& scale_of) {
  const TemporaryDirectory directory;
  const Stored stored = matrix();
  directory.write("model.safetensors", file_of({stored, scales}));
  const SafetensorsSet set = open(directory.path("."));
  runtime::ElementReader reader(set);
  constexpr uint64_t kStep = 7001;  // ends in the middle of rows
  std::vector<std::byte> bytes;
  for (uint64_t first = 0; first < kRows * kColumns; first += kStep) {
    const uint64_t n = std::min(kStep, kRows * kColumns - first);
    const Status status = reader.read(*set.find("w"), first, n, bytes);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    std::vector<float> values(n);
    REQUIRE(bytes.size() == n * sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t row = (first + i) / kColumns, column = (first + i) % kColumns;
      const float byte = runtime::widen_f8_e4m3(static_cast<uint8_t>(stored.bytes[first + i]));
      REQUIRE(values[i] == byte * scale_of(row, column));
    }
  }
}

constexpr SafetensorsType kScaleTypes[] = {SafetensorsType::f32, SafetensorsType::f16,
                                           SafetensorsType::bf16};

}  // namespace

TEST_CASE("convert: one scale holds for all blocks of a larger FP8 matrix") {
  constexpr float kScale = 0.0703125f;
  for (const char* name : {"w_scale_inv", "w_scale"})
    for (const SafetensorsType type : kScaleTypes)
      for (const std::vector<uint64_t>& shape :
           {std::vector<uint64_t>{}, std::vector<uint64_t>{1}, std::vector<uint64_t>{1, 1}})
        check_scaled({name, type, shape, bytes_of({kScale}, type)},
                     [](uint64_t, uint64_t) { return kScale; });
}

TEST_CASE("convert: blocks of FP8 have their scales, of any float type, by either name") {
  const std::vector<float> scales = {0.5f, 0.75f, 3.0f, 0.0625f, 1.25f, 0.0703125f};
  for (const char* name : {"w_scale_inv", "w_scale"})
    for (const SafetensorsType type : kScaleTypes)
      check_scaled({name, type, {kBlockRows, kBlockColumns}, bytes_of(scales, type)},
                   [&](uint64_t row, uint64_t column) {
                     return scales[row / 128 * kBlockColumns + column / 128];
                   });
}

TEST_CASE("convert: a checkpoint's scales by the other name and in F16 give the same file") {
  const std::string expected = converted(keep);
  const auto for_scales = [](Tensors& tensors, const std::function<void(Stored&)>& change) {
    int n = 0;
    for (Stored& tensor : tensors)
      if (tensor.name.ends_with("_scale_inv")) change((++n, tensor));
    CHECK(n > 20);
  };
  CHECK(converted([&](Tensors& tensors) { for_scales(tensors, make_f16); }) == expected);
  CHECK(converted([&](Tensors& tensors) {
          for_scales(tensors, [](Stored& scale) {
            scale.name.resize(scale.name.size() - std::strlen("_inv"));
          });
        }) == expected);
}

TEST_CASE("convert: one scale of a matrix of two blocks is both blocks' scale") {
  const auto set = [](Tensors& tensors, std::vector<uint64_t> shape, std::vector<float> values) {
    Stored& scale = find(tensors, kQuery + "_scale_inv");
    scale.type = SafetensorsType::f32;
    scale.shape = std::move(shape);
    scale.bytes = bytes_of(values, scale.type);
  };
  const std::string both = converted([&](Tensors& t) { set(t, {2, 1}, {0.01f, 0.01f}); });
  CHECK(converted([&](Tensors& t) { set(t, {}, {0.01f}); }) == both);
  CHECK(converted([&](Tensors& t) { set(t, {2, 1}, {0.01f, 0.02f}); }) != both);
}

TEST_CASE("convert: scales of another shape or type are refused with the matrix and both shapes") {
  const auto refused = [](SafetensorsType type, std::vector<uint64_t> shape, const char* told) {
    size_t n = traits_of(type).bytes;
    for (const uint64_t dim : shape) n *= dim;
    const Status status = refusal([&](Tensors& tensors) {
      find(tensors, kQuery + "_scale_inv") = {kQuery + "_scale_inv", type, shape,
                                              std::string(n, '\0')};
    });
    REQUIRE(status.cause() == Cause::shape);
    CHECK(status.detail().subject == "tensor " + kQuery);
    CAPTURE(status.detail().message);
    CHECK(status.detail().message.find(told) != std::string::npos);
    CHECK(status.detail().message.find("[2, 1]") != std::string::npos);
  };
  refused(SafetensorsType::f32, {1, 2}, "F32 of the shape [1, 2]");
  refused(SafetensorsType::f32, {2}, "F32 of the shape [2]");
  refused(SafetensorsType::f32, {160, 1}, "F32 of the shape [160, 1]");
  refused(SafetensorsType::bf16, {0}, "BF16 of the shape [0]");
  refused(SafetensorsType::u8, {2, 1}, "U8 of the shape [2, 1]");

  const Status stacked = refusal([&](Tensors& tensors) {
    find(tensors, kQuery).shape = {2, 80, 32};
  });
  REQUIRE(stacked.cause() == Cause::shape);
  CHECK(stacked.detail().subject == "tensor " + kQuery);
  CHECK(stacked.detail().message.find("[2, 80, 32]") != std::string::npos);

  const Status none = refusal([&](Tensors& tensors) {
    std::erase_if(tensors, [](const Stored& t) { return t.name == kQuery + "_scale_inv"; });
  });
  CHECK(none.cause() == Cause::missing);
  CHECK(none.detail().subject == "tensor " + kQuery);
}

TEST_CASE("convert: an FP8 matrix without elements is an error, and nothing else") {
  for (const std::vector<uint64_t>& shape :
       {std::vector<uint64_t>{0, 32}, std::vector<uint64_t>{160, 0}}) {
    const Changed checkpoint([&](Tensors& tensors) {
      find(tensors, kQuery) = {kQuery, SafetensorsType::f8_e4m3, shape, {}};
      find(tensors, kQuery + "_scale_inv") = {
          kQuery + "_scale_inv", SafetensorsType::f32, {shape[0] > 0 ? 2u : 0u, shape[1] > 0}, {}};
    });
    auto plan = CheckpointPlan::create(checkpoint.path, {});
    CheckpointPlan::RunOptions run;
    run.kernels = &quant::best_kernels();
    CHECK(!(plan && plan->run(checkpoint.directory.path("out.gguf"), run).ok()));
  }
}

TEST_CASE("convert: scales of static FP8's activations are left out, and told") {
  for (const std::string suffix : {"input_scale", "activation_scale"}) {
    const std::string name = "model.layers.0.self_attn.q_proj." + suffix;
    const auto add = [&](Tensors& tensors) {
      tensors.push_back({name, SafetensorsType::f32, {1}, bytes_of({0.5f}, SafetensorsType::f32)});
    };
    CHECK(converted(add) == converted(keep));
    const Changed checkpoint(add);
    const auto plan = CheckpointPlan::create(checkpoint.path, {});
    REQUIRE(plan.ok());
    CHECK(plan->tensors().skipped == std::vector{name});
  }
  // where nothing is FP8, it is not known what such a tensor is
  const std::string name = "model.layers.0.mlp.gate.input_scale";
  const Status status = refusal([&](Tensors& tensors) {
    tensors.push_back({name, SafetensorsType::f32, {1}, bytes_of({0.5f}, SafetensorsType::f32)});
  });
  REQUIRE(status.cause() == Cause::name);
  CHECK(status.detail().subject == "tensor " + name);
}

}  // namespace larder::tests
