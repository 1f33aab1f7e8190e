/// Quantized weights and optimizers on a GPU, beside the CPU's bits and bitsandbytes' golden arrays.

#include "attach/session.h"
#include "testing/toy_session.h"
#include "train/optimizer.h"
#include "train/trainer.h"

#include <peftlab/error.h>
#include <quantize/golden.h>

#include <peftlab/nn/attention.h>
#include <peftlab/nn/weight_storage.h>
#include <peftlab/testing/texts.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

class Cuda : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      device_ = attach::choose_device("cuda");
    } catch (const ConfigError& error) {
      GTEST_SKIP() << error.what();
    }
  }

  torch::Device device_ = torch::kCPU;
};

const std::vector<QuantizationFormat> kFormats = {{"nf4", 64, false}, {"nf4", 64, true}, {"nf4", 4096, true},
                                                  {"fp4", 32, false}, {"int8"},          {"bfloat16"}};

TEST_F(Cuda, GoldenWeightsAreQuantizedAndMadeRealToTheBit) {
  for (const std::string weight : {"gauss", "special", "ragged"}) {
    const auto there = quantize(golden(weight + ".weight").to(device_), {"nf4", 64, false});
    EXPECT_EQ(there->device(), device_);
    EXPECT_TRUE(same_bits(there->tensors().at("weight").cpu(), golden(weight + ".nf4.packed"))) << weight;
    EXPECT_TRUE(same_bits(there->tensors().at("weight.absmax").cpu(), golden(weight + ".nf4.absmax"))) << weight;
    for (const QuantizationFormat& format : kFormats) {
      const auto here = quantize(golden(weight + ".weight"), format);
      const auto moved = here->to(device_);
      for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kHalf}) {
        EXPECT_TRUE(same_bits(moved->dense(type).cpu(), here->dense(type))) << weight << " " << format.type;
      }
      const auto back = moved->to(torch::kCPU);
      for (const auto& [name, tensor] : here->tensors()) {
        EXPECT_TRUE(same_bits(back->tensors().at(name), tensor)) << weight << " " << name;
      }
    }
  }
}

TEST_F(Cuda, ProductsAndGradientsAreThoseOfTheDenseWeight) {
  torch::manual_seed(1);
  for (const QuantizationFormat& format : kFormats) {
    for (const auto& [out, in] : {std::pair<int64_t, int64_t>{70, 128}, {300, 1000}, {33, 77}}) {
      const auto weight = quantize(torch::randn({out, in}), format)->to(device_);
      const auto w = weight->dense(torch::kFloat32).to(torch::kDouble);
      for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kHalf}) {
        const double tolerance = type == torch::kFloat32 ? 1e-5 : type == torch::kHalf ? 2e-3 : 1e-2;
        for (const int64_t rows : {1, 2, 3, 5, 8, 9, 100}) {
          const auto x = torch::randn({rows, in}, torch::TensorOptions(device_)).to(type).requires_grad_(true);
          const auto y = weight->multiply(x), wanted = torch::mm(x.detach().to(torch::kDouble), w.t());
          EXPECT_LT(((y - wanted).norm() / wanted.norm()).item<double>(), tolerance) << format.type << rows;
          const auto dy = torch::randn_like(y);
          y.backward(dy);
          const auto dx = torch::mm(dy.to(torch::kDouble), w);
          EXPECT_LT(((x.grad() - dx).norm() / dx.norm()).item<double>(), tolerance) << format.type << rows;
        }
      }
    }
  }
}

/// Parameters after five steps with the same gradients.
TensorMap trained(const std::string& optimizer, torch::Device device) {
  TensorMap parameters;
  torch::manual_seed(2);
  for (const auto& [name, numbers] : {std::pair<std::string, int64_t>{"large", 100000}, {"small", 100}}) {
    parameters[name] = torch::randn({numbers}).to(device).requires_grad_(true);
  }
  const auto rule = train::make_optimizer(optimizer, parameters, {.weight_decay = 0.1}, ::testing::TempDir());
  for (int step = 0; step < 5; ++step) {
    for (auto& [name, parameter] : parameters) parameter.mutable_grad() = torch::randn(parameter.sizes()).to(device);
    rule->step(1e-2);
  }
  return parameters;
}

