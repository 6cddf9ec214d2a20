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
    ArchRow{.name = "qwen2", .required = {.qkv_bias = true}},
    ArchRow{.name = "qwen3", .qk_norm = QkNorm::head_before_rope},
    ArchRow{.name = "qwen3moe", .qk_norm = QkNorm::head_before_rope, .experts = Experts::required},
    ArchRow{.name = "qwen2moe",
            .required = {.qkv_bias = true, .shared_gate = true},
            .experts = Experts::required,
            .renormalises = false},
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
            .required = {.selection_bias = true},
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
            .required = {.selection_bias = true},
            .qk_norm = QkNorm::row_before_rope,
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length",
            .gate = RouterGate::sigmoid},
    ArchRow{.name = "gpt-oss",
            .required = {.qkv_bias = true,
                         .attn_output_bias = true,
                         .router_bias = true,
                         .expert_bias = true},
            .rounds_yarn_bounds = false,
            .window = WindowKind::sliding,
            .window_period = 2,
            .has_sinks = true,
            .experts = Experts::required,
            .gate = RouterGate::softmax_selected,
            .activation = Activation::swiglu_clamped},
    ArchRow{.name = "phimoe",
            .required =
                {.qkv_bias = true, .attn_output_bias = true, .norm_bias = true, .head_bias = true},
            .norm = NormKind::layer,
            // Phi-3.5-MoE's short_mscale and long_mscale; the key attn_factor is another number.
            .longrope_multiplier = 1.243163121016122,
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length",
            .gate = RouterGate::sparsemixer,
            .renormalises = false},
    ArchRow{.name = "llama4",
            .rope_layout = RopeLayout::adjacent,
            .qk_norm = QkNorm::unit_after_rope,
            .experts_without_qk_norm = 128,  // Maverick
            .window = WindowKind::chunked,
            .window_width = 8192,
            .window_period = 4,
            .rotates_all = false,
            .temperature_span = 8192,
            .experts = Experts::required,
            .gate = RouterGate::sigmoid_selected,
            .renormalises = false,
            .weighs_input = true},
    ArchRow{.name = "dbrx",
            .norm = NormKind::layer,
            .norm_epsilon_key = "attention.layer_norm_epsilon",
            .experts = Experts::required,
            .expert_width_key = "feed_forward_length"},
    ArchRow{.name = "lfm2moe",
            .required = {.selection_bias = true},
            .carrying_mixer = Mixer::short_convolution,
            .qk_norm = QkNorm::head_before_rope,
            .experts = Experts::required,
            .gate = RouterGate::sigmoid},
    ArchRow{.name = "qwen3next",
            .required = {.shared_gate = true},
            .carrying_mixer = Mixer::gated_delta_net,
            .attention_period = 4,
            .gates_output = true,
            .qk_norm = QkNorm::head_before_rope,
            .experts = Experts::required},
    ArchRow{.name = "qwen35moe",  // its axes of rotation are one in text
            .required = {.shared_gate = true},
            .carrying_mixer = Mixer::gated_delta_net,
            .attention_period = 4,
            .key_sharing = KeySharing::turns,
            .gates_output = true,
            .qk_norm = QkNorm::head_before_rope,
            .experts = Experts::required},
    ArchRow{.name = "switch",  // Switch Transformers; their files: switch_files.md
            .has_encoder = true,
            .has_relative_positions = true,
            .attention_scale = 1,
            .scales_tied_head = true,
            .experts = Experts::where_routed,
            .expert_width_key = "feed_forward_length",
            .renormalises = false,
            .activation = Activation::relu},
    ArchRow{.name = "deepseek",  // the first generation
            .rope_layout = RopeLayout::adjacent,
            .experts = Experts::required,
            .renormalises = false},
    ArchRow{.name = "deepseek2",  // V2, V3, R1 and their relatives
            .mixer = Mixer::mla,
            .rope_layout = RopeLayout::adjacent,
            .yarn_scales_attention = true,
            .experts = Experts::required,
            .biased_gate = RouterGate::sigmoid,
            .renormalises = false},
};

}  // namespace

std::span<const ArchRow> arch_rows() noexcept { return kRows; }

const ArchRow* find_arch(std::string_view name) noexcept {
  for (const ArchRow& row : kRows)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace larder::runtime
