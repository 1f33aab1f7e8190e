#include "testing/bench.h"

#include <peftlab/error.h>

namespace peftlab::testing {

using namespace bench;

namespace {

/// How many singular values of `matrix` are more than rounding: above 1e-4 of the largest.
int64_t numerical_rank(const torch::Tensor& matrix) {
  const torch::Tensor values = torch::linalg_svdvals(matrix);
  return (values > 1e-4 * values.max()).sum().item<int64_t>();
}

}  // namespace

Violations law_rank(const MethodCase& given) {
  if (!given.max_rank) return {};
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1, torch::kFloat32);
    train(bench, given, 5);
    std::map<std::string, torch::Tensor> before;
    for (const Linear* site : bench.model->linear_sites())
      before[site->name] = site->weight_as(torch::kFloat64).clone();
    bench.method->merge(*bench.model);
    int64_t changed = 0;
    for (const Linear* site : bench.model->linear_sites()) {
      const torch::Tensor update = site->weight_as(torch::kFloat64) - before[site->name];
      if (!update.any().item<bool>()) continue;
      ++changed;
      const int64_t rank = numerical_rank(update);
      if (rank > *given.max_rank) {
        found.push_back(text("the update of ", site->name, " has rank ", rank, ", above ", *given.max_rank));
      }
    }
    if (changed == 0) found.push_back("no map has an update after five steps");
  });
}

}  // namespace peftlab::testing
