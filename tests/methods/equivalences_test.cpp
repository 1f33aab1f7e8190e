/// Methods that are another one under certain values: on the toy model, with numbers drawn at random.

#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

#include <cmath>

namespace peftlab {
namespace {

const std::vector<std::string> kDense = {"transformer.layers.0.attention.dense"};
const std::string kModule = "transformer/layers/0/attention/dense";
constexpr int64_t kRank = 3;

torch::Tensor drawn(uint64_t seed, torch::IntArrayRef shape) {
  torch::manual_seed(seed);
  return torch::randn(shape);
}

/// The first `dense` of a toy model with a low-rank method on it, whose A and B are given.
class Adapted {
 public:
  Adapted(const std::string& plugin, Table options, const torch::Tensor& a, const torch::Tensor& b)
      : model_({.hidden = a.size(1)}) {
    model_.freeze();
    site_ = model_.linear_sites(kDense).at(0);
    options["rank"] = kRank;
    options["targets"] = kDense;
    method_ = testing::make_method(plugin, options);
    method_->prepare(model_);
    method_->attach(model_, testing::ToyTokenizer());
    method_->eval();
    testing::set(*method_, kModule + ".lora_A", a);
    testing::set(*method_, kModule + ".lora_B", b);
  }

  Linear& site() { return *site_; }
  Method& method() { return *method_; }
  testing::ToyModel& model() { return model_; }
  torch::Tensor operator()(const torch::Tensor& x) const {
    const torch::NoGradGuard no_grad;
    return site_->forward(x);
  }

 private:
  testing::ToyModel model_;
  std::shared_ptr<Method> method_;
  Linear* site_ = nullptr;
};

class Equivalences : public ::testing::Test {
 protected:
  Equivalences() : a(drawn(1, {kRank, 16})), b(drawn(2, {16, kRank})), x(drawn(3, {5, 16})) {}

  void expect_equal(const torch::Tensor& one, const torch::Tensor& other) const {
    EXPECT_LE((one - other).abs().max().item<double>(), 1e-5 * one.abs().max().item<double>());
  }

  const torch::Tensor a, b, x;
};

TEST_F(Equivalences, AnInvertibleMapBetweenBAndAChangesNothing) {
  // R = 1 + a strictly upper part: its determinant is 1.
  const auto r = torch::eye(kRank) + drawn(4, {kRank, kRank}).triu(1);
  const Adapted plain("lora", {}, a, b), turned("lora", {}, torch::mm(torch::linalg_inv(r), a), torch::mm(b, r));
  expect_equal(plain(x), turned(x));
}

TEST_F(Equivalences, AlphaTimesTwoIsBTimesTwo) {
  const Adapted alpha("lora", {{"alpha", 8.0}}, a, b), twice("lora", {{"alpha", 4.0}}, a, 2 * b);
  expect_equal(alpha(x), twice(x));
}

TEST_F(Equivalences, RankStabilizedIsLoraWithAlphaTimesTheRoot) {
  const Adapted stable("lora", {{"rslora", true}, {"alpha", 4.0}}, a, b);
  const Adapted plain("lora", {{"alpha", 4.0 * std::sqrt(static_cast<double>(kRank))}}, a, b);
  expect_equal(stable(x), plain(x));
}

TEST_F(Equivalences, DoraWithTheLengthsOfItsRowsIsLora) {
  const Adapted plain("lora", {{"alpha", 4.0}}, a, b);
  Adapted dora("lora", {{"alpha", 4.0}, {"dora", true}}, a, b);
  const auto whole = dora.site().weight + 4.0 / kRank * torch::mm(b, a);
  testing::set(dora.method(), kModule + ".lora_magnitude_vector", torch::linalg_vector_norm(whole, 2, {1}));
  expect_equal(plain(x), dora(x));
}

TEST_F(Equivalences, QloraIsLoraOnTheDequantizedBase) {
  Adapted quantized("qlora", {{"alpha", 4.0}}, a, b), plain("lora", {{"alpha", 4.0}}, a, b);
  plain.site().set_weight({quantized.site().weight_as(torch::kFloat32), nullptr});
  ASSERT_TRUE(quantized.site().quantized());
  expect_equal(quantized(x), plain(x));
}

TEST_F(Equivalences, DoraOnAQuantizedBaseIsDoraOnTheDequantizedOne) {
  // So wide that the rows' lengths are found in two pieces. The lengths to have are neither those of W nor of W + s B A.
  const auto wide_a = drawn(5, {kRank, 1088}), wide_b = drawn(6, {1088, kRank}), wide_x = drawn(7, {5, 1088});
  const Table options = {{"alpha", 4.0}, {"dora", true}};
  Adapted quantized("qlora", options, wide_a, wide_b), plain("lora", options, wide_a, wide_b);
  plain.site().set_weight({quantized.site().weight_as(torch::kFloat32), nullptr});
  const std::string lengths = kModule + ".lora_magnitude_vector";
  const auto start = quantized.method().named_parameters()[lengths];
  EXPECT_TRUE(torch::allclose(start, torch::linalg_vector_norm(plain.site().weight, 2, {1})));
  const auto wanted = drawn(8, {1088}).abs() + 1;
  testing::set(quantized.method(), lengths, wanted);
  testing::set(plain.method(), lengths, wanted);
  ASSERT_TRUE(quantized.site().quantized());
  expect_equal(quantized(wide_x), plain(wide_x));

  // In double precision both are the same to its last digits.
  for (Adapted* side : {&quantized, &plain}) {
    side->model().to(torch::kDouble);
    side->method().to(torch::kDouble);
  }
  const auto x64 = wide_x.to(torch::kDouble), y = plain(x64);
  EXPECT_LE((quantized(x64) - y).abs().max().item<double>(), 1e-12 * y.abs().max().item<double>());
}

}  // namespace
}  // namespace peftlab
