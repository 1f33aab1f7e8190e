#include "report/markup.h"

#include "report/table.h"
#include "support/sha256.h"

#include <fmt/format.h>

namespace peftlab::report {

std::string shown(std::string_view text, size_t limit) {
  if (text.size() <= limit) return escape_html(text);
  size_t end = limit;
  // A character is not cut in two; text that is no UTF-8 may be.
  while (end > limit - 4 && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) --end;
  return escape_html(text.substr(0, end)) + fmt::format("… ({} more bytes left out)", text.size() - end);
}

std::string html_table(const HtmlTable& table) {
  std::string out = "<div class=\"scroll\"><table class=\"sorts\"";
  if (!table.id.empty()) out += fmt::format(" id=\"{}\"", escape_html(table.id));
  out += fmt::format(">\n<caption>{}</caption>\n<thead><tr>", shown(table.caption));
  for (size_t c = 0; c < table.columns.size(); ++c) {
    out += fmt::format("<th scope=\"col\"{}>{}</th>", table.right[c] ? " class=\"right\"" : "",
                       shown(table.columns[c], table.limit));
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const std::vector<HtmlCell>& row : table.rows) {
    out += "<tr>";
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const HtmlCell& cell = row[c];
      const bool header = c == 0 && table.first_names_row;
      std::string kind = table.right[c] ? "right" : "";
      if (cell.text == "better" || cell.text == "worse") kind = cell.text;
      if (cell.text.size() > 70) kind = "wrap";
      out += header ? "<th scope=\"row\"" : "<td";
      if (!kind.empty()) out += fmt::format(" class=\"{}\"", kind);
      if (cell.value) out += fmt::format(" data-value=\"{}\"", *cell.value);
      out += ">" + shown(cell.text, table.limit) + (header ? "</th>" : "</td>");
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table></div>\n";
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    unsigned bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[bits >> (18 - 6 * k) & 63u] : '=';
  }
  return out;
}

std::string script_source(std::string_view script) {
  const std::string hex = sha256_hex(script);
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return "'sha256-" + base64(bytes) + "'";
}

}  // namespace peftlab::report
