// Every way of the catalogue's section H to break a given model: each change is made to one place
// of a sound file. What comes out must be an error with a cause and a subject, or an answer.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/gguf_builder.h"

namespace larder::tests {

struct Mutation {
  std::string name;
  std::function<void(GgufBuilder&)> apply;
  bool must_fail = false;  // an answer would be a wrong one
};

// In a fixed order. The builder must outlive nothing: mutations copy what they need.
std::vector<Mutation> mutations_of(const GgufBuilder& file);

}  // namespace larder::tests
