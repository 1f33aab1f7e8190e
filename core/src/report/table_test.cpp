#include "report/table.h"

#include <peftlab/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace peftlab::report {
namespace {

using store::Cell;
using store::Rows;

const Rows kRows{{"name", "n", "value"},
                 {{Cell("a,\"b\""), Cell(int64_t{3}), Cell(0.1)},
                  {Cell("two\nlines"), Cell(), Cell(2.0)},
                  {Cell(""), Cell(int64_t{-12}), Cell(std::numeric_limits<double>::infinity())}}};

TEST(Table, Json) {
  EXPECT_EQ(render_table(kRows, Format::json),
            "[\n"
            "{\"name\": \"a,\\\"b\\\"\", \"n\": 3, \"value\": 0.1},\n"
            "{\"name\": \"two\\nlines\", \"n\": null, \"value\": 2.0},\n"
            "{\"name\": \"\", \"n\": -12, \"value\": \"inf\"}\n"
            "]\n");
  EXPECT_EQ(render_table({{"a"}, {}}, Format::json), "[]\n");
  EXPECT_EQ(render_table({{"a", "a"}, {{Cell("x"), Cell("y")}}}, Format::json),
            "[\n{\"a\": \"x\", \"a_2\": \"y\"}\n]\n");
}

TEST(Table, Csv) {
  EXPECT_EQ(render_table(kRows, Format::csv),
            "name,n,value\n"
            "\"a,\"\"b\"\"\",3,0.1\n"
            "\"two\nlines\",,2.0\n"
            "\"\",-12,inf\n");
}

TEST(Table, ForEyes) {
  EXPECT_EQ(render_table(kRows, Format::table),
            "name         n  value\n"
            "a,\"b\"        3    0.1\n"
            "two lines         2.0\n"
            "           -12    inf\n");
}

TEST(Table, Markdown) {
  EXPECT_EQ(
      render_table({{"name", "n"}, {{Cell("a|b_c"), Cell(int64_t{3})}, {Cell("ä±"), Cell(int64_t{10})}}}, Format::md),
      "| name    |   n |\n"
      "| ------- | --: |\n"
      "| a\\|b\\_c |   3 |\n"
      "| ä±      |  10 |\n");
}

TEST(Table, NumbersKeepAllTheirDigits) {
  for (const double value : {1.0 / 3.0, 5e-324, 1e308, -0.1, 123456789.0, 1e22}) {
    const std::string text = cell_text(Cell(value));
    EXPECT_EQ(std::stod("0") + std::strtod(text.c_str(), nullptr), value) << text;
    EXPECT_NE(text.find_first_of(".e"), std::string::npos) << text;
  }
  EXPECT_EQ(cell_text(Cell(std::nan(""))), "nan");
}

TEST(Table, NamesTheFormats) {
  EXPECT_EQ(parse_format("md"), Format::md);
  EXPECT_THROW(parse_format("xml"), ConfigError);
}

TEST(Escapes, HostileText) {
  EXPECT_EQ(escape_html("<a href=\"x\" b='y'>&"), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
  EXPECT_EQ(escape_latex("50 % of a_b & \\x {~^}"),
            "50 \\% of a\\_b \\& \\textbackslash{}x \\{\\textasciitilde{}\\textasciicircum{}\\}");
  // A lone byte, a character cut short, one written too long, and a surrogate are no UTF-8.
  EXPECT_EQ(json_string("a\xff"
                        "b\xe2\x82"),
            "\"a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json_string("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json_string("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json_string(std::string("\0\x1f\x7f€", 6)), "\"\\u0000\\u001f\\u007f€\"");
  EXPECT_EQ(escape_markdown("a\nb<i>"), "a b\\<i\\>");
}

}  // namespace
}  // namespace peftlab::report
