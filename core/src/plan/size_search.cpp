#include "plan/size_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace peftlab::plan {

SizeSearch::SizeSearch(int64_t first, double target, double tolerance)
    : first_(std::clamp<int64_t>(first, 1, kLargest)), target_(target), tolerance_(tolerance) {}

bool SizeSearch::is_near(double cost) const { return std::abs(cost - target_) <= tolerance_ * target_; }

std::optional<int64_t> SizeSearch::next() const {
  if (static_cast<int>(costs_.size()) + n_refused_ >= kMostSizes) return std::nullopt;
  if (costs_.empty()) {
    if (least_refused_ > first_) return first_;
    return least_refused_ > 1 ? std::optional(least_refused_ / 2) : std::nullopt;
  }
  const std::pair<const int64_t, double>*below = nullptr, *above = nullptr;
  for (const auto& entry : costs_) {
    if (is_near(entry.second)) return std::nullopt;
    if (entry.second < target_) below = &entry;
    if (entry.second > target_ && !above) above = &entry;
  }
  if (!above) {
    const int64_t limit = least_refused_ - 1;
    if (below->first >= limit) return std::nullopt;
    // Costs have a part that no size changes: two of them tell it. At most eightfold at a time.
    double wanted = static_cast<double>(below->first) * target_ / std::max(below->second, target_ / 8);
    if (costs_.size() >= 2) {
      const auto& before = *std::prev(costs_.find(below->first));
      const double slope = (below->second - before.second) / static_cast<double>(below->first - before.first);
      if (slope > 0) wanted = static_cast<double>(below->first) + (target_ - below->second) / slope;
      wanted = std::min(wanted, 8.0 * static_cast<double>(below->first));
    }
    const auto size = static_cast<int64_t>(std::ceil(std::min(wanted, static_cast<double>(kLargest))));
    if (n_refused_ > 0)
      return std::min(std::max(size, below->first + 1), below->first + (limit - below->first + 1) / 2);
    return std::clamp(size, below->first + 1, limit);
  }
  if (!below) {
    if (above->first <= 1) return std::nullopt;
    double wanted = static_cast<double>(above->first) * target_ / above->second;
    if (costs_.size() >= 2) {
      const auto& beyond = *std::next(costs_.find(above->first));
      const double slope = (beyond.second - above->second) / static_cast<double>(beyond.first - above->first);
      if (slope > 0) wanted = static_cast<double>(above->first) - (above->second - target_) / slope;
      wanted = std::max(wanted, static_cast<double>(above->first) / 8);
    }
    return std::clamp<int64_t>(static_cast<int64_t>(wanted), 1, above->first - 1);
  }
  // Noise can put a smaller size above a larger one: then there is nothing between them to find.
  if (above->first - below->first < 2) return std::nullopt;
  const double slope = (above->second - below->second) / static_cast<double>(above->first - below->first);
  const double wanted = static_cast<double>(below->first) + (target_ - below->second) / slope;
  return std::clamp<int64_t>(std::llround(wanted), below->first + 1, above->first - 1);
}

void SizeSearch::measured(int64_t size, double cost) { costs_[size] = cost; }

void SizeSearch::refused(int64_t size) {
  least_refused_ = std::min(least_refused_, size);
  ++n_refused_;
}

std::optional<SizeSearch::Best> SizeSearch::best() const {
  std::optional<Best> best;
  for (const auto& [size, cost] : costs_) {
    if (!best || std::abs(cost - target_) < std::abs(best->cost - target_)) best = Best{size, cost, is_near(cost)};
  }
  return best;
}

RunSpec with_size(const RunSpec& method, const std::string& option, int64_t size) {
  RunSpec spec = method;
  spec.methods.front().options[option] = size;
  return spec;
}

RunSpec size_of(const RunSpec& method, const std::string& option, int64_t size, int64_t steps, int64_t seed) {
  RunSpec spec = option.empty() ? method : with_size(method, option, size);
  spec.role = "size";
  spec.of_label = method.label;
  spec.label = fmt::format("{} [{}]", method.label, option.empty() ? "as it is" : fmt::format("{}={}", option, size));
  spec.is_baseline = false;
  spec.validation_data.clear();
  spec.test_data.clear();
  spec.retention_data.clear();
  spec.metrics.clear();
  spec.train.epochs.reset();
  spec.train.steps = steps;
  spec.seed = seed;
  return spec;
}

}  // namespace peftlab::plan
