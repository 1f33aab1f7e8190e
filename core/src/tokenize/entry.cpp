#include "tokenize/entry.h"

#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <limits>

namespace peftlab::tokenize {

Entry::Entry(const Value& value, const Entry& parent, const std::string& step)
    : value_(&value), place_(parent.place_), is_root_(false) {
  const bool is_index = step.starts_with('[');
  place_ += (parent.is_root_ ? ": " : is_index ? "" : ".") + step;
}

void Entry::refuse(const std::string& what) const { throw FormatError(place_ + " " + what); }

Entry Entry::at(const std::string& key) const {
  table();
  const Value* found = value_->find(key);
  if (!found) throw FormatError(fmt::format("{}{}\"{}\" is missing", place_, is_root_ ? ": " : ".", key));
  return Entry(*found, *this, key);
}

std::optional<Entry> Entry::find(const std::string& key) const {
  table();
  const Value* found = value_->find(key);
  if (!found || found->is_null()) return std::nullopt;
  return Entry(*found, *this, key);
}

std::vector<Entry> Entry::list() const {
  const List* list = value_->get_if<List>();
  if (!list) refuse(fmt::format("must be a list, found {}", type_name(*value_)));
  std::vector<Entry> entries;
  entries.reserve(list->size());
  for (size_t i = 0; i < list->size(); ++i) entries.push_back(Entry((*list)[i], *this, fmt::format("[{}]", i)));
  return entries;
}

const Table& Entry::table() const {
  const Table* table = value_->get_if<Table>();
  if (!table) refuse(fmt::format("must be a table, found {}", type_name(*value_)));
  return *table;
}

const std::string& Entry::text() const {
  const std::string* text = value_->get_if<std::string>();
  if (!text) refuse(fmt::format("must be a string, found {}", type_name(*value_)));
  return *text;
}

bool Entry::boolean() const {
  const bool* truth = value_->get_if<bool>();
  if (!truth) refuse(fmt::format("must be true or false, found {}", type_name(*value_)));
  return *truth;
}

double Entry::number() const {
  if (const int64_t* whole = value_->get_if<int64_t>()) return static_cast<double>(*whole);
  const double* number = value_->get_if<double>();
  if (!number) refuse(fmt::format("must be a number, found {}", type_name(*value_)));
  return *number;
}

int64_t Entry::integer(int64_t least, int64_t most) const {
  const int64_t* integer = value_->get_if<int64_t>();
  if (!integer) refuse(fmt::format("must be an integer, found {}", type_name(*value_)));
  if (*integer < least || *integer > most) {
    refuse(fmt::format("must be from {} to {}, found {}", least, most, *integer));
  }
  return *integer;
}

int64_t Entry::id() const { return integer(0, std::numeric_limits<int32_t>::max() - 1); }

char32_t Entry::character() const {
  const std::string& all = text();
  if (count_code_points(all) != 1) refuse(fmt::format("must be one character, found \"{}\"", all));
  size_t at = 0;
  return next_code_point(all, at);
}

bool Entry::boolean(const std::string& key, bool otherwise) const {
  const auto found = find(key);
  return found ? found->boolean() : otherwise;
}

std::string Entry::text(const std::string& key, const std::string& otherwise) const {
  const auto found = find(key);
  return found ? found->text() : otherwise;
}

}  // namespace peftlab::tokenize
