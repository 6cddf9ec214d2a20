#include "apps/importance_report.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace larder::apps {
namespace {

using formats::DataValue;

ExpertCoverage coverage_of(const std::string& name, const std::vector<double>& counts) {
  ExpertCoverage coverage;
  coverage.tensor = name;
  coverage.n_experts = static_cast<int64_t>(counts.size());
  for (size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] == 0)
      coverage.unseen.push_back(static_cast<int64_t>(e));
    else if (counts[e] < kFewRows)
      coverage.scarce.push_back(static_cast<int64_t>(e));
  }
  std::vector<double> sorted = counts;
  std::sort(sorted.begin(), sorted.end());
  coverage.least = sorted.front();
  coverage.median = sorted[sorted.size() / 2];
  coverage.most = sorted.back();
  return coverage;
}

DataValue list_of(const std::vector<int64_t>& values) {
  DataValue list = DataValue::make_list();
  for (const int64_t value : values) list.list.emplace_back(value);
  return list;
}

std::string line_of(const ExpertCoverage& one) {
  char line[160];
  std::snprintf(line, sizeof line, "%-32s %8lld %8zu %8zu %10.0f %10.0f %10.0f\n",
                one.tensor.c_str(), static_cast<long long>(one.n_experts), one.unseen.size(),
                one.scarce.size(), one.least, one.median, one.most);
  return line;
}

}  // namespace

ImportanceReport::ImportanceReport(const runtime::Model& model,
                                   const runtime::Importance& importance)
    : n_chunks_(importance.n_chunks),
      chunk_tokens_(importance.chunk_tokens),
      n_tensors_(std::count_if(importance.tensors.begin(), importance.tensors.end(),
                               [](const auto& tensor) { return tensor.second.is_known(); })) {
  for (const formats::GgufTensor& tensor : model.file().tensors()) {
    const std::string name(tensor.name);
    const auto found = importance.tensors.find(name);
    if (found == importance.tensors.end()) continue;
    if (name.ends_with("ffn_down_exps.weight"))
      experts_.push_back(coverage_of(name, found->second.counts));
  }
}

std::vector<std::string> ImportanceReport::warnings() const {
  size_t n_unseen = 0, n_scarce = 0, n_tensors = 0;
  for (const ExpertCoverage& one : experts_) {
    n_unseen += one.unseen.size();
    n_scarce += one.scarce.size();
    n_tensors += one.unseen.empty() && one.scarce.empty() ? 0 : 1;
  }
  std::vector<std::string> sentences;
  const std::string layers = " in " + std::to_string(n_tensors) + " layers";
  if (n_unseen > 0)
    sentences.push_back(std::to_string(n_unseen) + " experts" + layers +
                        " met no token; they will be quantised as without importance; give more, "
                        "or more varied, text");
  if (n_scarce > 0)
    sentences.push_back(std::to_string(n_scarce) + " experts met less than " +
                        std::to_string(static_cast<int>(kFewRows)) +
                        " tokens; their importance is a rough guess");
  return sentences;
}

std::string ImportanceReport::to_text() const {
  char head[120];
  std::snprintf(head, sizeof head, "%lld tensors, %lld chunks of %lld tokens\n",
                static_cast<long long>(n_tensors_), static_cast<long long>(n_chunks_),
                static_cast<long long>(chunk_tokens_));
  std::string text = head;
  if (experts_.empty()) return text;
  std::snprintf(head, sizeof head, "\n%-32s %8s %8s %8s %10s %10s %10s\n", "tokens of each expert",
                "experts", "unseen", "few", "least", "median", "most");
  text += head;
  for (const ExpertCoverage& one : experts_) text += line_of(one);
  return text;
}

DataValue ImportanceReport::to_data() const {
  DataValue experts = DataValue::make_list();
  for (const ExpertCoverage& one : experts_)
    experts.list.push_back(DataValue::make_dict({{"tensor", one.tensor},
                                                 {"n_experts", one.n_experts},
                                                 {"unseen", list_of(one.unseen)},
                                                 {"scarce", list_of(one.scarce)},
                                                 {"least", one.least},
                                                 {"median", one.median},
                                                 {"most", one.most}}));
  return DataValue::make_dict({{"n_tensors", n_tensors_},
                               {"n_chunks", n_chunks_},
                               {"chunk_tokens", chunk_tokens_},
                               {"experts", std::move(experts)}});
}

}  // namespace larder::apps
