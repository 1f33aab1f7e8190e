#include "report/table.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace peftlab::report {
namespace {

using store::Cell;
using store::Rows;

/// The length in bytes of the well-formed UTF-8 character at the start of `text`; 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!follows(1) || !follows(2)) return 0;
    if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f)) return 0;
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

/// Control characters would move the cursor or break the line.
std::string one_line(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    const auto c = static_cast<unsigned char>(text[i]);
    if (length == 1 && (c < 0x20 || c == 0x7f)) {
      out += ' ';
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

std::string json_cell(const Cell& cell) {
  if (std::holds_alternative<std::monostate>(cell)) return "null";
  if (const auto* text = std::get_if<std::string>(&cell)) return json_string(*text);
  if (const auto* real = std::get_if<double>(&cell); real && !std::isfinite(*real)) {
    return json_string(cell_text(cell));
  }
  return cell_text(cell);
}

std::string csv_cell(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return text->empty() ? "\"\"" : csv_field(*text);
  return cell_text(cell);
}

/// Two columns of one name would be one key.
std::vector<std::string> distinct(const std::vector<std::string>& names) {
  std::set<std::string> used;
  std::vector<std::string> out;
  for (const std::string& name : names) {
    std::string candidate = name;
    for (int i = 2; !used.insert(candidate).second; ++i) candidate = fmt::format("{}_{}", name, i);
    out.push_back(candidate);
  }
  return out;
}

std::string render_json(const Rows& rows) {
  const std::vector<std::string> keys = distinct(rows.columns);
  std::string out = "[";
  for (size_t r = 0; r < rows.rows.size(); ++r) {
    out += r == 0 ? "\n{" : ",\n{";
    for (size_t c = 0; c < keys.size(); ++c) {
      out += fmt::format("{}{}: {}", c == 0 ? "" : ", ", json_string(keys[c]), json_cell(rows.rows[r][c]));
    }
    out += "}";
  }
  return out + (rows.rows.empty() ? "]\n" : "\n]\n");
}

std::string render_csv(const Rows& rows) {
  std::string out;
  for (size_t c = 0; c < rows.columns.size(); ++c) out += (c == 0 ? "" : ",") + csv_field(rows.columns[c]);
  out += "\n";
  for (const std::vector<Cell>& row : rows.rows) {
    for (size_t c = 0; c < row.size(); ++c) out += (c == 0 ? "" : ",") + csv_cell(row[c]);
    out += "\n";
  }
  return out;
}

std::string pad(const std::string& text, size_t width, bool right) {
  const std::string spaces(width - std::min(width, display_width(text)), ' ');
  return right ? spaces + text : text + spaces;
}

}  // namespace

Format parse_format(const std::string& name) {
  if (name == "table") return Format::table;
  if (name == "json") return Format::json;
  if (name == "csv") return Format::csv;
  if (name == "md") return Format::md;
  throw ConfigError(fmt::format("unknown format \"{}\"; there are: table, json, csv, md", name));
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cell_text(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* integer = std::get_if<int64_t>(&cell)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&cell)) {
    std::string text = fmt::format("{}", *real);
    if (std::isfinite(*real) && text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
  }
  return "";
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    const char c = text[i];
    if (length == 0) {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    if (length > 1) {
      out += text.substr(i, length);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
    i += length;
  }
  return out + "\"";
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    const char c = text[i];
    if (length == 0 || c == '\0') {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

std::string escape_latex(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    switch (c) {
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        out += '\\';
        out += c;
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string escape_markdown(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (std::string_view("\\`*_[]<>|&").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string render_text_table(const std::vector<std::string>& columns,
                              const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right,
                              Format format) {
  std::vector<std::vector<std::string>> lines;
  lines.push_back(columns);
  lines.insert(lines.end(), rows.begin(), rows.end());
  std::vector<size_t> widths(columns.size(), format == Format::md ? 3 : 0);
  for (std::vector<std::string>& line : lines) {
    for (size_t c = 0; c < columns.size(); ++c) {
      line[c] = format == Format::md ? escape_markdown(line[c]) : one_line(line[c]);
      widths[c] = std::max(widths[c], display_width(line[c]));
    }
  }
  std::string out;
  for (size_t r = 0; r < lines.size(); ++r) {
    std::string text;
    for (size_t c = 0; c < columns.size(); ++c) {
      if (format == Format::md) {
        text += (c == 0 ? "| " : " | ") + pad(lines[r][c], widths[c], right[c]);
      } else {
        text += (c == 0 ? "" : "  ") + pad(lines[r][c], widths[c], right[c]);
      }
    }
    if (format == Format::md) {
      text += " |";
    } else {
      text.erase(text.find_last_not_of(' ') + 1);
    }
    out += text + "\n";
    if (r > 0 || format != Format::md) continue;
    for (size_t c = 0; c < columns.size(); ++c) {
      out += "| " + std::string(widths[c] - (right[c] ? 1 : 0), '-') + (right[c] ? ": " : " ");
    }
    out += "|\n";
  }
  return out;
}

std::string render_table(const Rows& rows, Format format) {
  if (format == Format::json) return render_json(rows);
  if (format == Format::csv) return render_csv(rows);
  std::vector<bool> right(rows.columns.size(), !rows.rows.empty());
  std::vector<std::vector<std::string>> text;
  for (const std::vector<Cell>& row : rows.rows) {
    std::vector<std::string>& line = text.emplace_back();
    for (size_t c = 0; c < row.size(); ++c) {
      line.push_back(cell_text(row[c]));
      // A column is one of numbers if nothing else is in it but gaps.
      if (std::holds_alternative<std::string>(row[c])) right[c] = false;
    }
  }
  return render_text_table(rows.columns, text, right, format);
}

}  // namespace peftlab::report
