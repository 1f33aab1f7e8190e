/// The comparison of a small hand-made experiment, in every form.

#include "report/comparison.h"

#include "report/html.h"
#include "store/test_store.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace peftlab::report {
namespace {

using store::Id;
using store::MetricPoint;
using store::Score;
using store::testing::sha;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// Three methods with three seeds each, and one that fails.
///
/// bleu: full 30 31 32, lora 33 34.1 34.9 (differences 3.0 3.1 2.9), none 5 5 5. With t = 4.3027 for two degrees of
/// freedom the half widths are full 1 / sqrt(3) t = 2.484, lora sqrt(0.91 / 3) t = 2.370, lora - full 0.1 / sqrt(3) t
/// = 0.248.
class Report : public store::testing::StoreTest {
 protected:
  Report() {
    ids_ = begin({"full", "lora", "none", "<b>&"}, "bleu");
    const std::vector<double> full{30, 31, 32}, lora{33, 34.1, 34.9};
    for (int64_t seed = 0; seed < 3; ++seed) {
      const auto i = static_cast<size_t>(seed);
      const double rise = 0.1 * static_cast<double>(seed);
      add("full", seed, full[i], 0.5 + rise, 1.5, {sha('1'), 120'000, 120'000}, 60'000 + 1000 * seed);
      add("lora", seed, lora[i], 0.4 + rise, 1.1, {sha('2'), 3'500, 123'500}, 9'000 * (seed + 1));
      add("none", seed, 5, 2.0, 1.0, {std::nullopt, 0, 120'000}, std::nullopt);
    }
    const std::string broken = start(ids_["<b>&"], 0);
    store_.fail_run(broken, "diverged", "the loss is nan at step 3\n<script>alert(1)</script>");
    start(ids_["<b>&"], 1);
  }

  void add(const std::string& label, int64_t seed, double bleu, double loss, double retention,
           const store::Outcome& outcome, std::optional<int64_t> wall_ms) {
    const std::string run = start(ids_[label], seed);
    store_.put_scores(run, std::vector<Score>{{"bleu", "test", bleu, 10, true},
                                              {"loss", "test", loss, 10, false},
                                              {"loss", "retention", retention, 20, false}});
    if (wall_ms) {
      store_.append_points(
          run, std::vector<MetricPoint>{{"train/loss", 1, 3.0 + static_cast<double>(seed)}, {"train/loss", 2, 2.0}});
      store_.put_cost(run, {"train", wall_ms, {}, 1'234'000'000 + seed, {}});
    }
    store_.finish_run(run, outcome);
  }

  std::map<std::string, Id> ids_;
};

TEST_F(Report, TerminalTable) {
  EXPECT_EQ(
      render_terminal(comparison(store_, "")),
      R"(e: bleu on test, higher is better; mean ± 95 % interval over seeds; differences to full, paired by seed; p after Holm over the methods

method  seeds          bleu     difference       p  verdict            loss        trainable  training   memory  retention loss
lora        3  34.00 ± 2.37   +3.00 ± 0.25  <0.001  better    0.500 ± 0.248   3,500 (2.83 %)      18 s  1.23 GB  1.100 (+0.100)
full        3  31.00 ± 2.48              -       -  baseline  0.600 ± 0.248  120,000 (100 %)      61 s  1.23 GB  1.500 (+0.500)
none        3   5.00 ± 0.00  -26.00 ± 2.48  <0.001  worse     2.000 ± 0.000          0 (0 %)         -        -  1.000 (+0.000)
<b>&        0             -              -       -  -                     -                -         -        -               -

retention loss: on what the base could do before, when it had 1.000; the change in brackets
unbeaten in mean bleu and training: lora
unbeaten in mean bleu and memory: lora
unbeaten in mean bleu and trainable: lora, none
failed: <b>& seed 0: diverged: the loss is nan at step 3
not finished: <b>& seed 1: running
)");
}

TEST_F(Report, Struct) {
  const Comparison c = comparison(store_, "e");
  EXPECT_EQ(c.primary, "bleu");
  EXPECT_EQ(c.baseline, "full");
  EXPECT_EQ(c.metrics, (std::vector<MetricInfo>{{"bleu", true}, {"loss", false}}));
  EXPECT_EQ(c.methods[0].label, "lora");
  EXPECT_EQ(c.methods[0].train_seconds, 18.0);
  EXPECT_EQ(c.methods[0].train_seconds_max, 27.0);
  EXPECT_EQ(c.methods[0].peak_memory_bytes, 1'234'000'002);
  EXPECT_NEAR(c.methods[0].retention.at("loss"), 1.1, 1e-12);
  EXPECT_EQ(c.retention_before, (std::map<std::string, double>{{"loss", 1.0}}));
  EXPECT_EQ(c.methods[2].train_seconds, std::nullopt);
  EXPECT_THROW(comparison(store_, "other"), ConfigError);
}

TEST_F(Report, LowerIsBetterRanksTheOtherWayRound) {
  begin({"full", "lora", "none"}, "loss");
  std::vector<std::string> labels;
  for (const MethodResult& method : comparison(store_, "e").methods) labels.push_back(method.label);
  EXPECT_THAT(labels, ElementsAre("lora", "full", "none"));
  EXPECT_THAT(render_terminal(comparison(store_, "e")), HasSubstr("loss on test, lower is better"));
}

TEST_F(Report, AVerdictStandsAfterHolmsCorrection) {
  // Differences .4 .5 .75 of one method have p = .0340 (scipy); three others like it make it one of four, and .1360.
  const auto ids = begin({"base", "a", "b", "c", "d"}, "bleu");
  const std::vector<double> rise = {0.4, 0.5, 0.75};
  const auto add_seeds = [&](const std::string& label, double times) {
    for (int64_t seed = 0; seed < 3; ++seed) {
      const std::string run = start(ids.at(label), seed);
      store_.put_scores(run, std::vector<Score>{{"bleu", "test", 10 + times * rise[seed], 10, true}});
      store_.finish_run(run, {sha('1'), 5, 5});
    }
  };
  const auto of_a = [&] { return comparison(store_, "e").methods.front().metrics.at("bleu"); };
  add_seeds("base", 0);
  add_seeds("a", 1);
  EXPECT_NEAR(*of_a().p, 0.0339969, 1e-6);
  EXPECT_EQ(*of_a().p_holm, *of_a().p);
  EXPECT_EQ(of_a().verdict, "better");
  for (const char* label : {"b", "c", "d"}) add_seeds(label, 0.9);
  EXPECT_NEAR(*of_a().p, 0.0339969, 1e-6);
  EXPECT_NEAR(*of_a().p_holm, 4 * 0.0339969, 1e-5);
  EXPECT_EQ(of_a().against->verdict, "better");
  EXPECT_EQ(of_a().verdict, "no clear difference");
  EXPECT_THAT(render_csv(comparison(store_, "e")), HasSubstr(",p,p_holm,verdict,"));
}

TEST_F(Report, WithoutNoneThereIsNoRetention) {
  begin({"full", "lora"}, "bleu");
  EXPECT_TRUE(comparison(store_, "e").retention.empty());
  EXPECT_THAT(render_terminal(comparison(store_, "e")), Not(HasSubstr("retention")));
}

TEST_F(Report, TheUntouchedBaseTellsWhatItCouldDoBefore) {
  const store::Experiment experiment{"f", "", "bleu"};
  const std::vector<store::Id> ids = store_.begin_invocation(
      experiment,
      {{"key-lora", "lora", "lora", {"lora"}, {}, true}, {"key-base", "(base)", "none", {}, {}, false, "base", {}}});
  const std::vector<double> scores = {40, 55};
  for (size_t i = 0; i < 2; ++i) {
    const std::string run = start(ids[i], 0);
    store_.put_scores(run, std::vector<Score>{{"bleu", "retention", scores[i], 10, true}});
    store_.finish_run(run, {sha('1'), 5, 5});
  }
  const Comparison c = comparison(store_, "f");
  ASSERT_EQ(c.methods.size(), 1u) << "the base is no method";
  EXPECT_EQ(c.retention_before.at("bleu"), 55);
  EXPECT_THAT(render_terminal(c), HasSubstr("40.00 (-15.00)"));
}

TEST_F(Report, OtherSeedsAreComparedUnpaired) {
  // scipy 1.17.1: ttest_ind([5, 6, 8], [1, 2, 2.5], equal_var=False): p = 0.02059, interval 1.326 to 7.674.
  const auto ids = begin({"base", "other"}, "bleu");
  const auto add_seed = [&](const std::string& label, int64_t seed, double score) {
    const std::string run = start(ids.at(label), seed);
    store_.put_scores(run, std::vector<Score>{{"bleu", "test", score, 10, true}});
    store_.finish_run(run, {sha('1'), 5, 5});
  };
  const std::vector<double> base = {1, 2, 2.5}, other = {5, 6, 8};
  for (int64_t i = 0; i < 3; ++i) add_seed("base", i, base[static_cast<size_t>(i)]);
  for (int64_t i = 0; i < 3; ++i) add_seed("other", 10 + i, other[static_cast<size_t>(i)]);
  const MetricResult result = comparison(store_, "e").methods.front().metrics.at("bleu");
  EXPECT_FALSE(result.is_paired);
  EXPECT_NEAR(*result.p, 0.02059, 1e-5);
  EXPECT_NEAR(*result.against->ci95_low, 1.326, 1e-3);
  EXPECT_EQ(result.verdict, "better");
  EXPECT_THAT(render_terminal(comparison(store_, "e")), HasSubstr("(unpaired)"));
  // With two seeds in common it is their pairs that count.
  add_seed("other", 0, 3);
  add_seed("other", 1, 4.5);
  EXPECT_TRUE(comparison(store_, "e").methods.front().metrics.at("bleu").is_paired);
}

TEST_F(Report, WhatWasChosenStandsInTheTableWithItsDoubts) {
  store::Variant full{"key-full", "full", "full", {"lora"}, {}, true}, lora{"key-lora", "lora", "lora", {"lora"}, {}, false};
  lora.choices = {{"rank", "match", 21, {8, 21}, "parameters of full", {}, 2, 1.0},
                  {"train.learning_rate", "tune", 0.5, {0.1, 0.5}, "bleu on validation", "at the upper edge", 2, 3.0}};
  store_.begin_invocation({"e", "", "bleu"}, {full, lora});
  const std::string table = render_terminal(comparison(store_, "e"));
  EXPECT_THAT(table, HasSubstr("rank 21, learning_rate 0.5*\n"));
  EXPECT_THAT(
      table,
      HasSubstr("* lora: train.learning_rate = 0.5 by bleu on validation: at the upper edge; tried: [0.1,0.5]\n"));
  EXPECT_THAT(render_json(comparison(store_, "e")), HasSubstr("\"flag\":\"at the upper edge\""));
}

TEST_F(Report, MarkdownAndLatex) {
  const std::string markdown = render_markdown(comparison(store_, "e"));
  EXPECT_THAT(markdown, HasSubstr("| lora    |     3 | 34.00 ± 2.37 |"));
  EXPECT_THAT(markdown, HasSubstr("\\<b\\>\\&"));
  const std::string latex = render_latex(comparison(store_, "e"));
  EXPECT_THAT(latex, HasSubstr("\\begin{tabular}{lrrrrlrrrrr}\n\\toprule\nmethod & seeds & bleu &"));
  EXPECT_THAT(latex, HasSubstr("lora & 3 & 34.00 $\\pm$ 2.37 & +3.00 $\\pm$ 0.25 & <0.001 & better & 0.500 $\\pm$ "
                               "0.248 & 3,500 (2.83 \\%) &"));
}

TEST_F(Report, CsvAndJson) {
  const std::string csv = render_csv(comparison(store_, "e"));
  EXPECT_THAT(csv, HasSubstr("\ne,full,full,bleu,test,3,31.0,1.0,"));
  const Value json = parse_json(render_json(comparison(store_, "e")), "json");
  EXPECT_EQ(*json.find("baseline"), Value("full"));
  const List& methods = *json.find("methods")->get_if<List>();
  ASSERT_EQ(methods.size(), 4u);
  EXPECT_EQ(*methods[0].find("label"), Value("lora"));
  EXPECT_EQ(*methods[0].find("test")->find("bleu")->find("difference")->find("verdict"), Value("better"));
  EXPECT_TRUE(methods[2].find("train_seconds")->is_null());
  EXPECT_EQ(*json.find("fronts")->find("trainable"), Value(List{"lora", "none"}));
  EXPECT_EQ(*(*json.find("failed")->get_if<List>())[0].find("error_kind"), Value("diverged"));
}

TEST_F(Report, HtmlStandsAlone) {
  const std::string html = render_html(page(store_, "e"));
  EXPECT_EQ(html, render_html(page(store_, "e")));
  for (const char* bad : {"<script>alert", "http:", "https:", "src=", "href=", "url(", "<b>"}) {
    EXPECT_THAT(html, Not(HasSubstr(bad)));
  }
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;&amp;"));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_THAT(html, HasSubstr("34.00 ± 2.37"));
  EXPECT_THAT(html, HasSubstr(sha('2')));  // adapter
  EXPECT_THAT(html, HasSubstr(sha('e')));  // plugin
  EXPECT_THAT(html, HasSubstr("abacus"));  // environment
  EXPECT_THAT(html, HasSubstr("Training loss"));
  EXPECT_THAT(html, HasSubstr("bleu on test (higher is better), with 95 % intervals"));
  EXPECT_THAT(html, HasSubstr("bleu against trained parameters"));
}

TEST(Curves, MeanAndBandOverRuns) {
  const double nan = std::nan("");
  const Curve curve =
      curve_of("a", {{{"l", 1, 1.0}, {"l", 2, 3.0}, {"l", 3, nan}}, {{"l", 1, 2.0}, {"l", 2, 5.0}, {"l", 3, 7.0}}});
  EXPECT_THAT(curve.x, ElementsAre(1, 2, 3));
  EXPECT_THAT(curve.mean, ElementsAre(1.5, 4.0, 7.0));
  EXPECT_THAT(curve.low, ElementsAre(1.0, 3.0, 7.0));
  EXPECT_THAT(curve.high, ElementsAre(2.0, 5.0, 7.0));
  // Two parts: steps 1 and 2, steps 3 and 4.
  const Curve coarse = curve_of("a", {{{"l", 1, 1.0}, {"l", 2, 3.0}, {"l", 3, 5.0}, {"l", 4, 9.0}}}, 2);
  EXPECT_THAT(coarse.x, ElementsAre(1.5, 3.5));
  EXPECT_THAT(coarse.mean, ElementsAre(2.0, 7.0));
  EXPECT_TRUE(curve_of("a", {}).x.empty());
}

TEST(Charts, DrawOnlyWhatThereIs) {
  EXPECT_EQ(bar_chart("t", {}), "");
  EXPECT_EQ(curve_chart("t", "x", {}), "");
  EXPECT_EQ(scatter_chart("t", "x", "y", {}), "");
  EXPECT_THAT(ticks(0, 10), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(ticks(3, 3), ElementsAre(3));
  EXPECT_EQ(ticks(1e300, std::nextafter(1e300, 2e300)).size(), 1u);
  // The bar of 2 is twice as high as that of 1.
  EXPECT_THAT(scatter_chart("t", "x", "y", {{"a", 2'000, 1, {}, {}, 0}, {"b", 900'000, 2, {}, {}, 1}}),
              ::testing::AllOf(HasSubstr(">1k<"), HasSubstr(">1M<"), Not(HasSubstr(">10M<"))));
  const std::string bars = bar_chart("<t>", {{"one", 1.0, {}, {}, 0}, {"two", 2.0, 1.5, 2.5, 1}});
  EXPECT_THAT(bars, HasSubstr("<title>&lt;t&gt;</title>"));
  EXPECT_THAT(bars, Not(HasSubstr("nan")));
  const Curve flat{"a", {1}, {2}, {2}, {2}, 0};
  EXPECT_THAT(curve_chart("t", "x", {flat}), Not(HasSubstr("nan")));
}

TEST(Texts, Units) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1'000), "1.00 kB");
  EXPECT_EQ(bytes_text(999'999), "1.00 MB");
  EXPECT_EQ(bytes_text(412'300'000), "412 MB");
  EXPECT_EQ(bytes_text(12'345'000'000), "12.3 GB");
  EXPECT_EQ(seconds_text(0.84), "0.8 s");
  EXPECT_EQ(seconds_text(119.4), "119 s");
  EXPECT_EQ(seconds_text(725), "12 min 5 s");
  EXPECT_EQ(seconds_text(12'000), "3 h 20 min");
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1'234'567), "1,234,567");
}

}  // namespace
}  // namespace peftlab::report
