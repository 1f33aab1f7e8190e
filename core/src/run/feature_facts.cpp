#include "run/feature_facts.h"

#include "base/places.h"
#include "kernels/path.h"
#include "run/environment.h"
#include "run/inputs.h"
#include "support/sha256.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

/// The libraries of this peftlab: a build that was changed without a commit is another.
Table libraries() {
  Table sums;
  for (const char* name : {"base", "api", "engine", "cuda"}) {
    const fs::path file = library_folder() / ("libpeftlab_" + std::string(name) + ".so");
    if (fs::exists(file)) sums[name] = sha256_file(file);
  }
  return sums;
}

/// What the environment tells those libraries about instructions, threads and precision.
Table settings() {
  constexpr std::array<std::string_view, 11> kOf = {"ATEN_",  "CUBLAS_", "CUDNN_",  "DNNL_",   "KMP_",  "MKL_",
                                                    "NVIDIA_", "OMP_",    "ONEDNN_", "PEFTLAB_CPU", "TORCH_"};
  Table found;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    for (const std::string_view prefix : kOf) {
      if (text.starts_with(prefix)) found[std::string(text.substr(0, text.find('=')))] = std::string(text);
    }
  }
  return found;
}

}  // namespace

Table feature_facts(const plan::RunSpec& spec, const attach::Session& session, const registry::Registry& registry,
                    int threads) {
  const registry::Plugin& model = registry.find(Kind::model, session.model->facts().model_type);
  const registry::Plugin& dataset = registry.find(Kind::dataset, spec.dataset.plugin);
  Table base = {{"weights", session.base_sha256()},
                {"files", model_files_sha256(spec.model_path)},
                {"init", spec.model_init},
                {"dtype", spec.model_dtype},
                {"labels", spec.model_labels}};
  if (!session.is_pretrained) base["seed"] = spec.seed;
  return {{"base", base},
          {"model", model.sha256},
          {"dataset", dataset.sha256},
          {"dataset_options", spec.dataset.options},
          {"max_length", spec.max_length.value_or(0)},
          {"libraries", libraries()},
          {"kernels", name_of(best_path())},
          {"settings", settings()},
          {"environment", environment_facts(session.device, threads)}};
}

}  // namespace peftlab::run
