#include "evaluate/judge.h"

#include "train/frozen_rows.h"
#include "train/loss.h"

#include <peftlab/error.h>
#include <peftlab/nn/to_device.h>
#include <peftlab/text_rules.h>

#include <algorithm>
#include <numeric>

namespace peftlab::evaluate {
namespace {

/// The answer part of an encoded example, if its prompt is encoded alike and cannot see the answer.
std::optional<std::vector<int64_t>> answer_of(const Encoded& whole, const Encoded& prompt) {
  const auto& tokens = whole.tokens;
  const size_t shared = prompt.tokens.size();
  if (tokens.size() <= shared || !std::equal(prompt.tokens.begin(), prompt.tokens.end(), tokens.begin()) ||
      whole.context != prompt.context || whole.context > static_cast<int64_t>(shared)) {
    return std::nullopt;
  }
  // Every label from the prompt's last row on is the next token, as in a causal answer.
  for (size_t i = shared - 1; i + 1 < tokens.size(); ++i) {
    if (whole.labels[i] != tokens[i + 1]) return std::nullopt;
  }
  return std::vector<int64_t>(tokens.begin() + static_cast<int64_t>(shared), tokens.end());
}

/// The examples in batches of about one length, so that next to nothing is padded in any.
std::vector<std::vector<int64_t>> by_length(const train::Feed& feed, int64_t batch_size) {
  std::vector<int64_t> order(feed.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return feed.encoded(a).tokens.size() < feed.encoded(b).tokens.size(); });
  std::vector<std::vector<int64_t>> batches;
  for (size_t at = 0; at < order.size(); at += static_cast<size_t>(batch_size)) {
    const size_t end = std::min(order.size(), at + static_cast<size_t>(batch_size));
    batches.emplace_back(order.begin() + static_cast<int64_t>(at), order.begin() + static_cast<int64_t>(end));
  }
  return batches;
}

}  // namespace

ModelJudge::ModelJudge(attach::Session& session, const Dataset& data, const JudgeOptions& options)
    : session_(session),
      data_(data),
      options_(options),
      prompts_(data, *session.model, *session.tokenizer, options.max_length, session.device, /*with_target=*/false),
      choices_(data.choices()) {
  prompts_.share(options.shared);
}

// Not before they are asked for: answers can be given to examples without a label.
const std::vector<std::vector<std::optional<std::string>>>& ModelJudge::references() const {
  if (!references_.empty()) return references_;
  const auto& labels = session_.model->facts().labels;
  for (int64_t i = 0; i < data_.size(); ++i) {
    const Example example = data_.example(i);
    if (labels.empty()) {
      references_.push_back({choices_.empty() ? example.target : example.label});
      continue;
    }
    try {
      references_.push_back({labels[class_number(example.label, labels)]});
    } catch (const FormatError& error) {
      throw FormatError(data_.place(i) + ": " + error.what());
    }
  }
  return references_;
}

const std::vector<std::string>& ModelJudge::predictions() {
  if (predictions_) return *predictions_;
  if (classifies()) return predictions_.emplace(choices_.empty() ? classify() : choose_likeliest());
  predictions_.emplace();
  GenerationOptions generation = options_.generation;
  generation.batch_size = options_.batch_size;
  for (const auto& ids : generate(session_, prompts_, generation)) {
    predictions_->push_back(session_.tokenizer->decode(ids));
  }
  return *predictions_;
}

std::vector<std::string> ModelJudge::classify() {
  const torch::Tensor classes = class_logits().argmax(-1);
  std::vector<std::string> named;
  for (int64_t i = 0; i < size(); ++i) {
    named.push_back(session_.model->facts().labels.at(classes.data_ptr<int64_t>()[i]));
  }
  return named;
}

const torch::Tensor& ModelJudge::class_logits() {
  if (class_logits_.defined()) return class_logits_;
  const torch::NoGradGuard no_grad;
  const auto classes = static_cast<int64_t>(session_.model->facts().labels.size());
  const torch::Tensor logits = torch::empty({size(), classes}, torch::kFloat32);
  const auto groups = by_length(prompts_, options_.batch_size);
  const torch::Tensor kept = shared_class_rows(groups);
  int64_t row = 0;
  for (const auto& indices : groups) {
    const auto n = static_cast<int64_t>(indices.size());
    const auto rows = kept.defined() ? kept.narrow(0, row, n).to(session_.device) : class_rows(indices);
    const auto found = session_.model->head(rows);
    logits.index_copy_(0, torch::tensor(indices, torch::kInt64), found.to(torch::kCPU, torch::kFloat32));
    row += n;
  }
  return class_logits_ = logits;
}

torch::Tensor ModelJudge::class_rows(const std::vector<int64_t>& indices) {
  const Batch batch = prompts_.batch(indices);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < indices.size(); ++i) {
    rows.push_back(batch.layout.offsets[i] + prompts_.encoded(indices[i]).class_at);
  }
  return session_.model->hidden_at(batch, torch::tensor(rows, torch::kInt64));
}

