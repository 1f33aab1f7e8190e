/// Opening, the catalog, and the life of a run.

#include "store/test_store.h"

#include <gmock/gmock.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include <cmath>
#include <fstream>
#include <limits>

namespace peftlab::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::sha;
using testing::StoreTest;

/// The message of the exception E that `call` throws.
template <typename E, typename F>
std::string message_of(F call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing thrown";
}

/// Plain SQL behind the store's back; returns SQLite's message, empty if it went well.
std::string behind(const std::filesystem::path& folder, const std::string& sql) {
  sqlite3* db = nullptr;
  sqlite3_open((folder / "store.db").c_str(), &db);
  char* message = nullptr;
  sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message);
  const std::string text = message ? message : "";
  sqlite3_free(message);
  sqlite3_close(db);
  return text;
}

TEST_F(StoreTest, OpensAgainAndKeepsItsName) {
  EXPECT_EQ(Store::open(path(), Mode::read_only).uuid(), store_.uuid());
  EXPECT_EQ(Store::open(path(), Mode::read_write_create).uuid(), store_.uuid());
  const Rows rows = query(path(), "SELECT count(*) FROM t_quantiles");
  EXPECT_THAT(rows.rows.at(0), ElementsAre(Cell(int64_t{1001})));
}

TEST_F(StoreTest, RefusesWhatIsNoStore) {
  EXPECT_THAT(message_of<StoreError>([&] { Store::open(folder_ / "nowhere", Mode::read_write); }),
              HasSubstr("there is no store"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "nowhere"));

  std::filesystem::create_directory(folder_ / "text");
  std::ofstream(folder_ / "text" / "store.db") << std::string(5000, 'x');
  for (const Mode mode : {Mode::read_only, Mode::read_write, Mode::read_write_create}) {
    EXPECT_THAT(message_of<StoreError>([&] { Store::open(folder_ / "text", mode); }), HasSubstr("no peftlab store"));
  }

  std::filesystem::create_directory(folder_ / "other");
  ASSERT_EQ(behind(folder_ / "other", "CREATE TABLE runs (a)"), "");
  for (const Mode mode : {Mode::read_only, Mode::read_write_create}) {
    EXPECT_THAT(message_of<StoreError>([&] { Store::open(folder_ / "other", mode); }), HasSubstr("no peftlab store"));
  }
}

TEST_F(StoreTest, RefusesOtherVersions) {
  for (const int64_t version : {int64_t{0}, kSchemaVersion + 1}) {
    ASSERT_EQ(behind(path(), "PRAGMA user_version = " + std::to_string(version)), "");
    EXPECT_THROW(Store::open(path(), Mode::read_write_create), StoreVersionError);
    EXPECT_THAT(message_of<StoreVersionError>([&] { Store::open(path(), Mode::read_only); }),
                HasSubstr("schema version " + std::to_string(version) + ", this peftlab reads version " +
                          std::to_string(kSchemaVersion)));
    EXPECT_THROW(query(path(), "SELECT 1"), StoreVersionError);
  }
}

TEST_F(StoreTest, FindsWhatIsThere) {
  const Id base = store_.add_base_model({"m", "toy", 10, "float32", sha('1')});
  EXPECT_EQ(store_.add_base_model({"m", "toy", 10, "float32", sha('1')}), base);
  EXPECT_NE(store_.add_base_model({"m", "toy", 10, "float32", sha('2')}), base);
  const Id environment = store_.add_environment({{"cores", 2}, {"cpu", "x"}});
  EXPECT_EQ(store_.add_environment({{"cpu", "x"}, {"cores", 2}}), environment);
  EXPECT_NE(store_.add_environment({{"cpu", "x"}, {"cores", 3}}), environment);
  EXPECT_THROW(store_.add_dataset({"d", "holdout", "p", 1, sha('1')}), StoreError);
  EXPECT_THROW(store_.add_plugin({"p", "method", "f", "no checksum", 1, "2"}), StoreError);
}

