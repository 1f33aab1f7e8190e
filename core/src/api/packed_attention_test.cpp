#include "api/packed_attention.h"

#include "kernels/path.h"

#include <peftlab/error.h>
#include <peftlab/nn/attention.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

/// One way to attend, in all its sizes.
struct Given {
  std::vector<std::pair<int64_t, int64_t>> sequences;  ///< length, context
  int64_t heads = 2, kv_heads = 2, width = 16;
  int64_t prefix = 0;
  bool prefix_takes_positions = false;
  int64_t window = 0;
  std::vector<int64_t> asked = {};  ///< empty: all
};

class Attending {
 public:
  explicit Attending(const Given& given, torch::ScalarType type = torch::kFloat64)
      : given_(given), site_(given.heads, given.kv_heads, given.width) {
    torch::manual_seed(7);
    Layout layout;
    for (const auto& [length, context] : given.sequences) layout.add(length, context);
    plan_ = std::make_unique<AttentionPlan>(layout, torch::kCPU);
    int64_t rows = layout.total();
    if (!given.asked.empty()) {
      plan_ = std::make_unique<AttentionPlan>(plan_->of_rows(torch::tensor(given.asked, torch::kInt64)));
      rows = static_cast<int64_t>(given.asked.size());
    }
    // As in a model whose map gives queries, keys and values at once: rows lie apart.
    const auto fused = torch::randn({layout.total(), given.heads + 2 * given.kv_heads, given.width}, torch::kFloat64);
    const auto leaf = [&](const torch::Tensor& t) { return t.to(type).set_requires_grad(true); };
    parts_ = {leaf(torch::randn({rows, given.heads, given.width}, torch::kFloat64)),
              leaf(fused.narrow(1, given.heads, given.kv_heads)),
              leaf(fused.narrow(1, given.heads + given.kv_heads, given.kv_heads))};
    dout_ = torch::randn({rows, given.heads * given.width}, torch::kFloat64).to(type);
    if (given.prefix == 0) return;
    for (int i = 0; i < 2; ++i)
      parts_.push_back(leaf(torch::randn({given.prefix, given.kv_heads, given.width}, torch::kFloat64)));
    site_.prepend([this] { return KeyValue{parts_[3], parts_[4]}; }, given.prefix, given.prefix_takes_positions);
  }

  /// The result, and the gradients of queries, keys, values and the prefix's two.
  std::vector<torch::Tensor> operator()(double dropout = 0.0) {
    AttendOptions options;
    options.window = given_.window;
    options.dropout = dropout;
    const auto out = plan_->attend(parts_[0], parts_[1], parts_[2], site_, nullptr, options);
    auto found = torch::autograd::grad({out}, parts_, {dout_});
    found.insert(found.begin(), out.detach());
    return found;
  }

 private:
  Given given_;
  AttentionSite site_;
  std::unique_ptr<AttentionPlan> plan_;
  std::vector<torch::Tensor> parts_;
  torch::Tensor dout_;
};

/// The largest difference in units of the largest number wanted.
double apart(const torch::Tensor& found, const torch::Tensor& wanted) {
  return ((found.to(torch::kFloat64) - wanted).abs().max() / wanted.abs().max()).item<double>();
}

/// Each path of this processor, and at last the one that it had.
template <typename F>
void on_every_path(const F& f) {
  const Path before = best_path();
  for (const Path path : possible_paths()) {
    use_path(path);
    SCOPED_TRACE(name_of(path));
    f();
  }
  use_path(before);
}

void expect_as_libtorch(const Given& given) {
  const auto wanted = Attending(given)();  // float64 goes to LibTorch's own
  on_every_path([&] {
    const auto single = Attending(given, torch::kFloat32)(), half = Attending(given, torch::kBFloat16)();
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_LT(apart(single[i], wanted[i]), 1e-5) << i;
      EXPECT_LT(apart(half[i], wanted[i]), 0.03) << i;
    }
  });
}

TEST(PackedAttention, IsLibTorchsWithoutPadding) {
  expect_as_libtorch({.sequences = {{5, 0}}});
  expect_as_libtorch({.sequences = {{40, 0}, {1, 0}, {29, 29}, {30, 7}}});
  expect_as_libtorch({.sequences = {{65, 65}, {130, 40}}, .heads = 3, .kv_heads = 3, .width = 64});
}

