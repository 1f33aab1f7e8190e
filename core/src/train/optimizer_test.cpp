/// The optimizers beside each other, beside bitsandbytes, and with less memory than their states.

#include "train/optimizer.h"

#include "checkpoint/safetensors.h"
#include "train/adamw.h"
#include "train/adamw8bit.h"
#include "train/loss_scaler.h"
#include "train/paged_adamw.h"
#include "train/resume_point.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>

namespace peftlab::train {
namespace {

namespace fs = std::filesystem;

torch::Tensor parameter(const torch::Tensor& values) { return values.clone().requires_grad_(); }

void expect_equal(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(torch::equal(tensor, b.at(name))) << name;
}

/// Random gradients of step `step` for all of the parameters but one.
void give_gradients(const TensorMap& parameters, int64_t step, const std::string& without = "") {
  torch::manual_seed(100 + step);
  for (const auto& [name, parameter] : parameters) {
    parameter.mutable_grad() = torch::randn_like(parameter);
    if (name == without) parameter.mutable_grad().reset();
  }
}

TEST(MakeOptimizer, KnowsThreeNames) {
  const TensorMap one = {{"w", parameter(torch::zeros({2}))}};
  EXPECT_NE(dynamic_cast<AdamW*>(make_optimizer("adamw", one, {}, "").get()), nullptr);
  EXPECT_NE(dynamic_cast<PagedAdamW*>(make_optimizer("paged_adamw", one, {}, ::testing::TempDir()).get()), nullptr);
  EXPECT_NE(dynamic_cast<AdamW8bit*>(make_optimizer("adamw8bit", one, {}, "").get()), nullptr);
  try {
    make_optimizer("adamw8", one, {}, "");
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("optimizer `adamw8` is not known. Did you mean \"adamw\"?"));
  }
}

TEST(MakeOptimizer, StatesHaveTheSizeTheyNeed) {
  // 4,355 numbers are 18 blocks. Two moments of 4 bytes a number; or of 1 byte and 4 a block. A count has 4 bytes.
  const TensorMap parameters = {{"large", parameter(torch::zeros({65, 67}))}, {"small", parameter(torch::zeros({10}))}};
  const auto bytes = [&](const std::string& name) {
    return make_optimizer(name, parameters, {}, ::testing::TempDir())->state_bytes();
  };
  EXPECT_EQ(bytes("adamw"), 2 * 4 * (4355 + 10) + 2 * 4);
  EXPECT_EQ(bytes("paged_adamw"), bytes("adamw"));
  EXPECT_EQ(bytes("adamw8bit"), 2 * (4355 + 4 * 18) + 2 * 4 * 10 + 2 * 4);
}

class AnyOptimizer : public ::testing::TestWithParam<std::string> {};

TEST_P(AnyOptimizer, GoesOnFromAResumePointBitForBit) {
  const fs::path file = fs::path(::testing::TempDir()) / ("optimizer_" + GetParam() + ".safetensors");
  torch::manual_seed(1);
  const auto large = torch::randn({70, 70}), small = torch::randn({5});
  const auto fresh = [&] { return TensorMap{{"large", parameter(large)}, {"small", parameter(small)}}; };
  const Optimizer::Options options{.weight_decay = 0.1, .rate_factors = {{"small", 4.0}}};

  const TensorMap whole = fresh(), before = fresh(), after = fresh();
  const auto unbroken = make_optimizer(GetParam(), whole, options, ::testing::TempDir());
  const auto first = make_optimizer(GetParam(), before, options, ::testing::TempDir());
  LossScaler scaler(false);
  for (int64_t step = 1; step <= 5; ++step) {
    give_gradients(whole, step, step == 3 ? "small" : "");
    unbroken->step(0.01 * static_cast<double>(step));
    if (step > 2) continue;
    give_gradients(before, step);
    first->step(0.01 * static_cast<double>(step));
  }
  write_resume_point(file, before, *first, scaler, {.steps = 2});
  const auto second = make_optimizer(GetParam(), after, options, ::testing::TempDir());
  EXPECT_EQ(read_resume_point(file, after, *second, scaler).steps, 2);
  expect_equal(second->state(), first->state());
  for (int64_t step = 3; step <= 5; ++step) {
    give_gradients(after, step, step == 3 ? "small" : "");
    second->step(0.01 * static_cast<double>(step));
  }
  expect_equal(after, whole);
  expect_equal(second->state(), unbroken->state());
}

TEST_P(AnyOptimizer, MultipliesGradientsFirst) {
  const auto fresh = [] {
    return TensorMap{{"large", parameter(torch::ones({70, 70}))}, {"small", parameter(torch::ones({5}))}};
  };
  const TensorMap told = fresh(), done = fresh();
  const auto first = make_optimizer(GetParam(), told, {}, ::testing::TempDir());
  const auto second = make_optimizer(GetParam(), done, {}, ::testing::TempDir());
  for (int64_t step = 1; step <= 2; ++step) {
    give_gradients(told, step);
    give_gradients(done, step);
    for (const auto& [name, parameter] : done) parameter.grad().mul_(0.25);  // exact, as is dividing by 4
    first->step(0.01, 0.25);
    second->step(0.01);
    for (const auto& [name, parameter] : told)
      EXPECT_TRUE(torch::equal(parameter.grad(), done.at(name).grad())) << name;
  }
  expect_equal(told, done);
  expect_equal(first->state(), second->state());
}

INSTANTIATE_TEST_SUITE_P(Names, AnyOptimizer, ::testing::Values("adamw", "paged_adamw", "adamw8bit"),
                         [](const auto& info) { return info.param; });

TEST(AdamW8bitStep, ABlockByHand) {
  // Block 0 has the gradients 1, -1/2, then 1/2s and a 0 at its end; the 15 others have 0. The first moments 0.1 g
  // share the scale 0.1: 1 is the code 255; 1/2 lies in the step 28 of the 64 between 0.1 and 1, whose centre is 0.1
  // + 28.5 * 0.9 / 64 = 0.50078125, the code 191 + 28 = 219, 92 above zero's; -1/2 is 92 below it, 127 - 92 = 35. The
  // second ones 0.001 g^2 share 0.001: 1/4 is in the step 21 of 128, centre 0.1 + 21.5 * 0.9 / 128 = 0.251171875, the
  // code 127 + 21. 0 in 16 bits is 32768 of 65535, or 1.53e-5: nearest to the codes 131, which is 2.125e-5, and 7,
  // which is 1.5625e-5.
  const TensorMap parameters = {{"w", parameter(torch::ones({4096}))}};
  const auto& w = parameters.at("w");
  w.mutable_grad() = torch::zeros({4096});
  w.mutable_grad().narrow(0, 0, 256).fill_(0.5f);
  w.mutable_grad()[0] = 1.0f;
  w.mutable_grad()[1] = -0.5f;
  w.mutable_grad()[255] = 0.0f;
  AdamW8bit optimizer(parameters, {});
  optimizer.step(0.1);
  auto state = optimizer.state();
  const auto code = [&](const char* name, int64_t at) { return static_cast<int>(state.at(name)[at].item<uint8_t>()); };
  EXPECT_EQ(code("w/m", 0), 255);
  EXPECT_EQ(code("w/m", 1), 35);
  EXPECT_EQ(code("w/m", 2), 219);
  EXPECT_EQ(code("w/v", 0), 255);
  EXPECT_EQ(code("w/v", 2), 148);
  EXPECT_EQ(code("w/m", 255), 131);
  EXPECT_EQ(code("w/v", 255), 7);
  EXPECT_FLOAT_EQ(state.at("w/m_absmax")[0].item<float>(), 0.1f);
  EXPECT_FLOAT_EQ(state.at("w/v_absmax")[0].item<float>(), 0.001f);
  EXPECT_EQ(state.at("w/m_absmax")[1].item<float>(), 0.0f);
  // The first step is made before anything is rounded: by the rate, against the sign.
  EXPECT_NEAR(w[1].item<double>(), 1.1, 1e-6);
  EXPECT_NEAR(w[2].item<double>(), 0.9, 1e-6);
  EXPECT_EQ(w[256].item<float>(), 1.0f);

  // Without a gradient the next step is made from the codes: m = 0.9 * 0.050078125, v = 0.999 * 0.000251171875.
  w.mutable_grad().zero_();
  optimizer.step(0.1);
  const double m = 0.9 * 0.050078125 / (1 - 0.81), v = 0.999 * 0.000251171875 / (1 - 0.998001);
  EXPECT_NEAR(w[2].item<double>(), 0.9 - 0.1 * m / (std::sqrt(v) + 1e-8), 1e-6);
}

TEST(AdamW8bitStep, SmallParametersAreAdamWs) {
  torch::manual_seed(2);
  const auto start = torch::randn({63, 65});  // 4,095 numbers
  const TensorMap ours = {{"w", parameter(start)}}, plain = {{"w", parameter(start)}};
  AdamW8bit optimizer(ours, {.weight_decay = 0.1});
  AdamW adamw(plain, {.weight_decay = 0.1});
  for (int64_t step = 1; step <= 5; ++step) {
    give_gradients(ours, step);
    give_gradients(plain, step);
    optimizer.step(0.01);
    adamw.step(0.01);
  }
  EXPECT_EQ(optimizer.state().at("w/m").scalar_type(), torch::kFloat32);
  EXPECT_LT((ours.at("w") - plain.at("w")).abs().max().item<double>(), 1e-6);
}

TEST(AdamW8bitStep, TrainsOtherTypesAndLayoutsAsTheirFloat32Copies) {
  torch::manual_seed(4);
  const auto start = torch::randn({66, 70}).to(torch::kBFloat16);
  const TensorMap half = {{"w", parameter(start)}}, turned = {{"w", start.to(torch::kFloat32).t().requires_grad_()}};
  AdamW8bit first(half, {}), second(turned, {});
  const auto gradient = torch::randn({66, 70}).to(torch::kBFloat16);
  half.at("w").mutable_grad() = gradient;
  turned.at("w").mutable_grad() = gradient.to(torch::kFloat32).t();
  first.step(0.1);
  second.step(0.1);
  EXPECT_EQ(half.at("w").scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(torch::equal(half.at("w"), turned.at("w").t().to(torch::kBFloat16)));
  EXPECT_FALSE(torch::equal(half.at("w"), start));
}

TEST(AdamW8bitOracle, ParametersAndCodesAreTheirs) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  if (!source) throw Error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
  const auto theirs = checkpoint::read_tensors(fs::path(source) / "tests/oracle/optimizers/adamw8bit.safetensors");
  const TensorMap ours = {{"large", parameter(theirs.at("large/start"))},
                          {"small", parameter(theirs.at("small/start"))}};
  AdamW8bit optimizer(ours, {.weight_decay = 0.1});
  for (const std::string step : {"1", "2", "3"}) {
    for (const auto& [name, parameter] : ours) parameter.mutable_grad() = theirs.at(name + "/gradient" + step).clone();
    optimizer.step(1e-2);
    for (const auto& [name, parameter] : ours) {
      EXPECT_LT((parameter - theirs.at(name + "/after" + step)).abs().max().item<double>(), 1e-6) << name << step;
    }
  }
  const auto state = optimizer.state();
  for (const char* name : {"large/m", "large/v"}) EXPECT_TRUE(torch::equal(state.at(name), theirs.at(name))) << name;
  for (const char* name : {"large/m_absmax", "large/v_absmax", "small/m", "small/v"}) {
    EXPECT_TRUE(torch::allclose(state.at(name), theirs.at(name), 1e-6, 1e-12)) << name;
  }
}

/// Three parameters whose moments make three windows, and one beside them.
TensorMap several_windows() {
  torch::manual_seed(5);
  return {{"base/a", parameter(torch::randn({700, 1000}))},
          {"base/b.bias", parameter(torch::randn({33}))},
          {"base/c", parameter(torch::randn({1000, 700}).t())},
          {"base/d", parameter(torch::randn({600001}))}};
}

TEST(PagedAdamWStep, IsAdamWsBitForBit) {
  const TensorMap paged = several_windows(), plain = several_windows();
  const Optimizer::Options options{.weight_decay = 0.1, .rate_factors = {{"base/c", 16.0}}};
  PagedAdamW ours(paged, options, ::testing::TempDir());
  AdamW adamw(plain, options);
  for (int64_t step = 1; step <= 3; ++step) {
    give_gradients(paged, step, step == 2 ? "base/d" : "");
    give_gradients(plain, step, step == 2 ? "base/d" : "");
    ours.step(0.01);
    adamw.step(0.01);
  }
  expect_equal(paged, plain);
  expect_equal(ours.state(), adamw.state());
}

TEST(PagedAdamWStep, LeavesNoFileBehind) {
  const fs::path folder = fs::path(::testing::TempDir()) / "paged_folder";
  fs::create_directories(folder);
  const PagedAdamW optimizer(several_windows(), {}, folder);
  EXPECT_TRUE(fs::is_empty(folder));
}

/// The message of the StoreError that `f` throws.
std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const StoreError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(MappedFile, SaysWhyThereIsNone) {
  EXPECT_EQ(refusal([] { mapped_file(8192, "/no/such/folder"); }),
            "no room for 8192 bytes of paged memory in /no/such/folder: No such file or directory");
  // A file that may not grow stands for a full disk: the error comes when it is made, not as a signal when it is used.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string said = refusal([] { mapped_file(8192, ::testing::TempDir()); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(said, ::testing::HasSubstr("no room for 8192 bytes of paged memory in "));
  EXPECT_THAT(said, ::testing::EndsWith(": File too large"));
}

/// Bytes of private memory this process may write to: what RLIMIT_DATA counts.
rlim_t data_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmData:")) return static_cast<rlim_t>(std::stoll(line.substr(7))) * 1024;
  }
  return 0;
}

