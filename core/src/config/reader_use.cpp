/// `use = [...]`: several method plugins on one model.

#include "config/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace peftlab::config {
namespace {

const std::vector<std::string> kUseKeys = {"plugin"};

const std::string* plugin_of(const Node& item) {
  const auto entry = item.entries.find("plugin");
  return entry == item.entries.end() ? nullptr : entry->second.scalar.get_if<std::string>();
}

}  // namespace

void Reader::read_use(const Node& node, const std::string& title, const std::vector<std::string>& method_keys,
                      MethodSection& method) {
  const Node& use = node.at_path("use");
  if (node.entries.contains("plugin")) {
    add(node.at_path("plugin").key, "`plugin` and `use` are both given in " + title, "leave one of them out");
  }
  for (const auto& [key, entry] : node.entries) {
    if (std::find(method_keys.begin(), method_keys.end(), key) == method_keys.end()) {
      add(entry.key, fmt::format("`{}` stands beside `use` in {}", key, title),
          "options of a plugin belong into its own table of `use`");
    }
  }
  if (!use.is_list() || use.items.empty()) {
    add(use.where, "`use` must be a list of tables in " + title,
        "write use = [{ plugin = \"lora\", rank = 8 }, { plugin = \"prefix\" }]");
    return;
  }
  std::set<std::string> seen;
  for (const Node& item : use.items) {
    const std::string* name = plugin_of(item);
    if (name == nullptr) {
      add(item.where, "`plugin` is missing in `use` of " + title);
      continue;
    }
    if (!seen.insert(*name).second) {
      add(item.at_path("plugin").where, fmt::format("`use` of {} names the plugin `{}` twice", title, *name), "",
          "one method has one place on a model");
      continue;
    }
    method.plugins.push_back(plugin_table(item, "method", *name, kUseKeys));
  }
}

void Reader::check_grid_of_use(const std::string& title, const MethodSection& method) {
  for (const auto& [key, values] : method.grid) {
    const auto is_meant = [&](const PluginTable& p) { return key.starts_with(p.plugin + "."); };
    if (key.starts_with("train.") || std::any_of(method.plugins.begin(), method.plugins.end(), is_meant)) {
      continue;
    }
    std::string names;
    for (const PluginTable& p : method.plugins) {
      names += fmt::format("{}`{}.{}`", names.empty() ? "" : " or ", p.plugin, key);
    }
    add(method.where, fmt::format("the grid's `{}` names no plugin of `use` in {}", key, title), "write " + names);
  }
}

void Reader::check_use(const Node& use, const std::string& title, const Variant& variant) {
  for (const Node& item : use.items) {
    const std::string* name = plugin_of(item);
    const auto table = std::find_if(variant.plugins.begin(), variant.plugins.end(),
                                    [&](const PluginTable& p) { return name != nullptr && p.plugin == *name; });
    if (table == variant.plugins.end()) {
      continue;
    }
    check_plugin(item, "method", *table, kUseKeys, "`use` of " + title);
    if (answer_.stands_alone && variant.plugins.size() > 1) {
      add(item.at_path("plugin").where,
          fmt::format("`{}` trains and saves the whole model: nothing can stand beside it in {}", *name, title));
    }
  }
}

}  // namespace peftlab::config
