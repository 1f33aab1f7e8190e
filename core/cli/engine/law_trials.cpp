#include "engine/check.h"
#include "registry/host_state.h"
#include "registry/trial.h"
#include "testing/cases.h"

#include <peftlab/error.h>
#include <peftlab/testing/judged.h>
#include <peftlab/testing/toy.h>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

namespace peftlab::cli {
namespace {

namespace fs = std::filesystem;
using registry::Plugin;
using registry::Registry;

/// The file that the plugin writes as its sample, in a folder of its own.
fs::path sample_of(const Plugin& plugin, const fs::path& folder) {
  if (plugin.manifest->write_sample == nullptr) return {};
  const fs::path own = folder / plugin.name;
  fs::create_directories(own);
  return plugin.manifest->write_sample(own.c_str());
}

fs::path needed_sample(const Plugin& plugin, const CheckOptions& options, const fs::path& folder) {
  if (!options.sample.empty()) return fs::absolute(options.sample);
  const fs::path sample = sample_of(plugin, folder);
  if (sample.empty()) {
    throw ConfigError(
        fmt::format("plugin {} has no write_sample() (see peftlab/plugin.h): give {} with --sample FILE", plugin.name,
                    plugin.kind == Kind::model ? "a small model's config.json" : "a data file that it reads"));
  }
  return sample;
}

template <typename Case>
void add_laws(std::vector<LawTrial>& trials, const std::string& subject, const std::vector<testing::LawOf<Case>>& laws,
              const std::function<Case()>& make) {
  int number = 0;
  for (const auto& law : laws) {
    trials.push_back(
        {subject, ++number, law.name, law.statement, law.cause, [make, check = law.check] { return check(make()); }});
  }
}

/// What is true of every kind: nothing that all share is changed. `use`: what the host does with the plugin.
LawTrial host_law(int number, bool draws, std::function<void()> use) {
  return {"",
          number,
          "host_state",
          "threads, locale, gradient mode, rounding, signals and the random stream stay as they are",
          "torch::manual_seed(), torch::set_num_threads() or setlocale() outside of a guard",
          [draws, use] {
            testing::Violations found;
            const registry::HostState before(/*random=*/!draws);
            try {
              use();
            } catch (const std::exception& error) {
              found.push_back(std::string("threw: ") + error.what());
            }
            for (const std::string& what : before.restore()) found.push_back("it changes " + what);
            return found;
          }};
}

std::vector<LawTrial> method_trials(const Registry& registry, const Plugin& plugin, const Registry& others,
                                    const CheckOptions& options, const fs::path& folder) {
  const auto make = [&registry, name = plugin.name](Params& params) { return registry.make_method(name, params); };
  std::vector<LawTrial> trials;
  std::vector<std::pair<std::string, std::function<testing::MethodCase()>>> cases;
  const auto on = [&](const std::string& subject, const std::function<testing::MethodCase()>& model_case, bool is_toy) {
    cases.emplace_back(subject, model_case);
    const auto whole = [=] {
      testing::MethodCase made = model_case();
      made.seeded = false;  // not every method draws its first values
      if (is_toy) {
        made.parameters = options.parameters;
        made.max_rank = options.rank;
      }
      testing::Violations found;
      const std::string refusal = refusal_of(made, found);
      if (!refusal.empty()) made.refusal = refusal.substr(0, refusal.find('\n'));
      return made;
    };
    add_laws<testing::MethodCase>(trials, subject, testing::method_laws(), whole);
  };
  on(
      "toy", [=] { return testing::toy_case(make, options.settings); }, true);
  for (const Plugin& model : others.plugins()) {
    if (model.kind != Kind::model) continue;
    const fs::path config = sample_of(model, folder);
    if (config.empty()) continue;
    const auto make_model = [&others, name = model.name](Params& params) { return others.make_model(name, params); };
    on(
        model.name, [=] { return testing::model_case(make, options.settings, make_model, config); }, false);
  }
  const int laws = static_cast<int>(testing::method_laws().size());
  trials.push_back({"all of them", laws + 1, "models", "some model takes it; one that does not is told why, by a clear error",
                    "a site is looked for by a name that only one model has", [cases] {
                      testing::Violations found;
                      int taken = 0;
                      for (const auto& [subject, make_case] : cases) {
                        const std::string refusal = refusal_of(make_case(), found);
                        taken += refusal.empty() ? 1 : 0;
                        found.measured.push_back(
                            subject + (refusal.empty() ? ": taken" : ": " + refusal.substr(0, refusal.find('\n'))));
                      }
                      if (taken == 0) found.push_back("no model here takes it");
                      return found;
                    }});
  trials.push_back(host_law(laws + 2, /*draws=*/true, [=] {
    const auto made = testing::toy_case(make, options.settings);
    testing::Violations ignored;
    refusal_of(made, ignored);
  }));
  return trials;
}

std::vector<LawTrial> model_trials(const Registry& registry, const Plugin& plugin, const Registry& others,
                                   const CheckOptions& options, const fs::path& folder) {
  testing::ModelCase given;
  given.model = [&registry, name = plugin.name](Params& params) { return registry.make_model(name, params); };
  given.config = needed_sample(plugin, options, folder);
  given.names = plugin.aliases;
  given.names.push_back(plugin.name);
  for (const char* name : {"full", "bitfit", "lora", "adapter", "ia3", "prefix", "prompt"}) {
    if (!others.find_if(Kind::method, name)) continue;
    given.methods.emplace_back(name, [&others, name](Params& params) { return others.make_method(name, params); });
  }
  std::vector<LawTrial> trials;
  add_laws<testing::ModelCase>(trials, "", testing::model_laws(), [given] { return given; });
  trials.push_back(host_law(static_cast<int>(trials.size()) + 1, /*draws=*/true,
                            [given] { testing::model_of(given.model, given.config); }));
  return trials;
}

std::vector<LawTrial> dataset_trials(const Registry& registry, const Plugin& plugin, const CheckOptions& options,
                                     const fs::path& folder) {
  testing::DatasetCase given;
  given.dataset = [&registry, name = plugin.name](Params& params) { return registry.make_dataset(name, params); };
  given.options = options.settings;
  given.sample = needed_sample(plugin, options, folder);
  if (!options.sample.empty()) {  // laws write beside it: a copy of its folder is theirs
    fs::copy(given.sample.parent_path(), folder / "sample", fs::copy_options::recursive);
    given.sample = folder / "sample" / given.sample.filename();
  }
  given.folder = folder;
  std::vector<LawTrial> trials;
  add_laws<testing::DatasetCase>(trials, "", testing::dataset_laws(), [given] { return given; });
  trials.push_back(host_law(static_cast<int>(trials.size()) + 1, /*draws=*/false, [given] {
    Params params(given.options, "the data set");
    const auto dataset = given.dataset(params);
    dataset->open(given.sample, ImageSpec{});
    for (int64_t i = 0; i < dataset->size(); ++i) {
      dataset->example(i);
      dataset->image(i);
    }
  }));
  return trials;
}

std::vector<LawTrial> metric_trials(const Registry& registry, const Plugin& plugin, const CheckOptions& options) {
  testing::MetricCase given;
  given.metric = [&registry, name = plugin.name](Params& params) { return registry.make_metric(name, params); };
  given.options = options.settings;
  given.name = plugin.name;
  std::vector<LawTrial> trials;
  add_laws<testing::MetricCase>(trials, "", testing::metric_laws(), [given] { return given; });
  trials.push_back(host_law(static_cast<int>(trials.size()) + 1, /*draws=*/false, [given] {
    Params params(given.options, "the metric");
    const auto metric = given.metric(params);
    testing::ToyJudged judged({"a b", "c"}, {{"a b"}, {"d"}}, [](const Candidate&) { return Likelihood{-1.0, 1}; });
    judged.set_mean_loss(1.0);
    metric->compute(judged);
  }));
  return trials;
}

Value list_of(const std::vector<std::string>& texts) { return Value(texts); }

std::vector<std::string> texts_of(const Value* value) {
  std::vector<std::string> texts;
  const List* list = value ? value->get_if<List>() : nullptr;
  for (const Value& item : list ? *list : List()) {
    if (const auto* text = item.get_if<std::string>()) texts.push_back(*text);
  }
  return texts;
}

std::string read_all(int file) {
  std::string text;
  char part[4096];
  for (ssize_t n; (n = read(file, part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
  return text;
}

}  // namespace

std::vector<LawTrial> law_trials(const Registry& registry, const Plugin& plugin, const Registry& others,
                                 const CheckOptions& options, const fs::path& folder) {
  switch (plugin.kind) {
    case Kind::method:
      return method_trials(registry, plugin, others, options, folder);
    case Kind::model:
      return model_trials(registry, plugin, others, options, folder);
    case Kind::dataset:
      return dataset_trials(registry, plugin, options, folder);
    case Kind::metric:
      return metric_trials(registry, plugin, options);
  }
  return {};
}

LawResult run_apart(const LawTrial& trial, std::chrono::seconds patience) {
  // A file, not a pipe: nobody need read it for the law to end.
  const int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) throw Error("no temporary file can be made in /tmp");
  const auto end = registry::try_apart(
      [&] {
        at::set_num_threads(1);  // everything is tiny
        const testing::Violations found = trial.run();
        const std::string text = to_json(Table{{"violations", list_of(found)}, {"measured", list_of(found.measured)}});
        if (write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(1);
      },
      patience);
  lseek(file, 0, SEEK_SET);
  const std::string text = read_all(file);
  close(file);
  LawResult result;
  if (end.finished && !text.empty()) {
    const Value value = parse_json(text, "the law's process");
    result.violations = texts_of(value.find("violations"));
    result.measured = texts_of(value.find("measured"));
  } else {
    result.violations = {"it ends the process: " + (end.finished ? std::string("exit code 0") : end.problem)};
  }
  return result;
}

}  // namespace peftlab::cli
