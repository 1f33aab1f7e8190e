/// %CLASS% against its formula. `peftlab plugins check` tries what every model must do.

#include <peftlab/testing/plugins.h>

#include <gtest/gtest.h>

namespace peftlab {
namespace {

const Table kConfig = {{"vocab_size", 40}, {"hidden_size", 16}, {"num_layers", 1}, {"num_heads", 2}, {"max_length", 64}};

TEST(%CLASS%, HasTheParametersOfItsFormula) {
  const auto model = testing::make_model("%NAME%", kConfig);
  int64_t numbers = 0;
  for (const torch::Tensor& parameter : model->parameters()) numbers += parameter.numel();
  // Embeddings (40 + 64) * 16; maps 16 * (48 + 16 + 64) + 64 * 16; their biases 48 + 16 + 64 + 16; two norms of 2 * 16.
  EXPECT_EQ(numbers, 104 * 16 + 16 * 128 + 64 * 16 + 144 + 64);
}

TEST(%CLASS%, SeesWhatCameBeforeAndNothingElse) {
  torch::manual_seed(0);
  const auto model = testing::make_model("%NAME%", kConfig);
  const torch::NoGradGuard no_grad;
  const auto hidden = [&](std::vector<int64_t> tokens) {
    const std::vector<int64_t> none(tokens.size(), kNoLabel);
    return model->hidden(pack({{std::move(tokens), none, 0, -1}}));
  };
  const torch::Tensor one = hidden({1, 2, 3, 4}), other = hidden({1, 2, 3, 9}), third = hidden({5, 2, 3, 4});
  EXPECT_TRUE(torch::allclose(one.slice(0, 0, 3), other.slice(0, 0, 3))) << "a later token changed an earlier row";
  EXPECT_FALSE(torch::allclose(one[3], third[3])) << "the first token does not reach the last row";
}

}  // namespace
}  // namespace peftlab
