#include <peftlab/error.h>
#include <peftlab/params.h>

#include <gtest/gtest.h>

#include <limits>

namespace peftlab {
namespace {

using Strings = std::vector<std::string>;

/// All problems of `p`, one a line: "name: message | help".
std::string problems(const Params& p) {
  std::string text;
  for (const OptionProblem& problem : p.problems()) {
    text += problem.name + ": " + problem.message + (problem.help.empty() ? "" : " | " + problem.help) + "\n";
  }
  return text;
}

TEST(Params, ReadsWhatIsGivenAndDefaultsWhatIsNot) {
  Params p({{"rank", 4}, {"alpha", 32}, {"targets", List{"query_key_value"}}, {"hidden", Value()}}, "plugin lora");
  EXPECT_EQ(p.get<int64_t>("rank", 8, "rank r"), 4);
  EXPECT_EQ(p.get("alpha", 8.0, "scale"), 32.0);
  EXPECT_EQ(p.get("dropout", 0.5, "probability"), 0.5);
  EXPECT_EQ(p.get<Strings>("targets", {"q_proj"}, "names"), Strings{"query_key_value"});
  EXPECT_EQ(p.get("init", "random", "first values"), "random");
  EXPECT_EQ(p.get_optional<int64_t>("hidden", "width"), std::nullopt);
  EXPECT_EQ(p.get<Table>("extra", {}, "more"), Table());
  EXPECT_EQ(problems(p), "");
  EXPECT_NO_THROW(p.finish());
  // alpha is a real option: what is in force is 32.0, although 32 was written.
  EXPECT_EQ(to_json(p.effective()),
            R"({"alpha":32.0,"dropout":0.5,"extra":{},"init":"random","rank":4,"targets":["query_key_value"]})");
}

TEST(Params, DeclaresEachOptionOnceInTheOrderOfReading) {
  Params p;
  p.get<int64_t>("rank", 8, "rank r of the update");
  p.get_optional<double>("scale", "factor");
  p.require<Strings>("names", "what to adapt");
  p.get<int64_t>("rank", 8, "rank r of the update");
  const std::vector<OptionSpec> expected = {{"rank", "integer", "8", "rank r of the update"},
                                            {"scale", "real", "", "factor"},
                                            {"names", "list of strings", "(required)", "what to adapt"}};
  EXPECT_EQ(p.declared(), expected);
  EXPECT_EQ(problems(p), "names: `names` is missing | a list of strings: what to adapt\n");
}

TEST(Params, KeepsEveryProblemAndReadsTheDefault) {
  Params p({{"rank", "8"},
            {"tokens", 2.0},
            {"dropout", true},
            {"targets", "q_proj"},
            {"widths", List{1, "x"}},
            {"init", 3},
            {"flag", 1},
            {"rate", std::numeric_limits<double>::quiet_NaN()}});
  EXPECT_EQ(p.get<int64_t>("rank", 8, ""), 8);
  EXPECT_EQ(p.get<int64_t>("tokens", 20, ""), 20);
  EXPECT_EQ(p.get("dropout", 0.25, ""), 0.25);
  p.get<Strings>("targets", {}, "");
  p.get<std::vector<int64_t>>("widths", {}, "");
  p.get("init", "zero", "");
  EXPECT_TRUE(p.get("flag", true, ""));
  EXPECT_EQ(p.get("rate", 1e-3, ""), 1e-3);
  EXPECT_EQ(problems(p),
            "rank: `rank` must be an integer, found the string \"8\" | remove the quotes\n"
            "tokens: `tokens` must be an integer, found the real number 2.0 | write 2\n"
            "dropout: `dropout` must be a number, found true\n"
            "targets: `targets` must be a list of strings, found the string \"q_proj\" | write [\"q_proj\"]\n"
            "widths: `widths` must be a list of integers: item 2 must be an integer, found the string \"x\"\n"
            "init: `init` must be a string, found the integer 3 | put it in quotes\n"
            "flag: `flag` must be a boolean, found the integer 1\n"
            "rate: `rate` must be finite, found nan\n");
}

TEST(Params, ChecksSayTheValueAndSpeakOncePerOption) {
  Params p({{"rank", 0}, {"alpha", "big"}});
  const auto rank = p.get<int64_t>("rank", 8, "");
  p.check(rank >= 1, "rank", "must be at least 1");
  p.check(rank >= 1, "rank", "must be positive");
  const auto alpha = p.get("alpha", -1.0, "");
  p.check(alpha > 0, "alpha", "must be positive");
  p.check(false, "", "give `width` or `reduction`, not both");
  EXPECT_EQ(problems(p),
            "rank: `rank` must be at least 1, found the integer 0\n"
            "alpha: `alpha` must be a number, found the string \"big\"\n"
            ": give `width` or `reduction`, not both\n");
}

TEST(Params, AnOptionNobodyReadIsAProblem) {
  Params p({{"rnak", 4}, {"note", "x"}}, "plugin lora");
  p.get<int64_t>("rank", 8, "");
  p.ignore({"note"});
  try {
    p.finish();
    FAIL() << "finish() did not throw";
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(), "plugin lora: unknown key `rnak` (Did you mean \"rank\"? There is: rank.)");
  }
}

TEST(Nearest, TakesTheClosestWithinReach) {
  const Strings known = {"learning_rate", "lr_scheduler", "rank", "Alpha", "lora"};
  EXPECT_EQ(nearest("learning_rte", known), "learning_rate");
  EXPECT_EQ(nearest("rnak", known), "rank");  // neighbours swapped count once
  EXPECT_EQ(nearest("ALPHA", known), "Alpha");
  EXPECT_EQ(nearest("bert", known), "");  // 3 edits from "lora", of 4 letters: another word
  EXPECT_EQ(nearest("x", known), "");
  EXPECT_EQ(nearest("anything", {}), "");
}

}  // namespace
}  // namespace peftlab