torch::Tensor ModelJudge::shared_class_rows(const std::vector<std::vector<int64_t>>& groups) {
  if (!options_.shared.keeps() || !train::only_head_is_trained(*session_.model)) return {};
  const Table made_from = {{"features", "rows of classes"},
                           {"examples", prompts_.sha256()},
                           {"examples_together", options_.batch_size},
                           {"weights", train::weights_in_force(*session_.model, "")}};
  const auto all = [&](const torch::Tensor& first) {
    std::vector<torch::Tensor> rows = {first};
    for (size_t i = 1; i < groups.size(); ++i) rows.push_back(class_rows(groups[i]).to(torch::kCPU));
    return torch::cat(rows);
  };
  return options_.shared.of(
      made_from,
      {.rows = size(), .first = [&] { return class_rows(groups.front()).to(torch::kCPU); }, .all = all, .stop = {}});
}

std::optional<torch::Tensor> ModelJudge::class_losses(const train::Feed& feed) {
  if (session_.model->facts().labels.empty()) return std::nullopt;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < feed.size(); ++i) {
    const Encoded &labelled = feed.encoded(i), &asked = prompts_.encoded(i);
    const bool is_class = feed.labelled(i) == 1 && labelled.class_at >= 0 && labelled.class_at == asked.class_at &&
                          labelled.labels[labelled.class_at] != kNoLabel && labelled.tokens == asked.tokens;
    if (!is_class) return std::nullopt;
    labels.push_back(labelled.labels[labelled.class_at]);
  }
  return torch::cross_entropy_loss(class_logits(), torch::tensor(labels, torch::kInt64), {}, at::Reduction::None);
}

std::vector<std::string> ModelJudge::choose_likeliest() {
  std::vector<Candidate> candidates;
  for (int64_t i = 0; i < size(); ++i) {
    for (const Choice& choice : choices_) candidates.push_back({i, choice.text});
  }
  const auto likely = likelihoods(candidates);
  std::vector<std::string> named;
  for (int64_t i = 0; i < size(); ++i) {
    const auto first = likely.begin() + i * static_cast<int64_t>(choices_.size());
    const auto best = std::max_element(first, first + static_cast<int64_t>(choices_.size()),
                                       [](auto& a, auto& b) { return a.log_probability < b.log_probability; });
    named.push_back(choices_[best - first].label);
  }
  return named;
}

Score ModelJudge::loss() {
  if (loss_) return *loss_;
  const torch::NoGradGuard no_grad;
  train::Feed feed(data_, *session_.model, *session_.tokenizer, options_.max_length, session_.device);
  feed.share(options_.shared);
  Score score{.name = "loss", .n_items = feed.size(), .higher_is_better = false};
  score.per_item.resize(feed.size());
  if (const auto losses = class_losses(feed)) {
    for (int64_t i = 0; i < feed.size(); ++i) score.per_item[i] = losses->data_ptr<float>()[i];
  } else {
    for (const auto& indices : by_length(feed, options_.batch_size)) {
      const auto found = train::token_losses(*session_.model, feed.batch(indices)).to(torch::kCPU, torch::kFloat64);
      const double* next = found.data_ptr<double>();
      for (const int64_t index : indices) {
        score.per_item[index] = std::accumulate(next, next + feed.labelled(index), 0.0);
        next += feed.labelled(index);
      }
    }
  }
  double sum = 0.0;
  int64_t labelled = 0;
  for (int64_t i = 0; i < feed.size(); ++i) {
    sum += score.per_item[i];
    labelled += feed.labelled(i);
  }
  if (labelled == 0) throw UnsupportedError("loss: no token of the split has a label");
  score.value = sum / static_cast<double>(labelled);
  score.detail = "tokens:" + std::to_string(labelled);
  loss_ = score;
  return score;
}

std::vector<Likelihood> ModelJudge::likelihoods(const std::vector<Candidate>& candidates) {
  const torch::NoGradGuard no_grad;
  const int64_t max_length = options_.max_length > 0 ? options_.max_length : session_.model->facts().max_length;
  std::vector<Encoded> encoded;
  std::vector<std::vector<int64_t>> answers;
  for (const Candidate& candidate : candidates) {
    Example example = data_.example(candidate.example);
    example.target = candidate.text;
    encoded.push_back(session_.model->encode(example, *session_.tokenizer, max_length, /*with_target=*/true));
    if (auto answer = answer_of(encoded.back(), prompts_.encoded(candidate.example))) answers.push_back(*answer);
  }
  if (answers.size() == candidates.size()) return likelihoods_by_prompt(candidates, answers);
  return likelihoods_whole(candidates, encoded);
}

