/// Products with quantized weights, and their gradients.

#include <peftlab/error.h>
#include <peftlab/nn/weight_storage.h>
#include <quantize/golden.h>

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <string>
#include <vector>

namespace peftlab {
namespace {

class Products : public EachPath {};
PEFTLAB_EACH_PATH(Products);

/// The largest difference, over the largest number.
double difference(const torch::Tensor& found, const torch::Tensor& wanted) {
  const auto exact = wanted.to(torch::kDouble);
  return ((found.to(torch::kDouble) - exact).abs().max() / exact.abs().max()).item<double>();
}

const std::vector<QuantizationFormat> kFormats = {{"nf4", 64, true},  {"nf4", 32, false}, {"nf4", 4096, true},
                                                  {"fp4", 128, true}, {"int8"},           {"bfloat16"}};

TEST_P(Products, AreThoseOfTheDenseWeight) {
  torch::manual_seed(5);
  // Whole groups of codes, then rows that begin within a block, then odd ones.
  for (const auto& [out, in] : std::vector<std::pair<int64_t, int64_t>>{{70, 256}, {9, 384}, {33, 96}, {5, 77}}) {
    for (const auto& format : kFormats) {
      const auto weight = quantize(torch::randn({out, in}), format);
      for (const int64_t rows : {1, 2, 3, 4, 5, 7, 17, 130}) {
        for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kHalf, torch::kDouble}) {
          const auto x = torch::randn({rows, in}).to(type);
          const auto y = weight->multiply(x);
          EXPECT_EQ(y.scalar_type(), type);
          EXPECT_EQ(y.sizes(), (std::vector<int64_t>{rows, out}));
          const auto wanted = torch::mm(x.to(torch::kDouble), weight->dense(torch::kDouble).t());
          const double tolerance = type == torch::kDouble    ? 1e-12
                                   : type == torch::kFloat32 ? 2e-6
                                   : type == torch::kHalf    ? 2e-3
                                                             : 1e-2;
          EXPECT_LT(difference(y, wanted), tolerance) << format.type << " " << in << " " << rows << " " << type;
        }
      }
    }
  }
}

TEST_P(Products, KeepTheShapeBeforeTheLastSize) {
  const auto weight = quantize(torch::randn({3, 128}), {"nf4"});
  EXPECT_EQ(weight->multiply(torch::randn({2, 5, 128})).sizes(), (std::vector<int64_t>{2, 5, 3}));
  EXPECT_EQ(weight->multiply(torch::randn({128})).sizes(), (std::vector<int64_t>{3}));
  EXPECT_EQ(weight->multiply(torch::randn({0, 128})).sizes(), (std::vector<int64_t>{0, 3}));
  const auto x = torch::randn({128, 4}).t();  // not contiguous
  EXPECT_LT(difference(weight->multiply(x), torch::mm(x, weight->dense(torch::kFloat32).t())), 2e-6);
  EXPECT_THROW(weight->multiply(torch::randn({2, 127})), c10::Error);
  EXPECT_THROW(weight->multiply(torch::ones({2, 128}, torch::kInt64)), UnsupportedError);
}

TEST_P(Products, HaveTheGradientOfTheDenseProduct) {
  torch::manual_seed(6);
  for (const auto& format : kFormats) {
    const auto weight = quantize(torch::randn({70, 128}), format);
    const auto w = weight->dense(torch::kDouble);
    for (const int64_t rows : {1, 9}) {
      const auto x = torch::randn({rows, 128}, torch::kDouble).requires_grad_(true);
      const auto dy = torch::randn({rows, 70}, torch::kDouble).requires_grad_(true);
      const auto dx = torch::autograd::grad({weight->multiply(x)}, {x}, {dy}, true, true)[0];
      EXPECT_LT(difference(dx.detach(), torch::mm(dy, w).detach()), 1e-12) << format.type;
      // The gradient is linear in dy: so may be differentiated again.
      const auto again = torch::autograd::grad({dx}, {dy}, {torch::ones_like(dx)})[0];
      EXPECT_LT(difference(again, torch::mm(torch::ones_like(x), w.t()).detach()), 1e-12) << format.type;

      const auto x16 = x.detach().to(torch::kBFloat16).requires_grad_(true);
      const auto dy16 = dy.detach().to(torch::kBFloat16);
      weight->multiply(x16).backward(dy16);
      EXPECT_LT(difference(x16.grad(), torch::mm(dy16.to(torch::kDouble), w)), 1e-2) << format.type;
    }
  }
}