TEST_F(StoreTest, AnExperimentGoesOnUnderItsName) {
  const auto first = begin({"full", "lora"});
  finish(first.at("lora"), 0, 0.5);
  // The second file has lost "full", calls lora "low-rank", and has a new baseline.
  const std::vector<Id> second = store_.begin_invocation(
      {"e", "# edited", "loss"},
      {{"key-new", "new", "lora", {"lora"}, {}, true}, {"key-lora", "low-rank", "lora", {"lora"}, {}, false}});
  EXPECT_EQ(second.at(1), first.at("lora"));
  ASSERT_EQ(store_.experiments().size(), 1u);
  EXPECT_EQ(store_.experiments()[0].baseline, "new");
  EXPECT_EQ(store_.experiments()[0].primary_metric, "loss");
  EXPECT_EQ(store_.compare("e").at(0).label, "low-rank");
  const Rows texts = query(path(), "SELECT config_text FROM invocations ORDER BY invocation_id");
  EXPECT_THAT(texts.rows, ElementsAre(ElementsAre(Cell("# the file")), ElementsAre(Cell("# edited"))));
  // A variant that is gone stays in the store, but not in the comparison.
  store_.begin_invocation({"e", "", "loss"}, {{"key-new", "new", "lora", {"lora"}, {}, true}});
  EXPECT_TRUE(store_.compare("e").empty());
  EXPECT_EQ(store_.runs("e").size(), 1u);
  EXPECT_FALSE(store_.runs("e")[0].is_current);
  // Labels may change hands.
  store_.begin_invocation({"e", "", "loss"},
                          {{"key-new", "low-rank", "lora", {}, {}, false}, {"key-lora", "new", "lora", {}, {}, true}});
  EXPECT_EQ(store_.compare("e").at(0).label, "new");
}

TEST_F(StoreTest, KeepsWhatASearchTriedApartFromTheComparison) {
  const Experiment experiment{"e", "# the file", "accuracy"};
  const Variant trial{"key-slow", "lora [rate=0.1]", "lora", {"lora"}, {}, false, "trial", "lora"};
  Variant method{"key-lora", "lora", "lora", {"lora"}, {}, true};
  finish(store_.add_variants(experiment, {trial}).at(0), 0,
         {{"accuracy", "validation", 0.9, 10, true}, {"accuracy", "test", 0.9, 10, true}});
  EXPECT_TRUE(store_.compare("e").empty());
  method.choices = {{"train.learning_rate", "tune", 0.1, {0.1, 0.2}, "accuracy on validation", "at the lower edge", 2, 4.0}};
  const std::vector<Id> ids = store_.begin_invocation(experiment, {method, trial});
  finish(ids.at(0), 0, 0.5);

  ASSERT_EQ(store_.compare("e").size(), 1u);
  EXPECT_EQ(store_.compare("e")[0].mean, 0.5);
  EXPECT_TRUE(store_.paired("e").empty());
  const std::vector<RunRow> runs = store_.runs("e");
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_TRUE(runs[0].is_compared());
  EXPECT_FALSE(runs[1].is_compared());
  EXPECT_EQ(runs[1].role, "trial");
  EXPECT_EQ(runs[1].of_label, "lora");
  const Rows trials =
      query(path(), "SELECT label, trial, metric, split, value FROM v_trials WHERE split = 'validation'");
  EXPECT_THAT(trials.rows, ElementsAre(ElementsAre(Cell("lora"), Cell("lora [rate=0.1]"), Cell("accuracy"),
                                                   Cell("validation"), Cell(0.9))));
  const Choice choice = store_.choices("e").at("lora").at(0);
  EXPECT_EQ(choice.option, "train.learning_rate");
  EXPECT_EQ(choice.value, Value(0.1));
  EXPECT_EQ(choice.tried, (List{0.1, 0.2}));
  EXPECT_EQ(choice.flag, "at the lower edge");
  EXPECT_EQ(choice.seconds, 4.0);
  // Another search for the same label takes the place of the old one; a choice not made again is gone.
  store_.add_variants(experiment, {{"key-slower", "lora [rate=0.1]", "lora", {"lora"}, {}, false, "trial", "lora"}});
  EXPECT_EQ(query(path(), "SELECT is_current FROM variants WHERE variant_key = 'key-slow'").rows[0][0], Cell(int64_t{0}));
  method.choices.clear();
  store_.begin_invocation(experiment, {method});
  EXPECT_TRUE(store_.choices("e").empty());
  // A trial is of something, a method of nothing, and a trial is no baseline.
  EXPECT_THROW(store_.add_variants(experiment, {{"k1", "t", "lora", {}, {}, false, "trial", {}}}), StoreError);
  EXPECT_THROW(store_.add_variants(experiment, {{"k2", "m", "lora", {}, {}, false, "method", "lora"}}), StoreError);
  EXPECT_THROW(store_.add_variants(experiment, {{"k3", "b", "lora", {}, {}, true, "trial", "lora"}}), StoreError);
}

