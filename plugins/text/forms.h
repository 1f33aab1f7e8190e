#pragma once

/// \file
/// The forms a data file's records may have: prompt and completion, text and label, or text.

#include "prompt_template.h"

#include <peftlab/value.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::text {

/// The columns' names, and whether the user chose them.
struct Names {
  std::string prompt = "prompt", completion = "completion", text = "text", label = "label";
  bool pair_given = false, text_given = false, label_given = false;
};

struct Form {
  enum Kind { pair, classes, plain };
  Kind kind;
  std::vector<std::string> columns;  ///< that make it this form

  bool operator==(const Form&) const = default;
};

/// One record as it was found.
struct Row {
  std::string prompt;  ///< of a pair, or the filled template
  std::string text;    ///< a completion or a text
  std::string label;
};

/// Reads the records of one file. The first that is seen says which form all of them have.
class RowReader {
 public:
  RowReader(Names names, std::optional<PromptTemplate> prompt);

  /// Takes note of a CSV file's columns. Throws: FormatError, without the place, if they make no form.
  void see_columns(const std::vector<std::string>& columns, int64_t line);

  /// Checks and reads a record, the first of which settles the form.
  /// Throws: FormatError, without the place, naming what was found and what is wanted.
  Row see(const Table& fields, int64_t line);

  /// Reads a record that was seen before.
  Row read(const Table& fields) const;

  /// Requires: see() or see_columns() was called.
  const Form& form() const { return *form_; }
  int64_t form_line() const { return form_line_; }

 private:
  /// The form of a record that has these columns, null ones left out; the first of the possible ones.
  std::optional<Form> form_of(const Table& fields) const;
  std::vector<Form> possible() const;
  void settle(const Table& fields, int64_t line);

  Names names_;
  std::optional<PromptTemplate> template_;
  std::optional<Form> form_;
  int64_t form_line_ = 0;
};

/// "prompt and completion": a form for messages.
std::string describe(const Form& form);

}  // namespace peftlab::text
