#include "runtime/session/cache_pool.h"

#include <algorithm>
#include <new>
#include <utility>

namespace larder::runtime {
namespace {

constexpr size_t kPage = 4096;  // sequences share no pages

}  // namespace

size_t CachePool::bytes_for(const ModelConfig& config, const Kind& kind,
                            int32_t capacity) noexcept {
  const size_t bytes = SequenceState::bytes_for(config, capacity, kind.types, kind.longest_pass);
  return bytes > SIZE_MAX - kPage ? SIZE_MAX : (bytes + kPage - 1) / kPage * kPage;
}

Result<std::unique_ptr<CachePool>> CachePool::create(const ModelConfig& config, const Kind& kind,
                                                     size_t bytes) try {
  std::unique_ptr<CachePool> pool(new CachePool(config, kind));
  Result<AnonymousMemory> memory = AnonymousMemory::allocate(bytes, "the caches of sequences");
  if (!memory) return memory.status();
  pool->memory_ = std::move(*memory);
  return pool;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::shared_ptr<CachePool::Lease>> CachePool::lease(int32_t capacity) try {
  const size_t bytes = bytes_for(config_, kind_, capacity);
  // The first gap that is large enough.
  size_t begin = 0;
  auto next = taken_.begin();
  for (; next != taken_.end() && next->begin - begin < bytes; ++next) begin = next->end;
  if (memory_.bytes() - begin < bytes) return std::shared_ptr<Lease>();
  Result<std::unique_ptr<SequenceState>> state = SequenceState::create_over(
      memory_.data() + begin, config_, capacity, kind_.types, kind_.longest_pass);
  if (!state) return state.status();
  const Lease::Range range = {begin, begin + bytes};
  std::shared_ptr<Lease> lease(new Lease(*this, range, std::move(*state)));
  taken_.insert(next, range);
  return lease;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

void CachePool::give_back(Lease::Range range) noexcept {
  const auto at = std::find_if(taken_.begin(), taken_.end(), [&](const Lease::Range& taken) {
    return taken.begin == range.begin;
  });
  if (at != taken_.end()) taken_.erase(at);
}

}  // namespace larder::runtime