TEST_F(StoreTest, RefusesMethodsThatCannotBeToldApart) {
  EXPECT_THAT(message_of<ConfigError>([&] {
                store_.begin_invocation({"e", "", "loss"},
                                        {{"k1", "a", "lora", {}, {}, false}, {"k2", "a", "lora", {}, {}, false}});
              }),
              HasSubstr("two methods labelled \"a\""));
  EXPECT_THAT(message_of<ConfigError>([&] {
                store_.begin_invocation({"e", "", "loss"},
                                        {{"k", "a", "lora", {}, {}, false}, {"k", "b", "lora", {}, {}, false}});
              }),
              HasSubstr("\"a\" and \"b\" are the same"));
  EXPECT_THAT(message_of<ConfigError>([&] {
                store_.begin_invocation({"e", "", "loss"},
                                        {{"k1", "a", "lora", {}, {}, true}, {"k2", "b", "lora", {}, {}, true}});
              }),
              HasSubstr("two baselines"));
  EXPECT_TRUE(store_.experiments().empty());
}

TEST_F(StoreTest, ARunFromBeginningToEnd) {
  const Id lora = begin({"full", "lora"}).at("lora");
  EXPECT_FALSE(store_.newest_attempt(lora, 7));
  const std::string run = store_.create_run(lora, 7, inputs());
  EXPECT_EQ(store_.newest_attempt(lora, 7)->state, "pending");
  store_.start_run(run, store_.add_environment({{"cpu", "abacus"}}), "worker 1");
  const std::vector<MetricPoint> points{{"train/loss", 1, 2.5}, {"train/loss", 2, 2.25}};
  store_.append_points(run, points);
  store_.put_scores(run, std::vector<Score>{{"loss", "test", 0.1, 12, false}});
  store_.put_cost(run, {"load", 100, {}, {}, {}});
  store_.put_cost(run, {"train", 1500, 2000, 7000, 9000});
  const std::string object = store_.put_object("adapter bytes");
  store_.add_artifact(run, "adapter_model.safetensors", "adapter", object);
  store_.add_event(run, "note", {{"x", 1}});
  store_.finish_run(run, {object, 10, 1000});

  const RunDetail detail = store_.run(run.substr(0, 8));
  EXPECT_EQ(detail.run.state, "finished");
  EXPECT_EQ(detail.run.seed, 7);
  EXPECT_EQ(detail.run.adapter_sha256, object);
  EXPECT_EQ(detail.run.base_sha256, sha('b'));
  EXPECT_EQ(detail.run.train_seconds, 1.5);
  EXPECT_EQ(detail.run.peak_memory_bytes, 9000);  // the device's, where there is one
  EXPECT_EQ(detail.run.trainable_parameters, 10);
  EXPECT_EQ(detail.config.at("rate"), Value(0.5));
  EXPECT_EQ(detail.environment.at("cpu"), Value("abacus"));
  EXPECT_EQ(detail.plugins, (std::vector<Plugin>{{"lora", "method", "plugins/lora.so", sha('e'), 1, "2.11.0"}}));
  EXPECT_EQ(detail.datasets, (std::vector<Dataset>{{"pairs", "test", "data/test.csv", 10, sha('d')}}));
  ASSERT_EQ(detail.scores.size(), 1u);
  EXPECT_EQ(detail.scores[0].value, 0.1);
  EXPECT_EQ(detail.artifacts.at(0).size_bytes, 13);
  EXPECT_THAT(detail.series, ElementsAre("train/loss"));
  std::vector<std::string> kinds;
  for (const Event& event : detail.events) kinds.push_back(event.kind);
  EXPECT_THAT(kinds, ElementsAre("state", "note", "state"));
  EXPECT_THAT(detail.events[2].detail_json, HasSubstr("\"to\":\"finished\""));

  const Rows view = query(path(),
                          "SELECT run_uuid, experiment, label, method, seed, state, adapter_sha256, base_sha256, "
                          "trainable_parameters, train_seconds, peak_memory_bytes FROM v_runs");
  EXPECT_THAT(view.rows.at(0),
              ElementsAre(Cell(run), Cell("e"), Cell("lora"), Cell("lora"), Cell(int64_t{7}), Cell("finished"),
                          Cell(object), Cell(sha('b')), Cell(int64_t{10}), Cell(1.5), Cell(int64_t{9000})));
}

