#include "config/document.h"

#include <algorithm>

// Some malformed files (`[[[`, `[.a]`) break what the library's parser asserts of itself: with its checks on it would
// abort the process, and with NDEBUG its optimizer would be told that this cannot happen. Without either it goes on to
// report the mistake.
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)
#include <toml++/toml.h>

namespace peftlab::config {
namespace {

Location place(const toml::source_region& region, const std::string& file) {
  Location at{file, static_cast<int>(region.begin.line), static_cast<int>(region.begin.column), 1};
  constexpr int kToTheEndOfLine = 1 << 20;
  at.width = region.end.line == region.begin.line ? static_cast<int>(region.end.column) - at.column : kToTheEndOfLine;
  at.width = std::max(1, at.width);
  return at;
}

Node convert(const toml::node& from, const std::string& file, std::vector<Diagnostic>& problems) {
  Node node;
  node.where = place(from.source(), file);
  node.key = node.where;
  if (const toml::table* table = from.as_table()) {
    node.kind = Node::Kind::kTable;
    for (const auto& [key, value] : *table) {
      Node& entry = node.entries.emplace(std::string(key.str()), convert(value, file, problems)).first->second;
      entry.key = place(key.source(), file);
    }
  } else if (const toml::array* array = from.as_array()) {
    node.kind = Node::Kind::kList;
    for (const toml::node& item : *array) {
      node.items.push_back(convert(item, file, problems));
    }
  } else if (const auto* b = from.as_boolean()) {
    node.scalar = b->get();
  } else if (const auto* i = from.as_integer()) {
    node.scalar = i->get();
  } else if (const auto* r = from.as_floating_point()) {
    node.scalar = r->get();
  } else if (const auto* s = from.as_string()) {
    node.scalar = s->get();
  } else {
    problems.push_back({node.where, "no option takes a date or a time", "", "in quotes it is a string"});
  }
  return node;
}

}  // namespace

const Node& Node::at_path(const std::string& dotted) const {
  const Node* node = this;
  for (std::string_view rest = dotted; !rest.empty();) {
    // A key may hold a dot itself, so the longest match goes first.
    size_t length = rest.size();
    auto entry = node->entries.find(std::string(rest));
    while (entry == node->entries.end() && length > 0) {
      const size_t dot = rest.rfind('.', length - 1);
      length = dot == std::string_view::npos ? 0 : dot;
      entry = node->entries.find(std::string(rest.substr(0, length)));
    }
    if (entry == node->entries.end()) {
      return *node;
    }
    node = &entry->second;
    rest = length == rest.size() ? "" : rest.substr(length + 1);
  }
  return *node;
}

Value to_value(const Node& node) {
  if (node.is_table()) {
    Table table;
    for (const auto& [key, entry] : node.entries) {
      if (Value value = to_value(entry); !value.is_null()) {
        table.emplace(key, std::move(value));
      }
    }
    return table;
  }
  if (node.is_list()) {
    List list;
    for (const Node& item : node.items) {
      list.push_back(to_value(item));
    }
    return list;
  }
  return node.scalar;
}

Node parse_toml(std::string_view text, const std::string& file, std::vector<Diagnostic>& problems) {
  Node root;
  root.kind = Node::Kind::kTable;
  try {
    root = convert(toml::parse(text, file), file, problems);
  } catch (const toml::parse_error& e) {
    // The library's text opens with where it was: "Error while parsing key: expected ...".
    std::string what(e.description());
    if (const size_t colon = what.find(": "); what.starts_with("Error while parsing") && colon != std::string::npos) {
      what.erase(0, colon + 2);
    }
    problems.push_back({place(e.source(), file), "not TOML: " + what, "", ""});
  }
  root.key = root.where = {file, 0, 0, 1};
  return root;
}

}  // namespace peftlab::config
