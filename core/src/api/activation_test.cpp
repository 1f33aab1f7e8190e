#include <peftlab/error.h>
#include <peftlab/nn/activation.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace peftlab {
namespace {

double at(const std::string& name, double x) {
  return activation(name)(torch::tensor({x}, torch::kFloat64)).item<double>();
}

TEST(Activation, IsTheFunctionOfItsName) {
  // Phi(1) = 0.8413447; sqrt(2 / pi) (1 + 0.044715) = 0.8335605, whose tanh is 0.6823839; sigmoid(1.702) = 0.8457958.
  EXPECT_NEAR(at("gelu", 1.0), 0.8413447, 1e-7);
  EXPECT_NEAR(at("gelu_new", 1.0), (1.0 + 0.6823839) / 2.0, 1e-7);
  EXPECT_NEAR(at("gelu_10", 20.0), 10.0, 1e-12);
  EXPECT_NEAR(at("quick_gelu", 1.0), 0.8457958, 1e-7);
  EXPECT_NEAR(at("silu", 1.0), 1.0 / (1.0 + std::exp(-1.0)), 1e-12);
  EXPECT_EQ(at("relu", -2.0), 0.0);
  EXPECT_EQ(at("relu2", 3.0), 9.0);
  EXPECT_EQ(at("relu6", 7.0), 6.0);
  EXPECT_NEAR(at("leaky_relu", -2.0), -0.02, 1e-12);
  EXPECT_NEAR(at("mish", 1.0), std::tanh(std::log1p(std::exp(1.0))), 1e-12);
  EXPECT_NEAR(at("laplace", 0.707107), 0.5, 1e-12);
  EXPECT_NEAR(at("tanh", 1.0), std::tanh(1.0), 1e-12);
  EXPECT_EQ(at("linear", -3.0), -3.0);
}

TEST(Activation, OfAnUnknownNameIsRefusedWithTheNearest) {
  try {
    activation("gelu_nw");
    ADD_FAILURE() << "taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("Did you mean \"gelu_new\"?"));
  }
  Params params({{"hidden_act", "prelu"}}, "config.json");
  read_activation(params, "hidden_act", "silu");
  ASSERT_EQ(params.problems().size(), 1u);
  EXPECT_EQ(params.problems()[0].name, "hidden_act");
  EXPECT_THAT(params.problems()[0].message, ::testing::HasSubstr("`prelu`"));
}

}  // namespace
}  // namespace peftlab