TEST_F(StoreTest, RefusesIllegalMoves) {
  const Id lora = begin({"lora"}).at("lora");
  const std::string pending = store_.create_run(lora, 0, {});
  EXPECT_THROW(store_.finish_run(pending, {sha('a'), 1, 2}), StoreError);
  EXPECT_THROW(store_.interrupt_run(pending), StoreError);
  EXPECT_THROW(store_.append_points(pending, std::vector<MetricPoint>{{"train/loss", 1, 1.0}}), StoreError);
  EXPECT_THROW(store_.put_scores(pending, std::vector<Score>{{"loss", "test", 1.0, 1, false}}), StoreError);

  EXPECT_THAT(behind(path(), "UPDATE runs SET state = 'interrupted'"), HasSubstr("illegal change"));
  EXPECT_THAT(behind(path(), "UPDATE runs SET state = 'lost'"), HasSubstr("illegal change"));

  const std::string done = finish(lora, 1, 0.5);
  EXPECT_THAT(message_of<StoreError>([&] { store_.start_run(done, 1, ""); }), HasSubstr("has ended: finished"));
  EXPECT_THAT(message_of<StoreError>([&] { store_.fail_run(done, "x", "y"); }), HasSubstr("not changed any more"));
  EXPECT_THROW(store_.cancel_run(done), StoreError);
  EXPECT_THROW(store_.put_cost(done, {"train", 1, {}, {}, {}}), StoreError);
  EXPECT_THROW(store_.put_scores(done, std::vector<Score>{{"accuracy", "test", 0.9, 1, true}}), StoreError);
  EXPECT_THAT(behind(path(), "UPDATE runs SET seed = 3 WHERE state = 'finished'"), HasSubstr("not changed any more"));
  EXPECT_THAT(behind(path(), "UPDATE run_scores SET value = 1"), HasSubstr("while a run is running"));
  EXPECT_THAT(behind(path(), "DELETE FROM run_scores"), HasSubstr("not deleted"));

  const std::string running = start(lora, 2);
  store_.append_points(running, std::vector<MetricPoint>{{"train/loss", 1, 1.0}});
  EXPECT_THAT(behind(path(), "UPDATE metric_points SET value = 0"), HasSubstr("append-only"));
  EXPECT_THAT(behind(path(), "DELETE FROM metric_points"), HasSubstr("append-only"));
  EXPECT_THAT(message_of<StoreError>([&] { store_.start_run(running, 1, ""); }),
              HasSubstr("already running, in process " + std::to_string(getpid())));
  EXPECT_THAT(message_of<StoreError>([&] {
                store_.finish_run(running, {{}, 5, 10});
              }),
              HasSubstr("no adapter checksum"));
  store_.finish_run(running, {{}, 0, 10});  // method "none"
  EXPECT_THROW(store_.heartbeat("no such run"); store_.run("no such run"), ConfigError);
}

TEST_F(StoreTest, KeepsWhatIsNotFinite) {
  const std::string run = start(begin({"lora"}).at("lora"), 0);
  const double inf = std::numeric_limits<double>::infinity();
  store_.append_points(run, std::vector<MetricPoint>{{"train/loss", 1, std::nan("")},
                                                     {"train/loss", 2, inf},
                                                     {"train/loss", 3, -inf},
                                                     {"train/loss", 4, 5e-324},
                                                     {"train/loss", 5, 1e308}});
  const std::vector<MetricPoint> points = store_.series(run, "train/loss");
  ASSERT_EQ(points.size(), 5u);
  EXPECT_TRUE(std::isnan(points[0].value));
  EXPECT_EQ(points[1].value, inf);
  EXPECT_EQ(points[2].value, -inf);
  EXPECT_EQ(points[3].value, 5e-324);
  EXPECT_EQ(points[4].value, 1e308);
  EXPECT_THAT(message_of<TrainError>([&] {
                store_.put_scores(run, std::vector<Score>{{"loss", "test", std::nan(""), 1, false}});
              }),
              HasSubstr("loss on split test is nan"));
  EXPECT_TRUE(store_.run(run).scores.empty());
}

