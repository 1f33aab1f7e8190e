/// The [[method]] tables: plugin, options, overrides of [train], grid, label.

#include "config/reader.h"
#include "config/sections.h"
#include "config/variants.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace peftlab::config {
namespace {

const std::vector<std::string> kMethodKeys = {"label", "plugin", "train", "grid", "use", "size"};

const Node* child(const Node& node, const std::string& name) {
  const auto entry = node.entries.find(name);
  return entry == node.entries.end() ? nullptr : &entry->second;
}

/// The list of a grid's key ("rank", "train.steps"), or nullptr.
const Node* grid_values(const Node& grid, const std::string& key) {
  if (const Node* whole = child(grid, key); whole != nullptr) {
    return whole;
  }
  const Node& at = grid.at_path(key);
  return at.is_list() ? &at : nullptr;
}

}  // namespace

void Reader::read_method(const Node& node, const std::string& title, const TrainSection& base, MethodSection& method) {
  method.where = node.where;
  Table own;
  for (const char* key : {"label", "plugin", "size"}) {
    if (const Node* entry = child(node, key); entry != nullptr) {
      own.emplace(key, to_value(*entry));
    }
  }
  Params params(own);
  std::string plugin;
  config::read_method(params, method, plugin);
  add(params.problems(), node, title, kMethodKeys);

  if (child(node, "use") != nullptr) {
    read_use(node, title, kMethodKeys, method);
  } else if (params.given("plugin")) {
    method.plugins.push_back(plugin_table(node, "method", plugin, kMethodKeys));
  } else {
    add(node.where, "`plugin` is missing in " + title);
  }
  if (const Node* train = child(node, "train"); train != nullptr) {
    read_train_keys(*train, title, base, method.train);
  }
  if (const Node* grid = child(node, "grid"); grid != nullptr) {
    read_grid(*grid, base, "the grid's", method);
  }
  check_options(node, title, method);
}

void Reader::read_train_keys(const Node& node, const std::string& title, const TrainSection& base, Table& keys) {
  if (!node.is_table()) {
    add(node.key, "`train` must be a table of [train] keys in " + title, "write train.learning_rate = 1e-3");
    return;
  }
  keys = *to_value(node).get_if<Table>();
  Params params(keys);
  read_train(params, base);
  std::vector<OptionProblem> here;
  for (const OptionProblem& problem : params.problems()) {
    if (node.entries.contains(problem.name)) {  // what [train] itself says wrong was told there
      here.push_back(problem);
    }
  }
  std::vector<std::string> names;
  for (const OptionSpec& option : params.declared()) {
    names.push_back(option.name);
  }
  add(here, node, "[train]", names);
}

void Reader::read_grid(const Node& grid, const TrainSection& base, const std::string& whose, MethodSection& method) {
  if (!grid.is_table()) {
    add(grid.key, "`grid` must be a table of lists", "write grid = { rank = [4, 8] }");
    return;
  }
  const auto read_key = [&](const std::string& key, const Node& values) {
    if (!values.is_list() || values.items.empty()) {
      add(values.where, fmt::format("{} `{}` must be a list with at least one value", whose, key));
      return;
    }
    const List list = *to_value(values).get_if<List>();
    std::set<std::string> seen;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!seen.insert(to_json(list[i])).second) {
        add(values.items[i].where, fmt::format("{} `{}` holds {} twice", whose, key, to_json(list[i])));
      }
      if (key.starts_with("train.")) {
        Node one;
        one.kind = Node::Kind::kTable;
        Node& entry = one.entries[key.substr(6)] = values.items[i];
        entry.key = values.key;
        Table ignored;
        read_train_keys(one, "", base, ignored);
      }
    }
    method.grid.emplace(key, list);
  };
  for (const auto& [key, entry] : grid.entries) {
    if (!entry.is_table()) {
      read_key(key, entry);
      continue;
    }
    for (const auto& [inner, values] : entry.entries) {
      read_key(key + "." + inner, values);
    }
  }
}

