// Statuses made where nothing may be thrown.
#pragma once

#include "formats/status.h"

namespace larder::formats {

// What tell() answers: a sentence is put together where there is memory for it.
template <class Tell>
Status told(const Tell& tell) noexcept {
  try {
    return tell();
  } catch (...) {
    return Status::out_of_memory();
  }
}

}  // namespace larder::formats
