#include "config/reader.h"

#include "config/sections.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::config {
namespace {

using Names = std::vector<std::string>;

const Names kSections = {"experiment", "model", "data", "train", "tune", "method", "metric"};

/// The keys a section takes, in the order it reads them: it is read once with nothing in it.
template <typename Read>
Names keys_of(const Read& read) {
  Params params;
  read(params);
  Names names;
  for (const OptionSpec& option : params.declared()) {
    names.push_back(option.name);
  }
  return names;
}

struct SectionKeys {
  Names root = keys_of([](Params& p) { read_root(p); });
  Names experiment = keys_of([](Params& p) {
    Experiment e;
    read_experiment_section(p, e);
  });
  Names model = keys_of([](Params& p) {
    ModelSection m;
    read_model(p, m, "");
  });
  Names data = keys_of([](Params& p) {
    DataSection d;
    read_data(p, d, "");
  });
  Names train = keys_of([](Params& p) { read_train(p, {}); });
  Names metric = keys_of([](Params& p) {
    std::string plugin;
    read_metric(p, plugin);
  });
};

const SectionKeys& section_keys() {
  static const SectionKeys keys;
  return keys;
}

/// The options of `node` of these names.
Table only(const Node& node, const Names& names) {
  Table table;
  for (const std::string& name : names) {
    if (const auto entry = node.entries.find(name); entry != node.entries.end()) {
      table.emplace(name, to_value(entry->second));
    }
  }
  return table;
}

void note_places(const Node& node, const std::string& prefix, std::map<std::string, Location>& places) {
  for (const auto& [key, entry] : node.entries) {
    places.emplace(prefix + key, entry.where);
    note_places(entry, prefix + key + ".", places);
  }
}

std::string keys_note(const std::string& title, const Names& keys) {
  return fmt::format("keys of {}: {}", title, listed(keys));
}

bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string listed(const Names& names) {
  constexpr size_t kShown = 30;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    out += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kShown) {
    out += fmt::format(" and {} more", names.size() - kShown);
  }
  return names.empty() ? "none" : out;
}

Reader::Reader(const Node& root, std::string file, const OptionChecker& checker, std::vector<Diagnostic>& problems)
    : root_(root), file_(std::move(file)), checker_(checker), problems_(problems) {
  const SectionKeys& keys = section_keys();
  homes_ = {{"[experiment]", keys.experiment}, {"[model]", keys.model}, {"[data]", keys.data}, {"[train]", keys.train}};
}

void Reader::read(Experiment& experiment) {
  const std::filesystem::path folder = experiment.file.parent_path();
  const SectionKeys& keys = section_keys();

  Params root_params(only(root_, keys.root));
  read_root(root_params);
  add(root_params.problems(), root_, "the file", keys.root);
  if (root_params.given("schema") && !root_params.problems().empty()) {
    return;  // a file in another format: what else is in it means nothing here
  }
  read_root_keys();

  // Where a misplaced key belongs is known best with the options of the plugins that the file uses.
  const std::vector<const Node*> methods = sections("method");
  for (const Node* node : methods) {
    const auto plugin = node->entries.find("plugin");
    const auto* name = plugin == node->entries.end() ? nullptr : plugin->second.scalar.get_if<std::string>();
    if (name != nullptr && checker_) {
      Home home{"plugin `" + *name + "`", {}};
      for (const OptionSpec& option : query("method", *name, {}).declared) {
        home.keys.push_back(option.name);
      }
      homes_.push_back(std::move(home));
    }
  }

  const auto read_section = [&](const std::string& name, const Names& own, bool required, const auto& read) {
    const Node* node = section(name, required);
    if (node != nullptr) {
      // A section with a plugin leaves the keys it does not know to the plugin.
      const bool open = name == "data";
      Params params(open ? only(*node, own) : *to_value(*node).get_if<Table>());
      read(params);
      add(params.problems(), *node, "[" + name + "]", own);
    }
    return node;
  };
  read_section("experiment", keys.experiment, true, [&](Params& p) { read_experiment_section(p, experiment); });
  const Node* model =
      read_section("model", keys.model, true, [&](Params& p) { read_model(p, experiment.model, folder); });
  const Node* data = read_section("data", keys.data, true, [&](Params& p) { read_data(p, experiment.data, folder); });
  if (read_section("train", keys.train, false, [&](Params& p) { experiment.train = read_train(p, {}); }) == nullptr) {
    experiment.train = merged({}, {});
  }
  if (model != nullptr) {
    experiment.model.where = model->where;
  }
  if (data != nullptr) {
    experiment.data.where = data->where;
    experiment.data.dataset = plugin_table(*data, "dataset", experiment.data.dataset.plugin, keys.data);
    check_plugin(*data, "dataset", experiment.data.dataset, keys.data, "[data]");
  }

  read_tune(experiment);
  for (size_t i = 0; i < methods.size(); ++i) {
    const auto label = methods[i]->entries.find("label");
    const auto* text = label == methods[i]->entries.end() ? nullptr : label->second.scalar.get_if<std::string>();
    const std::string title =
        text != nullptr ? fmt::format("[[method]] \"{}\"", *text) : fmt::format("[[method]] {}", i + 1);
    read_method(*methods[i], title, experiment.train, experiment.methods.emplace_back());
  }
  if (methods.empty() && !root_.entries.contains("method")) {
    add({file_, 0, 0, 1}, "there is no [[method]]: nothing to run", "", "");
  }
  read_metrics(experiment);
  check_labels(experiment);
  check_primary(experiment);
  check_search(experiment);
}

