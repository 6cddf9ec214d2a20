// Where models lie.
#pragma once

#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::apps {

// Beside the program in a build folder (models/), or in the installed data folder; found from the
// program's own place, so that a moved installation works. Error `io` naming both places.
Result<std::string> bundled_model_path();

// The files that a model is, which nothing that it computes may overwrite.
std::vector<std::string> paths_of(const formats::GgufFile& model);

}  // namespace larder::apps
