#pragma once

/// \file
/// A value of a configuration: what TOML, JSON and a plugin's options have in common.

#include <peftlab/export.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace peftlab {

struct Value;
using List = std::vector<Value>;
using Table = std::map<std::string, Value>;  ///< sorted by key, so that its text is canonical

/// Null, a truth value, an integer, a real number, a string, a list or a table.
struct PEFTLAB_API Value {
  using Variant = std::variant<std::monostate, bool, int64_t, double, std::string, List, Table>;

  Value() = default;
  Value(bool v) : data(v) {}                      // NOLINT(google-explicit-constructor)
  Value(int v) : data(int64_t{v}) {}              // NOLINT
  Value(int64_t v) : data(v) {}                   // NOLINT
  Value(double v) : data(v) {}                    // NOLINT
  Value(const char* v) : data(std::string(v)) {}  // NOLINT
  Value(std::string v) : data(std::move(v)) {}    // NOLINT
  Value(List v) : data(std::move(v)) {}           // NOLINT
  Value(Table v) : data(std::move(v)) {}          // NOLINT
  Value(const std::vector<std::string>& v);       // NOLINT
  Value(const std::vector<int64_t>& v);           // NOLINT

  bool is_null() const { return std::holds_alternative<std::monostate>(data); }
  template <typename T>
  const T* get_if() const {
    return std::get_if<T>(&data);
  }
  /// The entry `key` of a table, or nullptr if there is none or this is no table.
  const Value* find(const std::string& key) const;

  friend PEFTLAB_API bool operator==(const Value& a, const Value& b);

  Variant data;
};

/// "an integer", "a string", "a list", ...: for messages.
PEFTLAB_API std::string_view type_name(const Value& value);

/// JSON on one line, keys sorted, real numbers with all their digits and always a point or an exponent (nan and inf
/// as the strings "nan", "inf", "-inf"): the same value has the same text, so the text may be hashed.
PEFTLAB_API std::string to_json(const Value& value);

/// Reads JSON text. `origin` names it in messages.
/// Throws: FormatError with the place, if it is not JSON, has a key twice, or is nested deeper than 64.
PEFTLAB_API Value parse_json(std::string_view text, const std::string& origin);

}  // namespace peftlab
