#include "evaluate/generate.h"

#include <peftlab/error.h>

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace peftlab::evaluate {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

/// Answers of one batch of prompts.
std::vector<std::vector<int64_t>> generate_batch(attach::Session& session, train::Feed& prompts,
                                                 const std::vector<int64_t>& indices, const GenerationOptions& options,
                                                 torch::Generator& generator) {
  Model& model = *session.model;
  const auto& ends = model.facts().end_of_sequence;
  const Batch prompt = prompts.batch(indices);
  KeyValueCache cache(options.max_new_tokens);

  std::vector<std::vector<int64_t>> answers(indices.size());
  std::vector<int64_t> open(indices.size());  // which answer each cached sequence belongs to
  std::iota(open.begin(), open.end(), int64_t{0});

  const auto hidden = model.hidden(prompt, &cache);
  std::vector<int64_t> last;
  for (int64_t s = 0; s < prompt.layout.sequences(); ++s) last.push_back(prompt.layout.offsets[s + 1] - 1);
  auto rows = hidden.index_select(0, torch::tensor(last, torch::kInt64).to(session.device));

  for (int64_t made = 0; made < options.max_new_tokens; ++made) {
    const auto logits = model.head(rows).to(torch::kFloat32).to(torch::kCPU);
    std::vector<int64_t> kept, next;
    for (size_t i = 0; i < open.size(); ++i) {
      auto& answer = answers[open[i]];
      std::vector<int64_t> seen;
      if (options.repetition_penalty != 1.0) {
        seen = prompts.encoded(indices[open[i]]).tokens;
        seen.insert(seen.end(), answer.begin(), answer.end());
      }
      const int64_t id = choose(logits[static_cast<int64_t>(i)], options, seen, generator);
      if (std::find(ends.begin(), ends.end(), id) != ends.end()) continue;
      answer.push_back(id);
      kept.push_back(static_cast<int64_t>(i));
      next.push_back(id);
    }
    if (kept.empty() || made + 1 == options.max_new_tokens) break;
    if (kept.size() < open.size()) {
      cache.select(torch::tensor(kept, torch::kInt64));
      std::vector<int64_t> still;
      for (const int64_t i : kept) still.push_back(open[i]);
      open = std::move(still);
    }
    std::vector<Encoded> steps;
    for (const int64_t id : next) steps.push_back({{id}, {kNoLabel}, 0, -1});
    rows = model.hidden(pack(steps).to(session.device), &cache);
  }
  return answers;
}

}  // namespace

int64_t choose(const torch::Tensor& logits, const GenerationOptions& options, const std::vector<int64_t>& seen,
               torch::Generator& generator) {
  auto scores = logits;
  if (!seen.empty()) {
    scores = scores.clone();
    float* score = scores.data_ptr<float>();
    std::vector<int64_t> once = seen;
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
    for (const int64_t id : once) {
      score[id] = static_cast<float>(score[id] > 0 ? score[id] / options.repetition_penalty
                                                   : score[id] * options.repetition_penalty);
    }
  }
  if (!options.sample) return scores.argmax().item<int64_t>();

  scores = scores / options.temperature;
  if (options.top_k > 0 && options.top_k < scores.numel()) {
    const auto floor = std::get<0>(scores.topk(options.top_k))[-1];
    scores = scores.masked_fill(scores < floor, kNever);
  }
  if (options.top_p < 1.0) {
    const auto [sorted, order] = scores.sort(/*dim=*/0, /*descending=*/true);
    const auto probabilities = sorted.softmax(0);
    // A token is left out if those before it reach p already: the likeliest always stays.
    const auto out = probabilities.cumsum(0) - probabilities >= options.top_p;
    scores = scores.masked_fill(torch::zeros_like(out).scatter(0, order, out), kNever);
  }
  return torch::multinomial(scores.softmax(0), 1, false, generator).item<int64_t>();
}

std::vector<std::vector<int64_t>> generate(attach::Session& session, train::Feed& prompts,
                                           const GenerationOptions& options) {
  const torch::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(options.seed);
  // Prompts of about one length go together; each answer is put back in its place.
  std::vector<int64_t> order(prompts.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return prompts.encoded(a).tokens.size() < prompts.encoded(b).tokens.size();
  });
  std::vector<std::vector<int64_t>> answers(prompts.size());
  for (size_t at = 0; at < order.size(); at += options.batch_size) {
    const size_t end = std::min(order.size(), at + static_cast<size_t>(options.batch_size));
    const std::vector<int64_t> indices(order.begin() + at, order.begin() + end);
    const auto made = generate_batch(session, prompts, indices, options, generator);
    for (size_t i = 0; i < indices.size(); ++i) answers[indices[i]] = made[i];
  }
  return answers;
}

}  // namespace peftlab::evaluate