void Reader::check_options(const Node& node, const std::string& title, const MethodSection& method) {
  if (method.plugins.empty() || count_variants(method, kMostRuns) > kMostRuns) {
    return;
  }
  if (method.plugins.size() > 1) {
    check_grid_of_use(title, method);
  }
  MethodSection nameless = method;
  nameless.label.clear();  // labels have a check of their own
  std::set<std::string> checked;
  for (const Variant& variant : variants(nameless, {})) {
    std::string combination;
    for (const PluginTable& table : variant.plugins) {
      combination += to_json(table.options);
    }
    if (!checked.insert(combination).second) {
      continue;
    }
    // The method as if this combination had been written out: each value keeps the place it has in the grid.
    Node written = node;
    Node* use = child(node, "use") == nullptr ? nullptr : &written.entries["use"];
    for (const auto& [key, index] : variant.chosen) {
      const Node* values = grid_values(*child(node, "grid"), key);
      if (values == nullptr || key.starts_with("train.")) {
        continue;
      }
      const auto put = [&, given = &values->items[index]](Node& table, const std::string& option) {
        Node& entry = table.entries[option] = *given;
        entry.key = values->key;
      };
      if (use == nullptr) {
        put(written, key);
        continue;
      }
      for (Node& item : use->items) {
        const Node* plugin = child(item, "plugin");
        const auto* name = plugin == nullptr ? nullptr : plugin->scalar.get_if<std::string>();
        if (name != nullptr && key.starts_with(*name + ".")) {
          put(item, key.substr(name->size() + 1));
        } else if (use->items.size() == 1) {
          put(item, key);
        }
      }
    }
    if (use != nullptr) {
      check_use(*use, title, variant);
    } else {
      check_plugin(written, "method", variant.plugins.front(), kMethodKeys, title);
    }
  }
}

void Reader::check_labels(const Experiment& experiment) {
  const std::vector<const Node*> nodes = sections("method");
  int64_t runs = 0;
  for (const MethodSection& method : experiment.methods) {
    runs += count_variants(method, kMostRuns) * static_cast<int64_t>(experiment.seeds.size());
  }
  if (runs > kMostRuns) {
    add({file_, 0, 0, 1}, fmt::format("the file asks for more than {} runs", kMostRuns), "",
        "make the grids or the list of seeds shorter");
    return;
  }
  std::vector<std::string> labels;
  std::map<std::string, size_t> owner;
  bool complete = true;
  for (size_t i = 0; i < experiment.methods.size(); ++i) {
    const MethodSection& method = experiment.methods[i];
    const Location where = child(*nodes[i], "label") != nullptr ? child(*nodes[i], "label")->where : method.where;
    std::vector<Variant> expanded;
    try {
      expanded = variants(method, experiment.train);
    } catch (const ConfigError& e) {
      add(where, e.what());
      complete = false;
      continue;
    }
    bool told = false;  // once a method is enough
    for (const Variant& variant : expanded) {
      const auto [entry, is_new] = owner.try_emplace(variant.label, i);
      if (is_new) {
        labels.push_back(variant.label);
      } else if (std::exchange(told, true)) {
        continue;
      } else if (entry->second == i) {
        std::string missing;
        for (const auto& [key, values] : method.grid) {
          missing += method.label.find("{" + key + "}") == std::string::npos ? " {" + key + "}" : "";
        }
        add(where, fmt::format("the grid makes several methods with the label \"{}\"", variant.label),
            missing.empty() ? "" : "put" + missing + " in it");
      } else {
        const Location& first = experiment.methods[entry->second].where;
        add(where,
            fmt::format("[[method]] {} and [[method]] {} both have the label \"{}\"", entry->second + 1, i + 1,
                        variant.label),
            "", first.line > 0 ? fmt::format("the other one begins on line {}", first.line) : "");
      }
    }
  }
  if (complete && !experiment.baseline.empty() && !owner.contains(experiment.baseline)) {
    const std::string guess = nearest(experiment.baseline, labels);
    add(root_.at_path("experiment.baseline").where,
        fmt::format("`baseline` = \"{}\" is no method's label", experiment.baseline),
        guess.empty() ? "" : fmt::format("did you mean \"{}\"?", guess), "labels: " + listed(labels));
  }
}

}  // namespace peftlab::config
