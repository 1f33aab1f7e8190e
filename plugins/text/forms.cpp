#include "forms.h"

#include <peftlab/error.h>
#include <peftlab/records.h>

#include <algorithm>

namespace peftlab::text {
namespace {

bool has_all(const Table& fields, const std::vector<std::string>& columns) {
  return std::all_of(columns.begin(), columns.end(), [&](const std::string& column) {
    const auto found = fields.find(column);
    return found != fields.end() && !found->second.is_null();
  });
}

std::string columns_of(const Table& fields) {
  std::vector<std::string> names;
  for (const auto& [name, value] : fields) names.push_back(name + (value.is_null() ? " (null)" : ""));
  return names.empty() ? "no columns" : "the columns " + joined(names);
}

const std::string& text_of(const Table& fields, const std::string& column) {
  const Value& value = fields.at(column);
  if (const auto* text = value.get_if<std::string>()) return *text;
  throw FormatError("column " + column + " must be a string, found " + std::string(type_name(value)));
}

/// A string, or an integer in decimal digits.
std::string name_of(const Table& fields, const std::string& column) {
  const Value& value = fields.at(column);
  if (const auto* number = value.get_if<int64_t>()) return std::to_string(*number);
  if (const auto* text = value.get_if<std::string>()) return *text;
  throw FormatError("column " + column + " must be a string or an integer, found " + std::string(type_name(value)));
}

}  // namespace

std::string describe(const Form& form) {
  std::string text;
  for (size_t i = 0; i < form.columns.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < form.columns.size() ? ", " : " and ") + form.columns[i];
  }
  return text;
}

RowReader::RowReader(Names names, std::optional<PromptTemplate> prompt)
    : names_(std::move(names)), template_(std::move(prompt)) {}

std::vector<Form> RowReader::possible() const {
  if (template_) {
    std::vector<std::string> columns;
    // {text} is the text's column, whatever that is called in this file.
    for (const std::string& name : template_->columns()) columns.push_back(name == "text" ? names_.text : name);
    columns.push_back(names_.label);
    return {{Form::classes, columns}};
  }
  std::vector<Form> forms;
  const bool any = !names_.pair_given && !names_.text_given && !names_.label_given;
  if (any || names_.pair_given) forms.push_back({Form::pair, {names_.prompt, names_.completion}});
  // ADGEN's names, as ChatGLM is trained on it.
  if (any) forms.push_back({Form::pair, {"content", "summary"}});
  if (!names_.pair_given) forms.push_back({Form::classes, {names_.text, names_.label}});
  if (!names_.pair_given && !names_.label_given) forms.push_back({Form::plain, {names_.text}});
  return forms;
}

std::optional<Form> RowReader::form_of(const Table& fields) const {
  for (const Form& form : possible()) {
    if (has_all(fields, form.columns)) return form;
  }
  return std::nullopt;
}

void RowReader::settle(const Table& fields, int64_t line) {
  const auto form = form_of(fields);
  if (form && !form_) {
    form_ = form;
    form_line_ = line;
  }
  if (form && *form == *form_) return;
  if (form_) {
    const std::string found = form ? describe(*form) : columns_of(fields);
    throw FormatError("has " + found + ", where line " + std::to_string(form_line_) + " has " + describe(*form_) +
                      ": the examples of a file must all be of one form");
  }
  std::string wanted;
  for (const Form& other : possible()) wanted += (wanted.empty() ? "" : "; or ") + describe(other);
  throw FormatError("has " + columns_of(fields) + "; wanted are " + wanted);
}

void RowReader::see_columns(const std::vector<std::string>& columns, int64_t line) {
  Table fields;
  for (const std::string& column : columns) fields[column] = "";
  settle(fields, line);
}

Row RowReader::see(const Table& fields, int64_t line) {
  settle(fields, line);
  return read(fields);
}

Row RowReader::read(const Table& fields) const {
  const auto& columns = form_->columns;
  if (form_->kind == Form::pair) return {text_of(fields, columns[0]), text_of(fields, columns[1]), ""};
  Row row;
  if (template_) {
    row.prompt = template_->fill(
        [&](const std::string& column) { return name_of(fields, column == "text" ? names_.text : column); });
  } else {
    row.text = text_of(fields, columns[0]);
  }
  if (form_->kind == Form::classes) {
    row.label = name_of(fields, names_.label);
    if (row.label.empty()) throw FormatError("column " + names_.label + " is empty: every example needs its label");
  }
  return row;
}

}  // namespace peftlab::text
