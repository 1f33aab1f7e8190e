/// Image-text matching: given an example, does the model hold the right caption for likelier than wrong ones?
///
///     matching_accuracy   share of examples whose right caption comes first among `candidates`
///     retrieval_rK        share whose right caption is among the first K of `pool` (K = 1, 5, 10)
///
/// A caption's likelihood is log p(caption, end | prompt, picture), summed over its tokens: with the end token among
/// them this is the model's own distribution over texts, whatever their length and however they are cut into tokens.
/// The mean over tokens (normalize = "mean") favours long captions with easy endings; it is there because others report
/// it.
///
/// Wrong captions of an example are drawn without replacement from the split's other distinct captions by drawing.h's
/// rule, which knows the seed and the example's place in the split only: every method meets the same ones. The
/// candidates are the first of the pool. Ties count against the model.
///
/// The rule is our own: a model that only writes has neither the matching head of BLIP-2 (Li et al., arXiv:2301.12597)
/// nor the similarities of CLIP (Radford et al., arXiv:2103.00020). Recall at K is what they call it, from a picture to
/// its caption.

#include "drawing.h"

#include <peftlab/error.h>
#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

namespace peftlab {
namespace {

/// What is to be told apart: the split's distinct captions, and which of them are each example's own.
struct Captions {
  std::vector<std::string> distinct;          ///< in order of first appearance
  std::vector<std::vector<size_t>> own;       ///< per example, indices into distinct; the first is the right one

  explicit Captions(const std::vector<std::vector<std::optional<std::string>>>& references) {
    std::unordered_map<std::string, size_t> index;
    for (size_t i = 0; i < references.size(); ++i) {
      own.emplace_back();
      for (const auto& reference : references[i]) {
        if (!reference) continue;
        const auto [entry, is_new] = index.emplace(*reference, distinct.size());
        if (is_new) distinct.push_back(*reference);
        own.back().push_back(entry->second);
      }
      if (own.back().empty()) {
        throw FormatError("matching_accuracy: example " + std::to_string(i + 1) + " has no reference to be found");
      }
    }
  }

  /// Up to `count` wrong captions of example `i`, in the order they are drawn.
  std::vector<size_t> wrong(size_t i, size_t count, uint64_t seed) const {
    const std::set<size_t> mine(own[i].begin(), own[i].end());
    std::vector<size_t> others;
    others.reserve(distinct.size());
    for (size_t c = 0; c < distinct.size(); ++c) {
      if (!mine.contains(c)) others.push_back(c);
    }
    if (others.empty()) {
      throw ConfigError("matching_accuracy: no wrong caption can be drawn for example " + std::to_string(i + 1) +
                        ": the split holds " + std::to_string(distinct.size()) +
                        " distinct caption(s), all of them its own; leave this metric out");
    }
    matching::draw(others, count, seed, i);
    return others;
  }
};

/// The sizes that one option led to over all examples, as text: "32", "20 (32 asked)", "2 to 4 (4 asked)".
class Sizes {
 public:
  void add(size_t size) {
    low_ = high_ == 0 ? size : std::min(low_, size);
    high_ = std::max(high_, size);
  }
  size_t low() const { return low_; }
  std::string text(int64_t asked) const {
    std::string text = std::to_string(low_);
    if (high_ != low_) text += " to " + std::to_string(high_);
    if (asked != 0 && low_ != static_cast<size_t>(asked)) text += " (" + std::to_string(asked) + " asked)";
    return text;
  }

 private:
  size_t low_ = 0;
  size_t high_ = 0;
};

class MatchingAccuracy final : public Metric {
 public:
  explicit MatchingAccuracy(Params& p)
      : candidates_(p.get<int64_t>("candidates", 4, "captions to choose from, the right one included, >= 2")),
        pool_(p.get<int64_t>("pool", 32, "the same for retrieval; >= `candidates`, or 0: all captions of the split")),
        seed_(p.get<int64_t>("seed", 0, "seeds the draw of wrong captions; not the run's seed")),
        normalize_(p.get("normalize", "sum", "log-likelihood of a caption: sum over its tokens, or their mean")) {
    p.check(candidates_ >= 2, "candidates", "must be at least 2");
    p.check(pool_ == 0 || pool_ >= candidates_, "pool", "must be 0 or at least `candidates`");
    p.check(normalize_ == "sum" || normalize_ == "mean", "normalize", "must be \"sum\" or \"mean\"");
  }

