#include "run/execute.h"

#include "attach/session.h"
#include "base/free_memory.h"
#include "checkpoint/safetensors.h"
#include "evaluate/judge.h"
#include "plan/run_spec.h"
#include "run/check_result.h"
#include "run/clock.h"
#include "run/device.h"
#include "run/energy.h"
#include "run/environment.h"
#include "run/feature_facts.h"
#include "run/heartbeat.h"
#include "run/inputs.h"
#include "support/interrupt.h"
#include "train/trainer.h"

#include <peftlab/error.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <utility>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

/// Points of curves, written to the store a batch at a time: every 50, or once a second.
class Points {
 public:
  Points(store::Store& store, std::string run) : store_(store), run_(std::move(run)) {}

  void add(const std::string& metric, int64_t step, double value) {
    waiting_.push_back({metric, step, value});
    if (waiting_.size() >= 50 || clock_.wall_ms() >= 1000) flush();
  }
  void flush() {
    if (!waiting_.empty()) store_.append_points(run_, waiting_);
    store_.heartbeat(run_);
    waiting_.clear();
    clock_ = PhaseClock();
  }

 private:
  store::Store& store_;
  std::string run_;
  std::vector<store::MetricPoint> waiting_;
  PhaseClock clock_;
};

int64_t milliseconds(double seconds) { return static_cast<int64_t>(seconds * 1000.0 + 0.5); }

std::optional<int64_t> sum(const std::optional<int64_t>& a, const std::optional<int64_t>& b) {
  return a && b ? std::optional(*a + *b) : std::nullopt;
}

std::optional<int64_t> difference(const std::optional<int64_t>& a, const std::optional<int64_t>& b) {
  return a && b ? std::optional(*a - *b) : std::nullopt;
}

/// One run while it lasts.
class Execution {
 public:
  Execution(store::Store& store, const std::string& uuid, const registry::Registry& registry,
            const ExecuteOptions& options)
      : store_(store),
        uuid_(uuid),
        registry_(registry),
        options_(options),
        spec_(plan::from_table(store.run(uuid).config)),
        points_(store, uuid) {
    // The variant's text names no seed: that is the run's own.
    spec_.seed = store.run(uuid).run.seed;
  }

  void run() {
    const PhaseClock total;
    at::set_num_threads(options_.threads);
    const torch::Device device = attach::choose_device(options_.device);
    store_.start_run(uuid_, store_.add_environment(environment_facts(device, options_.threads)), "local");
    fs::create_directories(work_folder(store_.folder(), uuid_));
    const Heartbeat heartbeat(store_.folder(), uuid_, energy_);

    load(device);
    train();
    evaluate();
    save();
    auto whole = cost_of("total", total, energy_.microjoules());
    whole.peak_rss_bytes = most_resident_;
    whole.peak_device_bytes = most_on_device_;
    store_.put_cost(uuid_, whole);
    if (spec_.role == "method") check_result();
    store_.finish_run(uuid_, {.adapter_sha256 = saved_.sha256.empty() ? std::nullopt : std::optional(saved_.sha256),
                              .trainable_parameters = trainable_,
                              .total_parameters = session_.base_parameters});
    std::error_code ignored;
    fs::remove_all(work_folder(store_.folder(), uuid_), ignored);
  }

