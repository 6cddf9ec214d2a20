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
    ArchRow{.name = "qwen2moe", .experts = Experts::required, .renormalises = false},
    ArchRow{.name = "olmoe",
            .qk_norm = QkNorm::row_before_rope,
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length",
            .renormalises = false},
    ArchRow{.name = "granitemoe",
            .rope_layout = RopeLayout::adjacent,
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length"},
    ArchRow{.name = "glm4moe",
            .qk_norm = QkNorm::head_before_rope,
            .may_lack_qk_norm = true,
            .experts = Experts::required,
            .gate = RouterGate::sigmoid,
            .renormalises = false},
    ArchRow{.name = "dots1",
            .qk_norm = QkNorm::head_before_rope,
            .experts = Experts::required,
            .gate = RouterGate::sigmoid,
            .renormalises = false},
    ArchRow{.name = "bailingmoe2",
            .qk_norm = QkNorm::head_before_rope,
            .experts = Experts::required,
            .gate = RouterGate::sigmoid,
            .renormalises = false},
    ArchRow{
        .name = "ernie4_5-moe", .rope_layout = RopeLayout::adjacent, .experts = Experts::required},
    ArchRow{.name = "hunyuan-moe",
            .qk_norm = QkNorm::head_after_rope,
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length"},
    ArchRow{.name = "minimax-m2",
            .qk_norm = QkNorm::row_before_rope,
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length",
            .gate = RouterGate::sigmoid},
};

}  // namespace

std::span<const ArchRow> arch_rows() noexcept { return kRows; }

const ArchRow* find_arch(std::string_view name) noexcept {
  for (const ArchRow& row : kRows)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace larder::runtime
