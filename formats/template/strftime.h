// Dates as C's strftime writes them in the C locale, with glibc's flags; no locale, no clock.
#pragma once

#include <ctime>

#include "formats/template/jinja_value.h"

namespace larder::formats::jinja {

Value strftime(Budget& budget, const Value& format, const std::tm& time);

}  // namespace larder::formats::jinja
