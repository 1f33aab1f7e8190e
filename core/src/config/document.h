#pragma once

/// \file
/// A TOML file as a tree in which every key and every value knows its place. The only door to the TOML library.

#include "config/diagnostic.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::config {

/// A value of the file: a table, a list, or a scalar.
struct Node {
  enum class Kind { kScalar, kTable, kList };

  Kind kind = Kind::kScalar;
  Value scalar;
  std::map<std::string, Node> entries;  ///< of a table
  std::vector<Node> items;              ///< of a list
  Location key;                         ///< where its key stands; of a list's item, where it stands itself
  Location where;                       ///< where it stands; of a section, its header

  bool is_table() const { return kind == Kind::kTable; }
  bool is_list() const { return kind == Kind::kList; }

  /// The entry at a dotted path below a table, or the one nearest to it that there is.
  const Node& at_path(const std::string& dotted) const;
};

/// The node without its places; entries without a value are left out.
Value to_value(const Node& node);

/// Reads TOML. What is wrong is added to `problems` (the syntax: the first mistake only), and what could be read
/// returned.
Node parse_toml(std::string_view text, const std::string& file, std::vector<Diagnostic>& problems);

}  // namespace peftlab::config
