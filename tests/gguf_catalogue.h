// The catalogue of malformed containers as bytes, each with what a reader must say to it.
#pragma once

#include <string>
#include <vector>

#include "formats/status.h"
#include "tests/gguf_builder.h"

namespace larder::tests {

struct CatalogueFile {
  std::string id;  // "C16"
  std::string what;
  Bytes bytes;
  std::vector<Cause> causes = {};  // any of these; none: the file must load
  std::string subject = {};        // what the error names, where that is certain
  bool warns = false;
};

// A small model file of two tensors and one key of most kinds, without anything odd.
GgufBuilder valid_gguf();

// Every file of the catalogue that is small enough to be made at once.
std::vector<CatalogueFile> malformed_containers();

}  // namespace larder::tests
