#pragma once

/// \file
/// The walk through an experiment file's tree, section by section.

#include "config/document.h"
#include "config/read.h"
#include "config/variants.h"

#include <string>
#include <vector>

namespace peftlab::config {

/// Reads a whole tree into an Experiment and adds all that is wrong with it to `problems`.
class Reader {
 public:
  Reader(const Node& root, std::string file, const OptionChecker& checker, std::vector<Diagnostic>& problems);

  void read(Experiment& experiment);

 private:
  /// A section and the keys it takes, to tell where a misplaced key belongs.
  struct Home {
    std::string title;  ///< "[train]", "plugin `lora`"
    std::vector<std::string> keys;
  };

  const Node* section(const std::string& name, bool required);
  std::vector<const Node*> sections(const std::string& name);

  void read_root_keys();
  void read_metrics(Experiment& experiment);
  void read_tune(Experiment& experiment);  // reader_search.cpp
  void check_primary(const Experiment& experiment);

  // Of one [[method]], in reader_method.cpp. `title` names it in messages.
  void read_method(const Node& node, const std::string& title, const TrainSection& base, MethodSection& method);
  void read_train_keys(const Node& node, const std::string& title, const TrainSection& base, Table& keys);
  /// `whose` is who lists the values: "the grid's", "[tune]'s".
  void read_grid(const Node& grid, const TrainSection& base, const std::string& whose, MethodSection& method);
  void check_options(const Node& node, const std::string& title, const MethodSection& method);
  void check_labels(const Experiment& experiment);

  // What searches choose, in reader_search.cpp: nothing else may say it.
  void check_search(const Experiment& experiment);
  void check_size(const Experiment& experiment, const MethodSection& method, const Node& node);

  // Of several plugins in one [[method]], in reader_use.cpp. `method_keys`: what may stand beside `use`.
  void read_use(const Node& node, const std::string& title, const std::vector<std::string>& method_keys,
                MethodSection& method);
  void check_grid_of_use(const std::string& title, const MethodSection& method);
  void check_use(const Node& use, const std::string& title, const Variant& variant);

  /// A plugin and the options that `node` holds besides `own_keys`.
  PluginTable plugin_table(const Node& node, const std::string& kind, const std::string& plugin,
                           const std::vector<std::string>& own_keys);
  /// Has the plugin check its options; what it says is placed in `node`.
  void check_plugin(const Node& node, const std::string& kind, const PluginTable& table,
                    const std::vector<std::string>& own_keys, const std::string& title);
  OptionCheck query(const std::string& kind, const std::string& plugin, const Table& options) const;
  /// The checker's answer, or nothing (and a diagnostic) where there is no such plugin.
  const OptionCheck* ask(const std::string& kind, const std::string& plugin, const Table& options,
                         const Location& where);

  /// Adds what Params or a plugin complained about, each at its place in `node`; `note` lists the keys there are.
  void add(const std::vector<OptionProblem>& found, const Node& node, const std::string& title,
           const std::vector<std::string>& keys, const std::string& note = "");
  /// A key nobody reads, with the key that was meant, here or in another section.
  void add_unknown(const Location& where, const std::string& name, const std::string& title,
                   const std::vector<std::string>& keys, const std::string& note);
  void add(const Location& where, std::string message, std::string hint = "", std::string note = "");

  const Node& root_;
  std::string file_;
  const OptionChecker& checker_;
  std::vector<Diagnostic>& problems_;
  std::vector<Home> homes_;
  OptionCheck answer_;  // the last one of the checker
};

/// "a, b, c"; of a long list the beginning.
std::string listed(const std::vector<std::string>& names);

}  // namespace peftlab::config
