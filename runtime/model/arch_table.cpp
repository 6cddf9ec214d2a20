#include "runtime/model/arch_table.h"

#include <array>

namespace larder::runtime {
namespace {

// Source: GGUF files and llama.cpp's converter, 2026-08, and Hugging Face's modelling code.
constexpr std::array kRows = {
    ArchRow{.name = "llama",  // and Mixtral, with expert_count
            .rope_layout = RopeLayout::adjacent,
            .experts = Experts::optional,
            .expert_width_key = "feed_forward_length"},
    ArchRow{.name = "qwen3", .qk_norm = QkNorm::head_before_rope},
    ArchRow{.name = "qwen3moe", .qk_norm = QkNorm::head_before_rope, .experts = Experts::required},
};

}  // namespace

std::span<const ArchRow> arch_rows() noexcept { return kRows; }

const ArchRow* find_arch(std::string_view name) noexcept {
  for (const ArchRow& row : kRows)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace larder::runtime
