#include "run/experiment.h"

#include "attach/session.h"
#include "config/read.h"
#include "plan/plan.h"
#include "plan/trials.h"
#include "run/auto_jobs.h"
#include "run/inputs.h"
#include "run/pool.h"
#include "run/search.h"
#include "support/interrupt.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUsualLength = 64;  // tokens of an example, where a measurement has to suppose some

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

/// Whether another try would end the same way.
bool is_settled(const store::Attempt& attempt) {
  return attempt.state == "failed" && (attempt.error_kind == "diverged" || attempt.error_kind == "bad configuration" ||
                                       attempt.error_kind == "unsupported" || attempt.error_kind == "out of memory");
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

    const auto asked = is_pretraining ? all : plan::filter(all, options_.only, options_.seeds);
    for (const std::string& dead : store_.fail_dead_runs()) say("run " + dead + " was left by a process that is gone");
    Searching searching(*this, experiment, all, asked);
    const Selection methods = searching.select();

    std::vector<plan::RunSpec> planned = with_choices(all, methods), wanted = with_choices(asked, methods);
    if (const auto base = untouched_base(experiment, all)) {
      planned.push_back(*base);
      wanted.push_back(*base);
    }
    planned.insert(planned.end(), searching.tried().begin(), searching.tried().end());
    const auto variants = ids_of(planned, store_.begin_invocation(row_of(experiment), rows_of(planned, methods)));
    RunSummary summary = make(experiment, wanted, variants, "run");
    summary.failed += searching.n_problems();
    return summary;
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
                     ": no finished run of it left a whole model (a method that trains every parameter does)" +
                     reasons);
  }

  /// What a search asks for, made in the store.
  class Searching : public Tryouts {
   public:
    Searching(Invocation& invocation, const config::Experiment& experiment, const std::vector<plan::RunSpec>& all,
              const std::vector<plan::RunSpec>& asked)
        : invocation_(invocation), experiment_(experiment) {
      for (const plan::RunSpec& spec : all) methods_.try_emplace(spec.label, Chosen{spec, {}});
      for (const plan::RunSpec& spec : asked) wanted_.insert(spec.label);
    }

    Selection select() {
      match_sizes(experiment_, methods_, *this);
      tune(experiment_, methods_, *this);
      return methods_;
    }

    std::vector<std::optional<store::RunDetail>> make(const std::vector<plan::RunSpec>& specs) override {
      store::Store& store = invocation_.store_;
      const auto ids = invocation_.ids_of(
          specs, store.add_variants(invocation_.row_of(experiment_), invocation_.rows_of(specs, {})));
      std::vector<plan::RunSpec> to_make;
      for (const plan::RunSpec& spec : specs) {
        const bool is_target = spec.role == "size" && spec.of_label == experiment_.match.to;
        if (is_target || wanted_.contains(spec.of_label)) to_make.push_back(spec);
      }
      if (!to_make.empty()) invocation_.make(experiment_, to_make, ids, "trial");
      tried_.insert(tried_.end(), specs.begin(), specs.end());
      std::vector<std::optional<store::RunDetail>> made;
      for (const plan::RunSpec& spec : specs) {
        const auto newest = store.newest_attempt(ids.at(invocation_.key_of(spec)), spec.seed);
        const bool has_ended = newest && (newest->state == "finished" || newest->state == "failed");
        made.push_back(has_ended ? std::optional(store.run(newest->uuid)) : std::nullopt);
      }
      return made;
    }

    void problem(const std::string& label, const std::string& reason) override {
      ++n_problems_;
      invocation_.say(label + ": " + reason);
    }

    void say(const std::string& line) override { invocation_.say(line); }

    const std::vector<plan::RunSpec>& tried() const { return tried_; }
    int64_t n_problems() const { return n_problems_; }

   private:
    Invocation& invocation_;
    const config::Experiment& experiment_;
    Selection methods_;
    std::set<std::string> wanted_;
    std::vector<plan::RunSpec> tried_;
    int64_t n_problems_ = 0;
  };

  /// The runs of the methods that are settled, with what was chosen for them.
  static std::vector<plan::RunSpec> with_choices(const std::vector<plan::RunSpec>& specs, const Selection& methods) {
    std::vector<plan::RunSpec> settled;
    for (const plan::RunSpec& spec : specs) {
      const auto method = methods.find(spec.label);
      if (method == methods.end()) continue;
      settled.push_back(method->second.spec);
      settled.back().seed = spec.seed;
    }
    return settled;
  }

  /// What the base model can do on the retention data, where no method of the file tells it already.
  std::optional<plan::RunSpec> untouched_base(const config::Experiment& experiment,
                                              const std::vector<plan::RunSpec>& all) const {
    const auto is_untouched = [](const plan::RunSpec& spec) { return plan::plugin_names(spec) == "none"; };
    if (experiment.data.retention.empty() || std::any_of(all.begin(), all.end(), is_untouched) ||
        !registry_.find_if(Kind::method, "none")) {
      return std::nullopt;
    }
    plan::RunSpec base = all.front();
    base.label = "(base)";
    base.role = "base";
    base.methods = {{"none", {}}};
    base.train = experiment.train;
    base.is_baseline = false;
    base.validation_data.clear();
    base.test_data.clear();
    return base;
  }

  std::string key_of(const plan::RunSpec& spec) { return plan::variant_key(spec, inputs_.checksums(spec)); }

  static store::Experiment row_of(const config::Experiment& experiment) {
    return {.name = experiment.name, .config_text = experiment.text, .primary_metric = experiment.primary};
  }

  /// The variants of these runs as rows, each once.
  std::vector<store::Variant> rows_of(const std::vector<plan::RunSpec>& specs, const Selection& methods) {
    std::vector<store::Variant> variants;
    std::set<std::string> seen;
    for (const plan::RunSpec& spec : specs) {
      const std::string key = key_of(spec);
      if (!seen.insert(key + spec.label).second) continue;
      store::Variant variant{.key = key,
                             .label = spec.label,
                             .method = plan::plugin_names(spec),
                             .config = plan::to_table(spec),
                             .is_baseline = spec.is_baseline,
                             .role = spec.role};
      if (!spec.of_label.empty()) variant.of_label = spec.of_label;
      for (const auto& method : spec.methods) variant.method_plugins.push_back(method.plugin);
      const auto chosen = spec.role == "method" ? methods.find(spec.label) : methods.end();
      if (chosen != methods.end()) variant.choices = chosen->second.choices;
      variants.push_back(std::move(variant));
    }
    return variants;
  }

  /// Variant key -> id, of what rows_of() made of the same runs.
  std::map<std::string, store::Id> ids_of(const std::vector<plan::RunSpec>& specs, const std::vector<store::Id>& ids) {
    std::map<std::string, store::Id> by_key;
    size_t next = 0;
    for (const plan::RunSpec& spec : specs) {
      const auto [entry, is_new] = by_key.try_emplace(key_of(spec), 0);
      if (is_new) entry->second = ids.at(next++);
    }
    return by_key;
  }

  RunSummary make(const config::Experiment& experiment, const std::vector<plan::RunSpec>& specs,
                  const std::map<std::string, store::Id>& variants, const std::string& what) {
    RunSummary summary{.experiment = experiment.name};
    std::vector<Job> jobs;
    std::vector<plan::RunSpec> elsewhere;
    for (const plan::RunSpec& spec : specs) {
      const store::Id variant = variants.at(key_of(spec));
      const auto newest = store_.newest_attempt(variant, spec.seed);
      // A trial that failed for a reason of its own has told what it can.
      if (newest && (newest->state == "finished" || (what == "trial" && is_settled(*newest)))) {
        ++summary.reused;
        continue;
      }
      if (newest && newest->state == "running") {
        elsewhere.push_back(spec);
        continue;
      }
      jobs.push_back({.run = ready(spec, variant, newest),
                      .title = fmt::format("{} seed {}", spec.label, spec.seed),
                      .threads = spec.train.threads});
    }
    say(fmt::format("{}: {} {}{}, {} there already, {} to make", experiment.name, specs.size(), what,
                    specs.size() == 1 ? "" : "s", summary.reused, jobs.size()));
    watch_signals();
    if (!jobs.empty()) {
      const int together = jobs_for(specs.front(), static_cast<int64_t>(jobs.size()));
      Bars bars(out_, options_.style, static_cast<int64_t>(jobs.size()));
      const PoolResult result = run_pool(store_, jobs, {together, options_.device}, bars);
      summary.finished = result.finished;
      summary.failed = result.failed;
    }
    if (elsewhere.empty()) return summary;

    for (const plan::RunSpec& spec : elsewhere) wait_for(spec, variants.at(key_of(spec)));
    const RunSummary others = make(experiment, elsewhere, variants, what);
    summary.finished += others.finished;
    summary.reused += others.reused;
    summary.failed += others.failed;
    return summary;
  }

  /// How many of `runs` like this one are made at once.
  int jobs_for(const plan::RunSpec& spec, int64_t runs) const {
    if (options_.jobs > 0) return options_.jobs;
    if (!attach::choose_device(options_.device).is_cpu()) return 1;  // they would share one GPU
    const int64_t length = std::min<int64_t>(spec.max_length.value_or(kUsualLength), kUsualLength);
    const JobsChoice choice = choose_jobs({spec.model_path, spec.train.batch_size * length, runs});
    say(choice.jobs == 1 ? "one run at a time: nothing was gained by more when measured"
                         : fmt::format("{} runs at once: {:.2f} times the work of one at a time when measured",
                                       choice.jobs, choice.gain));
    return choice.jobs;
  }

  /// Until another process has ended this run, or is gone. Throws: Interrupted.
  void wait_for(const plan::RunSpec& spec, store::Id variant) {
    bool is_said = false;
    for (;;) {
      const auto newest = store_.newest_attempt(variant, spec.seed);
      if (!newest || newest->state != "running") return;
      if (!std::exchange(is_said, true)) {
        say(fmt::format("{} seed {} is being made by another process: waiting for it", spec.label, spec.seed));
      }
      store_.fail_dead_runs();
      if (seen_signal() != 0) throw Interrupted{seen_signal()};
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }

  /// The uuid of a row that a worker may take: one that waits or was interrupted, or a new attempt. Where the attempt
  /// before left a resume point, the new one goes on from it.
  std::string ready(const plan::RunSpec& spec, store::Id variant, const std::optional<store::Attempt>& newest) {
    if (newest && (newest->state == "interrupted" || newest->state == "pending")) return newest->uuid;
    const auto inputs = inputs_.record(spec, store_);
    const fs::path left = newest ? resume_file(store_.folder(), newest->uuid) : fs::path();
    // A run that diverged would diverge again from where it was: it starts anew.
    if (!newest || newest->error_kind == "diverged" || !fs::exists(left))
      return store_.create_run(variant, spec.seed, inputs);
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
  const auto runs = plan::filter(plan::expand(experiment), options.only, options.seeds);
  std::vector<plan::RunSpec> planned;
  std::set<std::string> tried;
  for (const plan::RunSpec& run : runs) {
    if (!experiment.tune || !tried.insert(run.label).second) continue;
    for (const Table& values : plan::combinations(*experiment.tune)) {
      planned.push_back(plan::trial_of(run, values, experiment.tune->seed));
    }
  }
  planned.insert(planned.end(), runs.begin(), runs.end());
  return plan::plan_text(planned);
}

RunSummary run_experiment(const fs::path& file, const fs::path& store, const registry::Registry& registry,
                          const RunOptions& options, std::ostream& progress) {
  return Invocation(store, registry, options, progress).run(file, /*is_pretraining=*/false);
}

}  // namespace peftlab::run
