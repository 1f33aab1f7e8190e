#include "api/table_gradients.h"

#include <peftlab/nn/embedding.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

/// The gradient of a table that 300 ids are looked up in, few of them different; `tied`: it is the head's weight too.
torch::Tensor gradient(bool as_rows, bool tied, torch::ScalarType type) {
  torch::manual_seed(1);
  Embedding table(40, 8);
  table.to(type);
  const torch::Tensor ids = torch::randint(0, 7, {300}, torch::kInt64), weight = torch::randn({300, 8}).to(type);
  torch::Tensor rows;
  if (as_rows) {
    const TableGradientsAsRows guard;
    rows = table.forward(ids);
  } else {
    rows = table.forward(ids);
  }
  torch::Tensor loss = (rows * weight).sum();
  if (tied) loss = loss + torch::linear(weight, table.weight).pow(2).sum();
  loss.backward();
  return table.weight.grad();
}

TEST(TableGradients, AreRowsOnlyWhileAsked) {
  EXPECT_TRUE(gradient(true, false, torch::kFloat32).is_sparse());
  EXPECT_FALSE(gradient(false, false, torch::kFloat32).is_sparse());
  EXPECT_FALSE(TableGradientsAsRows::is_on());
}

TEST(TableGradients, AreTheSameNumbersAndAddUpWithThoseOfAHead) {
  for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
    const double tolerance = type == torch::kFloat32 ? 1e-5 : 3e-2;
    const auto alone = gradient(true, false, type).to_dense(), wanted = gradient(false, false, type);
    EXPECT_TRUE(torch::allclose(alone, wanted, tolerance, tolerance));
    const auto tied = gradient(true, true, type), both = gradient(false, true, type);
    ASSERT_FALSE(tied.is_sparse());
    EXPECT_TRUE(torch::allclose(tied, both, tolerance, tolerance * both.abs().max().item<double>()));
  }
}

TEST(TableGradients, AreTheSameBitsEveryTime) {
  for (const bool tied : {false, true}) {
    const auto once = gradient(true, tied, torch::kFloat32).to_dense(),
               again = gradient(true, tied, torch::kFloat32).to_dense();
    EXPECT_TRUE(torch::equal(once, again));
  }
}

}  // namespace
}  // namespace peftlab
