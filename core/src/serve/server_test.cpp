/// The server beside requests that mean well and requests that do not.

#include "serve/server.h"

#include "store/test_store.h"

#include <peftlab/error.h>
#include <peftlab/value.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <thread>

namespace peftlab::serve {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Serving {
 public:
  explicit Serving(Options options) : server_(std::move(options)), thread_([this] { server_.run(); }) {}
  ~Serving() {
    server_.stop();
    thread_.join();
  }
  int port() const { return server_.port(); }

 private:
  Server server_;
  std::thread thread_;
};

class ServeTest : public store::testing::StoreTest {
 protected:
  ServeTest() : ids_(begin({"full", "<b>lora</b>"})) { finish(ids_.at("full"), 0, 0.5); }

  httplib::Client client(const Serving& serving) { return httplib::Client("127.0.0.1", serving.port()); }

  std::map<std::string, store::Id> ids_;
};

TEST_F(ServeTest, TellsWhatIsThere) {
  const Serving serving({path()});
  auto browser = client(serving);
  const auto home = browser.Get("/");
  ASSERT_TRUE(home);
  EXPECT_EQ(home->status, 200);
  EXPECT_THAT(home->body, HasSubstr("<a href=\"/experiments/e\">e</a>: 1 of 1 runs finished"));
  for (const char* header : {"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control"}) {
    EXPECT_NE(home->get_header_value(header), "") << header;
  }
  EXPECT_THAT(browser.Get("/experiments/e")->body, HasSubstr("finished"));
  EXPECT_THAT(browser.Get("/experiments/e/report")->body, HasSubstr("Verdicts"));
  const Value compared = parse_json(browser.Get("/api/v1/experiments/e/compare")->body, "compare");
  EXPECT_EQ(*compared.find("experiment"), Value("e"));
  EXPECT_EQ(parse_json(browser.Get("/api/v1/experiments")->body, "list").get_if<List>()->size(), 1u);
  EXPECT_EQ(browser.Head("/")->status, 200);
}

TEST_F(ServeTest, FollowsARunWithoutHoldingItUp) {
  const Serving serving({path()});
  auto browser = client(serving);
  const std::string run = start(ids_.at("<b>lora</b>"), 1);
  std::string first;
  for (int64_t step = 1; step <= 3; ++step) {
    store_.append_points(run, std::vector<store::MetricPoint>{{"train/loss", step, 1.5 / static_cast<double>(step)}});
    const auto live = browser.Get("/experiments/e/live");
    EXPECT_THAT(live->body, AllOf(HasSubstr("&lt;b&gt;lora"), Not(HasSubstr("<b>lora")), HasSubstr("running")));
    EXPECT_NE(live->body, std::exchange(first, live->body));
  }
  const auto after = browser.Get(("/api/v1/runs/" + run + "/series/train/loss?after=1").c_str());
  EXPECT_EQ(parse_json(after->body, "series"),
            Value(List{Table{{"step", 2}, {"value", 0.75}}, Table{{"step", 3}, {"value", 0.5}}}));
  // The stream says so when something changes.
  std::string said;
  int changes = 0;
  browser.Get("/events?experiment=e", [&](const char* data, size_t size) {
    said.assign(data, size);
    changes += said.find("event: change") != std::string::npos;
    if (changes == 1) store_.append_points(run, std::vector<store::MetricPoint>{{"train/loss", 3 + 1, 0.25}});
    return changes < 2;
  });
  EXPECT_EQ(changes, 2);
}

TEST_F(ServeTest, TakesNothingAndAnswersOnlyWhoAsksForIt) {
  const Serving serving({path()});
  auto browser = client(serving);
  EXPECT_EQ(browser.Post("/", "x=1", "text/plain")->status / 100, 4);
  EXPECT_EQ(browser.Delete("/experiments/e")->status, 405);
  EXPECT_EQ(browser.Put("/", "", "text/plain")->status, 405);
  EXPECT_EQ(browser.Get("/", {{"Host", "evil.example"}})->status, 403);
  EXPECT_EQ(browser.Get("/", {{"Host", "evil.example:" + std::to_string(serving.port())}})->status, 403);
  EXPECT_EQ(browser.Get("/", {{"Host", "localhost:" + std::to_string(serving.port())}})->status, 200);
  for (const char* place : {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/experiments/..%2f..%2fetc", "/store.db",
                            "/experiments/none", "/api/v1/runs/ffff/series/train/loss"}) {
    const auto answer = browser.Get(place);
    EXPECT_EQ(answer->status, 404) << place;
    EXPECT_THAT(answer->body, Not(HasSubstr("root:"))) << place;
  }
  EXPECT_THAT(browser.Get("/nowhere")->body, HasSubstr("There are: /"));
  EXPECT_THAT(browser.Get("/experiments/none")->body, HasSubstr("it has: e"));
  EXPECT_EQ(browser.Get(("/" + std::string(10'000, 'a')).c_str())->status, 414);
  const auto huge = browser.Get("/", {{"X-Huge", std::string(100'000, 'a')}});
  EXPECT_TRUE(!huge || huge->status / 100 == 4);
  EXPECT_EQ(browser.Get("/api/v1/runs/0/series/l?after=x")->status / 100, 4);
  EXPECT_EQ(browser.Get("/")->status, 200) << "it goes on";
}

TEST_F(ServeTest, StreamsHaveALimit) {
  const Serving serving({path()});
  std::vector<std::thread> followers;
  std::atomic<bool> is_over = false;
  std::atomic<int> open = 0;
  for (int i = 0; i < 12; ++i) {
    followers.emplace_back([&] {
      bool is_counted = false;
      client(serving).Get("/events?experiment=e", [&](const char*, size_t) {
        if (!std::exchange(is_counted, true)) ++open;
        return !is_over;
      });
    });
  }
  while (open < 12) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(client(serving).Get("/events?experiment=e")->status, 503);
  EXPECT_EQ(client(serving).Get("/")->status, 200) << "pages are answered still";
  is_over = true;
  for (std::thread& follower : followers) follower.join();
}

TEST_F(ServeTest, OtherMachinesNeedAToken) {
  const auto refusal = [&](Options options) {
    try {
      Server server(std::move(options));
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_THAT(refusal({path(), "0.0.0.0"}), HasSubstr("give a --token"));
  EXPECT_THAT(refusal({path(), "0.0.0.0", 0, "short"}), HasSubstr("at least 16"));
  const std::string token = "abcdefghijklmnop";
  const Serving serving({path(), "127.0.0.1", 0, token});
  auto browser = client(serving);
  EXPECT_EQ(browser.Get("/")->status, 401);
  EXPECT_EQ(browser.Get("/?token=abcdefghijklmnoq")->status, 401);
  EXPECT_EQ(browser.Get("/", {{"Authorization", "Bearer " + token}})->status, 200);
  const auto once = browser.Get(("/?token=" + token).c_str());
  EXPECT_EQ(once->status, 200);
  EXPECT_THAT(once->get_header_value("Set-Cookie"), AllOf(HasSubstr("HttpOnly"), HasSubstr("SameSite=Strict")));
  EXPECT_EQ(browser.Get("/", {{"Cookie", "other=1; peftlab=" + token}})->status, 200);
  EXPECT_EQ(browser.Get("/", {{"Cookie", "xpeftlab=" + token}})->status, 401);
  EXPECT_THAT(refusal({path(), "127.0.0.1", serving.port()}), HasSubstr("cannot listen on 127.0.0.1"));
  EXPECT_THROW(Server({folder_ / "none"}), StoreError);
}

}  // namespace
}  // namespace peftlab::serve
