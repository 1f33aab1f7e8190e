#pragma once

/// \file
/// The pieces of HTML that every part of the page is made from. Any text may be hostile: all of it is escaped here.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::report {

/// `text` escaped for HTML, with at most `limit` bytes of it shown and the count of those left out said.
std::string shown(std::string_view text, size_t limit = 300);

struct HtmlCell {
  std::string text;
  std::optional<double> value;  ///< what the table is sorted by
};

struct HtmlTable {
  std::string caption;
  std::vector<std::string> columns;
  std::vector<bool> right;  ///< as many as columns
  std::vector<std::vector<HtmlCell>> rows;
  bool first_names_row = true;  ///< the first cell of a row is its header
  std::string id;
  size_t limit = 300;  ///< bytes shown of a cell
};

/// Cells that say "better" or "worse" have that class.
std::string html_table(const HtmlTable& table);

/// How a Content-Security-Policy names the one script that may run: 'sha256-...' with its quotes.
std::string script_source(std::string_view script);

/// Bytes as base64, with padding.
std::string base64(std::string_view bytes);

}  // namespace peftlab::report
