/// Checkpointed blocks beside the same blocks without: gradients, random numbers, precision, memory.

#include <peftlab/error.h>
#include <peftlab/nn/checkpointing.h>

#include <ATen/autocast_mode.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace peftlab {
namespace {

using ::testing::HasSubstr;

/// Three blocks of width 8 with dropout: tanh(drop(x W) + shared) * gate, where `gate` is no leaf and captured by all.
struct Stack {
  Stack() {
    torch::manual_seed(1);
    for (int i = 0; i < 3; ++i) weights.push_back(torch::randn({8, 8}).requires_grad_());
    shared = torch::randn({8}).requires_grad_();
    seed_of_gate = torch::randn({8}).requires_grad_();
    x = torch::randn({5, 8});
  }

  torch::Tensor forward() {
    const auto gate = torch::exp(seed_of_gate);
    auto h = x;
    for (const torch::Tensor& weight : weights) {
      h = checkpointed(h, [=, this](const torch::Tensor& given) {
        ++runs;
        return torch::tanh(torch::dropout(torch::mm(given, weight), 0.3, true) + shared) * gate;
      });
    }
    return h.square().sum();
  }

  std::vector<torch::Tensor> gradients() const {
    std::vector<torch::Tensor> all = {shared.grad(), seed_of_gate.grad()};
    for (const torch::Tensor& weight : weights) all.push_back(weight.grad());
    return all;
  }

  std::vector<torch::Tensor> weights;
  torch::Tensor shared, seed_of_gate, x;
  int runs = 0;
};

struct Outcome {
  std::vector<torch::Tensor> numbers;  ///< losses, gradients, and a draw after each backward pass
  int runs;
};

/// Two passes whose gradients accumulate, in mixed precision or not.
Outcome outcome(bool on, bool mixed) {
  Stack stack;
  Outcome result;
  torch::manual_seed(2);
  for (int pass = 0; pass < 2; ++pass) {
    torch::Tensor loss;
    {
      std::optional<Checkpointing> checkpointing;
      if (on) checkpointing.emplace();
      at::autocast::set_autocast_enabled(at::kCPU, mixed);
      at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
      loss = stack.forward();
      at::autocast::set_autocast_enabled(at::kCPU, false);
      at::autocast::clear_cache();
      if (on) {
        EXPECT_EQ(checkpointing->blocks(), 3);
      }
    }
    loss.backward();
    result.numbers.push_back(loss.detach());
    result.numbers.push_back(torch::rand({4}));
    for (const torch::Tensor& gradient : stack.gradients()) result.numbers.push_back(gradient.clone());
  }
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  EXPECT_TRUE(at::autocast::is_autocast_cache_enabled());
  result.runs = stack.runs;
  return result;
}

TEST(Checkpointed, GivesTheSameBits) {
  for (const bool mixed : {false, true}) {
    const Outcome with = outcome(true, mixed), without = outcome(false, mixed);
    EXPECT_EQ(without.runs, 6);
    EXPECT_EQ(with.runs, 12);
    ASSERT_EQ(with.numbers.size(), without.numbers.size());
    for (size_t i = 0; i < with.numbers.size(); ++i) {
      EXPECT_TRUE(torch::equal(with.numbers[i], without.numbers[i])) << "number " << i << (mixed ? ", mixed" : "");
    }
  }
  EXPECT_FALSE(torch::equal(outcome(true, true).numbers[0], outcome(true, false).numbers[0]));
}

TEST(Checkpointed, RunsAgainOnlyWhatNeedsAGradient) {
  // d(2 * 3 * w * x)/dw = 6 x: the first block has nothing to learn.
  const auto x = torch::full({1}, 7.0f), w = torch::ones({1}).requires_grad_();
  int frozen = 0, trained = 0;
  {
    const Checkpointing on;
    const auto h = checkpointed(x, [&](const torch::Tensor& t) { return ++frozen, torch::exp(2 * t.log()); });
    checkpointed(h.sqrt(), [&](const torch::Tensor& t) { return ++trained, 6 * w * t; }).sum().backward();
  }
  EXPECT_EQ(frozen, 1);
  EXPECT_EQ(trained, 2);
  EXPECT_NEAR(w.grad().item<float>(), 42.0f, 1e-4);
}

TEST(Checkpointed, IsOffWithoutAGuardAndWithoutAGraph) {
  const auto w = torch::ones({1}).requires_grad_();
  int runs = 0;
  const auto block = [&](const torch::Tensor& t) { return ++runs, torch::exp(w * t); };
  checkpointed(torch::ones({1}), block).sum().backward();
  EXPECT_EQ(runs, 1);
  const Checkpointing on;
  EXPECT_TRUE(Checkpointing::is_on());
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(checkpointed(torch::ones({1}), block).requires_grad());
  EXPECT_EQ(runs, 2);
}

TEST(Checkpointed, ABlockWithinABlockIsPartOfIt) {
  const auto w = torch::ones({1}).requires_grad_();
  int inner = 0;
  const Checkpointing on;
  checkpointed(torch::ones({1}),
               [&](const torch::Tensor& x) {
                 return checkpointed(torch::exp(w * x),
                                     [&](const torch::Tensor& t) { return ++inner, torch::exp(w * t); });
               })
      .sum()
      .backward();
  EXPECT_EQ(on.blocks(), 1);
  EXPECT_EQ(inner, 2);
  // d exp(w exp(w x))/dw at w = x = 1: exp(e) (e + e) = 82.3853...
  EXPECT_NEAR(w.grad().item<double>(), 2 * std::exp(1.0) * std::exp(std::exp(1.0)), 1e-3);
}

TEST(Checkpointed, GraphsMayBeWalkedTwice) {
  const auto w = torch::full({1}, 2.0f).requires_grad_();
  const Checkpointing on;
  const auto y = checkpointed(torch::ones({1}), [&](const torch::Tensor& x) { return w * w * x; }).sum();
  y.backward({}, /*retain_graph=*/true);
  y.backward();
  EXPECT_FLOAT_EQ(w.grad().item<float>(), 8.0f);  // twice 2 w
}

TEST(Checkpointed, ABlockThatChangesIsRefused) {
  const auto w = torch::ones({2}).requires_grad_();
  const auto message = [&](const std::function<torch::Tensor(const torch::Tensor&)>& block) -> std::string {
    const Checkpointing on;
    try {
      checkpointed(torch::ones({2}), block).sum().backward();
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  };
  int runs = 0;
  EXPECT_THAT(message([&](const torch::Tensor& x) { return ++runs == 1 ? torch::exp(w * x) : w * x; }),
              HasSubstr("tensors at first, then"));
  runs = 0;
  EXPECT_THAT(message([&](const torch::Tensor& x) { return torch::exp(++runs == 1 ? w * x : (w * x).sum()); }),
              HasSubstr("another shape or type"));
  runs = 0;
  EXPECT_THAT(message([&](const torch::Tensor& x) { return torch::exp((w * x).slice(0, 0, ++runs)); }),
              HasSubstr("another shape or type"));
}

/// Counts the bytes this thread allocates and frees, as long as it lives.
class Bytes {
 public:
  Bytes() : count_(std::make_shared<Count>()), guard_(c10::DebugInfoKind::PROFILER_STATE, count_) {}
  int64_t live() const { return count_->live; }
  int64_t peak() const { return count_->peak; }

 private:
  struct Count final : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
      live += size;
      peak = std::max(peak, live);
    }
    bool memoryProfilingEnabled() const override { return true; }
    int64_t live = 0, peak = 0;
  };

