#include "train/feed.h"

#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>

namespace peftlab::train {
namespace {

constexpr int64_t kPictures = 11;

/// Every example a picture full of its own number.
class Pictures final : public Dataset {
 public:
  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return kPictures; }
  Example example(int64_t) const override { return {.prompt = "a", .target = "b"}; }
  torch::Tensor image(int64_t index) const override { return torch::full({3, 2, 2}, index, torch::kFloat32); }
  std::string fingerprint() const override { return "pictures"; }
};

/// The toy behind a front that says of each picture who was computed with it.
class Seeing final : public Model {
 public:
  explicit Seeing(bool is_frozen) : is_frozen_(is_frozen) {
    toy_ = register_module("toy", std::make_shared<testing::ToyModel>());
    freeze();
  }

  const ModelFacts& facts() const override { return toy_->facts(); }
  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    Encoded encoded = toy_->encode(example, tokenizer, max_length, with_target);
    encoded.image_at = 0;
    return encoded;
  }
  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override { return toy_->hidden(batch, cache); }
  torch::Tensor head(const torch::Tensor& rows) override { return toy_->head(rows); }
  torch::Tensor front(const torch::Tensor& images) override {
    computed += images.size(0);
    const torch::Tensor own = images.mean({1, 2, 3});
    return torch::stack({own, own.sum().expand_as(own)}, 1).unsqueeze(1);
  }
  std::string front_prefix() const override { return is_frozen_ ? "front." : ""; }
  std::vector<AttentionSite*> attention_sites() override { return toy_->attention_sites(); }
  EmbeddingSite& embedding_site() override { return toy_->embedding_site(); }
  torch::Tensor embedding_table() override { return toy_->embedding_table(); }
  std::vector<std::string> default_lora_targets() const override { return {}; }

  int64_t computed = 0;  ///< pictures

 private:
  bool is_frozen_;
  std::shared_ptr<testing::ToyModel> toy_;
};

struct FeedOfPictures {
  explicit FeedOfPictures(bool is_frozen = true) : model(is_frozen), feed(data, model, tokenizer, 0, torch::kCPU) {}

  Pictures data;
  Seeing model;
  testing::ToyTokenizer tokenizer;
  Feed feed;
};

/// The picture's number, and the sum of the numbers of those that were computed with it.
std::pair<int64_t, int64_t> said(const torch::Tensor& features) {
  return {features[0][0].item<int64_t>(), features[0][1].item<int64_t>()};
}

TEST(Feed, FeaturesDoNotDependOnWhatWasAskedForBefore) {
  const std::vector<int64_t> order = {3, 1, 4, 10, 5, 9, 2, 6, 8, 7, 0};
  const std::vector<std::vector<int64_t>> batches = {{3, 1, 4, 10}, {5, 9, 2, 6}, {8, 7, 0}, {0, 9, 3}, {4, 10}};
  std::map<int64_t, std::pair<int64_t, int64_t>> wanted;
  for (int first = 0; first < 5; ++first) {  // as if the run went on at this batch
    FeedOfPictures own;
    own.feed.group_pictures(order, 4);
    for (int i = first; i < 5; ++i) {
      const Batch batch = own.feed.batch(batches[i]);
      if (i + 1 < 5) own.feed.prefetch(batches[i + 1]);
      ASSERT_EQ(batch.image_features.size(0), static_cast<int64_t>(batches[i].size()));
      for (size_t row = 0; row < batches[i].size(); ++row) {
        const int64_t picture = batches[i][row];
        const auto found = said(batch.image_features[static_cast<int64_t>(row)]);
        EXPECT_EQ(found.first, picture);
        if (first == 0 && i < 3) wanted[picture] = found;
        EXPECT_EQ(found, wanted[picture]) << "from batch " << first;
      }
    }
    if (first == 0) EXPECT_EQ(own.model.computed, kPictures + 1) << "each once, and one to see how large they are";
  }
  EXPECT_EQ(wanted[4].second, 3 + 1 + 4 + 10);
}

TEST(Feed, WithoutAnOrderGroupsAreThoseOfTheDataSet) {
  FeedOfPictures own;
  const Batch batch = own.feed.batch({9, 1});
  EXPECT_EQ(said(batch.image_features[0]), std::pair(int64_t{9}, int64_t{8 + 9 + 10}));
  EXPECT_EQ(said(batch.image_features[1]), std::pair(int64_t{1}, int64_t{28}));
}

TEST(Feed, PicturesAreGivenWhereTheFrontIsNotFrozen) {
  FeedOfPictures own(/*is_frozen=*/false);
  own.feed.prefetch({2, 7});
  const Batch batch = own.feed.batch({2, 7});
  EXPECT_FALSE(batch.image_features.defined());
  EXPECT_TRUE(torch::equal(batch.images.mean({1, 2, 3}), torch::tensor({2.0f, 7.0f})));
  EXPECT_EQ(own.model.computed, 0);
}

}  // namespace
}  // namespace peftlab::train
