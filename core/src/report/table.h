#pragma once

/// \file
/// Lists as text: a table for eyes, JSON, CSV or Markdown for programs and pages.

#include "store/rows.h"

#include <string>
#include <string_view>
#include <vector>

namespace peftlab::report {

enum class Format { table, json, csv, md };

/// Throws: ConfigError, naming the formats there are.
Format parse_format(const std::string& name);

/// table: columns side by side, numbers to the right. json: a list of objects, one a line, numbers with all their
/// digits (nan and inf as the strings "nan", "inf", "-inf"), NULL as null. csv: RFC 4180 quoting, a header, lines end
/// in "\n", NULL empty and an empty text "". md: a pipe table. Ends with a line break.
std::string render_table(const store::Rows& rows, Format format);

/// The same with each cell already text: `right` tells the columns set to the right. For table and md.
std::string render_text_table(const std::vector<std::string>& columns,
                              const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right,
                              Format format);

/// A cell's text; a real number with the fewest digits that give it back, and always a point or an exponent.
std::string cell_text(const store::Cell& cell);

std::string json_string(std::string_view text);  ///< quoted; bytes that are no UTF-8 become U+FFFD
std::string csv_field(std::string_view text);    ///< quoted where RFC 4180 asks for it
std::string escape_html(std::string_view text);  ///< for content and for attributes in double quotes
std::string escape_latex(std::string_view text);
std::string escape_markdown(std::string_view text);

/// Characters of UTF-8 text.
size_t display_width(std::string_view text);

}  // namespace peftlab::report
