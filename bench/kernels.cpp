/// The kernels under a step, one at a time, with Google Benchmark: its own options apply, as --benchmark_filter=Product.
/// Beside each stands what LibTorch alone would do.

#include "api/packed_weights.h"
#include "low_rank/update.h"
#include "train/adamw.h"

#include <peftlab/nn/attention.h>
#include <peftlab/nn/product.h>
#include <peftlab/nn/weight_storage.h>

#include <benchmark/benchmark.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

constexpr int64_t kSide = 4096, kWidth = 768, kRank = 8, kHeads = 12;

torch::ScalarType type_of(int64_t bits) { return bits == 16 ? torch::kBFloat16 : torch::kFloat32; }

void numbers_a_second(benchmark::State& state, int64_t numbers) {
  state.counters["numbers"] =
      benchmark::Counter(static_cast<double>(numbers), benchmark::Counter::kIsIterationInvariantRate);
}

void operations_a_second(benchmark::State& state, int64_t multiplications) {
  state.counters["flop"] =
      benchmark::Counter(2.0 * static_cast<double>(multiplications), benchmark::Counter::kIsIterationInvariantRate);
}

std::shared_ptr<const WeightStorage> nf4(const torch::Tensor& weight) {
  return quantize(weight, {.type = "nf4", .block_size = 64, .double_quantization = false});
}

void Nf4Quantize(benchmark::State& state) {
  const torch::Tensor weight = torch::randn({kSide, kSide});
  for (auto _ : state) nf4(weight);
  numbers_a_second(state, weight.numel());
}
BENCHMARK(Nf4Quantize);

void Nf4Dequantize(benchmark::State& state) {
  const auto weight = nf4(torch::randn({kSide, kSide}));
  const torch::Tensor rows = torch::zeros({kSide, kSide}, type_of(state.range(0)));
  for (auto _ : state) weight->write_rows(0, rows);
  numbers_a_second(state, rows.numel());
}
BENCHMARK(Nf4Dequantize)->ArgName("bits")->Arg(32)->Arg(16);

void Nf4Product(benchmark::State& state) {
  const torch::NoGradGuard no_grad;
  const auto weight = nf4(torch::randn({kSide, kSide}));
  const torch::Tensor x = torch::randn({state.range(0), kSide}).to(type_of(state.range(1)));
  for (auto _ : state) weight->multiply(x);
  operations_a_second(state, x.numel() * kSide);
}
BENCHMARK(Nf4Product)->ArgNames({"rows", "bits"})->ArgsProduct({{1, 16, 128, 512}, {32, 16}});

/// Weights in turn, so that none stays in the caches, as in a model.
void product_of_few_rows(benchmark::State& state,
                         torch::Tensor (*multiply)(const torch::Tensor&, const torch::Tensor&)) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> weights;
  const auto type = type_of(state.range(1));
  for (int i = 0; i < 16; ++i) {
    const torch::Tensor weight = torch::randn({4 * kWidth, kWidth}).to(type);
    weights.push_back(state.range(2) ? weight.t().contiguous().t() : weight);
  }
  const torch::Tensor x = torch::randn({state.range(0), kWidth}).to(type);
  for (const torch::Tensor& weight : weights) multiply(x, weight);  // the first product with a weight may pack it
  size_t next = 0;
  for (auto _ : state) multiply(x, weights[next++ % weights.size()]);
  operations_a_second(state, x.numel() * 4 * kWidth);
}
void ProductOfFewRows(benchmark::State& state) {
  PackedWeights packed;  // as while a command generates
  product_of_few_rows(state, [](const torch::Tensor& x, const torch::Tensor& weight) { return product(x, weight); });
}
void ProductOfFewRowsByLibTorch(benchmark::State& state) {
  product_of_few_rows(state,
                      [](const torch::Tensor& x, const torch::Tensor& weight) { return torch::linear(x, weight); });
}
BENCHMARK(ProductOfFewRows)->ArgNames({"rows", "bits", "transposed"})->ArgsProduct({{1, 4, 16, 48}, {32, 16}, {0, 1}});
BENCHMARK(ProductOfFewRowsByLibTorch)
    ->ArgNames({"rows", "bits", "transposed"})
    ->ArgsProduct({{1, 4, 16, 48}, {32, 16}, {0, 1}});

/// Forward and backward of s B A x, x [rows, width].
template <typename Update>
void there_and_back(benchmark::State& state, const Update& update) {
  const int64_t rows = state.range(0), width = state.range(1);
  const torch::Tensor x = torch::randn({rows, width}).set_requires_grad(true);
  const torch::Tensor a = torch::randn({kRank, width}).set_requires_grad(true);
  const torch::Tensor b = torch::randn({3 * width, kRank}).set_requires_grad(true);
  const torch::Tensor dy = torch::randn({rows, 3 * width});
  for (auto _ : state) torch::autograd::grad({update(x, a, b)}, {x, a, b}, {dy});
}
void LowRankUpdate(benchmark::State& state) {
  there_and_back(state, [](const auto& x, const auto& a, const auto& b) { return low_rank::update_of(x, a, b, 2.0); });
}
void LowRankUpdateByLibTorch(benchmark::State& state) {
  there_and_back(
      state, [](const auto& x, const auto& a, const auto& b) { return torch::linear(torch::linear(x, a), b) * 2.0; });
}
BENCHMARK(LowRankUpdate)->ArgNames({"rows", "width"})->ArgsProduct({{32, 512}, {kWidth, 2048}});
BENCHMARK(LowRankUpdateByLibTorch)->ArgNames({"rows", "width"})->ArgsProduct({{32, 512}, {kWidth, 2048}});

/// Forward and backward of 32 texts of 8 to 64 tokens, which see each other whole.
void AttentionOfRealLengths(benchmark::State& state) {
  Layout layout;
  for (int64_t s = 0; s < 32; ++s) layout.add(8 + s * 56 / 31, 8 + s * 56 / 31);
  const AttentionSite site(kHeads, kHeads, kWidth / kHeads);
  const auto part = [&] { return torch::randn({layout.total(), kHeads, kWidth / kHeads}).set_requires_grad(true); };
  const torch::Tensor q = part(), k = part(), v = part(), dy = torch::randn({layout.total(), kWidth});
  const AttentionPlan plan(layout, torch::kCPU);
  for (auto _ : state) torch::autograd::grad({plan.attend(q, k, v, site)}, {q, k, v}, {dy});
}
BENCHMARK(AttentionOfRealLengths);

void AdamWStep(benchmark::State& state) {
  TensorMap parameters;
  for (int i = 0; i < 8; ++i) {
    torch::Tensor parameter = torch::randn({4 * kWidth, kWidth}).set_requires_grad(true);
    parameter.mutable_grad() = torch::randn_like(parameter);
    parameters["base/" + std::to_string(i)] = parameter;
  }
  train::AdamW optimizer(parameters, {});
  for (auto _ : state) optimizer.step(1e-4);
  numbers_a_second(state, 8 * 4 * kWidth * kWidth);
}
BENCHMARK(AdamWStep);

}  // namespace
}  // namespace peftlab

BENCHMARK_MAIN();
