#include "evaluate/beam_search.h"

#include "evaluate/logits_rules.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace peftlab::evaluate {
namespace {

/// Added to the scores of what must not be chosen. It is finite, as the reference's is: where nothing else is left, such
/// a beam is chosen after all.
constexpr float kOut = -1.0e9f;

struct Beam {
  float score = kOut;
  std::vector<int64_t> answer;
  bool finished = false;
};

/// One way to go on from an open beam.
struct Candidate {
  float score;  // log p of the whole answer
  int64_t parent, id;
  bool stops;
};

bool is_one_of(const std::vector<int64_t>& ids, int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// The search for the answer to one text.
class Search {
 public:
  Search(int64_t text, int64_t limit, const GenerationOptions& options)
      : text(text), open(options.num_beams), limit_(limit), options_(options), finished_(options.num_beams) {
    open[0].score = 0.0f;  // all beams begin alike, so only the first may be continued
  }

  /// Takes the likeliest continuations, best first. Gives, for each open beam of the next step, the one it comes from
  /// (in `parents`) and its newest id.
  void step(std::vector<Candidate> candidates, const std::vector<int64_t>& ends, std::vector<int64_t>& parents,
            std::vector<int64_t>& next) {
    ++made_;
    bool all_stop = true;
    for (Candidate& c : candidates) {
      c.stops = made_ >= limit_ || is_one_of(ends, c.id);
      all_stop = all_stop && c.stops;
    }
    const std::vector<Beam> before = std::move(open);
    finish(before, candidates);

    std::vector<Candidate> running = candidates;
    for (Candidate& c : running) c.score += c.stops ? kOut : 0.0f;
    std::stable_sort(running.begin(), running.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    running.resize(before.size());
    open.clear();
    for (const Candidate& c : running) {
      open.push_back(extended(before, c, c.score));
      parents.push_back(c.parent);
      next.push_back(c.id);
    }
    done = all_stop || !can_improve() || (options_.early_stopping == EarlyStopping::yes && is_full());
  }

  /// The best answer, without its end.
  std::vector<int64_t> answer(const std::vector<int64_t>& ends) const {
    auto best = finished_[0].answer;
    if (!best.empty() && is_one_of(ends, best.back())) best.pop_back();
    return best;
  }

  int64_t text;  ///< which of the texts
  bool done = false;
  std::vector<Beam> open;

 private:
  static Beam extended(const std::vector<Beam>& before, const Candidate& c, float score) {
    Beam beam{score, before[c.parent].answer, c.stops};
    beam.answer.push_back(c.id);
    return beam;
  }

  float length_divisor(int64_t length) const {
    return static_cast<float>(std::pow(static_cast<double>(length), options_.length_penalty));
  }

  bool is_full() const {
    return std::all_of(finished_.begin(), finished_.end(), [](const Beam& beam) { return beam.finished; });
  }

  /// Lets those that stop in among the finished; only the first `num_beams` candidates may.
  void finish(const std::vector<Beam>& before, const std::vector<Candidate>& candidates) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      const bool enters = candidates[i].stops && i < before.size();
      Beam beam = extended(before, candidates[i], candidates[i].score / length_divisor(made_));
      beam.finished = enters;
      if (!enters) beam.score += kOut;
      finished_.push_back(std::move(beam));
    }
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const Beam& a, const Beam& b) { return a.score > b.score; });
    finished_.resize(before.size());
  }

  /// Whether the best open beam may still become better than the worst finished one.
  bool can_improve() const {
    if (!is_full()) return true;
    const bool at_most = options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0.0;
    return open[0].score / length_divisor(at_most ? limit_ : made_) > finished_.back().score;
  }

  int64_t limit_;
  const GenerationOptions& options_;
  std::vector<Beam> finished_;  ///< `num_beams`, best first; those that are not finished only keep the place
  int64_t made_ = 0;
};

}  // namespace

std::vector<std::vector<int64_t>> beam_search(Continuation& prompts, const std::vector<int64_t>& limits,
                                              const std::vector<int64_t>& ends, const GenerationOptions& options) {
  const int64_t beams = options.num_beams;
  std::vector<std::vector<int64_t>> answers(limits.size());
  std::vector<Search> searches;
  std::vector<int64_t> copies;
  for (size_t i = 0; i < limits.size(); ++i) {
    searches.emplace_back(static_cast<int64_t>(i), limits[i], options);
    copies.insert(copies.end(), beams, static_cast<int64_t>(i));
  }
  prompts.keep(copies);

  // So many that, whichever of them end, as many beams as before go on.
  const int64_t wanted = std::max<int64_t>(2, 1 + static_cast<int64_t>(ends.size())) * beams;
  for (int64_t made = 0; !searches.empty(); ++made) {
    auto scores = restrict_scores(prompts.logits().log_softmax(-1), options, prompts.texts(), made, ends);
    const auto count = static_cast<int64_t>(searches.size());
    const int64_t vocabulary = scores.size(1);
    std::vector<float> so_far;
    for (const Search& search : searches) {
      for (const Beam& beam : search.open) so_far.push_back(beam.score);
    }
    scores = (scores + torch::tensor(so_far).to(scores.device()).unsqueeze(1)).view({count, beams * vocabulary});
    const auto [top, places] = scores.topk(std::min(wanted, beams * vocabulary));
    const auto values = top.to(torch::kCPU).contiguous(), indices = places.to(torch::kCPU).contiguous();
    const float* value = values.data_ptr<float>();
    const int64_t* index = indices.data_ptr<int64_t>();

    std::vector<int64_t> kept, next;
    std::vector<Search> still;
    for (int64_t s = 0; s < count; ++s) {
      std::vector<Candidate> candidates;
      for (int64_t i = 0; i < values.size(1); ++i, ++value, ++index) {
        candidates.push_back({*value, *index / vocabulary, *index % vocabulary, false});
      }
      std::vector<int64_t> parents, ids;
      searches[s].step(std::move(candidates), ends, parents, ids);
      if (searches[s].done) {
        answers[searches[s].text] = searches[s].answer(ends);
        continue;
      }
      for (const int64_t parent : parents) kept.push_back(s * beams + parent);
      next.insert(next.end(), ids.begin(), ids.end());
      still.push_back(std::move(searches[s]));
    }
    searches.swap(still);
    if (!searches.empty()) prompts.go_on(kept, next);
  }
  return answers;
}

}  // namespace peftlab::evaluate