 private:
  void load(torch::Device device) {
    tell({.phase = "load"});
    if (device.is_cuda()) energy_.count_gpu(GpuEnergy());
    const Phase phase = begin(device);
    auto methods = attach::make_methods(spec_.methods, registry_);
    session_ =
        attach::open_model({spec_.model_path, spec_.model_init, spec_.model_dtype, spec_.seed, spec_.model_labels},
                           registry_, device, methods);
    attach::attach_methods(session_, std::move(methods), spec_.seed);
    trainable_ = session_.trainable_parameters();
    store_.add_event(uuid_, "base", {{"bytes", session_.base_bytes()}});
    for (const auto& [split, path] : given_splits(spec_)) {
      Params params(spec_.dataset.options, "plugin " + spec_.dataset.plugin);
      data_[split] = registry_.make_dataset(spec_.dataset.plugin, params);
      data_[split]->open(path, session_.model->facts().images);
    }
    for (const auto& [split, data] : data_) data->demonstrate_with(*data_.at("train"));
    for (const auto& use : spec_.metrics) {
      Params params(use.options, "plugin " + use.plugin);
      metrics_.push_back(registry_.make_metric(use.plugin, params));
    }
    features_ = {store_.folder() / "features",
                 [this] { return feature_facts(spec_, session_, registry_, options_.threads); },
                 [this](const std::string& problem) { tell_of_features(problem); }};
    end("load", phase);
  }

  void train() {
    const Phase tokenizing = begin(session_.device);
    train::Feed feed(*data_.at("train"), *session_.model, *session_.tokenizer, spec_.max_length.value_or(0),
                     session_.device, /*with_target=*/true, data_.at("train")->packed());
    feed.share(features_of("train", spec_.train.precision));
    end("tokenize", tokenizing);
    std::optional<int64_t> milestones_uj = 0;
    bool has_begun = false, has_features = false;
    const auto watch = train::Watch{
        .step =
            [&](const train::StepReport& step) {
              if (!std::exchange(has_begun, true)) store_.add_event(uuid_, "training", {{"steps", step.steps}});
              points_.add("train/loss", step.step, step.loss);
              points_.add("train/learning_rate", step.step, step.learning_rate);
              points_.add("train/gradient_norm", step.step, step.gradient_norm);
              points_.add("train/step_seconds", step.step, step.seconds);
              tell({"train", step.step, step.steps, step.loss, step.learning_rate});
            },
        .features =
            [&](const std::function<bool()>& compute) {
              tell({.phase = "features"});
              const Phase phase = begin(session_.device);
              has_features = compute();
              synchronize(session_.device);
              if (has_features) end("features", phase);
              training_ = begin(session_.device);
            },
        .stands_for_longer = spec_.role == "size",
        .milestone =
            [&](const train::TrainResult& so_far) {
              const auto before = energy_.microjoules();
              if (data_.count("validation")) {
                points_.add("validation/loss", so_far.steps, judge("validation").loss().value);
              }
              milestones_uj = sum(milestones_uj, difference(energy_.microjoules(), before));
              points_.flush();
              train_cost(so_far, milestones_uj);
            },
        .stop = [] { return seen_signal() != 0; },
        .resume_file = resume_file(store_.folder(), uuid_),
    };
    training_ = begin(session_.device);
    const auto result = train::train(session_, feed, spec_.train, spec_.seed, watch);
    synchronize(session_.device);
    points_.flush();
    if (result.steps > 0) {
      train_cost(result, milestones_uj);
      // Made as they were wanted, they are a part of train.
      if (!has_features && feed.picture_seconds() > 0) {
        store_.put_cost(uuid_, {.phase = "features", .wall_ms = milliseconds(feed.picture_seconds())});
      }
      store_.add_event(uuid_, "trained",
                       {{"steps", result.steps},
                        {"examples", result.examples},
                        {"tokens", result.tokens},
                        {"skipped_steps", result.skipped_steps},
                        {"optimizer_bytes", result.optimizer_bytes}});
    }
    if (result.interrupted) {
      store_.interrupt_run(uuid_);
      throw Interrupted{seen_signal()};
    }
  }

  /// The price of training so far. Time and energy are the loop's own, in which what milestones took is not.
  void train_cost(const train::TrainResult& so_far, const std::optional<int64_t>& milestones_uj) {
    training_.clock.set_wall_ms(milliseconds(so_far.seconds - so_far.seconds_before));
    auto price = priced("train", training_);
    const auto own = difference(price.energy_uj, milestones_uj);
    price.energy_uj = own;
    if (!own) price.energy_source.reset();
    price.examples = so_far.examples - so_far.examples_before;
    price.tokens = so_far.tokens - so_far.tokens_before;
    store_.put_cost(uuid_, price);
  }