const Node* Reader::section(const std::string& name, bool required) {
  const auto entry = root_.entries.find(name);
  if (entry == root_.entries.end()) {
    if (required) {
      add({file_, 0, 0, 1}, fmt::format("the section [{}] is missing", name));
    }
    return nullptr;
  }
  if (!entry->second.is_table()) {
    add(entry->second.key, fmt::format("`{}` must be a section, found {}", name, type_name(to_value(entry->second))),
        fmt::format("write [{}]", name));
    return nullptr;
  }
  return &entry->second;
}

std::vector<const Node*> Reader::sections(const std::string& name) {
  std::vector<const Node*> found;
  const auto entry = root_.entries.find(name);
  if (entry == root_.entries.end()) {
    return found;
  }
  const Node& list = entry->second;
  const bool of_tables =
      list.is_list() && std::all_of(list.items.begin(), list.items.end(), [](const Node& n) { return n.is_table(); });
  if (!of_tables) {
    add(list.key, fmt::format("`{}` must be a list of sections, found {}", name, type_name(to_value(list))),
        fmt::format("write [[{}]]", name));
    return found;
  }
  for (const Node& item : list.items) {
    found.push_back(&item);
  }
  return found;
}

void Reader::read_root_keys() {
  Names known = section_keys().root;
  known.insert(known.end(), kSections.begin(), kSections.end());
  for (const auto& [key, entry] : root_.entries) {
    if (!contains(known, key)) {
      add_unknown(entry.key, key, "the file", known, keys_note("the file", known));
    }
  }
}

void Reader::read_metrics(Experiment& experiment) {
  const Names& own = section_keys().metric;
  for (const Node* node : sections("metric")) {
    Params params(only(*node, own));
    std::string plugin;
    read_metric(params, plugin);
    const std::string title = plugin.empty() ? "[[metric]]" : fmt::format("[[metric]] \"{}\"", plugin);
    add(params.problems(), *node, title, own);
    PluginTable table = plugin_table(*node, "metric", plugin, own);
    check_plugin(*node, "metric", table, own, title);
    const auto same = [&](const PluginTable& m) { return m.plugin == plugin; };
    if (!plugin.empty() && std::any_of(experiment.metrics.begin(), experiment.metrics.end(), same)) {
      add(node->at_path("plugin").where, fmt::format("the metric `{}` is there twice", plugin), "",
          "its scores would have one name");
    }
    experiment.metrics.push_back(std::move(table));
  }
}

void Reader::check_primary(const Experiment& experiment) {
  Names names = {"loss"};
  for (const PluginTable& metric : experiment.metrics) {
    names.push_back(metric.plugin);
  }
  if (!contains(names, experiment.primary)) {
    const std::string guess = nearest(experiment.primary, names);
    add(root_.at_path("experiment.primary").where,
        fmt::format("`primary` = \"{}\" is not measured: there is no [[metric]] of this name", experiment.primary),
        guess.empty() ? "" : fmt::format("did you mean \"{}\"?", guess), "measured: " + listed(names));
  }
}

