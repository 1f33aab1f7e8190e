#include "run/check_result.h"

#include "attach/probe.h"

#include <peftlab/error.h>

#include <fstream>

namespace peftlab::run {
namespace {

/// What the kernel says programs can still get without paging, bytes.
std::optional<int64_t> free_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key, rest;
  for (int64_t kilobytes = 0; file >> key >> kilobytes; std::getline(file, rest)) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return std::nullopt;
}

attach::Session open_saved(const attach::SavedResult& saved, const plan::RunSpec& spec,
                           const registry::Registry& registry, torch::Device device) {
  if (saved.is_model) {
    return attach::open_model({.folder = saved.folder, .dtype = spec.model_dtype}, registry, device);
  }
  const std::vector<attach::AdapterUse> uses = {{saved.folder}};
  auto methods = attach::make_methods(uses, registry);
  auto session = attach::open_model({spec.model_path, spec.model_init, spec.model_dtype, spec.seed, spec.model_labels},
                                    registry, device, methods);
  attach::attach_adapters(session, uses, std::move(methods));
  return session;
}

}  // namespace

std::optional<Table> check_saved(const attach::Session& trained, const attach::SavedResult& saved,
                                 const plan::RunSpec& spec, const registry::Registry& registry) {
  const auto free = free_memory();
  if (saved.sha256.empty() || !free || trained.base_bytes() > *free / 3) return std::nullopt;
  const torch::Tensor wanted = attach::probe_logits(*trained.model);
  auto loaded = open_saved(saved, spec, registry, trained.device);
  loaded.set_training(false);
  const torch::Tensor found = attach::probe_logits(*loaded.model);
  Table differences{{"largest", wanted.abs().max().item<double>()},
                    {"after_loading", attach::largest_difference(found, wanted)}};
  if (saved.is_model) return differences;
  try {
    attach::merge(loaded);
    differences["after_merging"] = attach::largest_difference(attach::probe_logits(*loaded.model), found);
  } catch (const UnsupportedError&) {
    // Virtual tokens and bottlenecks are no part of a weight.
  }
  return differences;
}

}  // namespace peftlab::run