  void evaluate() {
    const Phase phase = begin(session_.device);
    session_.set_training(false);
    for (const std::string split : {"validation", "test", "retention"}) {
      if (!data_.count(split)) continue;
      tell({.phase = "evaluate"});
      auto judged = judge(split);
      // Validation is for choosing: its loss is enough where nothing is chosen by it.
      const bool loss_alone = split == "validation" && spec_.role != "trial";
      const auto found = loss_alone ? std::vector<Score>{judged.loss()} : evaluate::scores(judged, metrics_);
      std::vector<store::Score> rows;
      for (const Score& score : found) {
        rows.push_back({score.name, split, score.value, score.n_items, score.higher_is_better});
        Table detail = {{"metric", score.name}, {"split", split}, {"detail", score.detail}};
        if (!score.detail.empty()) store_.add_event(uuid_, "score", detail);
      }
      store_.put_scores(uuid_, rows);
      if (split != "validation" && !metrics_.empty()) keep_predictions(split, judged, found);
    }
    end("evaluate", phase);
  }

  evaluate::ModelJudge judge(const std::string& split) {
    return {session_,
            *data_.at(split),
            {.max_length = spec_.max_length.value_or(0), .generation = {}, .shared = features_of(split, "fp32")}};
  }

  /// Where features of a split lie that are computed in this precision.
  train::SharedFeatures features_of(const std::string& split, const std::string& precision) const {
    return features_.with({{"data", data_.at(split)->fingerprint()}, {"precision", precision}});
  }

  void tell_of_features(const std::string& problem) {
    std::cerr << "features: " << problem << "\n";
    store_.add_event(uuid_, "features", {{"problem", problem}});
  }

  /// One line of JSON an example: its number, prompt, reference, prediction, and its part of each metric that has such.
  void keep_predictions(const std::string& split, evaluate::ModelJudge& judged, const std::vector<Score>& found) {
    std::string lines;
    const auto& predictions = judged.predictions();
    for (int64_t i = 0; i < judged.size(); ++i) {
      const Example example = data_.at(split)->example(i);
      // What was asked; of a text that was classified, the text.
      const std::string& asked = example.prompt.empty() && !example.label.empty() ? example.target : example.prompt;
      Table line = {{"example", i},
                    {"prompt", asked},
                    {"reference", judged.references()[i].front().value_or("")},
                    {"prediction", predictions[i]}};
      for (const Score& score : found) {
        if (static_cast<int64_t>(score.per_item.size()) == judged.size())
          line["item/" + score.name] = score.per_item[i];
      }
      lines += to_json(line) + "\n";
    }
    store_.add_artifact(uuid_, "predictions_" + split + ".jsonl", "predictions", store_.put_object(lines));
  }

  void save() {
    const Phase phase = begin(session_.device);
    save_result();
    end("save", phase);
  }

