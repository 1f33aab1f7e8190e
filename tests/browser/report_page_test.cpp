/// The page of `peftlab report` in a browser.

#include "chromium.h"

#include "report/html.h"
#include "store/test_store.h"
#include "support/files.h"

#include <gmock/gmock.h>

namespace peftlab::browser {
namespace {

class ReportPage : public store::testing::StoreTest {
 protected:
  void SetUp() override {
    if (find_chromium().empty() && without_browser()) GTEST_SKIP() << "no chromium, and PEFTLAB_WITHOUT_BROWSER=1";
    const auto ids = begin({"full", "lora"});
    for (int64_t seed = 0; seed < 3; ++seed) {
      finish(ids.at("full"), seed, 0.5 + 0.01 * static_cast<double>(seed));
      finish(ids.at("lora"), seed, 0.7 + 0.02 * static_cast<double>(seed));
    }
    write_text(folder_ / "page.html", report::render_html(report::page(store_, "e")));
    browser_ = std::make_unique<Chromium>();
    browser_->navigate("file://" + (folder_ / "page.html").string());
  }

  std::unique_ptr<Chromium> browser_;
};

TEST_F(ReportPage, OpensWithoutErrorsAndAsksForNothing) {
  EXPECT_THAT(browser_->errors(), ::testing::IsEmpty());
  EXPECT_EQ(browser_->requests().size(), 1u);
  EXPECT_EQ(browser_->evaluate("document.title"), "e");
}

}  // namespace
}  // namespace peftlab::browser