TEST_F(Cuda, AttentionWithoutPaddingIsThatOfTheCpu) {
  for (const auto& [length, context] : {std::pair<int64_t, int64_t>{37, 0}, {64, 64}}) {
    for (const int64_t prefix : {0, 5}) {
      Layout layout;
      layout.add(length, context);
      layout.add(3, context > 0 ? 3 : 0);
      const auto found = [&](torch::Device device) {
        torch::manual_seed(3);
        const auto rows = [&](int64_t n, int64_t heads) {
          return torch::randn({n, heads, 16}).to(device).requires_grad_();
        };
        std::vector<torch::Tensor> parts = {rows(layout.total(), 4), rows(layout.total(), 2), rows(layout.total(), 2)};
        AttentionSite site(4, 2, 16);
        if (prefix > 0) {
          const KeyValue front{rows(prefix, 2), rows(prefix, 2)};
          parts.insert(parts.end(), {front.keys, front.values});
          site.prepend([front] { return front; }, prefix);
        }
        const auto out = AttentionPlan(layout, device).attend(parts[0], parts[1], parts[2], site);
        auto all = torch::autograd::grad({out.square().sum()}, parts);
        all.push_back(out.detach());
        return all;
      };
      const auto there = found(device_), here = found(torch::kCPU);
      for (size_t i = 0; i < here.size(); ++i) {
        EXPECT_TRUE(torch::allclose(there[i].cpu(), here[i], 1e-3, 1e-4)) << length << " " << prefix << " " << i;
      }
    }
  }
}

/// Any two of them are a batch of one shape.
const testing::Texts& words() {
  static const testing::Texts kWords({{"cat", "meow"}, {"dog", "woof"}, {"owl", "hoot"}, {"bee", "buzz"}});
  return kWords;
}

TEST_F(Cuda, StepsLaunchedAsGraphsHaveTheLossesOfSteps) {
  for (const std::string precision : {"fp32", "bf16"}) {
    for (const int64_t accumulation : {1, 2}) {
      std::vector<double> losses[2];
      for (const bool by_graph : {false, true}) {
        auto session = testing::toy_session("lora", {{"dropout", 0.1}}, device_);
        config::TrainSection section;
        section.steps = 12;
        section.batch_size = 2;
        section.learning_rate = 1e-2;
        section.gradient_accumulation = accumulation;
        section.precision = precision;
        section.cuda_graphs = by_graph;
        train::Feed feed(words(), *session.model, *session.tokenizer, 0, device_);
        train::Watch watch;
        watch.step = [&](const train::StepReport& step) { losses[by_graph].push_back(step.loss); };
        const auto result = train::train(session, feed, section, 0, watch);
        EXPECT_EQ(result.graphed_batches, by_graph ? 12 * accumulation - 3 : 0);
      }
      for (size_t i = 0; i < losses[0].size(); ++i) {
        EXPECT_NEAR(losses[1][i], losses[0][i], 1e-2 * losses[0][i]) << precision << " " << accumulation << " " << i;
      }
    }
  }
}

TEST_F(Cuda, ABatchSentAheadArrivesWhole) {
  auto there = testing::toy_session("lora", {}, device_), here = testing::toy_session("lora");
  train::Feed ahead(words(), *there.model, *there.tokenizer, 0, device_);
  train::Feed plain(words(), *here.model, *here.tokenizer, 0, torch::kCPU);
  for (int64_t i = 0; i < 200; ++i) {
    ahead.prefetch({i % 4});
    const Batch found = ahead.batch({i % 4}), wanted = plain.batch({i % 4});
    EXPECT_EQ(found.tokens.device(), device_);
    EXPECT_TRUE(torch::equal(found.tokens.cpu(), wanted.tokens)) << i;
    EXPECT_TRUE(torch::equal(found.labels, wanted.labels)) << i;
  }
}

TEST_F(Cuda, PagedAdamWIsAdamWBitForBit) {
  const auto plain = trained("adamw", device_), paged = trained("paged_adamw", device_);
  for (const auto& [name, parameter] : plain) EXPECT_TRUE(torch::equal(paged.at(name), parameter)) << name;
}

TEST_F(Cuda, OptimizersDoWhatTheyDoOnTheCpu) {
  for (const std::string optimizer : {"adamw", "paged_adamw", "adamw8bit"}) {
    const auto here = trained(optimizer, torch::kCPU), there = trained(optimizer, device_);
    for (const auto& [name, parameter] : here) {
      // A last bit may tip a code of eight bits over to the next.
      const double worst = (there.at(name).cpu() - parameter).abs().max().item<double>();
      EXPECT_LT(worst, optimizer == "adamw8bit" ? 2e-3 : 1e-5) << optimizer << " " << name;
    }
  }
}

}  // namespace
}  // namespace peftlab