  std::shared_ptr<Count> count_;
  c10::DebugInfoGuard guard_;
};

TEST(Checkpointed, KeepsTheInputsOfBlocksAlone) {
  // Eight blocks of ten exponentials on 40 000 bytes: each saves ten results.
  constexpr int64_t kBlocks = 8, kInner = 10, kBytes = 40'000;
  const auto measure = [&](bool on) {
    auto x = torch::zeros({kBytes / 4}).requires_grad_();
    const Bytes bytes;
    std::optional<Checkpointing> checkpointing;
    if (on) checkpointing.emplace();
    auto h = x;
    for (int64_t i = 0; i < kBlocks; ++i) {
      h = checkpointed(h, [](const torch::Tensor& given) {
        auto t = given;
        for (int64_t j = 0; j < kInner; ++j) t = torch::exp(-t);
        return t;
      });
    }
    const auto loss = h.sum();
    const int64_t kept = bytes.live();
    h = torch::Tensor();
    loss.backward();
    return std::pair{kept, bytes.peak()};
  };
  const auto [kept, peak] = measure(true);
  const auto [kept_all, peak_all] = measure(false);
  EXPECT_GE(kept_all, kBlocks * kInner * kBytes);
  // The outputs of blocks, and a random state of 5 kB each.
  EXPECT_LE(kept, kBlocks * (kBytes + 6'000));
  // Beside them the backward pass holds what one block saves, and a few tensors in passing.
  EXPECT_LE(peak, kBlocks * (kBytes + 6'000) + (kInner + 6) * kBytes);
  EXPECT_GE(peak_all, kept_all);
}

}  // namespace
}  // namespace peftlab
