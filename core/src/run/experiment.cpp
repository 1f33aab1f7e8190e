#include "run/experiment.h"

#include "config/read.h"
#include "plan/plan.h"
#include "run/inputs.h"
#include "run/interrupt.h"
#include "run/pool.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <set>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

/// A finished run's whole model, as a folder to load it from: its objects under the names they had.
fs::path model_folder_of(const store::Store& store, const store::RunDetail& run) {
  const fs::path folder = store.folder() / "models" / run.run.adapter_sha256.value();
  if (fs::exists(folder / "complete")) return folder;
  fs::create_directories(folder);
  for (const store::Artifact& artifact : run.artifacts) {
    if (artifact.kind != "model") continue;
    const fs::path place = folder / artifact.name;
    fs::remove(place);
    std::error_code error;
    fs::create_hard_link(store.object_path(artifact.sha256), place, error);
    if (error) fs::copy_file(store.object_path(artifact.sha256), place);
  }
  fs::create_directory(folder / "complete");
  return folder;
}

/// One invocation.
class Invocation {
 public:
  Invocation(const fs::path& store, const registry::Registry& registry, const RunOptions& options, std::ostream& out)
      : store_(store::Store::open(store, store::Mode::read_write_create)),
        registry_(registry),
        options_(options),
        out_(out),
        inputs_(registry) {}

  RunSummary run(const fs::path& file, bool is_pretraining) {
    if (!reading_.insert(fs::weakly_canonical(file)).second) {
      throw ConfigError(file.string() + ": its `pretrain` leads back to itself");
    }
    const auto experiment = config::read_experiment(file, option_checker(registry_),
                                                    is_pretraining ? std::vector<std::string>{} : options_.overrides);
    auto all = plan::expand(experiment);
    if (!experiment.model.pretrain.empty()) pretrain(experiment, all);

    std::vector<plan::RunSpec> chosen = is_pretraining ? all : plan::filter(all, options_.only, options_.seeds);
    const auto variants = begin(experiment, all);
    return make(experiment, chosen, variants);
  }

 private:
  /// Makes the base model first, or finds it made, and puts it into the specs.
  void pretrain(const config::Experiment& experiment, std::vector<plan::RunSpec>& specs) {
    say("base model: " + experiment.model.pretrain.string());
    const RunSummary made = run(experiment.model.pretrain, /*is_pretraining=*/true);
    for (const store::RunRow& row : store_.runs(made.experiment)) {
      if (row.state != "finished" || !row.is_current || !row.adapter_sha256) continue;
      const auto detail = store_.run(row.uuid);
      const bool whole = std::any_of(detail.artifacts.begin(), detail.artifacts.end(),
                                     [](const auto& artifact) { return artifact.kind == "model"; });
      if (!whole) continue;
      const fs::path folder = model_folder_of(store_, detail);
      for (plan::RunSpec& spec : specs) {
        spec.model_path = folder.string();
        spec.model_init = "pretrained";
      }
      return;
    }
    std::string reasons;
    for (const store::RunRow& row : store_.runs(made.experiment)) {
      if (row.state == "failed" && row.is_newest) reasons += "\n  " + row.label + ": " + row.error_text;
    }
    throw TrainError(experiment.model.pretrain.string() +
                     ": no finished run of it left a whole model (a method that trains every parameter does)" + reasons);
  }

