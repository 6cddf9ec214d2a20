// Runs renders inside the catalogue's limits: a second of processor time and 64 MiB.
#pragma once

#include <string>

#include "tests/template_json.h"

namespace larder::tests {

// Bytes that operator new handed out and did not get back.
int64_t live_bytes();

// Measures what happens between construction and check().
class WithinLimits {
 public:
  WithinLimits();
  void check() const;

 private:
  int64_t live_bytes_;
  std::clock_t start_;  // of the processor: the machine may be busy
};

std::string repeated(const std::string& text, size_t n);
formats::DataValue message(const std::string& content);

// Each checks the limits, too.
Status status_of(const std::string& source,
                 const formats::DataValue& variables = formats::DataValue::make_dict());
void check_cause(const std::string& source, Cause cause);
std::string text_of(const std::string& source,
                    const formats::DataValue& variables = formats::DataValue::make_dict());

}  // namespace larder::tests
