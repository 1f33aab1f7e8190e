#include "config/overrides.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::config {
namespace {

/// Everything below `node` was said on the command line.
void relocate(Node& node, const Location& where) {
  node.key = node.where = where;
  for (auto& [key, entry] : node.entries) {
    relocate(entry, where);
  }
  for (Node& item : node.items) {
    relocate(item, where);
  }
}

/// VALUE as TOML, or as bare text where it is none. False if it is neither.
bool parse_value(const std::string& text, const Location& where, Node& out, std::vector<Diagnostic>& problems) {
  std::vector<Diagnostic> wrong;
  Node parsed = parse_toml("value = " + text, where.file, wrong);
  if (wrong.empty() && parsed.entries.size() == 1) {
    out = std::move(parsed.entries.begin()->second);
  } else if (!text.empty() && std::string_view("\"'[{").find(text[0]) != std::string_view::npos) {
    problems.push_back({where, "the value is not TOML: " + (wrong.empty() ? "it has several lines" : wrong[0].message),
                        "", "text without quotes and brackets is taken as it is"});
    return false;
  } else {
    out.scalar = text;
  }
  relocate(out, where);
  return true;
}

bool is_utf8(const std::string& text) {
  try {
    to_json(text);
  } catch (const FormatError&) {
    return false;
  }
  return true;
}

/// What a [[method]] or [[metric]] is called on the command line: its label as written, else its plugin.
std::string name_of(const Node& item) {
  for (const char* key : {"label", "plugin"}) {
    if (const auto entry = item.entries.find(key); entry != item.entries.end()) {
      if (const auto* text = entry->second.scalar.get_if<std::string>()) {
        return *text;
      }
    }
  }
  return "";
}

/// The item of a list of sections that `rest` ("LABEL.KEY") begins with; LABEL is cut off. Labels may hold dots.
Node* find_item(Node& list, std::string& rest, std::string& names) {
  Node* found = nullptr;
  size_t length = 0;
  for (Node& item : list.items) {
    const std::string name = name_of(item);
    names += (names.empty() ? "" : ", ") + name;
    if (!name.empty() && name.size() > length && rest.starts_with(name + ".")) {
      found = &item;
      length = name.size();
    }
  }
  rest = found == nullptr ? rest : rest.substr(length + 1);
  return found;
}

void apply(Node& root, const std::string& override_, std::vector<Diagnostic>& problems) {
  // Every node below carries this text, so that of a long list only the beginning is kept.
  constexpr size_t kShown = 100;
  size_t end = std::min(override_.size(), kShown);
  while (end < override_.size() && (override_[end] & 0xC0) == 0x80) {
    ++end;
  }
  const Location where{"--set " + override_.substr(0, end) + (end < override_.size() ? "..." : ""), 0, 0, 1};
  if (!is_utf8(override_)) {
    problems.push_back({where, "the value is not UTF-8", "", ""});
    return;
  }
  const size_t equals = override_.find('=');
  if (equals == std::string::npos || equals == 0) {
    problems.push_back({where, "--set takes KEY=VALUE, such as train.steps=100", "", ""});
    return;
  }
  Node value;
  if (!parse_value(override_.substr(equals + 1), where, value, problems)) {
    return;
  }
  std::string key = override_.substr(0, equals);
  key.erase(key.find_last_not_of(' ') + 1);
  std::string rest = key;
  Node* table = &root;
  for (size_t dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
    const std::string name = rest.substr(0, dot);
    rest = rest.substr(dot + 1);
    const bool is_new = !table->entries.contains(name);
    Node& entry = table->entries[name];
    if (entry.is_list()) {
      std::string names;
      Node* item = find_item(entry, rest, names);
      if (item == nullptr || !item->is_table()) {
        problems.push_back({where, fmt::format("`{}` names none of the [[{}]] tables", key, name), "",
                            fmt::format("write {}.LABEL.KEY; labels: {}", name, names)});
        return;
      }
      table = item;
      continue;
    }
    if (is_new) {
      entry.kind = Node::Kind::kTable;
      entry.key = entry.where = where;
    } else if (!entry.is_table()) {
      problems.push_back({where, fmt::format("`{}` of `{}` is no table", name, key), "", ""});
      return;
    }
    table = &entry;
  }
  if (const auto grid = table->entries.find("grid");
      grid != table->entries.end() && grid->second.entries.contains(rest)) {
    problems.push_back({where, fmt::format("`{}` is in the method's grid, which would win", rest), "",
                        "set grid." + rest + " to a list"});
    return;
  }
  // To ask for steps is to ask for no epochs, and the other way round.
  if (table->entries.contains(rest == "steps" ? "epochs" : "steps") && (rest == "steps" || rest == "epochs")) {
    const auto other = table->entries.find(rest == "steps" ? "epochs" : "steps");
    if (other->second.where.line > 0) {
      table->entries.erase(other);
    }
  }
  table->entries[rest] = std::move(value);
}

}  // namespace

void apply_overrides(Node& root, const std::vector<std::string>& overrides, std::vector<Diagnostic>& problems) {
  for (const std::string& override_ : overrides) {
    apply(root, override_, problems);
  }
}

}  // namespace peftlab::config
