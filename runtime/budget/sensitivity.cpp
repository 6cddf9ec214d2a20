#include "runtime/budget/sensitivity.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <span>

#include "quant/parallel.h"
#include "runtime/budget/weight_rounding.h"
#include "runtime/convert/quantize_plan.h"
#include "runtime/session/session.h"
#include "runtime/session/session_options.h"
#include "runtime/session/softmax.h"

namespace larder::runtime {
namespace {

using formats::GgufTensor;
using formats::TokenId;
using quant::Format;

constexpr Format kFormats[] = {Format::q2_k, Format::q3_k, Format::iq4_xs, Format::q4_k,
                               Format::q5_k, Format::q6_k, Format::q8_0};
// In the middle of them: neither lost in noise nor beyond small errors.
constexpr Format kProbe = Format::q4_k;

class OneTensor : public TensorMemory {
 public:
  OneTensor(const GgufTensor& tensor, std::vector<std::byte> bytes)
      : tensor_(&tensor), bytes_(std::move(bytes)) {}
  std::span<const std::byte> bytes(const GgufTensor& tensor) const noexcept override {
    return tensor.name == tensor_->name ? std::span<const std::byte>(bytes_)
                                        : std::span<const std::byte>();
  }

 private:
  const GgufTensor* tensor_;
  std::vector<std::byte> bytes_;
};

// The texts' answers of the model itself, and how far another's are from them.
class Answers {
 public:
  Answers(const std::vector<std::vector<TokenId>>& texts, const SessionOptions& options,
          int32_t n_vocab)
      : texts_(texts), options_(options) {
    const uint64_t row_bytes = static_cast<uint64_t>(n_vocab) * sizeof(float);
    most_rows_ = std::max<uint64_t>(1, kKeptLogitsBytes / row_bytes / texts.size());
  }

  Status keep(std::shared_ptr<const Model> model) {
    return each_row(std::move(model), [this](std::span<const float> logits) {
      logits_.insert(logits_.end(), logits.begin(), logits.end());
      summaries_.push_back(summarize(logits));
    });
  }

  Result<double> divergence_of(std::shared_ptr<const Model> model) const {
    double sum = 0;
    size_t row = 0;
    const Status status = each_row(std::move(model), [&](std::span<const float> logits) {
      const auto base = std::span(logits_).subspan(row * logits.size(), logits.size());
      sum += divergence(base, summaries_[row++], logits, summarize(logits));
    });
    if (!status.ok()) return status;
    return sum / static_cast<double>(row);
  }

  int64_t n_tokens() const noexcept { return static_cast<int64_t>(summaries_.size()); }

 private:
  // The last rows of each text, whose contexts are the longest.
  Status each_row(std::shared_ptr<const Model> model,
                  const std::function<void(std::span<const float>)>& each) const {
    const auto session = Session::create(std::move(model), options_);
    if (!session) return session.status();
    for (const std::vector<TokenId>& text : texts_) {
      (*session)->truncate(0);
      const std::span<const TokenId> tokens(text);
      const size_t n = std::min<size_t>(most_rows_, tokens.size() - 1);
      if (Status s = (*session)->append(tokens.first(tokens.size() - n)); !s.ok()) return s;
      if (Status s = (*session)->append_all_logits(
              tokens.last(n), [&](int32_t, std::span<const float> logits) { each(logits); });
          !s.ok())
        return s;
    }
    return {};
  }

