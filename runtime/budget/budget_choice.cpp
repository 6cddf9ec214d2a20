#include "runtime/budget/budget_choice.h"

#include <algorithm>
#include <numeric>

namespace larder::runtime {
namespace {

// An option that no other beats in both bytes and loss.
struct Candidate {
  uint64_t bytes;
  double loss;
  size_t index;  // among the item's options
};

// Ascending in bytes, descending in loss.
std::vector<Candidate> frontier_of(const std::vector<BudgetOption>& options) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < options.size(); ++i) all.push_back({options[i].bytes, options[i].loss, i});
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
  });
  std::vector<Candidate> frontier;
  for (const Candidate& candidate : all)
    if (frontier.empty() || candidate.loss < frontier.back().loss) frontier.push_back(candidate);
  return frontier;
}

// What a step along an item's lower hull costs and gains.
struct Step {
  size_t item;
  size_t to;  // of the item's frontier
  uint64_t bytes;
  double gain;
  double rate() const noexcept { return gain / static_cast<double>(bytes); }
};

double rate_between(const Candidate& a, const Candidate& b) noexcept {
  return (a.loss - b.loss) / static_cast<double>(b.bytes - a.bytes);
}

void add_hull_steps(const std::vector<Candidate>& frontier, size_t item, std::vector<Step>& steps) {
  for (size_t at = 0; at + 1 < frontier.size();) {
    size_t best = at + 1;
    for (size_t to = at + 2; to < frontier.size(); ++to)
      if (rate_between(frontier[at], frontier[to]) > rate_between(frontier[at], frontier[best]))
        best = to;
    steps.push_back({item, best, frontier[best].bytes - frontier[at].bytes,
                     frontier[at].loss - frontier[best].loss});
    at = best;
  }
}

class Search {
 public:
  Search(std::span<const std::vector<BudgetOption>> items, uint64_t budget) : budget_(budget) {
    for (const auto& options : items) frontiers_.push_back(frontier_of(options));
    // Items decided first are those with most to gain.
    order_.resize(items.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    const auto most_gain = [this](size_t item) {
      return frontiers_[item].front().loss - frontiers_[item].back().loss;
    };
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return most_gain(a) > most_gain(b); });
    for (size_t place = 0; place < order_.size(); ++place)
      add_hull_steps(frontiers_[order_[place]], place, steps_);
    std::stable_sort(steps_.begin(), steps_.end(),
                     [](const Step& a, const Step& b) { return a.rate() > b.rate(); });
    least_bytes_.resize(order_.size() + 1);
    worst_loss_.resize(order_.size() + 1);
    for (size_t place = order_.size(); place-- > 0;) {
      least_bytes_[place] = least_bytes_[place + 1] + at(place).front().bytes;
      worst_loss_[place] = worst_loss_[place + 1] + at(place).front().loss;
    }
  }

  std::optional<BudgetChoice> run() {
    if (least_bytes_[0] > budget_) return std::nullopt;
    best_ = repaired(greedy());
    best_loss_ = loss_of(best_);
    const double least_loss = bound(0, budget_, 0);
    chosen_.assign(order_.size(), 0);
    descend(0, 0, 0);
    BudgetChoice choice;
    choice.options.resize(order_.size());
    for (size_t place = 0; place < order_.size(); ++place) {
      const Candidate& candidate = at(place)[best_[place]];
      choice.options[order_[place]] = candidate.index;
      choice.bytes += candidate.bytes;
    }
    choice.loss = best_loss_;
    choice.is_optimal = n_nodes_ < kMostNodes;
    choice.least_loss = choice.is_optimal ? best_loss_ : least_loss;
    return choice;
  }

 private:
  using Choice = std::vector<size_t>;  // of each place, the index in its frontier

  const std::vector<Candidate>& at(size_t place) const noexcept {
    return frontiers_[order_[place]];
  }

  double loss_of(const Choice& choice) const {
    double loss = 0;
    for (size_t place = 0; place < choice.size(); ++place) loss += at(place)[choice[place]].loss;
    return loss;
  }

  // Steps in order of their rates, as long as they fit; an item stops at the first that does not.
  Choice greedy() const {
    Choice choice(order_.size(), 0);
    std::vector<bool> is_stopped(order_.size());
    uint64_t room = budget_ - least_bytes_[0];
    for (const Step& step : steps_) {
      if (is_stopped[step.item]) continue;
      is_stopped[step.item] = step.bytes > room;
      if (is_stopped[step.item]) continue;
      room -= step.bytes;
      choice[step.item] = step.to;
    }
    return choice;
  }

  // With the one change after another that gains most within the room left, off the hulls too.
  Choice repaired(Choice choice) const {
    uint64_t used = 0;
    for (size_t place = 0; place < choice.size(); ++place) used += at(place)[choice[place]].bytes;
    while (true) {
      double most = 0;
      size_t best_place = 0, best_to = 0;
      for (size_t place = 0; place < choice.size(); ++place) {
        const Candidate& now = at(place)[choice[place]];
        for (size_t to = choice[place] + 1; to < at(place).size(); ++to) {
          const Candidate& then = at(place)[to];
          if (then.bytes - now.bytes > budget_ - used || now.loss - then.loss <= most) continue;
          most = now.loss - then.loss;
          best_place = place;
          best_to = to;
        }
      }
      if (most <= 0) return choice;
      used += at(best_place)[best_to].bytes - at(best_place)[choice[best_place]].bytes;
      choice[best_place] = best_to;
    }
  }

  // The least loss of the places from `place` on in `room` if options could be divided.
  double bound(size_t place, uint64_t room, double loss) const {
    room -= least_bytes_[place];
    loss += worst_loss_[place];
    for (const Step& step : steps_) {
      if (step.item < place) continue;
      if (step.bytes > room) return loss - step.rate() * static_cast<double>(room);
      room -= step.bytes;
      loss -= step.gain;
    }
    return loss;
  }

  void descend(size_t place, uint64_t used, double loss) {
    if (place == order_.size()) {
      // the sum in the same order as loss_of
      if (loss < best_loss_) {
        best_loss_ = loss;
        best_ = chosen_;
      }
      return;
    }
    for (size_t to = at(place).size(); to-- > 0;) {
      if (n_nodes_ >= kMostNodes) return;
      const Candidate& candidate = at(place)[to];
      if (used + candidate.bytes + least_bytes_[place + 1] > budget_) continue;
      ++n_nodes_;
      const uint64_t room = budget_ - used - candidate.bytes;
      if (bound(place + 1, room, loss + candidate.loss) >= best_loss_) continue;
      chosen_[place] = to;
      descend(place + 1, used + candidate.bytes, loss + candidate.loss);
    }
  }

  const uint64_t budget_;
  std::vector<std::vector<Candidate>> frontiers_;  // by item
  std::vector<size_t> order_;                      // items by place
  std::vector<Step> steps_;                        // of all places, best rate first
  std::vector<uint64_t> least_bytes_;              // of the places from each on
  std::vector<double> worst_loss_;                 // alike
  Choice best_, chosen_;
  double best_loss_ = 0;
  int64_t n_nodes_ = 0;
};

}  // namespace

std::optional<BudgetChoice> choose_within(std::span<const std::vector<BudgetOption>> items,
                                          uint64_t budget_bytes) {
  return Search(items, budget_bytes).run();
}

}  // namespace larder::runtime
