#include "config/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace {

/// The parser found its own expectations broken, which some malformed files (`[[[`, `[.a]`) bring about.
struct ParserGaveUp : std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] void parser_gave_up(const char* expectation) { throw ParserGaveUp(expectation); }

}  // namespace

// The library aborts the process where an assertion fails, unless told otherwise.
#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : parser_gave_up(#expr))
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

/// The number of the first line that makes the parser give up: what comes before it parses, or is wrong otherwise.
int line_that_gives_up(std::string_view text) {
  std::vector<size_t> ends;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' || i + 1 == text.size()) {
      ends.push_back(i + 1);
    }
  }
  const auto gives_up = [&](size_t end) {
    try {
      static_cast<void>(toml::parse(text.substr(0, end)));
    } catch (const toml::parse_error&) {
      return false;
    } catch (const ParserGaveUp&) {
      return true;
    }
    return false;
  };
  const auto first = std::partition_point(ends.begin(), ends.end(), [&](size_t end) { return !gives_up(end); });
  return static_cast<int>(first - ends.begin()) + 1;
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
    problems.push_back({place(e.source(), file), "not TOML: " + std::string(e.description()), "", ""});
  } catch (const ParserGaveUp&) {
    problems.push_back({{file, line_that_gives_up(text), 1, 1}, "not TOML: expected a key or a table header", "", ""});
  }
  root.key = root.where = {file, 0, 0, 1};
  return root;
}

}  // namespace peftlab::config
