/// The pages of `peftlab serve` in a browser, while a run goes on.

#include "chromium.h"
#include "serve/server.h"
#include "store/test_store.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

namespace peftlab::browser {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kHostile = "<img src=x onerror=\"window.ran=1\">";

class LivePage : public store::testing::StoreTest {
 protected:
  void SetUp() override {
    if (find_chromium().empty() && without_browser()) GTEST_SKIP() << "no chromium, and PEFTLAB_WITHOUT_BROWSER=1";
    run_ = start(begin({kHostile}).at(kHostile), 0);
    server_ = std::make_unique<serve::Server>(serve::Options{path()});
    thread_ = std::thread([this] { server_->run(); });
    browser_ = std::make_unique<Chromium>();
  }
  void TearDown() override {
    browser_.reset();
    if (!server_) return;
    server_->stop();
    thread_.join();
  }

  void step(int64_t number) {
    store_.append_points(run_,
                         std::vector<store::MetricPoint>{{"train/loss", number, 3.0 / static_cast<double>(number)}});
  }

  std::string url(const std::string& place) { return "http://127.0.0.1:" + std::to_string(server_->port()) + place; }

  /// Waits, 10 s at most, until the page's text has `wanted`.
  bool shows(const std::string& wanted) {
    for (int tries = 0; tries < 100; ++tries) {
      const std::string text = browser_->evaluate("document.body.innerText");
      if (text.find(wanted) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }

  std::string run_;
  std::unique_ptr<serve::Server> server_;
  std::thread thread_;
  std::unique_ptr<Chromium> browser_;
};

TEST_F(LivePage, FollowsARunWithoutBeingLoadedAgain) {
  step(1);
  step(2);
  browser_->navigate(url("/experiments/e"));
  EXPECT_TRUE(shows("running"));
  browser_->evaluate("window.loaded_once = true");
  const std::string curve = browser_->evaluate("document.querySelector('#live polyline').getAttribute('points')");
  for (int64_t number = 3; number <= 40; ++number) step(number);
  EXPECT_TRUE(shows("\t40\t")) << std::string(browser_->evaluate("document.body.innerText"));
  EXPECT_NE(curve, std::string(browser_->evaluate("document.querySelector('#live polyline').getAttribute('points')")));
  store_.fail_run(run_, "diverged", "the loss is nan");
  EXPECT_TRUE(shows("failed"));
  EXPECT_EQ(browser_->evaluate("window.loaded_once === true"), true);
  EXPECT_EQ(browser_->evaluate("typeof window.ran"), "undefined");
  EXPECT_THAT(browser_->errors(), IsEmpty());
  for (const std::string& request : browser_->requests()) EXPECT_THAT(request, HasSubstr(url("/")));
}

TEST_F(LivePage, LeadsFromTheExperimentsToTheReport) {
  step(1);
  browser_->navigate(url("/"));
  EXPECT_TRUE(shows("1 running"));
  browser_->navigate(url(browser_->evaluate("document.querySelector('li a').getAttribute('href')")));
  EXPECT_TRUE(shows("the report as it stands"));
  browser_->navigate(url(browser_->evaluate("document.querySelector('p a:last-child').getAttribute('href')")));
  EXPECT_TRUE(shows("Verdicts"));
  EXPECT_EQ(browser_->evaluate("typeof window.ran"), "undefined");
  EXPECT_THAT(browser_->errors(), IsEmpty());
}

}  // namespace
}  // namespace peftlab::browser
