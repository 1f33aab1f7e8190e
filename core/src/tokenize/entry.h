#pragma once

/// \file
/// A value inside a JSON file that knows its place there, for messages.

#include <peftlab/value.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::tokenize {

/// A view of a value; the file's value must outlive it. Every reading function throws FormatError that names the file,
/// the place and what was found, if the value is of another type.
class Entry {
 public:
  Entry(const Value& value, std::string file) : value_(&value), place_(std::move(file)) {}

  const Value& value() const { return *value_; }
  bool is_null() const { return value_->is_null(); }
  /// The file and the place in it: "tokenizer.json: model.vocab".
  std::string where() const { return place_; }
  [[noreturn]] void refuse(const std::string& what) const;

  /// The entry `key` of a table. Throws: FormatError if it is missing.
  Entry at(const std::string& key) const;
  /// The same, or nothing if it is missing or null.
  std::optional<Entry> find(const std::string& key) const;
  /// The entries of a list.
  std::vector<Entry> list() const;
  const Table& table() const;

  const std::string& text() const;
  bool boolean() const;
  double number() const;
  /// An integer from `least` to `most`.
  int64_t integer(int64_t least, int64_t most) const;
  /// An id of a piece: from 0 to 2^31 - 2.
  int64_t id() const;
  /// A text of exactly one character.
  char32_t character() const;

  bool boolean(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;

 private:
  Entry(const Value& value, const Entry& parent, const std::string& step);

  const Value* value_;
  std::string place_;
  bool is_root_ = true;
};

}  // namespace peftlab::tokenize