  std::vector<Score> compute(Judged& judged) override {
    const Captions captions(judged.references());
    const size_t examples = captions.own.size();
    const size_t wanted = pool_ == 0 ? captions.distinct.size() : static_cast<size_t>(pool_) - 1;
    const auto first = static_cast<size_t>(candidates_);

    Sizes candidates, pool;
    std::vector<Standing> standings;
    std::vector<Candidate> asked;  // groups of one example each: the right caption, then the wrong ones
    std::vector<size_t> group_sizes;
    for (size_t i = 0; i < examples; ++i) {
      const auto wrong = captions.wrong(i, wanted, static_cast<uint64_t>(seed_));
      asked.push_back({static_cast<int64_t>(i), captions.distinct[captions.own[i].front()]});
      for (const size_t c : wrong) asked.push_back({static_cast<int64_t>(i), captions.distinct[c]});
      group_sizes.push_back(wrong.size() + 1);
      pool.add(wrong.size() + 1);
      candidates.add(std::min(first, wrong.size() + 1));
      if (asked.size() >= kAskedAtOnce || i + 1 == examples) {
        judge(judged, asked, group_sizes, standings);
        asked.clear();
        group_sizes.clear();
      }
    }

    const std::string rule = ", by the " + normalize_ + " of log-likelihoods, ties lost; wrong ones drawn from " +
                             std::to_string(captions.distinct.size()) + " distinct captions with seed " +
                             std::to_string(seed_);
    std::vector<Score> scores;
    scores.push_back(share("matching_accuracy", standings, &Standing::among_candidates, 1,
                           "right caption among " + candidates.text(candidates_) + rule));
    for (const size_t k : {1, 5, 10}) {
      // The first k of k captions hold the right one whatever the model says: no figure.
      if (k >= pool.low()) continue;
      scores.push_back(share("retrieval_r" + std::to_string(k), standings, &Standing::in_pool, k,
                             "right caption in the first " + std::to_string(k) + " of " + pool.text(pool_) + rule));
    }
    return scores;
  }

 private:
  /// How many wrong captions are held for at least as likely as the right one.
  struct Standing {
    size_t among_candidates = 0;
    size_t in_pool = 0;
  };

  static constexpr size_t kAskedAtOnce = 16384;  ///< bounds the memory taken by texts

  void judge(Judged& judged, const std::vector<Candidate>& asked, const std::vector<size_t>& group_sizes,
             std::vector<Standing>& standings) const {
    const auto likelihoods = judged.likelihoods(asked);
    std::vector<double> likely;
    for (size_t c = 0; c < asked.size(); ++c) {
      const Likelihood& l = likelihoods.at(c);
      if (std::isnan(l.log_probability)) {
        throw TrainError("matching_accuracy: the model's log-likelihood of \"" + asked[c].text + "\" for example " +
                         std::to_string(asked[c].example + 1) + " is nan; it must be a number");
      }
      const bool mean = normalize_ == "mean" && l.tokens > 0;
      likely.push_back(mean ? l.log_probability / static_cast<double>(l.tokens) : l.log_probability);
    }
    size_t begin = 0;
    for (const size_t size : group_sizes) {
      Standing standing;
      for (size_t c = 1; c < size; ++c) {
        if (likely[begin + c] < likely[begin]) continue;
        ++standing.in_pool;
        if (c < static_cast<size_t>(candidates_)) ++standing.among_candidates;
      }
      standings.push_back(standing);
      begin += size;
    }
  }

  static Score share(const std::string& name, const std::vector<Standing>& standings, size_t Standing::*ahead, size_t k,
                     const std::string& detail) {
    Score score;
    score.name = name;
    score.n_items = static_cast<int64_t>(standings.size());
    score.detail = detail;
    double found = 0.0;
    for (const Standing& standing : standings) {
      score.per_item.push_back(standing.*ahead < k ? 1.0 : 0.0);
      found += score.per_item.back();
    }
    score.value = found / static_cast<double>(standings.size());
    return score;
  }

  int64_t candidates_, pool_, seed_;
  std::string normalize_;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, MatchingAccuracy, "matching_accuracy",
               "whether the right caption is likelier than wrong ones; recall at 1, 5 and 10", "peftlab",
               "")

}  // namespace peftlab
