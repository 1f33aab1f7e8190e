#include "evaluate/generate.h"

#include "api/packed_weights.h"
#include "evaluate/beam_search.h"
#include "evaluate/continuation.h"
#include "evaluate/logits_rules.h"

#include <peftlab/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <random>

namespace peftlab::evaluate {
namespace {

/// Steps of a batch from which on it pays to pack weights for them.
constexpr int64_t kPackedFrom = 32;

void check(const GenerationOptions& options) {
  const auto need = [](bool holds, const std::string& what) {
    if (!holds) throw ConfigError("generation: " + what);
  };
  const auto is_positive = [](double value) { return value > 0.0 && std::isfinite(value); };
  need(options.max_new_tokens >= 1, "max_new_tokens must be at least 1");
  need(options.min_new_tokens >= 0 && options.min_new_tokens <= options.max_new_tokens,
       "min_new_tokens must be from 0 to max_new_tokens");
  need(is_positive(options.temperature), "temperature must be above 0");
  need(is_positive(options.repetition_penalty), "repetition_penalty must be above 0");
  need(options.top_k >= 0, "top_k must be at least 0");
  need(options.top_p > 0.0 && options.top_p <= 1.0, "top_p must be above 0 and at most 1");
  need(options.no_repeat_ngram_size >= 0, "no_repeat_ngram_size must be at least 0");
  need(options.num_beams >= 1, "num_beams must be at least 1");
  need(std::isfinite(options.length_penalty), "length_penalty must be finite");
  need(options.num_beams == 1 || !options.sample, "beams cannot be sampled: give num_beams or sample");
  need(options.batch_size >= 1, "batch_size must be at least 1");
}

/// A stream of draws for one example, whatever stands beside it in its batch.
std::mt19937_64 stream(uint64_t seed, int64_t example) {
  const auto number = static_cast<uint64_t>(example);
  std::seed_seq words{seed & 0xffffffff, seed >> 32, number & 0xffffffff, number >> 32};
  return std::mt19937_64(words);
}

/// One token of each row of scores [rows, vocabulary], by inversion of its distribution: the first token at which the
/// cumulated probability passes a uniform number.
torch::Tensor draw(const torch::Tensor& scores, const std::vector<double>& uniform) {
  const auto cumulated = scores.to(torch::kFloat64).softmax(-1).cumsum(-1);
  const auto point = torch::tensor(uniform, torch::kFloat64).to(scores.device()).unsqueeze(1) * cumulated.slice(1, -1);
  return torch::searchsorted(cumulated, point, /*out_int32=*/false, /*right=*/true)
      .squeeze(1)
      .clamp_max(scores.size(1) - 1);
}

/// Greedy or sampled answers. `examples`: the number of each text in its data set; `limits`: the most tokens of each.
std::vector<std::vector<int64_t>> answer(Continuation& texts, const std::vector<int64_t>& examples,
                                         const std::vector<int64_t>& limits, const std::vector<int64_t>& ends,
                                         const GenerationOptions& options) {
  std::vector<std::vector<int64_t>> answers(examples.size());
  std::vector<int64_t> open(examples.size());  // which answer each sequence belongs to
  std::iota(open.begin(), open.end(), int64_t{0});
  std::vector<std::mt19937_64> streams;
  if (options.sample) {
    for (const int64_t example : examples) streams.push_back(stream(options.seed, example));
  }
  for (int64_t made = 0;; ++made) {
    auto scores = restrict_scores(texts.logits(), options, texts.texts(), made, ends);
    torch::Tensor chosen;
    if (options.sample) {
      std::vector<double> uniform;
      for (const int64_t i : open) uniform.push_back(static_cast<double>(streams[i]() >> 11) * 0x1p-53);
      chosen = draw(warp_scores(scores, options), uniform);
    } else {
      chosen = scores.argmax(-1);
    }
    chosen = chosen.to(torch::kCPU);
    const int64_t* id = chosen.data_ptr<int64_t>();
    std::vector<int64_t> kept, next, still;
    for (size_t i = 0; i < open.size(); ++i) {
      if (std::find(ends.begin(), ends.end(), id[i]) != ends.end()) continue;
      answers[open[i]].push_back(id[i]);
      if (made + 1 >= limits[open[i]]) continue;
      kept.push_back(static_cast<int64_t>(i));
      next.push_back(id[i]);
      still.push_back(open[i]);
    }
    if (kept.empty()) return answers;
    texts.go_on(kept, next);
    open = std::move(still);
  }
}

std::vector<std::vector<int64_t>> generate_batch(attach::Session& session, train::Feed& prompts,
                                                 const std::vector<int64_t>& indices,
                                                 const GenerationOptions& options) {
  Model& model = *session.model;
  std::vector<std::vector<int64_t>> texts;
  std::vector<int64_t> limits;
  const int64_t holds = model.facts().max_length - attach::taken_positions(model);
  for (const int64_t i : indices) {
    texts.push_back(prompts.encoded(i).tokens);
    limits.push_back(std::min(options.max_new_tokens, holds - static_cast<int64_t>(texts.back().size())));
  }
  Continuation continuation(model, session.device, prompts.batch(indices), std::move(texts),
                            *std::max_element(limits.begin(), limits.end()));
  const auto& ends = model.facts().end_of_sequence;
  if (options.num_beams > 1) return beam_search(continuation, limits, ends, options);
  return answer(continuation, indices, limits, ends, options);
}

}  // namespace

std::vector<std::vector<int64_t>> generate(attach::Session& session, train::Feed& prompts,
                                           const GenerationOptions& options) {
  check(options);
  const torch::NoGradGuard no_grad;
  const int64_t holds = session.model->facts().max_length - attach::taken_positions(*session.model);
  // Prompts of about one length go together; each answer is put back in its place. A prompt that fills the model has
  // no room for an answer.
  std::vector<int64_t> order;
  for (int64_t i = 0; i < prompts.size(); ++i) {
    if (static_cast<int64_t>(prompts.encoded(i).tokens.size()) < holds) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return prompts.encoded(a).tokens.size() < prompts.encoded(b).tokens.size();
  });
  const auto batches = (static_cast<int64_t>(order.size()) + options.batch_size - 1) / options.batch_size;
  std::optional<PackedWeights> packed;
  if (batches * options.max_new_tokens >= kPackedFrom) packed.emplace();
  std::vector<std::vector<int64_t>> answers(prompts.size());
  for (size_t at = 0; at < order.size(); at += options.batch_size) {
    const size_t end = std::min(order.size(), at + static_cast<size_t>(options.batch_size));
    const std::vector<int64_t> indices(order.begin() + at, order.begin() + end);
    const auto made = generate_batch(session, prompts, indices, options);
    for (size_t i = 0; i < indices.size(); ++i) answers[indices[i]] = made[i];
  }
  return answers;
}

}  // namespace peftlab::evaluate