TEST_F(StoreTest, TheSamePointTwiceIsOnePoint) {
  const std::string run = start(begin({"lora"}).at("lora"), 0);
  const std::vector<MetricPoint> batch{{"train/loss", 1, 0.5}, {"train/loss", 2, std::nan("")}};
  store_.append_points(run, batch);
  store_.append_points(run, batch);
  EXPECT_EQ(store_.series(run, "train/loss").size(), 2u);
  // A batch with a contradiction is refused whole.
  EXPECT_THAT(message_of<StoreError>([&] {
                store_.append_points(run, std::vector<MetricPoint>{{"train/loss", 3, 0.1}, {"train/loss", 1, 0.6}});
              }),
              HasSubstr("another value of train/loss at step 1"));
  EXPECT_EQ(store_.series(run, "train/loss").size(), 2u);
}

TEST_F(StoreTest, AResumedCurveHasEveryStepOnce) {
  const std::string run = start(begin({"lora"}).at("lora"), 0);
  const auto write = [&](int64_t from, int64_t to, double offset) {
    std::vector<MetricPoint> points;
    for (int64_t step = from; step <= to; ++step)
      points.push_back({"train/loss", step, offset + static_cast<double>(step)});
    store_.append_points(run, points);
  };
  write(1, 5, 0.0);
  store_.put_cost(run, {"train", 1000, {}, 50, {}});
  store_.interrupt_run(run);
  store_.start_run(run, 1, "second");  // resumes from step 3
  write(4, 8, 100.0);
  EXPECT_EQ(store_.run(run).run.segment, 1);
  // The second part has no time yet, so the whole has none.
  EXPECT_EQ(store_.run(run).run.train_seconds, std::nullopt);
  store_.put_cost(run, {"train", 700, {}, 80, {}});
  store_.put_cost(run, {"train", 750, {}, 60, {}});
  EXPECT_EQ(store_.run(run).run.train_seconds, 1.75);
  EXPECT_EQ(store_.run(run).run.peak_memory_bytes, 60);

  std::vector<int64_t> steps;
  std::vector<double> values;
  for (const MetricPoint& point : store_.series(run, "train/loss")) {
    steps.push_back(point.step);
    values.push_back(point.value);
  }
  EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 104, 105, 106, 107, 108));
  const Rows view = query(path(), "SELECT run_uuid, metric, step, value FROM v_metric WHERE step = 4");
  EXPECT_THAT(view.rows, ElementsAre(ElementsAre(Cell(run), Cell("train/loss"), Cell(int64_t{4}), Cell(104.0))));
}

TEST_F(StoreTest, ANewAttemptGoesOnWhereADeadOneWas) {
  const Id lora = begin({"lora"}).at("lora");
  const std::string dead = start(lora, 0);
  store_.append_points(
      dead, std::vector<MetricPoint>{{"train/loss", 1, 1.0}, {"train/loss", 2, 2.0}, {"train/loss", 3, 3.0}});
  store_.put_cost(dead, {"train", 200, {}, 5, {}});
  EXPECT_THROW(store_.create_run(lora, 0, {}, dead, 2), StoreError);  // it still runs
  store_.fail_run(dead, "killed", "by signal 9");
  EXPECT_EQ(store_.newest_attempt(lora, 0)->error_text, "by signal 9");
  EXPECT_THROW(store_.create_run(lora, 1, {}, dead, 2), StoreError);  // another seed

  const std::string next = store_.create_run(lora, 0, {}, dead, 2);
  store_.start_run(next, 1, "");
  store_.append_points(next, std::vector<MetricPoint>{{"train/loss", 3, 33.0}});
  store_.put_cost(next, {"train", 100, {}, 5, {}});
  std::vector<double> values;
  for (const MetricPoint& point : store_.series(next, "train/loss")) values.push_back(point.value);
  EXPECT_THAT(values, ElementsAre(1.0, 2.0, 33.0));
  EXPECT_EQ(store_.run(next).run.attempt, 2);
  EXPECT_EQ(store_.run(next).run.train_seconds, 0.3);
  EXPECT_FALSE(store_.run(dead).run.is_newest);
}