// The prompt of an example is computed once and its cache shared by the candidates, which lie next to each other.
std::vector<Likelihood> ModelJudge::likelihoods_by_prompt(const std::vector<Candidate>& candidates,
                                                          const std::vector<std::vector<int64_t>>& answers) {
  Model& model = *session_.model;
  std::vector<Likelihood> likelihoods(candidates.size());
  size_t at = 0;
  while (at < candidates.size()) {
    // As many whole candidates as fit into a batch, and the examples they belong to.
    std::vector<int64_t> examples, owner;
    size_t end = at;
    int64_t longest = 0;
    while (end < candidates.size() && end - at < static_cast<size_t>(4 * options_.batch_size)) {
      if (examples.empty() || examples.back() != candidates[end].example) examples.push_back(candidates[end].example);
      owner.push_back(static_cast<int64_t>(examples.size()) - 1);
      longest = std::max(longest, static_cast<int64_t>(answers[end].size()));
      ++end;
    }
    const Batch prompt = prompts_.batch(examples);
    KeyValueCache cache(longest);
    std::vector<int64_t> last;
    for (size_t s = 0; s < examples.size(); ++s) last.push_back(prompt.layout.offsets[s + 1] - 1);
    const auto hidden = model.hidden_at(prompt, torch::tensor(last, torch::kInt64), &cache);
    const auto first_rows = hidden.index_select(0, to_device(torch::tensor(owner, torch::kInt64), session_.device));
    cache.select(torch::tensor(owner, torch::kInt64));

    // Row 0 of an answer is predicted by the prompt's last row, row i by row i - 1 of the answer: its last token is read
    // only where it is the only one, as no sequence may be empty.
    std::vector<Encoded> steps;
    std::vector<int64_t> labels;
    for (size_t i = at; i < end; ++i) {
      const auto& answer = answers[i];
      const size_t read = std::max<size_t>(answer.size() - 1, 1);
      steps.push_back({{answer.begin(), answer.begin() + read}, std::vector<int64_t>(read, kNoLabel), 0, -1});
    }
    const Batch batch = pack(steps).to(session_.device);
    const auto answer_rows = model.hidden(batch, &cache);
    std::vector<torch::Tensor> rows;
    for (size_t i = at; i < end; ++i) {
      const int64_t s = static_cast<int64_t>(i - at);
      rows.push_back(first_rows.slice(0, s, s + 1));
      const int64_t first = batch.layout.offsets[s];
      rows.push_back(answer_rows.slice(0, first, first + static_cast<int64_t>(answers[i].size()) - 1));
      labels.insert(labels.end(), answers[i].begin(), answers[i].end());
    }
    const auto losses =
        train::losses_of(model, {torch::cat(rows), to_device(torch::tensor(labels, torch::kInt64), session_.device)})
            .to(torch::kCPU, torch::kFloat64);
    const double* next = losses.data_ptr<double>();
    for (size_t i = at; i < end; ++i) {
      const auto tokens = static_cast<int64_t>(answers[i].size());
      likelihoods[i] = {-std::accumulate(next, next + tokens, 0.0), tokens};
      next += tokens;
    }
    at = end;
  }
  return likelihoods;
}

std::vector<Likelihood> ModelJudge::likelihoods_whole(const std::vector<Candidate>& candidates,
                                                      const std::vector<Encoded>& encoded) {
  std::vector<Likelihood> likelihoods(candidates.size());
  const auto step = static_cast<size_t>(options_.batch_size);
  for (size_t at = 0; at < candidates.size(); at += step) {
    const size_t end = std::min(candidates.size(), at + step);
    std::vector<int64_t> indices;
    for (size_t i = at; i < end; ++i) indices.push_back(candidates[i].example);
    const Batch batch = prompts_.batch(indices, {encoded.begin() + at, encoded.begin() + end});
    const auto losses = train::token_losses(*session_.model, batch).to(torch::kCPU, torch::kFloat64);
    const double* next = losses.data_ptr<double>();
    for (size_t i = at; i < end; ++i) {
      const auto tokens = std::count_if(encoded[i].labels.begin(), encoded[i].labels.end(),
                                        [](int64_t label) { return label != kNoLabel; });
      likelihoods[i] = {-std::accumulate(next, next + tokens, 0.0), tokens};
      next += tokens;
    }
  }
  return likelihoods;
}

std::vector<Score> scores(ModelJudge& judge, const std::vector<std::unique_ptr<Metric>>& metrics) {
  std::vector<Score> all = {judge.loss()};
  for (const auto& metric : metrics) {
    for (Score& score : metric->compute(judge)) all.push_back(std::move(score));
  }
  return all;
}

std::vector<Likelihood> TextJudge::likelihoods(const std::vector<Candidate>&) {
  throw UnsupportedError("this metric asks how likely a text is, which needs a model: use `peftlab eval`");
}

double TextJudge::mean_loss() {
  throw UnsupportedError("this metric asks for the model's loss, and there is no model here: use `peftlab eval`");
}

}  // namespace peftlab::evaluate