TEST(PackedAttention, TakesHeadsOfAnyWidth) {
  for (const int64_t width : {1, 3, 20, 80}) {
    SCOPED_TRACE(width);
    expect_as_libtorch({.sequences = {{19, 0}, {8, 3}}, .width = width});
  }
}

TEST(PackedAttention, SharesKeysBetweenHeads) {
  expect_as_libtorch({.sequences = {{33, 0}, {7, 0}, {2, 0}}, .heads = 6, .kv_heads = 2});
}

TEST(PackedAttention, SeesAPrefixAndAddsItsGradientsUp) {
  expect_as_libtorch({.sequences = {{33, 0}, {7, 7}, {1, 0}}, .prefix = 5});
  expect_as_libtorch({.sequences = {{33, 0}, {7, 0}}, .heads = 4, .prefix = 20, .prefix_takes_positions = true});
}

TEST(PackedAttention, LooksThroughAWindow) {
  expect_as_libtorch({.sequences = {{33, 0}, {7, 0}}, .window = 4});
  expect_as_libtorch({.sequences = {{33, 0}, {7, 0}}, .prefix = 3, .window = 4});
  expect_as_libtorch({.sequences = {{33, 0}, {7, 0}}, .prefix = 3, .prefix_takes_positions = true, .window = 4});
}

TEST(PackedAttention, AnswersTheRowsThatAreAskedFor) {
  expect_as_libtorch({.sequences = {{33, 0}, {7, 7}, {5, 2}}, .prefix = 3, .asked = {0, 31, 32, 33, 44}});
  expect_as_libtorch({.sequences = {{33, 0}, {7, 7}, {5, 2}}, .asked = {3}});
  expect_as_libtorch({.sequences = {{70, 0}, {7, 0}}, .asked = {30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 69, 76}});
}

TEST(PackedAttention, RefusesRowsOutOfOrder) {
  Layout layout;
  layout.add(4, 0);
  layout.add(4, 0);
  const AttentionPlan plan(layout, torch::kCPU);
  EXPECT_THROW(plan.of_rows(torch::tensor({5, 1}, torch::kInt64)), c10::Error);
  EXPECT_THROW(plan.of_rows(torch::tensor({8}, torch::kInt64)), c10::Error);
}

TEST(PackedAttention, HasTheSameBitsWithAnyNumberOfThreads) {
  const Given given{.sequences = {{33, 0}, {7, 0}, {90, 20}}, .heads = 4, .kv_heads = 2, .prefix = 3};
  const int before = at::get_num_threads();
  const auto several = Attending(given, torch::kFloat32)(0.2);
  at::set_num_threads(1);
  const auto one = Attending(given, torch::kFloat32)(0.2);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], several[i])) << i;
}

/// softmax is linear in nothing, so what drop-out did is seen where all weights are equal and values are one: the sum of
/// those that are left, each divided by what is kept.
TEST(PackedAttention, DropsAsManyWeightsAsAsked) {
  const int64_t length = 400;
  Layout layout;
  layout.add(length, length);
  const AttentionPlan plan(layout, torch::kCPU);
  const AttentionSite site(2, 2, 16);
  const auto none = torch::zeros({length, 2, 16});
  on_every_path([&] {
    torch::manual_seed(3);
    AttendOptions options;
    options.dropout = 0.25;
    const auto left = plan.attend(none, none, torch::ones({length, 2, 16}), site, nullptr, options);
    EXPECT_NEAR(left.mean().item<double>(), 1.0, 0.005);
    // Of 400 weights, 1 / 400 / 0.75 each: a binomial's deviation.
    const auto per_head = left.view({length, 2, 16}).select(2, 0);
    EXPECT_NEAR(per_head.std().item<double>(), std::sqrt(0.25 / 0.75 / 400), 0.002);
    EXPECT_LT(std::abs(torch::corrcoef(per_head.t())[0][1].item<double>()), 0.15) << "heads drop alike";
  });
}

