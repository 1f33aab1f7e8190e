#include "config/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

namespace peftlab::config {
namespace {

using Names = std::vector<std::string>;

// Far above anything that can be run, far below what overflows when two of them are multiplied.
constexpr int64_t kMost = 1'000'000'000;

std::string choice(Params& p, const std::string& name, const std::string& value, const Names& allowed,
                   const std::string& meaning) {
  std::string list;
  for (size_t i = 0; i < allowed.size(); ++i) {
    list += (i == 0 ? "" : i + 1 == allowed.size() ? " or " : ", ") + ("\"" + allowed[i] + "\"");
  }
  std::string chosen = p.get(name, value, meaning + ": " + list);
  const bool known = std::find(allowed.begin(), allowed.end(), chosen) != allowed.end();
  p.check(known, name, "must be " + list);
  return known ? chosen : value;
}

int64_t count(Params& p, const std::string& name, int64_t value, int64_t least, const std::string& meaning) {
  const auto n = p.get<int64_t>(name, value, meaning);
  p.check(least <= n && n <= kMost, name, fmt::format("must be from {} to {}", least, kMost));
  return n;
}

std::optional<int64_t> optional_count(Params& p, const std::string& name, const std::string& meaning) {
  const auto n = p.get_optional<int64_t>(name, meaning);
  p.check(!n || (1 <= *n && *n <= kMost), name, fmt::format("must be from 1 to {}", kMost));
  return n;
}

double real(Params& p, const std::string& name, double value, double least, double most, const std::string& meaning) {
  const double v = p.get(name, value, meaning);
  const bool bounded = most < std::numeric_limits<double>::infinity();
  p.check(least <= v && v <= most, name,
          bounded ? fmt::format("must be from {} to {}", least, most) : fmt::format("must be at least {}", least));
  return v;
}

/// Text for people: not empty, on one line.
bool is_name(const std::string& s) {
  return !s.empty() && std::none_of(s.begin(), s.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

std::filesystem::path file(Params& p, const std::string& name, const std::filesystem::path& folder, bool required,
                           const std::string& meaning) {
  std::optional<std::string> given;
  if (required) {
    given = p.require<std::string>(name, meaning);
  } else {
    given = p.get_optional<std::string>(name, meaning);
  }
  p.check(!p.given(name) || is_name(given.value_or("x")), name, "must be a path");
  return !given || given->empty() ? std::filesystem::path() : (folder / *given).lexically_normal();
}

}  // namespace

void read_root(Params& p) {
  const auto schema = p.require<int64_t>("schema", "the version of this format, 1");
  p.check(schema == 1, "schema", "must be 1, which is what this version of peftlab reads");
}

void read_experiment_section(Params& p, Experiment& experiment) {
  experiment.name = p.require<std::string>("name", "what the experiment is called in the store");
  p.check(is_name(experiment.name), "name", "must be a name on one line");
  experiment.baseline = p.get("baseline", "", "label of the method that differences are against");
  experiment.primary = p.get("primary", "loss", "metric that ranks: \"loss\" or one of the [[metric]] tables");
  experiment.seeds = p.get<std::vector<int64_t>>("seeds", {0}, "each method runs once with each; distinct, >= 0");
  const std::set<int64_t> distinct(experiment.seeds.begin(), experiment.seeds.end());
  p.check(!distinct.empty(), "seeds", "must hold at least one seed");
  p.check(distinct.empty() || *distinct.begin() >= 0, "seeds", "must hold integers >= 0");
  p.check(distinct.size() == experiment.seeds.size(), "seeds", "must not hold a seed twice");

  MatchKeys& match = experiment.match;
  match.cost = p.get("match", "", "what methods shall cost the same of: \"parameters\", \"seconds\" or \"memory\"");
  p.check(!p.given("match") || match.cost == "parameters" || match.cost == "seconds" || match.cost == "memory", "match",
          "must be \"parameters\", \"seconds\" or \"memory\"");
  match.to = p.get("match_to", experiment.baseline, "label of the method whose cost the others are given");
  match.tolerance = real(p, "match_tolerance", match.tolerance, 0, 1, "how far off, relatively, is near enough");
  match.steps = count(p, "match_steps", match.steps, 1, "optimizer steps that a size is measured with");
  for (const char* key : {"match_to", "match_tolerance", "match_steps"}) {
    p.check(!p.given(key) || !match.cost.empty(), key, "means nothing without `match`");
  }
}

void read_tune(Params& p, TuneSection& tune) {
  tune.trials = optional_count(p, "trials", "at most so many combinations, the same for every method. Default: all");
  tune.seconds = p.get_optional<double>("seconds", "of training that the trials of a method may take together");
  p.check(!tune.seconds || *tune.seconds > 0, "seconds", "must be greater than 0");
  tune.seed = p.get<int64_t>("seed", tune.seed, "trials run with it. Default: the first of `seeds`");
  p.check(tune.seed >= 0, "seed", "must be at least 0");
}

void read_model(Params& p, ModelSection& model, const std::filesystem::path& folder) {
  model.path = file(p, "path", folder, false, "model folder; its config.json's model_type picks the model plugin");
  model.pretrain = file(p, "pretrain", folder, false, "experiment file that makes the model first, once");
  model.init = choice(p, "init", model.init, {"pretrained", "random"}, "weights are read, or drawn from the seed");
  model.dtype = choice(p, "dtype", model.dtype, {"float32", "bfloat16", "float16"}, "type of the weights");
  model.labels = p.get<std::vector<std::string>>("labels", {}, "classes for which the model gets a new head");
  const std::set<std::string> distinct(model.labels.begin(), model.labels.end());
  p.check(!p.given("labels") || model.labels.size() >= 2, "labels", "must name at least two classes");
  p.check(distinct.size() == model.labels.size(), "labels", "must not name a class twice");
  p.check(std::all_of(distinct.begin(), distinct.end(), is_name), "labels", "must hold names on one line");
  p.check(p.given("path") || p.given("pretrain"), "path", "is missing: give `path`, a model folder, or `pretrain`");
  p.check(!(p.given("path") && p.given("pretrain")), "pretrain", "cannot stand beside `path`: give one of them");
  p.check(!(p.given("pretrain") && model.init == "random"), "init",
          "must be \"pretrained\" where `pretrain` makes the weights");
}

void read_data(Params& p, DataSection& data, const std::filesystem::path& folder) {
  data.dataset.plugin = p.require<std::string>("plugin", "dataset plugin, such as image_text");
  p.check(!p.given("plugin") || is_name(data.dataset.plugin), "plugin", "must be the name of a plugin");
  data.train = file(p, "train", folder, true, "file with the examples to train on");
  data.validation = file(p, "validation", folder, false, "file for choices made on the way");
  data.test = file(p, "test", folder, false, "file that methods are compared on");
  data.retention = file(p, "retention", folder, false, "what the base could do before: forgetting is measured on it");
  data.max_length = optional_count(p, "max_length", "tokens; what is longer is cut. Default: what the model holds");
}

TrainSection read_train(Params& p, TrainSection t) {
  const auto epochs = optional_count(p, "epochs", "times through the data. Default: 3, unless `steps` is given");
  const auto steps = optional_count(p, "steps", "optimizer steps, instead of `epochs`");
  p.check(!(epochs && steps), "steps", "cannot stand beside `epochs`: give one of them");
  if (epochs || steps) {
    t.epochs = epochs;
    t.steps = steps;
  } else if (!t.epochs && !t.steps) {
    t.epochs = 3;
  }
  t.batch_size = count(p, "batch_size", t.batch_size, 1, "examples that go through the model together");
  t.gradient_accumulation = count(p, "gradient_accumulation", t.gradient_accumulation, 1, "batches to a step");
  t.learning_rate = p.get("learning_rate", t.learning_rate, "highest rate of the schedule, > 0");
  p.check(t.learning_rate > 0, "learning_rate", "must be greater than 0");
  t.lr_scheduler = choice(p, "lr_scheduler", t.lr_scheduler, {"constant", "linear", "cosine"}, "as in transformers");
  t.warmup_ratio = real(p, "warmup_ratio", t.warmup_ratio, 0, 1, "part of the steps spent warming up");
  constexpr double kUnbounded = std::numeric_limits<double>::infinity();
  t.weight_decay = real(p, "weight_decay", t.weight_decay, 0, kUnbounded, "AdamW's, not on biases and norms");
  t.max_grad_norm = real(p, "max_grad_norm", t.max_grad_norm, 0, kUnbounded, "gradients are clipped to it; 0: not");
  t.precision = choice(p, "precision", t.precision, {"fp32", "bf16", "fp16"}, "fp16 with loss scaling");
  t.shuffle = p.get("shuffle", t.shuffle, "a new order each epoch, drawn from the seed");

  const std::string eval_meaning = "\"epoch\" or a number of steps: when to evaluate and save";
  const Value* eval_every = p.value("eval_every");
  if (eval_every != nullptr && eval_every->get_if<int64_t>() != nullptr) {
    t.eval_every_steps = count(p, "eval_every", 1, 1, eval_meaning);
  } else {
    const std::string word = p.get("eval_every", "epoch", eval_meaning);
    p.check(word == "epoch", "eval_every", "must be \"epoch\" or a number of steps");
    if (eval_every != nullptr) {
      t.eval_every_steps.reset();
    }
  }

  t.gradient_checkpointing = p.get("gradient_checkpointing", t.gradient_checkpointing, "recompute to save memory");
  t.cuda_graphs = p.get("cuda_graphs", t.cuda_graphs, "on a GPU: launch batches of one shape at once");
  p.check(!t.cuda_graphs || !t.gradient_checkpointing, "cuda_graphs",
          "cannot be had beside gradient_checkpointing, which draws its random numbers anew");
  t.optimizer = choice(p, "optimizer", t.optimizer, {"adamw", "paged_adamw", "adamw8bit"}, "update rule");
  t.threads = p.get<int64_t>("threads", t.threads, "threads a run may use; 0: its share of the cores");
  p.check(0 <= t.threads && t.threads <= 4096, "threads", "must be from 0 to 4096");
  return t;
}

TrainSection merged(const TrainSection& base, const Table& overrides) {
  Params params(overrides, "[train]");
  TrainSection train = read_train(params, base);
  params.finish();
  return train;
}

void read_method(Params& p, MethodSection& method, std::string& plugin) {
  plugin = p.get("plugin", "", "method plugin, such as lora");
  method.label = p.get("label", plugin, "what the method is called; {option} is replaced by the option's value");
  p.check(!p.given("label") || is_name(method.label), "label", "must be a name on one line");
  p.check(!p.given("plugin") || is_name(plugin), "plugin", "must be the name of a plugin");
  method.size = p.get("size", "", "the integer option that `match` chooses");
  p.ignore({"train", "grid", "use"});
}

void read_metric(Params& p, std::string& plugin) {
  plugin = p.require<std::string>("plugin", "metric plugin, such as bleu");
  p.check(!p.given("plugin") || is_name(plugin), "plugin", "must be the name of a plugin");
}

}  // namespace peftlab::config