TEST_P(Products, GradientsOfFewRowsSumOverPiecesOfTheWeight) {
  torch::manual_seed(9);
  // Several strips of columns, the last of them narrower and no whole vector, and several pieces of rows in each.
  for (const auto& [out, in] : std::vector<std::pair<int64_t, int64_t>>{{1100, 333}, {300, 1090}}) {
    for (const auto& format : kFormats) {
      const auto weight = quantize(torch::randn({out, in}), format);
      for (const int64_t rows : {1, 6, 33, 128, 129}) {
        const auto x = torch::randn({rows, in}).requires_grad_(true);
        const auto dy = torch::randn({rows, out});
        weight->multiply(x).backward(dy);
        const auto wanted = torch::mm(dy.to(torch::kDouble), weight->dense(torch::kDouble));
        EXPECT_LT(difference(x.grad(), wanted), 3e-6) << format.type << " " << in << " " << rows;
      }
    }
  }
}

TEST_P(Products, InBfloat16OfTensOfRowsSumOverPiecesOfTheWeight) {
  torch::manual_seed(10);
  // Several pieces both ways, the last of them smaller, and rows of every height of a tile. Then what no piece takes:
  // an odd number of outputs for gradients, columns that are no whole runs for both.
  const std::vector<std::pair<int64_t, int64_t>> shapes = {{150, 1344}, {394, 192}, {151, 128}, {70, 1090}};
  for (const auto& [out, in] : shapes) {
    for (const auto& format : kFormats) {
      const auto weight = quantize(torch::randn({out, in}), format);
      const auto w = weight->dense(torch::kDouble);
      for (const int64_t rows : {1, 2, 3, 5, 9, 28, 257, 513}) {
        const auto x = torch::randn({rows, in}).to(torch::kBFloat16).requires_grad_(true);
        const auto dy = torch::randn({rows, out}).to(torch::kBFloat16);
        const auto y = weight->multiply(x);
        y.backward(dy);
        EXPECT_LT(difference(y.detach(), torch::mm(x.detach().to(torch::kDouble), w.t())), 1e-2)
            << format.type << " " << format.block_size << " " << out << " " << in << " " << rows;
        EXPECT_LT(difference(x.grad(), torch::mm(dy.to(torch::kDouble), w)), 1e-2)
            << format.type << " " << format.block_size << " " << out << " " << in << " " << rows;
      }
    }
  }
}

TEST_P(Products, HaveNoGraphUnlessAskedFor) {
  const auto weight = quantize(torch::randn({4, 128}), {"nf4"});
  EXPECT_FALSE(weight->multiply(torch::randn({2, 128})).requires_grad());
  const auto x = torch::randn({2, 128}).requires_grad_(true);
  EXPECT_TRUE(weight->multiply(x).requires_grad());
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(weight->multiply(x).requires_grad());
}

TEST_P(Products, TheGraphKeepsTheCodesAlive) {
  auto weight = quantize(torch::randn({4, 128}), {"nf4"});
  const auto w = weight->dense(torch::kFloat32);
  const auto x = torch::randn({2, 128}).requires_grad_(true);
  const auto y = weight->multiply(x);
  weight.reset();
  y.sum().backward();
  EXPECT_LT(difference(x.grad(), w.sum(0).expand({2, 128})), 1e-5);
}

TEST_P(Products, DoNotDependOnTheNumberOfThreads) {
  torch::manual_seed(7);
  const int before = at::get_num_threads();
  const auto weight = torch::randn({300, 1344});
  const auto run = [&](int threads, int64_t rows, torch::ScalarType type) {
    at::set_num_threads(threads);
    torch::manual_seed(8);
    const auto storage = quantize(weight, {"nf4"});
    const auto x = torch::randn({rows, 1344}).to(type).requires_grad_(true);
    const auto y = storage->multiply(x);
    y.backward(torch::randn_like(y));
    at::set_num_threads(before);
    return std::vector{y.detach(), x.grad(), storage->dense(type), storage->tensors().at("weight.absmax")};
  };
  for (const int64_t rows : {1, 4, 40, 130}) {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      const auto one = run(1, rows, type);
      for (const int threads : {2, 3}) {
        const auto more = run(threads, rows, type);
        for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(same_bits(one[i], more[i])) << rows << " " << i;
      }
    }
  }
}

TEST_P(Products, OfASavedLayerAreThoseOfBitsandbytes) {
  std::map<std::string, torch::Tensor> saved;
  for (const auto& [name, tensor] : golden()) {
    if (name.starts_with("saved.weight")) saved[name.substr(6)] = tensor;
  }
  const auto weight = read_quantized(saved, "layer", 128, 160);
  const auto x = golden("linear.x").clone().requires_grad_(true);
  const auto y = weight->multiply(x) + golden("linear.bias");
  EXPECT_TRUE(torch::allclose(y, golden("linear.y"), 1e-5, 1e-6));
  y.backward(golden("linear.grad_y"));
  EXPECT_TRUE(torch::allclose(x.grad(), golden("linear.grad_x"), 1e-5, 1e-6));
}

}  // namespace
}  // namespace peftlab
