#include "attach/probe.h"

#include <peftlab/batch.h>
#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::attach {

torch::Tensor probe_logits(Model& model) {
  const torch::NoGradGuard no_grad;
  std::vector<int64_t> tokens;
  const int64_t n = std::min<int64_t>(32, model.facts().max_length - taken_positions(model));
  for (int64_t i = 1; i <= n; ++i) tokens.push_back(i * 7919 % model.facts().vocabulary);
  Encoded text;
  text.tokens = tokens;
  text.labels = std::vector<int64_t>(tokens.size(), kNoLabel);
  const Batch batch = pack({text}).to(model.embedding_table().device());
  return model.head(model.hidden(batch)).to(torch::kCPU, torch::kFloat32);
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

void merge(Session& session) {
  for (const AttachedMethod& attached : session.methods) {
    try {
      attached.method->merge(*session.model);
    } catch (const UnsupportedError& error) {
      throw UnsupportedError(
          fmt::format("an adapter of method {} cannot be merged: {}", attached.plugin, error.what()));
    }
  }
}

}  // namespace peftlab::attach
