// Takes tensors out of a file by schema rows: name, type and shape together, or an error that names
// the tensor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "runtime/model/tensor_schema.h"

namespace larder::runtime {

// A row's name with an expert's number for its '*', if it has one.
std::string numbered(std::string name, int64_t expert);

// Values of the named dims; 0 means that the next tensor decides.
class Dims {
 public:
  Dims() { values_[static_cast<size_t>(Dim::one)] = 1; }
  int64_t get(Dim dim) const noexcept;
  void set(Dim dim, int64_t value) noexcept { values_[static_cast<size_t>(dim)] = value; }
  // Whether a tensor may have this size here; decides a dim that is open.
  bool accept(Dim dim, uint64_t size) noexcept;

 private:
  std::array<int64_t, kDims> values_ = {};
};

class TensorBinder {
 public:
  // Tensors that `memory` holds, unless it is null, are there instead of in the file. `weights`
  // gets what is converted, and the list of dense tensors.
  TensorBinder(const formats::GgufFile& file, const RequiredTensors& required,
               const TensorMemory* memory, ModelWeights& weights)
      : file_(file),
        required_(required),
        memory_(memory),
        weights_(weights),
        used_(file.tensors().size(), false) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  bool is_used(const std::string& name) const;

  // An optional tensor that is absent leaves its slot as it is. A name with '*' takes one tensor of
  // each expert.
  template <class Owner>
  Status bind(const TensorRow<Owner>& row, const std::string& name, Dims& dims, Owner& owner);

  // One sentence for each tensor that nothing took, up to a limit; tensors for which `is_expected`
  // holds are left out. Error `unsupported` for the bias or scale of a matrix that was taken: the
  // answer would be wrong without it.
  Result<std::vector<std::string>> leftovers(bool (*is_expected)(std::string_view, int64_t),
                                             int64_t argument) const;

 private:
  template <class Owner>
  Status bind_one(const TensorRow<Owner>& row, const std::string& name, Dims& dims, Owner& owner);
  // Adds a tensor's experts behind those that the stack has.
  Status stack_up(const formats::GgufTensor& tensor, const quant::Matrix& matrix,
                  ExpertStack& stack) const;
  Status check_shape(const formats::GgufTensor& tensor, const std::array<Dim, 3>& shape,
                     Dims& dims) const;
  std::span<const std::byte> data(const formats::GgufTensor& tensor) const noexcept;
  Result<quant::Matrix> matrix(const formats::GgufTensor& tensor) const;
  Result<const float*> floats(const formats::GgufTensor& tensor);
  Result<const float*> columns(const formats::GgufTensor& tensor);

  const formats::GgufFile& file_;
  const RequiredTensors& required_;
  const TensorMemory* memory_;
  ModelWeights& weights_;
  std::vector<bool> used_;
};

}  // namespace larder::runtime