PluginTable Reader::plugin_table(const Node& node, const std::string& kind, const std::string& plugin,
                                 const Names& own_keys) {
  PluginTable table{plugin, {}, {{"", node.where}}, {}};
  for (const auto& [key, entry] : node.entries) {
    if (contains(own_keys, key)) {
      continue;
    }
    if (Value value = to_value(entry); !value.is_null()) {
      table.options.emplace(key, std::move(value));
    }
    table.where.emplace(key, entry.where);
    note_places(entry, key + ".", table.where);
  }
  if (checker_ && !plugin.empty()) {
    for (const OptionSpec& option : query(kind, plugin, table.options).declared) {
      if (!option.default_.empty() && option.default_ != "(required)") {
        table.defaults.emplace(option.name, parse_json(option.default_, "default of " + option.name));
      }
    }
  }
  return table;
}

OptionCheck Reader::query(const std::string& kind, const std::string& plugin, const Table& options) const {
  try {
    return checker_(kind, plugin, options);
  } catch (const ConfigError& e) {
    return {true, {}, {}, {{"", e.what(), "", false}}};  // a plugin may throw its complaint instead of keeping it
  }
}

const OptionCheck* Reader::ask(const std::string& kind, const std::string& plugin, const Table& options,
                               const Location& where) {
  if (!checker_ || plugin.empty()) {
    return nullptr;
  }
  answer_ = query(kind, plugin, options);
  if (answer_.known) {
    return &answer_;
  }
  const std::string guess = nearest(plugin, answer_.available);
  add(where, fmt::format("there is no {} plugin `{}`", kind, plugin),
      guess.empty() ? "" : fmt::format("did you mean `{}`?", guess),
      fmt::format("{} plugins: {}", kind, listed(answer_.available)));
  return nullptr;
}

void Reader::check_plugin(const Node& node, const std::string& kind, const PluginTable& table, const Names& own_keys,
                          const std::string& title) {
  const OptionCheck* answer = ask(kind, table.plugin, table.options, node.at_path("plugin").where);
  if (answer == nullptr) {
    return;
  }
  Names keys;
  for (const OptionSpec& option : answer->declared) {
    keys.push_back(option.name);
  }
  const std::string section = kind == "dataset" ? "[data]" : fmt::format("every [[{}]]", kind);
  const std::string note =
      fmt::format("keys of plugin `{}`: {}; of {}: {}", table.plugin, listed(keys), section, listed(own_keys));
  keys.insert(keys.end(), own_keys.begin(), own_keys.end());
  add(answer->problems, node, title, keys, note);
}

void Reader::add(const std::vector<OptionProblem>& found, const Node& node, const std::string& title, const Names& keys,
                 const std::string& note) {
  for (const OptionProblem& problem : found) {
    const Node& at = node.at_path(problem.name);
    if (problem.unknown) {
      add_unknown(at.key, problem.name, title, keys, note.empty() ? keys_note(title, keys) : note);
      continue;
    }
    const bool missing = problem.message.ends_with(" is missing");
    add(at.where, problem.message + (missing ? " in " + title : ""), "", problem.help);
  }
}

void Reader::add_unknown(const Location& where, const std::string& name, const std::string& title, const Names& keys,
                         const std::string& note) {
  const bool in_method = title.starts_with("[[method]]");
  const auto here = [&](const Home& home, const std::string& key) {
    return in_method && home.title == "[train]" ? fmt::format("`train.{}`", key)
                                                : fmt::format("`{}` of {}", key, home.title);
  };
  for (const Home& home : homes_) {
    if (home.title != title && contains(home.keys, name)) {
      add(where, fmt::format("`{}` belongs to {}, not to {}", name, home.title, title),
          in_method && home.title == "[train]" ? "write " + here(home, name) : "", note);
      return;
    }
  }
  std::string guess = nearest(name, keys);
  guess = guess.empty() ? "" : "`" + guess + "`";
  for (const Home& home : homes_) {
    if (const std::string other = guess.empty() ? nearest(name, home.keys) : ""; !other.empty()) {
      guess = here(home, other);
    }
  }
  add(where, fmt::format("unknown key `{}` in {}", name, title),
      guess.empty() ? "" : fmt::format("did you mean {}?", guess), note);
}

void Reader::add(const Location& where, std::string message, std::string hint, std::string note) {
  Diagnostic diagnostic{where, std::move(message), std::move(hint), std::move(note)};
  // The combinations of a grid complain alike; once is enough.
  if (std::find(problems_.begin(), problems_.end(), diagnostic) == problems_.end()) {
    problems_.push_back(std::move(diagnostic));
  }
}

}  // namespace peftlab::config
