// What a base model expected at every token of a text, to be compared with another model later: its
// most likely tokens and what is left for all others, a hundredth of full logits.
//
// The file, little-endian: "LARDERKL", u32 version, u32 n_top, u32 n_vocab, u32 mode, u32 n_ctx,
// u32 0, u64 n_tokens; for every token {u32 id, f32 its log-probability, f32 mass of tokens not
// listed, n_top x {u32 id, f32 log-probability}}, best first; 16 bytes of SHA-256 over all before.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "apps/digest.h"
#include "apps/output.h"
#include "formats/status.h"
#include "formats/text/tokenizer.h"
#include "runtime/session/softmax.h"

namespace larder::apps {

struct BaseHeader {
  uint32_t n_top = 0, n_vocab = 0, mode = 0, n_ctx = 0;
  uint64_t n_tokens = 0;
};

struct BaseToken {
  formats::TokenId token = formats::kNoToken;
  float logprob = 0, rest_mass = 0;
  std::vector<runtime::TokenLogprob> top;
};

class BaseWriter {
 public:
  static Result<BaseWriter> create(const std::string& path, std::span<const std::string> in_use,
                                   const BaseHeader& header);
  // REQUIRES: top.size() == n_top, best first.
  void add(formats::TokenId token, double logprob, std::span<const runtime::TokenLogprob> top);
  // The file takes its place. Error `io`. REQUIRES: n_tokens were added.
  Status finish();

 private:
  explicit BaseWriter(Output output) : output_(std::move(output)) {}
  void write(const std::string& bytes);
  Output output_;
  Hasher hasher_;
  std::string buffer_;
};

class BaseReader {
 public:
  // Errors: `io`, `magic`, `version`, `truncated` (its size is not what its header says), `limit`.
  static Result<BaseReader> open(const std::string& path);
  ~BaseReader();
  BaseReader(BaseReader&& other) noexcept;
  BaseReader& operator=(BaseReader&&) = delete;

  const BaseHeader& header() const noexcept { return header_; }
  // The next tokens. Errors: `io`, `truncated`, and behind the last token `changed` where the sum
  // does not fit. REQUIRES: as many are left.
  Result<std::vector<BaseToken>> read(size_t n);

 private:
  BaseReader() = default;
  Status fill(std::string& bytes);
  Status check_end();
  int descriptor_ = -1;
  std::string path_;
  BaseHeader header_;
  uint64_t n_read_ = 0;
  Hasher hasher_;
};

}  // namespace larder::apps