  const std::vector<std::vector<TokenId>>& texts_;
  const SessionOptions& options_;
  uint64_t most_rows_;         // of a text
  std::vector<float> logits_;  // [n_tokens][n_vocab]
  std::vector<LogitsSummary> summaries_;
};

// Each format once, as it would take place for the tensor's rows.
std::vector<Format> formats_for(const GgufTensor& tensor) {
  std::vector<Format> formats;
  for (const Format wanted : kFormats) {
    const Format format = fitting_format(wanted, tensor.dims[0]);
    if (std::find(formats.begin(), formats.end(), format) == formats.end())
      formats.push_back(format);
  }
  return formats;
}

Status check_source(const GgufTensor& tensor) {
  const auto format = static_cast<Format>(tensor.type->id);
  if (format == Format::f32 || format == Format::f16 || format == Format::bf16) return {};
  return Status(Cause::unsupported,
                "it is quantised already, as " + std::string(tensor.type->name) +
                    "; sensitivities are measured with float weights",
                "tensor " + std::string(tensor.name));
}

Result<TensorSensitivity> measure(const std::shared_ptr<const Model>& model,
                                  const GgufTensor& tensor, const Answers& answers,
                                  WeightRounding& rounding) {
  TensorSensitivity found;
  found.name = tensor.name;
  std::vector<std::byte> rounded;
  const Format probe = fitting_format(kProbe, tensor.dims[0]);
  for (const Format format : formats_for(tensor)) {
    Result<double> error =
        rounding.error(model->file(), tensor, format, format == probe ? &rounded : nullptr);
    if (!error) return error.status();
    found.errors.emplace_back(format, *error);
  }
  auto probed = Model::over(*model, std::make_shared<OneTensor>(tensor, std::move(rounded)));
  if (!probed) return probed.status();
  const Result<double> divergence = answers.divergence_of(std::move(*probed));
  if (!divergence) return divergence.status();
  found.probe_divergence = std::max(0.0, *divergence);
  const auto at_probe = std::find_if(found.errors.begin(), found.errors.end(),
                                     [&](const auto& error) { return error.first == probe; });
  if (at_probe->second > 0) found.sensitivity = found.probe_divergence / at_probe->second;
  return found;
}

Status check(const Model& model, const std::vector<std::vector<TokenId>>& texts) {
  if (model.config().has_encoder())
    return Status(Cause::unsupported, "a model with an encoder has no sensitivities measured");
  const bool is_long =
      std::all_of(texts.begin(), texts.end(), [](const auto& text) { return text.size() > 1; });
  if (is_long && !texts.empty()) return {};
  return Status(Cause::invalid_argument, "a text has two tokens at least");
}

}  // namespace

std::span<const Format> budget_formats() noexcept { return kFormats; }

double TensorSensitivity::loss(Format format) const noexcept {
  for (const auto& [known, error] : errors)
    if (known == format) return sensitivity * error;
  return -1;
}

Result<Sensitivities> measure_sensitivities(std::shared_ptr<const Model> model,
                                            const std::vector<std::vector<TokenId>>& texts,
                                            const SensitivityOptions& options) try {
  if (Status s = check(*model, texts); !s.ok()) return s;
  const Result<const quant::KernelSet*> kernels = choose_kernels(options.isa);
  if (!kernels) return kernels.status();
  SessionOptions session;
  session.isa = options.isa;
  session.n_threads = options.n_threads;
  session.ram_bytes = kUnlimitedRam;  // other weights are read where the file is mapped
  for (const auto& text : texts)
    session.n_ctx = std::max(session.n_ctx, static_cast<int32_t>(text.size()));
  std::vector<const GgufTensor*> tensors;
  int64_t most_cols = 1;
  for (const GgufTensor& tensor : model->file().tensors()) {
    if (!may_be_quantized(tensor)) continue;
    if (Status s = check_source(tensor); !s.ok()) return s;
    tensors.push_back(&tensor);
    most_cols = std::max(most_cols, static_cast<int64_t>(tensor.dims[0]));
  }
  Sensitivities found;
  const auto goes_on = [&] {
    return !options.progress || options.progress(found.tensors.size(), tensors.size());
  };
  if (!goes_on()) return Status(Cause::cancelled, "interrupted");
  Answers answers(texts, session, model->config().n_vocab);
  if (Status s = answers.keep(model); !s.ok()) return s;
  quant::Parallel parallel(choose_threads(options.n_threads));
  WeightRounding rounding(**kernels, parallel, most_cols, options.importance);
  found.model = model->file().path();
  found.n_tokens = answers.n_tokens();
  for (const GgufTensor* tensor : tensors) {
    auto one = measure(model, *tensor, answers, rounding);
    if (!one) return one.status();
    found.tensors.push_back(std::move(*one));
    if (found.tensors.size() < tensors.size() && !goes_on())
      return Status(Cause::cancelled, "interrupted");
  }
  return found;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime
