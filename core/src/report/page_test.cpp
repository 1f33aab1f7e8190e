/// The parts of the page: escaping, settings, predictions with their pictures, logarithms that are said.

#include "report/html.h"
#include "report/markup.h"
#include "store/test_store.h"
#include "support/files.h"

#include <gmock/gmock.h>

namespace peftlab::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Markup, ShownSaysWhatIsLeftOut) {
  EXPECT_EQ(shown("a<b>", 10), "a&lt;b&gt;");
  EXPECT_EQ(shown(std::string(25, 'x'), 10), "xxxxxxxxxx… (15 more bytes left out)");
  EXPECT_EQ(shown(std::string(9, 'x') + "é" + "yy", 10), "xxxxxxxxx… (4 more bytes left out)");
  EXPECT_EQ(shown(std::string("\0\xff", 2)), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Markup, Base64) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("M"), "TQ==");
  EXPECT_EQ(base64("Ma"), "TWE=");
  EXPECT_EQ(base64("Man\xff"), "TWFu/w==");
}

TEST(Figures, SayWhereTheyAreLogarithmic) {
  EXPECT_THAT(bar_chart("t", {{"a", 1}, {"b", 90}}), Not(HasSubstr("logarithmic")));
  const std::string wide = bar_chart("t", {{"a", 10}, {"b", 90'000}, {"zero", 0}});
  EXPECT_THAT(wide, AllOf(HasSubstr("t (logarithmic)"), HasSubstr(">10k<"), Not(HasSubstr("nan"))));
  EXPECT_THAT(
      scatter_chart("t", "x", "y", {{"a", 0, 1, {}, {}, 0}, {"b", 10, 2, {}, {}, 1}, {"c", 5000, 2, {}, {}, 2}}),
      AllOf(HasSubstr("x (logarithmic)"), HasSubstr(">0<"), Not(HasSubstr("inf"))));
}

TEST(Figures, TheFrontIsStairsFromTheCheapest) {
  Mark cheap{"a", 1, 1, {}, {}, 0, "", true}, dear{"b", 2, 2, {}, {}, 1, "", true};
  const std::string svg = scatter_chart("t", "x", "y", {dear, cheap});
  const size_t at = svg.find("class=\"front\" points=\"");
  ASSERT_NE(at, std::string::npos);
  // Right first, then up.
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0, x3 = 0, y3 = 0;
  ASSERT_EQ(
      std::sscanf(svg.c_str() + at, "class=\"front\" points=\"%lf,%lf %lf,%lf %lf,%lf", &x1, &y1, &x2, &y2, &x3, &y3),
      6);
  EXPECT_LT(x1, x2);
  EXPECT_EQ(y1, y2);
  EXPECT_EQ(x2, x3);
  EXPECT_GT(y2, y3);
}

class PageParts : public store::testing::StoreTest {
 protected:
  /// A finished run with one prediction.
  void predict(store::Id variant, int64_t seed, const std::string& said, const std::string& image = "") {
    Table line{{"example", 0}, {"prompt", "what?"}, {"reference", "it"}, {"prediction", said}, {"item/accuracy", 0.25}};
    store::RunInputs inputs;
    if (!image.empty()) {
      const auto data = folder_ / "data.csv";
      write_text(data, "image_path,text\n" + image + ",it\n");
      inputs.datasets = {store_.add_dataset({"data.csv", "test", data.string(), 1, store::testing::sha('d')})};
    }
    const std::string run = store_.create_run(variant, seed, inputs);
    store_.start_run(run, store_.add_environment({}), "test");
    store_.put_scores(run, std::vector<store::Score>{{"accuracy", "test", 0.5, 1, true}});
    store_.add_artifact(run, "predictions_test.jsonl", "predictions", store_.put_object(to_json(line) + "\n"));
    store_.finish_run(run, {store::testing::sha('a'), 100, 1000});
  }
};

TEST_F(PageParts, PredictionsAreOfTheLeastSeedThatAllHave) {
  const auto ids = begin({"full", "lora"});
  predict(ids.at("full"), 0, "full-0");
  predict(ids.at("full"), 1, "full-1");
  predict(ids.at("lora"), 1, "lora-1");
  const Page made = page(store_, "e");
  EXPECT_EQ(made.examples.seed, 1);
  const std::string html = render_html(made);
  EXPECT_THAT(html, AllOf(HasSubstr("full-1"), HasSubstr("lora-1"), Not(HasSubstr("full-0"))));
  EXPECT_THAT(html, HasSubstr("data-value=\"0.25\""));
}

TEST_F(PageParts, PicturesAreEmbeddedOrSaidToBeMissing) {
  const std::string png = "a.png", text = "b.png", large = "c.png";  // beside the data file
  write_text(folder_ / png, "\x89PNG\r\n\x1a\nrest");
  write_text(folder_ / text, "<svg onload=alert(1)>");
  write_text(folder_ / large, "\x89PNG\r\n\x1a\n" + std::string(200'000, 'x'));
  const std::vector<std::pair<std::string, std::string>> cases{{png, "src=\"data:image/png;base64,iVBORw0KGgpyZXN0\""},
                                                               {text, "is neither PNG nor JPEG"},
                                                               {large, "is larger than 200 kB"},
                                                               {"none.png", "is not there"}};
  for (const auto& [file, said] : cases) {
    const auto fresh = begin({"full" + file});
    predict(fresh.begin()->second, 0, "p", file);
    EXPECT_THAT(render_html(page(store_, "e")), HasSubstr(said));
  }
  // What was answered is not what the file says now, or the file is gone.
  write_text(folder_ / "data.csv", "image_path,text\na.png,another\n");
  EXPECT_THAT(render_html(page(store_, "e")), HasSubstr("the data file has changed since"));
  std::filesystem::remove(folder_ / "data.csv");
  EXPECT_THAT(render_html(page(store_, "e")), Not(HasSubstr("<img")));
}

TEST_F(PageParts, WhatASearchTriedIsDrawnForEachMethod) {
  const auto trial = [&](const std::string& key, double rate) {
    return store::Variant{
        key,   "full [" + key + "]", "full", {}, Table{{"train", Table{{"learning_rate", rate}}}}, false, "trial",
        "full"};
  };
  store::Variant full{"k", "full", "full", {"full"}, {}, true};
  full.choices = {{"train.learning_rate", "tune", 0.5, {0.005, 0.5}, "accuracy on validation", {}, 2, 1.0}};
  const auto ids =
      store_.begin_invocation({"e", "seeds = [0]", "accuracy"}, {full, trial("low", 0.005), trial("high", 0.5)});
  finish(ids[0], 0, 0.5);
  finish(ids[1], 0, {{"accuracy", "validation", 0.25, 10, true}});
  finish(ids[2], 0, {{"accuracy", "validation", 0.75, 10, true}});
  const Page made = page(store_, "e");
  ASSERT_EQ(made.searches.size(), 1u);
  ASSERT_EQ(made.searches[0].curves.size(), 1u);
  EXPECT_EQ(made.searches[0].curves[0].x, (std::vector<double>{0.005, 0.5}));
  EXPECT_EQ(made.searches[0].curves[0].mean, (std::vector<double>{0.25, 0.75}));
  EXPECT_EQ(made.runs.size(), 1u) << "a trial is no run of the comparison";
  const std::string html = render_html(made);
  EXPECT_THAT(html,
              AllOf(HasSubstr("accuracy on validation"), HasSubstr("learning_rate 0.005"), HasSubstr("seeds = [0]")));
}

TEST_F(PageParts, SettingsThatDifferAreToldByTheirPlugins) {
  const auto config = [](int rank) {
    return Table{{"methods", List{Table{{"plugin", "lora"}, {"options", Table{{"rank", rank}}}}}}, {"common", 7}};
  };
  const auto ids = store_.begin_invocation({"e", "", "accuracy"}, {{"a", "a", "lora", {"lora"}, config(2), true},
                                                                   {"b", "b", "lora", {"lora"}, config(4), false}});
  finish(ids[0], 0, 0.5);
  finish(ids[1], 0, 0.75);
  const std::string html = render_settings(page(store_, "e"));
  EXPECT_THAT(html,
              AllOf(HasSubstr("accuracy against lora.rank"), HasSubstr("data-value=\"4\""), Not(HasSubstr("common"))));
}

}  // namespace
}  // namespace peftlab::report
