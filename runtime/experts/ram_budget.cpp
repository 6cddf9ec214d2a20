#include "runtime/experts/ram_budget.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {
namespace {

// The tables through which the processor finds small pages: 8 bytes for each 4 KiB.
constexpr uint64_t kPageTableShare = 512;

std::string mib(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// Rounded up, so that the number, given back as a limit, is enough.
std::string least_option(uint64_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + "M";
}

std::string limit_text(uint64_t bytes) {
  if (bytes < 1 << 20) return std::to_string(bytes) + " bytes";
  return std::to_string(bytes >> 20) + "M";
}

uint64_t tables_for(const RamNeeds& needs, uint64_t slab_bytes) {
  return needs.table_bytes(slab_bytes) + slab_bytes / kPageTableShare;
}

Status refuse(const RamNeeds& needs, uint64_t needed, uint64_t limit) {
  return Status(Cause::budget,
                "needs " + least_option(needed) + ", the limit is " + limit_text(limit) +
                    ": weights of every token " + mib(needs.dense_bytes) + ", keys and values " +
                    mib(needs.cache_bytes) + " (less with a smaller --ctx-size), buffers " +
                    mib(needs.buffer_bytes) + " (less with a smaller --batch-size), program " +
                    mib(needs.program_bytes) + ", experts " + mib(needs.least_slab_bytes),
                "option ram");
}

}  // namespace

Result<RamBudget> divide_ram(const RamNeeds& needs, uint64_t limit_bytes) {
  RamBudget budget;
  budget.needs = needs;
  budget.limit_bytes = limit_bytes;
  const uint64_t fixed = needs.fixed_bytes();
  const bool pages = needs.all_expert_bytes > 0;
  const uint64_t least = AnonymousMemory::huge_bytes(needs.least_slab_bytes);
  if (pages) budget.floor_bytes = fixed + tables_for(needs, least) + least;
  const uint64_t whole = fixed + needs.all_expert_bytes;
  budget.floor_bytes = std::min(budget.floor_bytes, whole);

  if (limit_bytes >= whole) {
    budget.expert_bytes = needs.all_expert_bytes;
    return budget;
  }
  if (!pages) return refuse(needs, whole, limit_bytes);
  if (limit_bytes < budget.floor_bytes) return refuse(needs, budget.floor_bytes, limit_bytes);
  budget.is_paged = true;
  const uint64_t left = limit_bytes - fixed;
  const uint64_t most = std::max(left, least);
  // Tables grow with the slab: those of the most that could be.
  const uint64_t tables = tables_for(needs, most);
  const uint64_t slab = left > tables ? left - tables : 0;
  constexpr uint64_t kHugePage = uint64_t{2} << 20;
  budget.expert_bytes = std::max(least, slab / kHugePage * kHugePage);
  budget.table_bytes = tables_for(needs, budget.expert_bytes);
  return budget;
}

}  // namespace larder::runtime
