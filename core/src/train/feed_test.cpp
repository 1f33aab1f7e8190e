#include "train/feed.h"

#include <peftlab/testing/texts.h>
#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>

namespace peftlab::train {
namespace {

constexpr int64_t kPictures = 19;

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
  const std::vector<int64_t> order = {3, 1, 4, 10, 5, 9, 2, 6, 8, 7, 0, 11, 12, 13, 14, 15, 16, 17, 18};
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
    if (first == 0) {
      EXPECT_EQ(own.model.computed, 3 * 4 + 1) << "each group once, and one picture to see how large they are";
    }
  }
  EXPECT_EQ(wanted[4].second, 3 + 1 + 4 + 10);
}

TEST(Feed, WithoutAnOrderGroupsAreThoseOfTheDataSet) {
  FeedOfPictures own;
  const Batch batch = own.feed.batch({17, 1});
  EXPECT_EQ(said(batch.image_features[0]), std::pair(int64_t{17}, int64_t{16 + 17 + 18}));
  EXPECT_EQ(said(batch.image_features[1]), std::pair(int64_t{1}, int64_t{15 * 16 / 2}));  // 0 to 15 together
}

/// The features of every picture, asked for in this order, four at a time.
std::vector<std::pair<int64_t, int64_t>> features_of(FeedOfPictures& own, const std::vector<int64_t>& order) {
  std::vector<std::pair<int64_t, int64_t>> found(kPictures);
  for (size_t at = 0; at < order.size(); at += 4) {
    const std::vector<int64_t> examples(order.begin() + at, order.begin() + std::min(at + 4, order.size()));
    own.feed.prefetch(examples);
    const Batch batch = own.feed.batch(examples);
    for (size_t row = 0; row < examples.size(); ++row) {
      found[examples[row]] = said(batch.image_features[static_cast<int64_t>(row)]);
    }
  }
  return found;
}

const std::vector<int64_t> kMixed = {3, 18, 1, 4, 10, 17, 5, 9, 14, 2, 6, 8, 16, 13, 7, 0, 15, 11, 12},
                           kSorted = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

TEST(Feed, AllFeaturesAtOnceAreThoseOfTheDataSetsGroups) {
  FeedOfPictures own, asked;
  EXPECT_TRUE(own.feed.make_features());
  EXPECT_EQ(own.model.computed, kPictures);
  const auto found = features_of(own, kMixed);
  EXPECT_EQ(own.model.computed, kPictures) << "no more";
  EXPECT_EQ(found[2], std::pair(int64_t{2}, int64_t{120}));   // 0 to 15 together: 15 * 16 / 2
  EXPECT_EQ(found[18], std::pair(int64_t{18}, int64_t{51}));  // 16 + 17 + 18
  EXPECT_EQ(features_of(asked, kSorted), found) << "as when they are made as they are asked for";
}

TEST(Feed, SharedFeaturesAreMadeOnceAndTheSame) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "feed_shared";
  std::filesystem::remove_all(folder);
  const SharedFeatures shared(
      folder, [] { return Table(); }, [](const std::string& line) { ADD_FAILURE() << line; });
  const auto fresh = [&] {
    return SharedFeatures(
        folder, [] { return Table(); }, [](const auto&) {});
  };
  FeedOfPictures alone, cold, warm, same_process;
  const auto wanted = features_of(alone, kSorted);
  cold.feed.share(shared);
  EXPECT_TRUE(cold.feed.make_features());
  EXPECT_EQ(features_of(cold, kMixed), wanted);
  EXPECT_EQ(cold.model.computed, kPictures);
  warm.feed.share(fresh());
  EXPECT_TRUE(warm.feed.make_features());
  EXPECT_EQ(features_of(warm, kMixed), wanted);
  EXPECT_EQ(warm.model.computed, 16) << "the first group, to compare";
  // What is open already is not looked at again; and without being told, a feed begins with its first batch.
  same_process.feed.share(shared);
  EXPECT_EQ(features_of(same_process, kMixed), wanted);
  EXPECT_EQ(same_process.model.computed, 0);
}

TEST(Feed, WhereNotAllAreWantedNothingIsShared) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "feed_lazy";
  std::filesystem::remove_all(folder);
  FeedOfPictures own;
  own.feed.share({folder, [] { return Table(); }, [](const auto&) {}});
  own.feed.group_pictures(kMixed, 4);
  EXPECT_EQ(said(own.feed.batch({4}).image_features[0]).second, 3 + 18 + 1 + 4);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST(Feed, MakingFeaturesCanBeStopped) {
  FeedOfPictures own;
  EXPECT_THROW(own.feed.make_features([] { return true; }), Stopped);
  EXPECT_LT(own.model.computed, kPictures);
  EXPECT_TRUE(own.feed.make_features());
}

TEST(Feed, PicturesAreGivenWhereTheFrontIsNotFrozen) {
  FeedOfPictures own(/*is_frozen=*/false);
  EXPECT_FALSE(own.feed.make_features());
  own.feed.prefetch({2, 7});
  const Batch batch = own.feed.batch({2, 7});
  EXPECT_FALSE(batch.image_features.defined());
  EXPECT_TRUE(torch::equal(batch.images.mean({1, 2, 3}), torch::tensor({2.0f, 7.0f})));
  EXPECT_EQ(own.model.computed, 0);
}

TEST(Feed, ABatchSentAheadIsTheSame) {
  const testing::Texts texts({{"cat", "meow"}, {"dog", "woof"}, {"cow", "moo"}});
  testing::ToyModel model;
  const testing::ToyTokenizer tokenizer;
  Feed feed(texts, model, tokenizer, 0, torch::kCPU);
  const std::vector<int64_t> first = {2, 0}, second = {1};
  const Batch wanted = feed.batch(first);
  feed.prefetch(first);
  const Batch other = feed.batch(second);
  EXPECT_EQ(other.layout.sequences(), 1) << "the one that was sent ahead is another";
  for (int time = 0; time < 2; ++time) {  // as it was sent, then packed anew
    const Batch found = feed.batch(first);
    EXPECT_TRUE(torch::equal(found.tokens, wanted.tokens));
    EXPECT_TRUE(torch::equal(found.labels, wanted.labels));
    EXPECT_EQ(found.layout, wanted.layout);
  }
}

}  // namespace
}  // namespace peftlab::train
