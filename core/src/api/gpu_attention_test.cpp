/// What attention on a GPU is told of a pass, with an operation in the place of LibTorch's that does on a CPU what that is
/// documented to do. The operation itself is tried by cuda_test.

#include "api/gpu_attention.h"
#include "api/padded_attention.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

/// Sequence after sequence; in a causal one query i of n sees the first keys - n + i + 1 keys.
torch::Tensor by_sequence(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                          const SequenceStarts& starts, const AttendOptions& options) {
  EXPECT_EQ(starts.queries.scalar_type(), torch::kInt32);
  std::vector<torch::Tensor> found;
  int64_t most_queries = 0, most_keys = 0;
  for (int64_t s = 0; s + 1 < starts.queries.size(0); ++s) {
    const auto part = [&](const torch::Tensor& t, const torch::Tensor& at) {
      return t.slice(0, at[s].item<int64_t>(), at[s + 1].item<int64_t>()).transpose(0, 1);
    };
    const auto query = part(q, starts.queries), key = part(k, starts.keys), value = part(v, starts.keys);
    const int64_t n = query.size(1), keys = key.size(1);
    most_queries = std::max(most_queries, n);
    most_keys = std::max(most_keys, keys);
    auto visible = torch::ones({n, keys}, torch::kBool);
    if (starts.is_causal) visible = visible.tril(keys - n);
    found.push_back(torch::scaled_dot_product_attention(query, key, value, visible, options.dropout,
                                                        /*is_causal=*/false, options.scale)
                        .transpose(0, 1));
  }
  EXPECT_EQ(starts.most_queries, most_queries);
  EXPECT_EQ(starts.most_keys, most_keys);
  return torch::cat(found);
}

struct Pass {
  std::vector<std::pair<int64_t, int64_t>> sequences;  ///< length, context
  int64_t kv_heads = 4, prefix = 0;

  static constexpr int64_t kHeads = 4, kWidth = 8;

  Layout layout() const {
    Layout made;
    for (const auto& [length, context] : sequences) made.add(length, context);
    return made;
  }
  AttentionPlan::Places places() const { return {layout(), torch::kCPU, nullptr}; }
};

/// The result and the gradients of all operands: without padding, and as LibTorch has them with it.
void expect_as_padded(const Pass& pass) {
  torch::manual_seed(2);
  const AttentionPlan::Places places = pass.places();
  const auto rows = [&](int64_t n, int64_t heads) {
    return torch::randn({n, heads, Pass::kWidth}, torch::kFloat64).requires_grad_();
  };
  const int64_t n = places.layout.total();
  std::vector<torch::Tensor> parts = {rows(n, Pass::kHeads), rows(n, pass.kv_heads), rows(n, pass.kv_heads)};
  AttentionSite site(Pass::kHeads, pass.kv_heads, Pass::kWidth);
  KeyValue front;
  if (pass.prefix > 0) {
    front = {rows(pass.prefix, pass.kv_heads), rows(pass.prefix, pass.kv_heads)};
    parts.insert(parts.end(), {front.keys, front.values});
    site.prepend([front] { return front; }, pass.prefix);
  }
  AttendOptions options;
  options.scale = 0.3;
  const auto& starts = places.starts(pass.prefix, 0);
  ASSERT_TRUE(starts.has_value());
  const auto found = gpu_attention(parts[0], parts[1], parts[2], front, *starts, options, by_sequence);
  const auto wanted = padded_attention(places, parts[0], parts[1], parts[2], site, front, options);
  EXPECT_TRUE(torch::allclose(found, wanted, 1e-10, 1e-12));
  const auto weights = torch::randn_like(found);
  const auto a = torch::autograd::grad({found}, parts, {weights}),
             b = torch::autograd::grad({wanted}, parts, {weights});
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::allclose(a[i], b[i], 1e-10, 1e-12)) << i;
}

TEST(GpuAttention, OfCausalSequences) { expect_as_padded({.sequences = {{5, 0}, {1, 0}, {9, 1}}}); }
TEST(GpuAttention, OfSequencesThatAreVisibleAsAWhole) { expect_as_padded({.sequences = {{5, 5}, {9, 9}, {2, 2}}}); }
TEST(GpuAttention, BehindAPrefix) {
  expect_as_padded({.sequences = {{5, 0}, {9, 0}}, .prefix = 3});
  expect_as_padded({.sequences = {{5, 5}, {9, 9}}, .prefix = 3});
}
TEST(GpuAttention, OfHeadsThatShareKeys) {
  expect_as_padded({.sequences = {{5, 0}, {9, 0}}, .kv_heads = 2, .prefix = 2});
}

TEST(GpuAttention, IsLeftToMasksWhereStartsDoNotSayWhatIsSeen) {
  const Pass causal{.sequences = {{5, 0}, {9, 0}}};
  EXPECT_TRUE(causal.places().starts(0, 0).has_value());
  EXPECT_FALSE(causal.places().starts(0, 4).has_value()) << "a window";
  EXPECT_FALSE((Pass{.sequences = {{5, 3}}}.places().starts(0, 0).has_value())) << "a context";
  EXPECT_FALSE((Pass{.sequences = {{5, 5}, {9, 0}}}.places().starts(0, 0).has_value())) << "two kinds";
  const AttentionPlan::Places all = causal.places();
  EXPECT_FALSE((AttentionPlan::Places(all, torch::tensor({4, 13})).starts(0, 0).has_value())) << "some rows alone";
}

}  // namespace
}  // namespace peftlab
