/// Two runs example by example.

#include "report/examples.h"

#include "store/test_store.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab::report {
namespace {

using store::testing::sha;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Examples : public store::testing::StoreTest {
 protected:
  Examples() : ids_(begin({"a", "b", "c"}, "accuracy")) {}

  /// A finished run that was right where `right` has a 1; its BLEU has no part of an example.
  std::string add(const std::string& label, const std::string& right, const std::string& prompt = "what?",
                  int64_t seed = 0) {
    const std::string run = start(ids_.at(label), seed);
    std::string lines;
    for (size_t i = 0; i < right.size(); ++i) {
      lines += R"({"example":)" + std::to_string(i) + R"(,"item/accuracy":)" + right[i] + R"(,"item/loss":)" +
               (right[i] == '1' ? "0.25" : "1.5") + R"(,"prediction":"x","prompt":")" + prompt +
               R"(","reference":"y"})" + "\n";
    }
    store_.put_scores(run,
                      std::vector<store::Score>{{"accuracy", "test", 0.5, 8, true}, {"loss", "test", 1.0, 8, false}});
    store_.add_artifact(run, "predictions_test.jsonl", "predictions", store_.put_object(lines));
    store_.finish_run(run, {sha('1'), 5, 5});
    return run;
  }

  std::map<std::string, store::Id> ids_;
};

TEST_F(Examples, AreComparedOneByOne) {
  // The first alone is right four times, the second once, of eight; both of them twice, none once.
  const auto tests = example_tests(store_, add("a", "11111100"), add("b", "11000010"));
  ASSERT_EQ(tests.size(), 2u);
  EXPECT_EQ(tests[0].metric, "accuracy");
  EXPECT_EQ(tests[0].difference.n, 8);
  EXPECT_DOUBLE_EQ(tests[0].difference.mean, 3 / 8.0);
  EXPECT_EQ(tests[0].only_first, 4);
  EXPECT_EQ(tests[0].only_second, 1);
  EXPECT_DOUBLE_EQ(*tests[0].mcnemar, 2 * (1 + 5) / 32.0);
  EXPECT_EQ(tests[1].metric, "loss");
  EXPECT_DOUBLE_EQ(tests[1].difference.mean, -1.25 * 3 / 8.0);
  EXPECT_FALSE(tests[1].mcnemar);
}

TEST_F(Examples, OfAMethodAreMeansOverTheSeedsItSharesWithTheBaseline) {
  // a is the baseline. b is right once more with either seed, each time elsewhere; c always, on enough examples to tell.
  const std::string wrong(40, '0'), right(40, '1');
  std::string once = wrong, twice = wrong;
  once[3] = '1';
  twice[4] = '1';
  add("a", wrong, "what?", 0);
  add("a", wrong, "what?", 1);
  add("a", right, "what?", 2);  // no other method has this seed
  add("b", once, "what?", 0);
  add("b", twice, "what?", 1);
  add("c", right, "what?", 1);
  add("c", wrong, "and what?", 0);  // other examples are not compared
  const auto tests = method_example_tests(store_, "e");
  ASSERT_EQ(tests.size(), 4u);
  EXPECT_EQ(tests[0].label, "b");
  EXPECT_EQ(tests[0].metric, "accuracy");
  EXPECT_EQ(tests[0].n_seeds, 2);
  EXPECT_EQ(tests[0].difference.n, 40);
  EXPECT_DOUBLE_EQ(tests[0].difference.mean, (0.5 + 0.5) / 40);
  EXPECT_EQ(tests[0].verdict, "no clear difference");
  EXPECT_EQ(tests[1].label, "c");
  EXPECT_EQ(tests[1].n_seeds, 1);
  EXPECT_EQ(tests[1].verdict, "better");
  EXPECT_DOUBLE_EQ(tests[1].p_holm, 2 * tests[1].difference.p);
  EXPECT_EQ(tests[3].metric, "loss");
  EXPECT_DOUBLE_EQ(tests[3].difference.mean, -1.25);
  EXPECT_EQ(tests[3].verdict, "better") << "a lower loss";
}

TEST_F(Examples, NeedABaselineToBeComparedWith) {
  store_.begin_invocation({"f", "", "accuracy"}, {{"k", "a", "lora", {}, {}, false}});
  EXPECT_THAT([&] { method_example_tests(store_, "f"); }, ThrowsMessage<ConfigError>(HasSubstr("has no baseline")));
}

TEST_F(Examples, HaveToBeTheSame) {
  const std::string a = add("a", "11"), b = add("b", "10", "and what?"), c = add("c", "110");
  EXPECT_THAT([&] { example_tests(store_, a, b); }, ThrowsMessage<ConfigError>(HasSubstr("other examples: 2 and 2")));
  EXPECT_THAT([&] { example_tests(store_, a, c); }, ThrowsMessage<ConfigError>(HasSubstr("other examples: 2 and 3")));
}

TEST_F(Examples, HaveToBeKept) {
  const std::string a = add("a", "11"), unfinished = start(ids_.at("b"), 0);
  EXPECT_THAT([&] { example_tests(store_, a, unfinished); },
              ThrowsMessage<ConfigError>(HasSubstr(unfinished + " kept no predictions on test: it is running")));
}

}  // namespace
}  // namespace peftlab::report