  /// The experiment and its variants as rows: variant key -> id.
  std::map<std::string, store::Id> begin(const config::Experiment& experiment, const std::vector<plan::RunSpec>& all) {
    std::vector<store::Variant> variants;
    std::set<std::string> seen;
    for (const plan::RunSpec& spec : all) {
      const std::string key = plan::variant_key(spec, inputs_.checksums(spec));
      if (!seen.insert(key + spec.label).second) continue;
      store::Variant variant{.key = key,
                             .label = spec.label,
                             .method = plan::plugin_names(spec),
                             .config = plan::to_table(spec),
                             .is_baseline = spec.is_baseline};
      for (const auto& method : spec.methods) variant.method_plugins.push_back(method.plugin);
      variants.push_back(std::move(variant));
    }
    const auto ids = store_.begin_invocation(
        {.name = experiment.name, .config_text = experiment.text, .primary_metric = experiment.primary}, variants);
    std::map<std::string, store::Id> by_key;
    for (size_t i = 0; i < ids.size(); ++i) by_key[variants[i].key] = ids[i];
    for (const std::string& dead : store_.fail_dead_runs()) say("run " + dead + " was left by a process that is gone");
    return by_key;
  }

  RunSummary make(const config::Experiment& experiment, const std::vector<plan::RunSpec>& specs,
                  const std::map<std::string, store::Id>& variants) {
    RunSummary summary{.experiment = experiment.name};
    std::vector<Job> jobs;
    for (const plan::RunSpec& spec : specs) {
      const store::Id variant = variants.at(plan::variant_key(spec, inputs_.checksums(spec)));
      const auto newest = store_.newest_attempt(variant, spec.seed);
      if (newest && newest->state == "finished") {
        ++summary.reused;
        continue;
      }
      if (newest && newest->state == "running") {
        say(spec.label + " seed " + std::to_string(spec.seed) + " is being made by another process");
        continue;
      }
      jobs.push_back({.run = ready(spec, variant, newest),
                      .title = fmt::format("{} seed {}", spec.label, spec.seed),
                      .threads = spec.train.threads});
    }
    say(fmt::format("{}: {} {}, {} there already, {} to make", experiment.name, specs.size(),
                    specs.size() == 1 ? "run" : "runs", summary.reused, jobs.size()));
    if (jobs.empty()) return summary;

    watch_signals();
    Bars bars(out_, options_.style, static_cast<int64_t>(jobs.size()));
    const PoolResult result = run_pool(store_, jobs, {options_.jobs, options_.device}, bars);
    summary.finished = result.finished;
    summary.failed = result.failed;
    return summary;
  }

  /// The uuid of a row that a worker may take: one that waits or was interrupted, or a new attempt. Where the attempt
  /// before left a resume point, the new one goes on from it.
  std::string ready(const plan::RunSpec& spec, store::Id variant, const std::optional<store::Attempt>& newest) {
    if (newest && (newest->state == "interrupted" || newest->state == "pending")) return newest->uuid;
    const auto inputs = inputs_.record(spec, store_);
    const fs::path left = newest ? resume_file(store_.folder(), newest->uuid) : fs::path();
    // A run that diverged would diverge again from where it was: it starts anew.
    if (!newest || newest->error_kind == "diverged" || !fs::exists(left)) return store_.create_run(variant, spec.seed, inputs);
    const std::string uuid = store_.create_run(variant, spec.seed, inputs, newest->uuid, resume_step(left));
    fs::create_directories(work_folder(store_.folder(), uuid));
    fs::rename(left, resume_file(store_.folder(), uuid));
    return uuid;
  }

  void say(const std::string& line) const {
    if (options_.style != Bars::Style::quiet) out_ << line << std::endl;
  }

  store::Store store_;
  const registry::Registry& registry_;
  const RunOptions& options_;
  std::ostream& out_;
  Inputs inputs_;
  std::set<fs::path> reading_;
};

}  // namespace

std::string plan_of(const fs::path& file, const registry::Registry& registry, const RunOptions& options) {
  const auto experiment = config::read_experiment(file, option_checker(registry), options.overrides);
  return plan::plan_text(plan::filter(plan::expand(experiment), options.only, options.seeds));
}

RunSummary run_experiment(const fs::path& file, const fs::path& store, const registry::Registry& registry,
                          const RunOptions& options, std::ostream& progress) {
  return Invocation(store, registry, options, progress).run(file, /*is_pretraining=*/false);
}

}  // namespace peftlab::run
