#pragma once

/// \file
/// A table of typed cells: what a query answers and what report/ prints.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace peftlab::store {

/// Nothing (NULL), an integer, a real number or text.
using Cell = std::variant<std::monostate, int64_t, double, std::string>;

struct Rows {
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;  ///< each as long as `columns`

  bool operator==(const Rows&) const = default;
};

}  // namespace peftlab::store
