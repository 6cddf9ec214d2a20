#include "tests/template_limits.h"

#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> g_live_bytes{0}, g_peak_bytes{0};

void* counted_alloc(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  const int64_t live = g_live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  if (live > g_peak_bytes) g_peak_bytes = live;
  return memory;
}

void counted_free(void* memory) {
  if (memory != nullptr) g_live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(size_t size, const std::nothrow_t&) noexcept {
  void* memory = std::malloc(size);
  if (memory != nullptr) g_live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  return memory;
}
void* operator new(size_t size) { return counted_alloc(size); }
void* operator new[](size_t size) { return counted_alloc(size); }
void operator delete(void* memory) noexcept { counted_free(memory); }
void operator delete[](void* memory) noexcept { counted_free(memory); }
void operator delete(void* memory, size_t) noexcept { counted_free(memory); }
void operator delete[](void* memory, size_t) noexcept { counted_free(memory); }

namespace larder::tests {

namespace {

#if defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr double kMaxSeconds = 10;  // unoptimised or instrumented
#else
constexpr double kMaxSeconds = 1;
#endif
constexpr int64_t kMaxBytes = 64 << 20;

}  // namespace

int64_t live_bytes() { return g_live_bytes; }

WithinLimits::WithinLimits() : live_bytes_(g_live_bytes), start_(std::clock()) {
  g_peak_bytes = live_bytes_;
}

void WithinLimits::check() const {
  CHECK(static_cast<double>(std::clock() - start_) / CLOCKS_PER_SEC < kMaxSeconds);
  CHECK(g_peak_bytes - live_bytes_ < kMaxBytes);
}

std::string repeated(const std::string& text, size_t n) {
  std::string out;
  out.reserve(text.size() * n);
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

formats::DataValue message(const std::string& content) {
  return formats::DataValue::make_dict({{"role", "user"}, {"content", content}});
}

Status status_of(const std::string& source, const formats::DataValue& variables) {
  const WithinLimits limits;
  const Status status = render(source, variables).status();
  limits.check();
  return status;
}

void check_cause(const std::string& source, Cause cause) {
  CAPTURE(source.substr(0, 200));
  const Status status = status_of(source);
  CHECK_MESSAGE(status.cause() == cause, status.to_string());
}

std::string text_of(const std::string& source, const formats::DataValue& variables) {
  CAPTURE(source.substr(0, 200));
  const WithinLimits limits;
  const auto text = render(source, variables);
  limits.check();
  CHECK_MESSAGE(text.ok(), text.status().to_string());
  return text.ok() ? text->text : "";
}

}  // namespace larder::tests
