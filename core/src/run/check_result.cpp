#include "run/check_result.h"

#include "attach/probe.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::run {
namespace {

attach::ModelChoice choice(const plan::RunSpec& spec) {
  return {spec.model_path, spec.model_init, spec.model_dtype, spec.seed, spec.model_labels};
}

attach::Session open_saved(const attach::SavedResult& saved, const plan::RunSpec& spec,
                           const registry::Registry& registry, torch::Device device) {
  if (saved.is_model) {
    return attach::open_model({.folder = saved.folder, .dtype = spec.model_dtype}, registry, device);
  }
  const std::vector<attach::AdapterUse> uses = {{saved.folder}};
  auto methods = attach::make_methods(uses, registry);
  auto session = attach::open_model(choice(spec), registry, device, methods);
  attach::attach_adapters(session, uses, std::move(methods));
  return session;
}

bool has_quantized_maps(Model& model) {
  const auto& sites = model.linear_sites();
  return std::any_of(sites.begin(), sites.end(), [](const Linear* site) { return site->quantized() != nullptr; });
}

/// How far the base's logits moved when methods quantized it while it was loaded; nullopt where its folder has it so.
std::optional<double> quantizing_difference(const attach::Session& trained, const plan::RunSpec& spec,
                                            const registry::Registry& registry) {
  torch::Tensor whole;
  {
    auto base = attach::open_model(choice(spec), registry, trained.device);
    if (has_quantized_maps(*base.model)) return std::nullopt;
    base.set_training(false);
    whole = attach::probe_logits(*base.model);
  }
  auto quantized =
      attach::open_model(choice(spec), registry, trained.device, attach::make_methods(spec.methods, registry));
  quantized.set_training(false);
  return attach::largest_difference(attach::probe_logits(*quantized.model), whole);
}

}  // namespace

std::optional<Table> check_saved(const attach::Session& trained, const attach::SavedResult& saved,
                                 const plan::RunSpec& spec, const registry::Registry& registry,
                                 std::optional<int64_t> free) {
  const bool is_saved = !saved.sha256.empty(), is_quantized = has_quantized_maps(*trained.model);
  if (!is_saved && !is_quantized) return std::nullopt;
  if (!free) return Table{{"not_measured", "how much memory is left for a second model is not known"}};
  // A second model, and room to compute with it: as it lies in memory, or with all its maps in full.
  const int64_t in_full = trained.base_bytes_in_full(), least = is_saved ? trained.base_bytes() : in_full;
  const auto fits = [&](int64_t bytes) { return bytes <= *free / 3; };
  if (!fits(least)) {
    return Table{{"not_measured", fmt::format("a second model of {} bytes might not fit into the {} bytes of memory "
                                              "that are left",
                                              least, *free)}};
  }
  std::optional<double> quantizing;
  if (is_quantized && fits(in_full)) quantizing = quantizing_difference(trained, spec, registry);
  if (!is_saved && !quantizing) return std::nullopt;
  const torch::Tensor wanted = attach::probe_logits(*trained.model);
  Table differences{{"largest", wanted.abs().max().item<double>()}};
  if (quantizing) differences["after_quantizing"] = *quantizing;
  if (!is_saved) return differences;
  auto loaded = open_saved(saved, spec, registry, trained.device);
  loaded.set_training(false);
  const torch::Tensor found = attach::probe_logits(*loaded.model);
  differences["after_loading"] = attach::largest_difference(found, wanted);
  if (saved.is_model || !fits(in_full)) return differences;
  try {
    attach::merge(loaded);
    differences["after_merging"] = attach::largest_difference(attach::probe_logits(*loaded.model), found);
  } catch (const UnsupportedError&) {
    // Virtual tokens and bottlenecks are no part of a weight.
  }
  return differences;
}

}  // namespace peftlab::run
