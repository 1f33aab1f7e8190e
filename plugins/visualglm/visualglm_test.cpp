/// The whole model against an independent implementation (tests/oracle/visualglm), and against itself.

#include "test_support.h"

#include <ATen/autocast_mode.h>

namespace peftlab {
namespace {

constexpr double kClose = 1e-5;

class VisualGlmOracle : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(VisualGlmOracle, HiddenLogitsAndLossAgree) {
  const auto [folder, name] = GetParam();
  const std::string key = name;
  auto model = open_model(folder);
  const torch::NoGradGuard no_grad;
  const Batch batch = batch_of({Case(key)});
  const auto hidden = model->hidden(batch);
  EXPECT_LE(difference(hidden, expected().at(key + ".hidden")), kClose);
  EXPECT_LE(difference(model->head(hidden), expected().at(key + ".logits")), kClose);
  EXPECT_NEAR(loss_of(*model, batch).item<double>(), expected().at(key + ".loss").item<double>(), kClose);
}

TEST_P(VisualGlmOracle, GreedyIdsAgreeWithACacheAndWithout) {
  const auto [folder, name] = GetParam();
  const std::string key = name;
  auto model = open_model(folder);
  const torch::NoGradGuard no_grad;
  const auto wanted = list(expected().at(key + ".greedy"));
  Case growing = prompt_of(Case(key));
  torch::Tensor cached;
  EXPECT_EQ(generate(*model, batch_of({growing}), static_cast<int64_t>(wanted.size()), &cached), wanted);
  for (size_t step = 0; step < wanted.size(); ++step) {
    const auto last = model->head(model->hidden(batch_of({growing})).slice(0, -1));
    EXPECT_EQ(last.argmax(-1).item<int64_t>(), wanted[step]) << "at step " << step;
    EXPECT_LE(difference(cached.slice(0, step, step + 1), last), kClose) << "at step " << step;
    growing.encoded.tokens.push_back(wanted[step]);
    growing.encoded.labels.push_back(kNoLabel);
  }
}

using Pair = std::pair<const char*, const char*>;
// model_shards: the rows of query_key_value in blocks, three files, a head of its own with equal values, old buffers.
INSTANTIATE_TEST_SUITE_P(Folders, VisualGlmOracle,
                         ::testing::Values(Pair{"model", "image"}, Pair{"model", "image2"}, Pair{"model", "text"},
                                           Pair{"model_shards", "image"}, Pair{"model_shards", "text"},
                                           Pair{"model_text", "model_text.text"}));

TEST(VisualGlm, FrontIsTheProjectedQFormer) {
  auto model = open_model("model");
  const torch::NoGradGuard no_grad;
  const auto pixels = torch::cat({expected().at("image2.pixels"), expected().at("image.pixels")});
  const auto wanted = torch::cat({expected().at("image2.image_vectors"), expected().at("image.image_vectors")});
  const auto vectors = model->front(pixels);
  EXPECT_LE(difference(vectors, wanted), kClose);

  Batch batch = batch_of({Case("image2"), Case("text"), Case("image")});
  const auto from_pixels = model->hidden(batch);
  batch.images = torch::Tensor();
  batch.image_features = vectors;
  EXPECT_TRUE(torch::equal(model->hidden(batch), from_pixels));
  EXPECT_EQ(model->front_prefix(), "image_encoder.");
}

TEST(VisualGlm, NeighboursOfOtherLengthChangeNothing) {
  auto model = open_model("model");
  const torch::NoGradGuard no_grad;
  const Batch batch = batch_of({Case("image"), Case("image2"), Case("text")});
  const auto together = model->hidden(batch);
  int64_t s = 0;
  for (const char* name : {"image", "image2", "text"}) {
    const auto rows = together.slice(0, batch.layout.offsets[s], batch.layout.offsets[s + 1]);
    EXPECT_LE(difference(rows, model->hidden(batch_of({Case(name)}))), 1e-6) << name;
    ++s;
  }
  EXPECT_NEAR(loss_of(*model, batch).item<double>(), expected().at("image+image2+text.loss").item<double>(), kClose);
}

TEST(VisualGlm, SequencesOfOtherLengthShareACache) {
  auto model = open_model("model");
  const torch::NoGradGuard no_grad;
  const std::vector<Case> prompts = {prompt_of(Case("text")), prompt_of(Case("image"))};
  const Batch prompt = batch_of(prompts);
  KeyValueCache cache(1);
  model->hidden(prompt, &cache);
  EXPECT_EQ(cache.seen, (std::vector<int64_t>{prompt.layout.length(0), prompt.layout.length(1)}));
  Batch next;
  next.tokens = torch::tensor({7, 9}, torch::kInt64);
  next.layout.add(1, 0);
  next.layout.add(1, 0);
  next.image_at = {-1, -1};
  const auto rows = model->hidden(next, &cache);
  for (int64_t s = 0; s < 2; ++s) {
    Case whole = prompts[s];
    whole.encoded.tokens.push_back(s == 0 ? 7 : 9);
    whole.encoded.labels.push_back(kNoLabel);
    EXPECT_LE(difference(rows.slice(0, s, s + 1), model->hidden(batch_of({whole})).slice(0, -1)), kClose);
  }
}

TEST(VisualGlm, GradientsAgree) {
  auto model = open_model("model");
  for (auto& parameter : model->parameters()) parameter.requires_grad_(true);
  loss_of(*model, batch_of({Case("image")})).backward();
  const std::string prefix = "image.grad.";
  const auto parameters = model->named_parameters();
  int compared = 0;
  for (const auto& [name, wanted] : expected()) {
    if (!name.starts_with(prefix)) continue;
    const auto* parameter = parameters.find(name.substr(prefix.size()));
    ASSERT_NE(parameter, nullptr) << name;
    EXPECT_LE(difference(parameter->grad(), wanted), kClose) << name;
    ++compared;
  }
  EXPECT_GE(compared, 2);
}

TEST(VisualGlm, TheOtherRowOrderOfQueryKeyValueIsAnotherModel) {
  const torch::NoGradGuard no_grad;
  const Batch batch = batch_of({Case("text")});
  const auto right = open_model("model")->hidden(batch);
  const auto wrong = open_model("model", {{"qkv_layout", "blocks"}})->hidden(batch);
  EXPECT_GT(difference(right, wrong), 0.1);
}

TEST(VisualGlm, AlphaCountsTheLayersItIsTold) {
  const torch::NoGradGuard no_grad;
  const Batch batch = batch_of({Case("text")});
  const auto released = open_model("model")->hidden(batch);
  EXPECT_TRUE(torch::equal(open_model("model", {{"residual_alpha_layers", 28}})->hidden(batch), released));
  EXPECT_GT(difference(open_model("model", {{"residual_alpha_layers", 2}})->hidden(batch), released), 0.01);
}

TEST(VisualGlm, LowPrecisionStaysNear) {
  const torch::NoGradGuard no_grad;
  auto model = open_model("model");
  const Batch batch = batch_of({Case("image"), Case("text")});
  const auto exact = model->head(model->hidden(batch));
  for (const auto type : {torch::kBFloat16, torch::kFloat16}) {
    at::autocast::set_autocast_dtype(at::kCPU, type);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const auto logits = model->head(model->hidden(batch));
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
    EXPECT_EQ(logits.scalar_type(), type);
    EXPECT_LE(difference(logits.to(torch::kFloat32), exact), 0.05) << type;
    EXPECT_GT(difference(logits.to(torch::kFloat32), exact), 0.0);
  }
  for (const auto type : {torch::kBFloat16, torch::kFloat16}) {
    auto cast = open_model("model");
    cast->to(type);
    EXPECT_LE(difference(cast->head(cast->hidden(batch)).to(torch::kFloat32), exact), 0.05) << type;
  }
}

TEST(VisualGlm, PlacesForPicturesAndPicturesMustMatch) {
  auto model = open_model("model");
  Batch batch = batch_of({Case("image"), Case("text")});
  batch.images = torch::cat({batch.images, batch.images});
  EXPECT_THROW(model->hidden(batch), Error);
  batch.images = torch::Tensor();
  EXPECT_THROW(model->hidden(batch), Error);
  batch.image_at[0] = batch.layout.length(0) - 1;
  EXPECT_THROW(model->hidden(batch), Error);
  EXPECT_THROW(open_model("model_text")->front(Case("image").pixels.unsqueeze(0)), UnsupportedError);
}

}  // namespace
}  // namespace peftlab
