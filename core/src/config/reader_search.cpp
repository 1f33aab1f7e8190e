/// [tune] and `match`: what the host chooses itself, and so nothing else may say.

#include "config/reader.h"
#include "config/sections.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::config {
namespace {

/// Does the label ask for one of these names?
bool asks_for(const std::string& label, const std::string& name) {
  return label.find("{" + name + "}") != std::string::npos;
}

bool says(const MethodSection& method, const std::string& key) {
  return method.train.contains(key) || method.grid.contains("train." + key);
}

}  // namespace

void Reader::read_tune(Experiment& experiment) {
  const Node* node = section("tune", false);
  if (node == nullptr) {
    return;
  }
  TuneSection& tune = experiment.tune.emplace();
  tune.where = node->where;
  tune.seed = experiment.seeds.empty() ? 0 : experiment.seeds.front();
  Params params;
  TuneSection ignored;
  config::read_tune(params, ignored);
  std::vector<std::string> own;
  for (const OptionSpec& option : params.declared()) {
    own.push_back(option.name);
  }
  Table given;
  Node searched = *node;
  for (const std::string& name : own) {
    if (const auto entry = searched.entries.find(name); entry != searched.entries.end()) {
      given.emplace(name, to_value(entry->second));
      searched.entries.erase(entry);
    }
  }
  params = Params(given);
  config::read_tune(params, tune);
  add(params.problems(), *node, "[tune]", own);

  MethodSection values;
  for (const auto& [key, entry] : searched.entries) {
    if (key == "threads" || key == "eval_every") {
      add(entry.key, fmt::format("`{}` is nothing to be tuned: it changes no result that is compared", key));
    }
  }
  Node grid;
  grid.kind = Node::Kind::kTable;
  grid.entries["train"] = searched;
  read_grid(grid, experiment.train, "[tune]'s", values);
  for (const auto& [key, list] : values.grid) {
    tune.values.emplace(key.substr(std::string("train.").size()), list);
  }
  if (searched.entries.empty()) {
    add(node->where, "[tune] lists no values to try", "write learning_rate = [1e-4, 3e-4, 1e-3]");
  }
  if (tune.values.contains("epochs") && tune.values.contains("steps")) {
    add(node->at_path("steps").where, "`steps` cannot be tried beside `epochs`: give one of them");
  }
  if (experiment.data.validation.empty()) {
    add(node->where, "[tune] chooses on validation data, and [data] has none", "write validation = \"...\" in [data]");
  }
}

void Reader::check_search(const Experiment& experiment) {
  const std::vector<const Node*> nodes = sections("method");
  for (size_t i = 0; i < experiment.methods.size() && i < nodes.size(); ++i) {
    const MethodSection& method = experiment.methods[i];
    for (const auto& [key, values] : experiment.tune ? experiment.tune->values : std::map<std::string, List>{}) {
      const bool other_length =
          (key == "steps" && says(method, "epochs")) || (key == "epochs" && says(method, "steps"));
      if (says(method, key) || other_length) {
        add(method.where,
            fmt::format("[tune] chooses `{}` for every method, and [[method]] {} says it too", key, i + 1), "",
            "leave it out of one of them");
      }
      if (asks_for(method.label, key) || asks_for(method.label, "train." + key)) {
        add(method.where,
            fmt::format("the label of [[method]] {} asks for {{{}}}, which [tune] chooses later", i + 1, key));
      }
    }
    check_size(experiment, method, *nodes[i]);
  }
  const MatchKeys& match = experiment.match;
  if (match.cost.empty()) {
    return;
  }
  std::vector<std::string> labels;
  for (const MethodSection& method : experiment.methods) {
    if (count_variants(method, kMostRuns) > kMostRuns) continue;
    try {
      for (const Variant& variant : variants(method, experiment.train)) labels.push_back(variant.label);
    } catch (const ConfigError&) {
      return;  // check_labels() has said it
    }
  }
  if (std::find(labels.begin(), labels.end(), match.to) == labels.end()) {
    const std::string guess = nearest(match.to, labels);
    add(root_
            .at_path(root_.at_path("experiment").entries.contains("match_to") ? "experiment.match_to"
                                                                              : "experiment.match")
            .where,
        match.to.empty() ? "`match` needs a method to match to"
                         : fmt::format("`match_to` = \"{}\" is no method's label", match.to),
        guess.empty() ? "" : fmt::format("did you mean \"{}\"?", guess),
        match.to.empty() ? "give `match_to`, the label of one, or `baseline`" : "labels: " + listed(labels));
  }
}

void Reader::check_size(const Experiment& experiment, const MethodSection& method, const Node& node) {
  if (method.size.empty() || method.plugins.empty()) {
    return;
  }
  const Location& where = node.at_path("size").where;
  if (experiment.match.cost.empty()) {
    add(where, "`size` names what `match` chooses, and [experiment] has no `match`");
    return;
  }
  if (method.plugins.size() > 1) {
    add(where, "`size` can be given for one plugin, not for several on one model");
    return;
  }
  std::vector<std::string> integers;
  if (checker_) {
    for (const OptionSpec& option : query("method", method.plugins[0].plugin, method.plugins[0].options).declared) {
      if (option.type == "integer") integers.push_back(option.name);
    }
    if (std::find(integers.begin(), integers.end(), method.size) == integers.end()) {
      add(where,
          fmt::format("`size` = \"{}\" is no integer option of plugin `{}`", method.size, method.plugins[0].plugin), "",
          "integer options: " + listed(integers));
    }
  }
  if (method.grid.contains(method.size)) {
    add(where, fmt::format("`match` chooses `{}`, and the grid says it too", method.size),
        "leave it out of one of them");
  }
  if (asks_for(method.label, method.size)) {
    add(where, fmt::format("the label asks for {{{}}}, which `match` chooses later", method.size));
  }
}

}  // namespace peftlab::config
