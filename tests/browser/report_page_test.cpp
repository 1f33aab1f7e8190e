/// The page of `peftlab report` in a browser.

#include "chromium.h"
#include "report/html.h"
#include "store/test_store.h"
#include "support/files.h"

#include <gmock/gmock.h>

#include <memory>

namespace peftlab::browser {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kHostile = "</title><script>window.ran = 1</script>\"'><img src=x onerror=ran=1>]]>\xe2\x80\xae";

/// Thirteen methods with three seeds each, curves and predictions; the last label is hostile.
class ReportPage : public store::testing::StoreTest {
 protected:
  void SetUp() override {
    if (find_chromium().empty() && without_browser()) GTEST_SKIP() << "no chromium, and PEFTLAB_WITHOUT_BROWSER=1";
    std::vector<std::string> labels{"full"};
    for (int i = 1; i < 12; ++i) labels.push_back("a-long-name-of-method-" + std::to_string(i));
    labels.push_back(kHostile);
    const auto ids = begin(labels);
    for (size_t i = 0; i < labels.size(); ++i) {
      for (int64_t seed = 0; seed < 3; ++seed) add(ids.at(labels[i]), seed, static_cast<double>(i));
    }
    store_.fail_run(start(ids.at("full"), 9), kHostile, kHostile + std::string(1'000'000, 'x') + "\xff");
    const std::string html = report::render_html(report::page(store_, "e"));
    EXPECT_LT(html.size(), 1'000'000u);
    write_text(folder_ / "page.html", html);
    browser_ = std::make_unique<Chromium>();
    browser_->navigate("file://" + (folder_ / "page.html").string());
  }

