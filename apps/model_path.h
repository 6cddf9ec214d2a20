// Where the bundled model lies.
#pragma once

#include <string>

#include "formats/status.h"

namespace larder::apps {

// Beside the program in a build folder (models/), or in the installed data folder; found from the
// program's own place, so that a moved installation works. Error `io` naming both places.
Result<std::string> bundled_model_path();

}  // namespace larder::apps
