#include "engine/model.h"

#include "evaluate/single_prompt.h"
#include "report/table.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace peftlab::cli {
namespace {

/// JSON, or a text as it stands.
Value value_of(const std::string& text) {
  try {
    return parse_json(text, "--set");
  } catch (const FormatError&) {
    return text;
  }
}

double weight_of(const std::string& text) {
  const Value value = value_of(text);
  const auto* whole = value.get_if<int64_t>();
  const auto* real = value.get_if<double>();
  if (!whole && !(real && std::isfinite(*real))) {
    throw ConfigError("--adapter-weight " + text + ": wanted a number");
  }
  return whole ? static_cast<double>(*whole) : *real;
}

std::pair<std::string, std::string> key_and_value(const std::string& setting, const char* option, const char* form) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError(fmt::format("{} {}: takes {}", option, setting, form));
  }
  return {setting.substr(0, equals), setting.substr(equals + 1)};
}

}  // namespace

Table plugin_settings(const std::vector<std::string>& settings, const char* option) {
  Table options;
  for (const std::string& setting : settings) {
    const auto [key, value] = key_and_value(setting, option, "KEY=VALUE");
    options[key] = value_of(value);
  }
  return options;
}

registry::Registry open_registry() { return registry::Registry(registry::Registry::default_folders()); }

void ModelOptions::declare(CommandLine& line) {
  line.required_option("model", &model, "DIR", "the model folder")
      .repeated_option(
          "adapter", &adapters, "DIR",
          "an adapter folder, of this program or of peft or adapters; several are put on one after another")
      .repeated_option("adapter-weight", &weights, "W",
                       "how often what an adapter adds is counted, once for each --adapter; 1 if left out")
      .option("device", &device, "cpu|cuda|auto", "where to compute; auto: a GPU where there is one");
}

void ModelOptions::declare_type(CommandLine& line) {
  line.option("dtype", &dtype, "float32|bfloat16|float16", "type of the weights, and of what is computed with them");
}

attach::Session ModelOptions::open(const registry::Registry& registry) const {
  if (!weights.empty() && weights.size() != adapters.size()) {
    throw ConfigError(fmt::format("{} --adapter but {} --adapter-weight: give one to each, or none", adapters.size(),
                                  weights.size()));
  }
  std::vector<attach::AdapterUse> uses;
  for (size_t i = 0; i < adapters.size(); ++i) {
    uses.push_back({adapters[i], weights.empty() ? 1.0 : weight_of(weights[i])});
  }
  attach::ModelChoice choice{.folder = model, .dtype = dtype};
  if (!uses.empty()) choice.labels = attach::new_head_labels(model, uses);
  auto methods = attach::make_methods(uses, registry);
  auto session = attach::open_model(choice, registry, attach::choose_device(device), methods);
  if (!uses.empty()) attach::attach_adapters(session, uses, std::move(methods));
  return session;
}

void DataOptions::declare(CommandLine& line, const char* data_meaning) {
  line.plain_option("data", &data, "FILE", data_meaning)
      .plain_option("plugin", &plugin, "NAME",
                    "the dataset plugin; by default image_text where the file names pictures, else text")
      .repeated_option("data-set", &settings, "KEY=VALUE", "an option of the dataset plugin, VALUE as JSON or text")
      .plain_option("train", &train, "FILE", "where few-shot prompts take their examples from")
      .option("batch-size", &batch_size, "N", "sequences computed at once")
      .option("max-length", &max_length, "N", "tokens of an example; 0: what the model holds");
}

void DataOptions::check() const {
  check_at_least("batch-size", batch_size, 1);
  check_at_least("max-length", max_length, 0);
}

std::unique_ptr<Dataset> DataOptions::open(const attach::Session& session, const registry::Registry& registry) const {
  for (const std::string& file : {data, train}) {
    if (!file.empty() && !std::filesystem::exists(file)) throw FormatError(file + ": there is no such file");
  }
  const Table options = plugin_settings(settings, "--data-set");
  const std::string name = plugin.empty() ? evaluate::dataset_for(data) : plugin;
  auto dataset = open_dataset(name, options, data, session, registry);
  if (!train.empty()) dataset->demonstrate_with(*open_dataset(name, options, train, session, registry));
  return dataset;
}

std::unique_ptr<Dataset> open_dataset(const std::string& plugin, const Table& options,
                                      const std::filesystem::path& file, const attach::Session& session,
                                      const registry::Registry& registry) {
  Params params(options, "plugin " + plugin);
  auto dataset = registry.make_dataset(plugin, params);
  params.finish();
  dataset->open(file, session.model->facts().images);
  return dataset;
}

std::vector<std::unique_ptr<Metric>> make_metrics(const std::vector<std::string>& names,
                                                  const std::vector<std::string>& settings,
                                                  const registry::Registry& registry) {
  std::vector<Table> options(names.size());
  for (const std::string& setting : settings) {
    auto [key, value] = key_and_value(setting, "--set", "KEY=VALUE or METRIC.KEY=VALUE");
    size_t owner = 0;
    if (const size_t dot = key.find('.'); dot != std::string::npos) {
      const std::string metric = key.substr(0, dot);
      owner = static_cast<size_t>(std::find(names.begin(), names.end(), metric) - names.begin());
      if (owner == names.size()) {
        throw ConfigError(fmt::format("--set {}: {} is none of the metrics asked for. {}", setting, metric,
                                      suggestion(metric, names)));
      }
      key = key.substr(dot + 1);
    } else if (names.size() != 1) {
      throw ConfigError(fmt::format("--set {}: there are {} metrics, write METRIC.{}", setting, names.size(), setting));
    }
    options[owner][key] = value_of(value);
  }
  std::vector<std::unique_ptr<Metric>> metrics;
  for (size_t i = 0; i < names.size(); ++i) {
    Params params(options[i], "plugin " + names[i]);
    metrics.push_back(registry.make_metric(names[i], params));
    params.finish();
  }
  return metrics;
}

void print_scores(const std::vector<Score>& scores, report::Format format) {
  store::Rows rows{{"metric", "value", "n_items"}, {}};
  for (const Score& score : scores) {
    rows.rows.push_back({score.name, score.value, score.n_items});
    if (!score.detail.empty()) note(score.name + ": " + score.detail);
  }
  print(report::render_table(rows, format));
}

}  // namespace peftlab::cli
