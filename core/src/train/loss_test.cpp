/// The losses of many rows of a large vocabulary: computed some at a time, and again where they would not be kept.

#include "train/loss.h"

#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/linear.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab::train {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

constexpr int64_t kVocabulary = 1 << 20, kHidden = 4;
constexpr int64_t kAtOnce = kLogitsAtOnce / (4 * kVocabulary), kKept = kLogitsKept / (4 * kVocabulary);  // rows

/// A head of that size, which counts the rows it is asked for; all else is the toy's.
class Wide final : public Model {
 public:
  Wide() {
    toy_ = register_module("toy", std::make_shared<testing::ToyModel>());
    facts_ = toy_->facts();
    facts_.vocabulary = kVocabulary;
    facts_.hidden = kHidden;
    torch::manual_seed(0);
    output = register_module("output", std::make_shared<Linear>(kHidden, kVocabulary, /*with_bias=*/false));
    toy_->freeze();
  }

  const ModelFacts& facts() const override { return facts_; }
  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    return toy_->encode(example, tokenizer, max_length, with_target);
  }
  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override { return toy_->hidden(batch, cache); }
  torch::Tensor head(const torch::Tensor& rows) override {
    asked.push_back(rows.size(0));
    return output->forward(rows);
  }
  std::vector<AttentionSite*> attention_sites() override { return toy_->attention_sites(); }
  EmbeddingSite& embedding_site() override { return toy_->embedding_site(); }
  torch::Tensor embedding_table() override { return toy_->embedding_table(); }
  std::vector<std::string> default_lora_targets() const override { return {}; }

  std::shared_ptr<Linear> output;
  std::vector<int64_t> asked;

 private:
  ModelFacts facts_;
  std::shared_ptr<testing::ToyModel> toy_;
};

/// Random rows that want a gradient, and random labels.
LabelledRows some(int64_t n) {
  torch::manual_seed(1);
  return {torch::randn({n, kHidden}).requires_grad_(), torch::randint(kVocabulary, {n}, torch::kInt64)};
}

struct Found {
  torch::Tensor losses, of_rows, of_weight;
  std::vector<int64_t> forward, backward;  ///< rows the head was asked for
};

Found found(Wide& model, int64_t n) {
  const LabelledRows labelled = some(n);
  model.asked.clear();
  const torch::Tensor losses = losses_of(model, labelled);
  Found result{.losses = losses.detach(), .forward = std::exchange(model.asked, {})};
  const auto gradients = torch::autograd::grad({losses.mean()}, {labelled.rows, model.output->weight});
  result.of_rows = gradients[0];
  result.of_weight = gradients[1];
  result.backward = model.asked;
  return result;
}

TEST(LossesOfRows, AreComputedSomeAtATimeAndAreThoseOfAllAtOnce) {
  Wide model;
  const int64_t n = kAtOnce + 9;
  const Found pieces = found(model, n);
  EXPECT_THAT(pieces.forward, ElementsAre(kAtOnce, 9));
  EXPECT_THAT(pieces.backward, IsEmpty()) << "so few are kept";

  const LabelledRows labelled = some(n);
  const auto losses = torch::cross_entropy_loss(torch::mm(labelled.rows, model.output->weight.t()), labelled.labels, {},
                                                at::Reduction::None);
  const auto gradients = torch::autograd::grad({losses.mean()}, {labelled.rows, model.output->weight});
  EXPECT_TRUE(torch::allclose(pieces.losses, losses, 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(pieces.of_rows, gradients[0], 1e-3, 1e-5));
  EXPECT_TRUE(torch::allclose(pieces.of_weight, gradients[1], 1e-4, 1e-7));
}

TEST(LossesOfRows, OfMoreThanIsKeptAreComputedAgainForTheirGradients) {
  Wide model;
  const int64_t n = kKept + 1, pieces = (n + kAtOnce - 1) / kAtOnce;
  const Found again = found(model, n);
  EXPECT_THAT(again.forward, SizeIs(pieces));
  EXPECT_THAT(again.backward, SizeIs(pieces));
  EXPECT_THAT(again.backward, Each(Le(kAtOnce)));
}

TEST(LossesOfRows, AreTheSameBitsUnderACheckpointing) {
  Wide model;
  const Found kept = found(model, kAtOnce + 9);
  const Checkpointing checkpointing;
  const Found again = found(model, kAtOnce + 9);
  EXPECT_THAT(again.backward, SizeIs(2));
  EXPECT_TRUE(torch::equal(again.losses, kept.losses));
  EXPECT_TRUE(torch::equal(again.of_rows, kept.of_rows));
  EXPECT_TRUE(torch::equal(again.of_weight, kept.of_weight));
}

}  // namespace
}  // namespace peftlab::train
