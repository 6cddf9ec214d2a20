// Cases of the catalogue of malformed models: a sound tiny file with one change, and the typed
// error that it must give, or none.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/file_copy.h"
#include "tests/tiny_model.h"

namespace larder::tests {

inline const float kNan = std::numeric_limits<float>::quiet_NaN();
inline const float kInfinity = std::numeric_limits<float>::infinity();

struct ModelCase {
  std::string id;
  GgufBuilder file;
  std::vector<Cause> causes = {};  // any of these; none: must open and answer
  std::string subject = {};        // part of the error's subject
};

// "qwen3moe.<key>"
std::string full(const char* key);
ModelCase changed(std::string id, const std::function<void(GgufBuilder&)>& change,
                  std::vector<Cause> causes = {}, std::string subject = {},
                  const TinyShape& shape = {});

// Runs four tokens. Every logit of an answer is finite, and a failure leaves the sequence empty.
Status answer(const std::shared_ptr<const runtime::Model>& model);
// Opens the file, within a second, and runs four tokens; every logit of an answer is finite.
void check(const ModelCase& one);

inline const std::vector<Cause> kArch = {Cause::architecture};
inline const std::vector<Cause> kHparam = {Cause::hyper_parameter};
inline const std::vector<Cause> kShape = {Cause::shape};
inline const std::vector<Cause> kMissing = {Cause::missing};
inline const std::vector<Cause> kNumeric = {Cause::numeric};
inline const std::vector<Cause> kType = {Cause::tensor_type};

}  // namespace larder::tests
