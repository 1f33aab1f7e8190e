#include "evaluate/logits_rules.h"

#include <algorithm>
#include <limits>

namespace peftlab::evaluate {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

/// Sets the scores of these (row, id) pairs to -inf.
torch::Tensor ban(const torch::Tensor& scores, const std::vector<int64_t>& rows, const std::vector<int64_t>& ids) {
  if (rows.empty()) return scores;
  const auto flat = torch::tensor(rows, torch::kInt64) * scores.size(1) + torch::tensor(ids, torch::kInt64);
  return scores.flatten().index_fill(0, flat.to(scores.device()), kNever).view_as(scores);
}

torch::Tensor penalize(const torch::Tensor& scores, double penalty, const std::vector<std::vector<int64_t>>& texts) {
  size_t longest = 0;
  for (const auto& text : texts) longest = std::max(longest, text.size());
  // Rows shorter than the longest repeat their own last id: a token counts once however often it was seen.
  std::vector<int64_t> ids;
  ids.reserve(texts.size() * longest);
  for (const auto& text : texts) {
    ids.insert(ids.end(), text.begin(), text.end());
    ids.insert(ids.end(), longest - text.size(), text.back());
  }
  const auto seen = torch::tensor(ids, torch::kInt64).view({scores.size(0), -1}).to(scores.device());
  const auto values = scores.gather(1, seen);
  return scores.scatter(1, seen, torch::where(values < 0, values * penalty, values / penalty));
}

torch::Tensor ban_repeats(const torch::Tensor& scores, size_t size, const std::vector<std::vector<int64_t>>& texts) {
  std::vector<int64_t> rows, ids;
  for (size_t row = 0; row < texts.size(); ++row) {
    const auto& text = texts[row];
    if (text.size() < size) continue;
    const auto tail = text.end() - static_cast<int64_t>(size - 1);
    for (size_t at = 0; at + size <= text.size(); ++at) {
      if (!std::equal(tail, text.end(), text.begin() + static_cast<int64_t>(at))) continue;
      rows.push_back(static_cast<int64_t>(row));
      ids.push_back(text[at + size - 1]);
    }
  }
  return ban(scores, rows, ids);
}

}  // namespace

torch::Tensor restrict_scores(torch::Tensor scores, const GenerationOptions& options,
                              const std::vector<std::vector<int64_t>>& texts, int64_t made,
                              const std::vector<int64_t>& ends) {
  if (options.repetition_penalty != 1.0) scores = penalize(scores, options.repetition_penalty, texts);
  if (options.no_repeat_ngram_size > 0) {
    scores = ban_repeats(scores, static_cast<size_t>(options.no_repeat_ngram_size), texts);
  }
  if (made < options.min_new_tokens && !ends.empty()) {
    scores = scores.index_fill(1, torch::tensor(ends, torch::kInt64).to(scores.device()), kNever);
  }
  return scores;
}

torch::Tensor warp_scores(torch::Tensor scores, const GenerationOptions& options) {
  if (options.temperature != 1.0) scores = scores / options.temperature;
  if (options.top_k > 0 && options.top_k < scores.size(1)) {
    const auto floor = std::get<0>(scores.topk(options.top_k)).slice(1, -1);
    scores = scores.masked_fill(scores < floor, kNever);
  }
  if (options.top_p < 1.0) {
    // From the unlikeliest on, as long as what is left out together stays within 1 - p; the likeliest always stays.
    const auto [sorted, order] = scores.sort(/*dim=*/1, /*descending=*/false);
    auto out = sorted.softmax(1).cumsum(1) <= 1.0 - options.top_p;
    out.slice(1, -1).fill_(false);
    scores = scores.masked_fill(torch::zeros_like(out).scatter(1, order, out), kNever);
  }
  return scores;
}

}  // namespace peftlab::evaluate