/// Twelve parameters of a million numbers on their way to 1: the mean squared distance before each of four steps. Their
/// moments take 96 MB; nothing else as large is allocated on the way.
class Distances {
 public:
  std::vector<double> run(const std::string& name) {
    for (auto& [key, parameter] : parameters_) parameter.detach().zero_();
    const auto optimizer = make_optimizer(name, parameters_, {}, ::testing::TempDir());
    std::vector<double> losses;
    for (int step = 0; step < 4; ++step) {
      double loss = 0;
      for (auto& [key, parameter] : parameters_) {
        torch::Tensor gradient = gradients_.at(key);
        torch::sub_out(gradient, parameter.detach(), torch::ones({}));
        loss += gradient.norm().item<double>();
        parameter.mutable_grad() = gradient;
      }
      losses.push_back(loss);
      optimizer->step(0.1);
    }
    return losses;
  }

 private:
  static TensorMap zeros(bool trained) {
    TensorMap made;
    for (char name = 'a'; name < 'm'; ++name) {
      made[std::string(1, name)] = torch::zeros({1000, 1000}).requires_grad_(trained);
    }
    return made;
  }

  TensorMap parameters_ = zeros(true), gradients_ = zeros(false);
};

TEST(PagedAdamWDeathTest, FinishesWithLessMemoryThanItsStates) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer ends the process where an allocation fails";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Distances distances;
  const auto expected = distances.run("adamw");
  EXPECT_LT(expected.back(), expected.front());
  const auto with_little_memory = [&](const std::string& name) {
    // Room for half of the states, and no more.
    const rlim_t limit = data_bytes() + (rlim_t{48} << 20);
    const rlimit little{limit, limit};
    if (setrlimit(RLIMIT_DATA, &little) != 0) std::_Exit(2);
    try {
      std::_Exit(distances.run(name) == expected ? 0 : 3);
    } catch (const std::exception& error) {
      std::cerr << error.what() << std::endl;
      std::_Exit(4);
    }
  };
  EXPECT_DEATH(with_little_memory("adamw"), "can't allocate memory");
  EXPECT_EXIT(with_little_memory("paged_adamw"), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace peftlab::train