TEST_F(StoreTest, RunsOfProcessesThatAreGoneFail) {
  const Id lora = begin({"lora"}).at("lora");
  const std::string mine = start(lora, 0);
  const std::string other = store_.create_run(lora, 1, {});
  const Id environment = store_.add_environment({});
  const pid_t child = fork();
  if (child == 0) {
    Store store = Store::open(path(), Mode::read_write);
    store.start_run(other, environment, "child");
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_THAT(store_.fail_dead_runs(), ElementsAre(other));
  EXPECT_EQ(store_.run(other).run.error_kind, "worker died");
  EXPECT_EQ(store_.run(mine).run.state, "running");
  // The same process id after another boot is another process; it may be on another machine, and has a minute to say so.
  ASSERT_EQ(behind(path(), "UPDATE runs SET boot_id = 'earlier' WHERE state = 'running'"), "");
  EXPECT_THAT(store_.fail_dead_runs(), ElementsAre());
  ASSERT_EQ(behind(path(), "UPDATE runs SET heartbeat_ms = heartbeat_ms - 61000 WHERE state = 'running'"), "");
  EXPECT_THAT(store_.fail_dead_runs(), ElementsAre(mine));
}

TEST_F(StoreTest, FindsRunsByTheBeginningOfTheirName) {
  const Id lora = begin({"lora"}).at("lora");
  const std::string a = start(lora, 0);
  for (int seed = 1; seed <= 16; ++seed) start(lora, seed);  // 17 names, 16 first digits: two share one
  EXPECT_EQ(store_.run(a).run.uuid, a);
  EXPECT_THROW(store_.run(""), ConfigError);
  EXPECT_THROW(store_.run("*"), ConfigError);
  std::string all;
  for (const char digit : std::string("0123456789abcdef")) {
    try {
      store_.run(std::string(1, digit));
    } catch (const ConfigError& error) {
      all += error.what();
    }
  }
  EXPECT_THAT(all, HasSubstr("more than one run's uuid begins with"));
  EXPECT_THAT(all, HasSubstr("lora seed"));
}

TEST_F(StoreTest, TellsRunsApart) {
  const std::vector<Id> ids = store_.begin_invocation(
      {"e", "", "loss"},
      {{"k1", "a", "lora", {}, {{"train", Table{{"rate", 0.1}, {"steps", 5}}}}, false},
       {"k2", "b", "lora", {}, {{"train", Table{{"rate", 0.2}, {"steps", 5}}}, {"rank", 8}}, false}});
  const std::string a = start(ids[0], 0), b = start(ids[1], 0);
  std::vector<std::string> lines;
  for (const Difference& d : store_.diff(a, b))
    lines.push_back(d.path + " " + d.a.value_or("-") + " " + d.b.value_or("-"));
  EXPECT_THAT(lines, ElementsAre("config.rank - 8", "config.train.rate 0.1 0.2", "label a b"));
}

TEST_F(StoreTest, HostileTextIsOnlyText) {
  const std::string label = "'; DROP TABLE runs; -- \"<script>\n\xe2\x80\xae";
  const Id id = store_.begin_invocation({label, label, "loss"}, {{"k", label, "lora", {}, {}, true}}).at(0);
  const std::string run = start(id, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(store_.runs(label).at(0).label, label);
  EXPECT_THROW(store_.add_artifact(run, "../../etc/passwd", "x", store_.put_object("")), StoreError);
  EXPECT_THROW(store_.append_points(run, std::vector<MetricPoint>{{"train/loss", -1, 1.0}}), StoreError);
  store_.fail_run(run, "x", std::string(1 << 20, 'y'));
  EXPECT_LT(store_.run(run).run.error_text.size(), size_t{70'000});
}

}  // namespace
}  // namespace peftlab::store
