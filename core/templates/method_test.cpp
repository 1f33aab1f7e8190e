/// %CLASS% against its formula, done by hand. `peftlab plugins check` tries what every method must do.

#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

namespace peftlab {
namespace {

TEST(%CLASS%, AddsUTimesThePartOfXAlongV) {
  testing::ToyModel model;  // its linear maps have 16 inputs here
  model.freeze();
  auto method = testing::make_method("%NAME%");
  method->attach(model, testing::ToyTokenizer());
  Linear* site = model.linear_sites({"0.attention.query_key_value"}).front();
  testing::set(*method, flat_name(site->name) + ".v", torch::full({site->in}, 0.5));
  testing::set(*method, flat_name(site->name) + ".u", torch::full({site->out}, 2.0));

  // x is all ones: v . x = 16 * 0.5 = 8, so every output rises by 2 * 8 = 16.
  const torch::Tensor x = torch::ones({1, site->in});
  EXPECT_TRUE(torch::allclose(site->forward(x) - site->base(x), torch::full({1, site->out}, 16.0), 0.0, 1e-4));
}

}  // namespace
}  // namespace peftlab