  void save_result() {
    const fs::path folder = work_folder(store_.folder(), uuid_) / "result";
    saved_ = attach::save_result(session_, folder);
    // What a search tried is known by its checksum; it could be made again, and is not kept.
    if (saved_.sha256.empty() || spec_.role != "method") return;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      // Of a mixture, which has a folder a method: "lora:adapter_model.safetensors".
      std::string name = fs::relative(entry.path(), folder).generic_string();
      std::replace(name.begin(), name.end(), '/', ':');
      store_.add_artifact(uuid_, name, saved_.is_model ? "model" : "adapter", store_.put_object_file(entry.path()));
    }
  }

  /// The run has its result; that it cannot be checked is told and does not take it away.
  void check_result() {
    try {
      if (const auto logits = check_saved(session_, saved_, spec_, registry_, free_memory()))
        store_.add_event(uuid_, "logits", *logits);
    } catch (const StoreError&) {
      throw;
    } catch (const std::exception& error) {
      store_.add_event(uuid_, "logits", {{"not_measured", std::string(error.what())}});
    }
  }

  /// What a phase began with.
  struct Phase {
    PhaseClock clock;
    std::optional<int64_t> energy_uj;
  };

  Phase begin(torch::Device device) {
    reset_peak_memory(device);
    return {PhaseClock(), energy_.microjoules()};
  }

  void end(const std::string& name, const Phase& phase) { store_.put_cost(uuid_, priced(name, phase)); }

  store::Cost priced(const std::string& name, const Phase& phase) {
    auto price = cost_of(name, phase.clock, difference(energy_.microjoules(), phase.energy_uj));
    price.peak_rss_bytes = peak_resident_bytes();
    price.peak_device_bytes = peak_device_bytes(session_.device);
    most_resident_ = std::max(most_resident_, price.peak_rss_bytes);
    most_on_device_ = std::max(most_on_device_, price.peak_device_bytes);
    return price;
  }

  /// On a GPU the processors' energy would say little of the work's.
  store::Cost cost_of(const std::string& phase, const PhaseClock& clock,
                      const std::optional<int64_t>& energy_uj) const {
    store::Cost price{.phase = phase, .wall_ms = clock.wall_ms(), .cpu_ms = clock.cpu_ms()};
    if (energy_uj && session_.device.is_cpu()) {
      price.energy_uj = energy_uj;
      price.energy_source = "rapl";
    }
    return price;
  }

  void tell(const Progress& progress) const {
    if (options_.progress) options_.progress(progress);
  }

  store::Store& store_;
  const std::string uuid_;
  const registry::Registry& registry_;
  const ExecuteOptions& options_;
  plan::RunSpec spec_;
  Points points_;
  std::optional<int64_t> most_resident_, most_on_device_;  ///< peaks of memory over the phases so far
  EnergyMeter energy_;                                     ///< counts from the run's beginning
  Phase training_;
  attach::Session session_;
  train::SharedFeatures features_;
  std::map<std::string, std::unique_ptr<Dataset>> data_;
  std::vector<std::unique_ptr<Metric>> metrics_;
  attach::SavedResult saved_;
  int64_t trainable_ = 0;
};

}  // namespace

std::string Progress::line() const {
  return to_json(
      Table{{"phase", phase}, {"step", step}, {"steps", steps}, {"loss", loss}, {"learning_rate", learning_rate}});
}

std::optional<Progress> Progress::parse(const std::string& line) {
  try {
    const Value value = parse_json(line, "progress");
    Progress progress;
    progress.phase = *value.find("phase")->get_if<std::string>();
    progress.step = *value.find("step")->get_if<int64_t>();
    progress.steps = *value.find("steps")->get_if<int64_t>();
    progress.loss = *value.find("loss")->get_if<double>();
    progress.learning_rate = *value.find("learning_rate")->get_if<double>();
    return progress;
  } catch (const FormatError&) {
    return std::nullopt;
  }
}

fs::path work_folder(const fs::path& store, const std::string& run) { return store / "work" / run; }

fs::path resume_file(const fs::path& store, const std::string& run) {
  return work_folder(store, run) / "resume.safetensors";
}

int64_t resume_step(const fs::path& file) {
  const checkpoint::SafetensorsFile saved(file);
  const auto steps = saved.metadata().find("steps");
  if (steps == saved.metadata().end()) throw FormatError(file.string() + ": is no resume point");
  return std::stoll(steps->second);
}

void execute(store::Store& store, const std::string& uuid, const registry::Registry& registry,
             const ExecuteOptions& options) {
  Execution(store, uuid, registry, options).run();
}

}  // namespace peftlab::run
