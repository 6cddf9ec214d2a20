#include "apps/model_fingerprint.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "apps/digest.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::GgufFile;
using formats::GgufTensor;
using formats::MappedFile;

constexpr uint64_t kSampleBytes = 4096;
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;  // read at once

// Adds [begin, end) of the file, by reads: a bad sector is an error and no fault of the mapping.
Status add_range(Hasher& hasher, const MappedFile& file, uint64_t begin, uint64_t end) {
  std::vector<std::byte> buffer(std::min(kPieceBytes, end - begin));
  while (begin < end) {
    const std::span<std::byte> piece(buffer.data(), std::min<uint64_t>(buffer.size(), end - begin));
    if (Status s = file.read_at(begin, piece); !s.ok()) return s.with_file(file.path());
    hasher.add(piece);
    begin += piece.size();
  }
  return {};
}

Status add_samples(Hasher& hasher, const MappedFile& file, const GgufTensor& tensor) {
  const uint64_t n = std::min(kSampleBytes, tensor.size_bytes), rest = tensor.size_bytes - n;
  for (const uint64_t at : {uint64_t{0}, rest / 2, rest}) {
    const uint64_t begin = tensor.file_offset + at;
    if (Status s = add_range(hasher, file, begin, begin + n); !s.ok()) return s;
  }
  return {};
}

// All before the first tensor; the whole file where it has none.
uint64_t header_bytes(const GgufFile& file, int shard) {
  uint64_t end = file.shard(shard)->bytes().size();
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.shard == shard) end = std::min(end, tensor.file_offset);
  }
  return end;
}

}  // namespace

Result<DataValue> fingerprint(const GgufFile& file) {
  Hasher hasher;
  for (int i = 0; i < file.n_shards(); ++i) {
    const MappedFile* const shard = file.shard(i);
    if (shard == nullptr) return Status(Cause::unsupported, "the model is no file");
    hasher.add(std::to_string(shard->bytes().size()) + "\n");
    if (Status s = add_range(hasher, *shard, 0, header_bytes(file, i)); !s.ok()) return s;
  }
  for (const GgufTensor& tensor : file.tensors()) {
    if (Status s = add_samples(hasher, *file.shard(tensor.shard), tensor); !s.ok()) return s;
  }
  return DataValue::make_dict(
      {{"bytes", static_cast<int64_t>(file.size_bytes())},
       {"sha256", hasher.hex()},
       {"covers", "sizes, headers, and 4 KiB at the start, middle and end of every tensor"}});
}

}  // namespace larder::apps