TEST(PackedAttention, GoesBackThroughTheWeightsItDropped) {
  const Given given{.sequences = {{30, 0}, {4, 4}}, .width = 4, .prefix = 2};
  on_every_path([&] {
    Attending attending(given, torch::kFloat32);
    const auto run = [&] {
      torch::manual_seed(11);
      return attending(0.3);
    };
    const auto first = run(), second = run();
    for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(torch::equal(first[i], second[i])) << i;
  });
}

TEST(PackedAttention, HasTheGradientOfWhatItDropped) {
  torch::manual_seed(5);
  Layout layout;
  layout.add(12, 0);
  const AttentionPlan plan(layout, torch::kCPU);
  const AttentionSite site(1, 1, 8);
  const auto q = torch::randn({12, 1, 8}), k = torch::randn({12, 1, 8}), v = torch::randn({12, 1, 8});
  const auto weight = torch::randn({12, 8});
  const auto value = [&](const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
    torch::manual_seed(9);
    AttendOptions options;
    options.dropout = 0.4;
    return (plan.attend(q, k, v, site, nullptr, options) * weight).sum();
  };
  const std::vector<torch::Tensor> parts = {q.clone().set_requires_grad(true), k.clone().set_requires_grad(true),
                                            v.clone().set_requires_grad(true)};
  const auto gradients = torch::autograd::grad({value(parts[0], parts[1], parts[2])}, {parts});
  for (size_t i = 0; i < 3; ++i) {
    const auto along = torch::randn_like(parts[i]);
    const double step = 1e-2;
    auto up = parts, down = parts;
    up[i] = parts[i].detach() + step * along;
    down[i] = parts[i].detach() - step * along;
    const double slope = (value(up[0], up[1], up[2]) - value(down[0], down[1], down[2])).item<double>() / (2 * step);
    EXPECT_NEAR((gradients[i] * along).sum().item<double>(), slope, 1e-2 * (1 + std::abs(slope))) << i;
  }
}

TEST(PackedAttention, GoesOnFromACache) {
  torch::manual_seed(2);
  AttentionSite site(4, 2, 20);
  const auto front = torch::randn({3, 2, 20});
  site.prepend([&] { return KeyValue{front, front * 2}; }, 3);
  const auto part = [](int64_t rows, int64_t heads) { return torch::randn({rows, heads, 20}); };
  const auto q = part(9, 4), k = part(9, 2), v = part(9, 2);  // sequences of 6 and 3 rows
  const auto rows = [](const torch::Tensor& t, std::vector<int64_t> at) {
    return t.index_select(0, torch::tensor(at, torch::kInt64));
  };
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
    Layout whole, prompt, next;
    whole.add(6, 0);
    whole.add(3, 0);
    prompt.add(4, 0);
    prompt.add(1, 0);
    next.add(2, 0);
    next.add(2, 0);
    const auto wanted = AttentionPlan(whole, torch::kCPU).attend(q, k, v, site);
    KeyValueCache cache(2);
    cache.layers.resize(1);
    const auto first = std::vector<int64_t>{0, 1, 2, 3, 6}, second = std::vector<int64_t>{4, 5, 7, 8};
    const auto step = [&](const Layout& layout, const std::vector<int64_t>& at) {
      const AttentionPlan plan(layout, torch::kCPU, &cache);
      const auto found =
          plan.attend(rows(q, at).to(type), rows(k, at).to(type), rows(v, at).to(type), site, &cache.layers[0]);
      cache.advance(layout);
      return found;
    };
    const double tolerance = type == torch::kBFloat16 ? 0.03 : 1e-5;
    EXPECT_LT(apart(step(prompt, first), rows(wanted, first).to(torch::kFloat64)), tolerance);
    EXPECT_LT(apart(step(next, second), rows(wanted, second).to(torch::kFloat64)), tolerance);
  }
}

TEST(PackedAttention, SaysThatItHasNoSecondDerivative) {
  Layout layout;
  layout.add(3, 0);
  const auto q = torch::randn({3, 1, 4}).set_requires_grad(true);
  const auto out = AttentionPlan(layout, torch::kCPU).attend(q, q, q, AttentionSite(1, 1, 4));
  EXPECT_THROW(torch::autograd::grad({out.sum()}, {q}, {}, {}, /*create_graph=*/true), Error);
}

}  // namespace
}  // namespace peftlab