  void add(store::Id variant, int64_t seed, double i) {
    const std::string run = start(variant, seed);
    const double noise = 0.003 * static_cast<double>(seed * seed);
    store_.put_scores(run, std::vector<store::Score>{{"accuracy", "test", 0.5 + 0.001 * i + noise, 10, true}});
    store_.append_points(
        run, std::vector<store::MetricPoint>{
                 {"train/loss", 1, 3.0 - 0.1 * i}, {"train/loss", 2, 2.0 + noise}, {"validation/loss", 2, 2.5}});
    // Runs that finished in a different order than their texts would sort: 2 s, 4 s, ..., 26 s.
    store_.put_cost(run, {"train", static_cast<int64_t>(2000 * (i + 1)), {}, 5'000'000, {}});
    store_.add_artifact(run, "predictions_test.jsonl", "predictions",
                        store_.put_object(to_json(Table{{"example", 0},
                                                        {"prompt", kHostile},
                                                        {"reference", "r"},
                                                        {"prediction", kHostile},
                                                        {"item/accuracy", 1}}) +
                                          "\n"));
    store_.finish_run(run, {store::testing::sha('a'), static_cast<int64_t>(100 * (i + 1)), 100'000});
  }

  /// The texts of a column of the first table, joined.
  std::string column(int n) {
    return browser_->evaluate("[...document.querySelector('table').tBodies[0].rows].map(r => r.cells[" +
                              std::to_string(n) + "].textContent).join(',')");
  }

  std::unique_ptr<Chromium> browser_;
};

TEST_F(ReportPage, OpensWithoutErrorsAndAsksForNothing) {
  EXPECT_THAT(browser_->errors(), IsEmpty());
  EXPECT_EQ(browser_->requests().size(), 1u);
  EXPECT_EQ(browser_->evaluate("document.title"), "e");
}

TEST_F(ReportPage, HostileTextsAreTextAndRunNothing) {
  EXPECT_EQ(browser_->evaluate("typeof window.ran"), "undefined");
  EXPECT_EQ(browser_->evaluate("document.scripts.length"), 1);
  EXPECT_EQ(browser_->evaluate("document.images.length"), 0);
  EXPECT_TRUE(browser_->evaluate("document.body.textContent.includes(" + nlohmann::json(kHostile).dump() + ")"));
  EXPECT_TRUE(browser_->evaluate("document.querySelector('pre').textContent.includes('more bytes left out')"));
}

TEST_F(ReportPage, SortsByNumberWithPointerAndKeys) {
  const int training = browser_->evaluate(
      "[...document.querySelector('table').tHead.rows[0].cells].findIndex(c => c.textContent == 'training')");
  const std::string header = "table th:nth-child(" + std::to_string(training + 1) + ")";
  const std::string up = "2.0 s,4.0 s,6.0 s,8.0 s,10 s,12 s,14 s,16 s,18 s,20 s,22 s,24 s,26 s";
  browser_->click(header);
  EXPECT_EQ(column(training), up);
  EXPECT_EQ(browser_->evaluate("document.querySelector('" + header + "').getAttribute('aria-sort')"), "ascending");
  browser_->evaluate("document.querySelector('" + header + "').focus()");
  browser_->press("Enter");
  EXPECT_EQ(column(training).substr(0, 10), "26 s,24 s,");
  browser_->press(" ");
  EXPECT_EQ(column(training), up);
}

TEST_F(ReportPage, TellsTheExactValueUnderThePointerAndInFocus) {
  EXPECT_TRUE(browser_->evaluate("document.querySelector('#tip').hidden"));
  // The first mark is the best method's: 0.512, 0.515, 0.524.
  browser_->hover("svg .mark");
  const std::string tip = browser_->evaluate("document.querySelector('#tip').textContent");
  EXPECT_THAT(tip, HasSubstr(": 0.517"));
  EXPECT_THAT(tip, HasSubstr("n = 3"));
  browser_->hover("h1");
  EXPECT_TRUE(browser_->evaluate("document.querySelector('#tip').hidden"));
  browser_->evaluate("document.querySelector('svg .mark').focus()");
  EXPECT_FALSE(browser_->evaluate("document.querySelector('#tip').hidden"));
}

TEST_F(ReportPage, TheLegendHidesAndShowsAMethodInItsFigureAlone) {
  const std::string hidden =
      "[...document.querySelectorAll('svg')].map(s => s.querySelectorAll('.gone').length > 0)"
      ".filter(x => x).length";
  EXPECT_EQ(browser_->evaluate(hidden), 0);
  browser_->click("svg .key text");
  EXPECT_EQ(browser_->evaluate(hidden), 1);
  EXPECT_EQ(browser_->evaluate("getComputedStyle(document.querySelector('.gone')).display"), "none");
  browser_->evaluate("document.querySelector('svg .key').focus()");
  browser_->press("Enter");
  EXPECT_EQ(browser_->evaluate(hidden), 0);
}

TEST_F(ReportPage, TheFilterLeavesTheRunsThatHaveTheText) {
  const std::string left = "[...document.querySelector('#runs-table').tBodies[0].rows].filter(r => !r.hidden).length";
  EXPECT_EQ(browser_->evaluate(left), 40);
  browser_->evaluate(
      "(() => { const f = document.querySelector('input'); f.value = 'FAILED';"
      " f.dispatchEvent(new Event('input')); })()");
  EXPECT_EQ(browser_->evaluate(left), 1);
}

TEST_F(ReportPage, PrintsWhatIsFoldedAndFoldsItAgain) {
  const std::string open = "document.querySelectorAll('details[open]').length";
  // As where there are more metrics than the first; one of them unfolded by the reader.
  browser_->evaluate("document.body.insertAdjacentHTML('beforeend', '<details></details><details open></details>'), 1");
  EXPECT_EQ(browser_->evaluate(open), 1);
  browser_->evaluate("dispatchEvent(new Event('beforeprint'))");
  EXPECT_EQ(browser_->evaluate(open), 2);
  browser_->evaluate("dispatchEvent(new Event('afterprint'))");
  EXPECT_EQ(browser_->evaluate(open), 1);
}

TEST_F(ReportPage, HasTwoSchemesWithContrast) {
  const auto paper = [&] { return browser_->evaluate("getComputedStyle(document.body).backgroundColor"); };
  // The least contrast (WCAG 2.1) of the ink, the faint ink and the colours of methods against the paper.
  const std::string contrast = R"js((() => {
    const light = (name) => {
      const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1);
      const [r, g, b] = [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16) / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (name) => {
      const [a, b] = [light(name), light('--paper')].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    };
    return [Math.min(...['--ink', '--faint', '--good', '--bad', '--focus'].map(ratio)),
            Math.min(...[...Array(8).keys()].map(i => ratio('--c' + i)))];
  })())js";
  for (const std::string scheme : {"light", "dark"}) {
    browser_->emulate("screen", scheme);
    EXPECT_EQ(paper(), scheme == "light" ? "rgb(255, 255, 255)" : "rgb(21, 24, 28)");
    const nlohmann::json least = browser_->evaluate(contrast);
    EXPECT_GE(least[0].get<double>(), 4.5) << scheme;
    EXPECT_GE(least[1].get<double>(), 3.0) << scheme;
  }
  browser_->emulate("print", "dark");
  EXPECT_EQ(paper(), "rgb(255, 255, 255)");
}

TEST_F(ReportPage, FitsANarrowView) {
  for (const int width : {400, 1200}) {
    browser_->resize(width, 800);
    EXPECT_LE(browser_->evaluate("document.documentElement.scrollWidth").get<int>(), width);
  }
}

TEST_F(ReportPage, NoTwoTextsOfAFigureOverlap) {
  browser_->evaluate("document.querySelectorAll('details').forEach(d => d.open = true)");
  const nlohmann::json overlaps = browser_->evaluate(R"js((() => {
    const found = [];
    for (const svg of document.querySelectorAll('svg')) {
      const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
      boxes.forEach(([a, x], i) => boxes.slice(i + 1).forEach(([b, y]) => {
        const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
        const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
        if (wide > 1 && high > 3) found.push(svg.getAttribute('aria-label') + ': ' + a + ' | ' + b);
      }));
    }
    return found;
  })())js");
  EXPECT_THAT(overlaps, IsEmpty());
}

}  // namespace
}  // namespace peftlab::browser
