#include <peftlab/error.h>
#include <peftlab/value.h>

#include <gtest/gtest.h>

#include <limits>

namespace peftlab {
namespace {

std::string failure(const std::string& text) {
  try {
    parse_json(text, "file.json");
  } catch (const FormatError& e) {
    return e.what();
  }
  return "no failure";
}

TEST(ToJson, IsOneLineWithSortedKeys) {
  const Value value(Table{{"b", List{1, 2.0, "x", true, Value()}}, {"a", Table{}}, {"B", List{}}});
  EXPECT_EQ(to_json(value), R"({"B":[],"a":{},"b":[1,2.0,"x",true,null]})");
}

TEST(ToJson, RealsKeepAllDigitsAndSayThatTheyAreReal) {
  EXPECT_EQ(to_json(0.1), "0.1");
  EXPECT_EQ(to_json(1e-3), "0.001");
  EXPECT_EQ(to_json(1e-4), "1e-04");  // the shorter of the two notations
  EXPECT_EQ(to_json(5e-5), "5e-05");
  EXPECT_EQ(to_json(100.0), "100.0");
  EXPECT_EQ(to_json(-0.0), "-0.0");
  EXPECT_EQ(to_json(1e30), "1e+30");
  EXPECT_EQ(to_json(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(to_json(std::numeric_limits<double>::quiet_NaN()), R"("nan")");
  EXPECT_EQ(to_json(-std::numeric_limits<double>::infinity()), R"("-inf")");
  EXPECT_EQ(to_json(int64_t{9007199254740993}), "9007199254740993");  // 2^53 + 1, which no double holds
}

TEST(ToJson, EscapesWhatMustBeAndKeepsTheRest) {
  EXPECT_EQ(to_json("a\"b\\c\n\t\x01 é 答"), "\"a\\\"b\\\\c\\n\\t\\u0001 é 答\"");
}

TEST(ToJson, RefusesWhatIsNotUtf8) {
  EXPECT_THROW(to_json("\xff"), FormatError);
  EXPECT_THROW(to_json("\xc0\x80"), FormatError);      // an overlong NUL
  EXPECT_THROW(to_json("\xed\xa0\x80"), FormatError);  // half a surrogate pair
  EXPECT_THROW(to_json("\xe7\xad"), FormatError);      // cut off
}

TEST(ParseJson, ReadsBackWhatToJsonWrote) {
  const Value value(Table{{"i", -7},
                          {"r", 0.30000000000000004},
                          {"whole", 3.0},
                          {"s", "\u00e9\n\\"},
                          {"n", Value()},
                          {"l", List{List{}, Table{{"k", false}}}}});
  EXPECT_EQ(parse_json(to_json(value), "x"), value);
}

TEST(ParseJson, IntegersStayIntegersAndRealsStayReal) {
  EXPECT_EQ(parse_json("3", "x"), Value(3));
  EXPECT_EQ(parse_json("3.0", "x"), Value(3.0));
  EXPECT_FALSE(parse_json("3", "x") == Value(3.0));
  EXPECT_EQ(parse_json("9223372036854775807", "x"), Value(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(parse_json("1000000000000000019884624838656", "x"), Value(1e30));  // a tokenizer's "no limit"
}

TEST(ParseJson, SaysWhereItStopped) {
  EXPECT_EQ(failure("{\"a\": 1,\n \"é\": tru}").substr(0, 24), "file.json:2:10: not JSON");
  EXPECT_EQ(failure("").substr(0, 23), "file.json:1:1: not JSON");
  EXPECT_EQ(failure("{} x").substr(0, 23), "file.json:1:4: not JSON");
  EXPECT_EQ(failure("[1,]").substr(0, 23), "file.json:1:4: not JSON");
  EXPECT_EQ(failure("\"\xff\"").substr(0, 23), "file.json:1:2: not JSON");
  EXPECT_NE(failure("1e999"), "no failure");
  EXPECT_NE(failure("NaN"), "no failure");
}

TEST(ParseJson, RefusesAKeyTwice) {
  EXPECT_EQ(failure("{\"a\": 1, \"a\": 2}"), "file.json:1:12: not JSON: the key \"a\" is there twice");
  EXPECT_EQ(parse_json(R"([{"a":1},{"a":2}])", "x").get_if<List>()->size(), 2u);
}

TEST(ParseJson, RefusesDepthAbove64) {
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "x"));
  EXPECT_EQ(failure(std::string(65, '[') + std::string(65, ']')), "file.json:1:65: not JSON: nested deeper than 64");
  EXPECT_NE(failure(std::string(1000000, '[')), "no failure");
}

TEST(Value, NamesItsType) {
  EXPECT_EQ(type_name(Value()), "null");
  EXPECT_EQ(type_name(true), "a boolean");
  EXPECT_EQ(type_name(1), "an integer");
  EXPECT_EQ(type_name(1.0), "a real number");
  EXPECT_EQ(type_name("x"), "a string");
  EXPECT_EQ(type_name(List{}), "a list");
  EXPECT_EQ(type_name(Table{}), "a table");
}

TEST(Value, FindsEntriesOfTablesOnly) {
  const Value value(Table{{"a", 1}});
  ASSERT_NE(value.find("a"), nullptr);
  EXPECT_EQ(*value.find("a"), Value(1));
  EXPECT_EQ(value.find("b"), nullptr);
  EXPECT_EQ(Value(3).find("a"), nullptr);
}

}  // namespace
}  // namespace peftlab
