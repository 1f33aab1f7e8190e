/// `store upgrade` and `store merge`.

#include "store/care.h"

#include "store/sqlite.h"
#include "store/test_store.h"
#include "support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <thread>

namespace peftlab::store {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::sha;
using testing::StoreTest;

template <typename Error, typename Action>
std::string said(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// "table name: sql" of everything in a store.
std::map<std::string, std::string> schema_of(const fs::path& folder) {
  Database db(file_uri(folder / "store.db", "mode=ro"), SQLITE_OPEN_READONLY);
  std::map<std::string, std::string> found;
  Statement s = db.prepare("SELECT type || ' ' || name, sql FROM sqlite_schema");
  while (s.step()) found[s.text(0)] = s.text(1);
  return found;
}

class UpgradeTest : public StoreTest {
 protected:
  /// A store of schema version 1 with a finished run, a failed one, points, costs and an artifact.
  UpgradeTest() : old_(folder_ / "old") {
    fs::create_directories(old_ / "objects");
    const fs::path root = std::getenv("PEFTLAB_SOURCE_DIR");
    Database db(file_uri(old_ / "store.db", "mode=rwc"), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    db.execute("PRAGMA journal_mode = WAL");
    db.execute(read_text(root / "core/src/store/fixtures/schema_1.sql"));
    db.execute(R"(
      INSERT INTO store_meta VALUES ('uuid', 'the-old-one'), ('created_ms', '5');
      INSERT INTO t_quantiles VALUES (1, 12.706204736174698), (1001, 1.96);
      INSERT INTO experiments VALUES (1, 'u-e', 'e', '# the file', 'accuracy', 5);
      INSERT INTO invocations VALUES (1, 1, 6, '# the file', 'accuracy');
      INSERT INTO variants VALUES (1, 1, 'k1', 'full', 'full', '["full"]', '{}', 0, 1, 1),
                                  (2, 1, 'k2', 'lora', 'lora', '["lora"]', '{}', 1, 0, 1);
      INSERT INTO metrics VALUES (1, 'accuracy', 1), (2, 'train/loss', NULL);
      INSERT INTO objects VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 3, 5);
    )");
    for (int run = 1; run <= 4; ++run) {
      db.prepare(
            "INSERT INTO runs (run_id, uuid, variant_id, seed, attempt, state, created_ms) VALUES (?, ?, ?, ?, 1, "
            "'pending', 5)")
          .bind(run, "0000" + std::to_string(run), (run + 1) / 2, run % 2)
          .run();
      db.prepare(
            "UPDATE runs SET state = 'running', pid = 1, boot_id = 'b', pid_start = 1, started_ms = 6, heartbeat_ms = "
            "6 WHERE run_id = ?")
          .bind(run)
          .run();
      db.prepare("INSERT INTO metric_points VALUES (?, 2, 1, 0, 7, NULL, 'nan'), (?1, 2, 2, 0, 8, 0.5, NULL)")
          .bind(run)
          .run();
      db.prepare("INSERT INTO run_scores VALUES (?, 1, 'test', ?, 10)").bind(run, 0.5 + 0.1 * run).run();
      db.prepare("INSERT INTO run_costs VALUES (?, 0, 'train', 2000, 3000, 5000, NULL)").bind(run).run();
      db.prepare(
            "INSERT INTO artifacts VALUES (?, 'a', 'adapter', "
            "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 9)")
          .bind(run)
          .run();
      db.prepare(
            "UPDATE runs SET state = 'finished', ended_ms = 10, trainable_parameters = 0, total_parameters = 5 WHERE "
            "run_id = ?")
          .bind(run)
          .run();
    }
    db.execute("PRAGMA application_id = 0x5045464C; PRAGMA user_version = 1");
  }

  fs::path old_;
};

TEST_F(UpgradeTest, AnOldStoreIsRefusedWithTheWayOutUntilItIsUpgraded) {
  for (const Mode mode : {Mode::read_only, Mode::read_write, Mode::read_write_create}) {
    EXPECT_THAT(said<StoreVersionError>([&] { Store::open(old_, mode); }),
                HasSubstr("`peftlab store upgrade --store " + old_.string() + "`"));
  }
  const Upgrade done = upgrade(old_);
  EXPECT_EQ(done.from, 1);
  EXPECT_EQ(done.to, kSchemaVersion);
  EXPECT_EQ(upgrade(old_).from, kSchemaVersion) << "a second time there is nothing to do";
  const Store store = Store::open(old_, Mode::read_only);
  EXPECT_EQ(store.uuid(), "the-old-one");
  ASSERT_EQ(store.runs("e").size(), 4u);
  EXPECT_TRUE(store.runs("e")[0].is_compared());
  EXPECT_EQ(store.runs("e")[0].train_seconds, 2.0);
  ASSERT_THAT(store.series("00001", "train/loss"), SizeIs(2));
  EXPECT_TRUE(std::isnan(store.series("00001", "train/loss")[0].value));
  ASSERT_THAT(store.compare("e"), SizeIs(2));
  EXPECT_NEAR(store.compare("e")[0].mean, 0.65, 1e-12);
  EXPECT_EQ(store.paired("e").at(0).verdict, "better");
  EXPECT_EQ(store.run("00002").artifacts.at(0).name, "a");
  // What it was is there still, whole.
  Database before(file_uri(done.backup, "mode=ro"), SQLITE_OPEN_READONLY);
  EXPECT_EQ(before.integer("PRAGMA user_version"), 1);
  EXPECT_EQ(before.integer("SELECT count(*) FROM metric_points"), 8);
}

TEST_F(UpgradeTest, TheResultIsTheSchemaOfANewStore) {
  upgrade(old_);
  EXPECT_EQ(schema_of(old_), schema_of(path()));
  // Its rules are in force.
  Store store = Store::open(old_, Mode::read_write);
  EXPECT_THROW(store.append_points("00001", std::vector<MetricPoint>{{"train/loss", 3, 0.1}}), StoreError);
}

TEST_F(UpgradeTest, NothingHappensWhileAnotherProcessIsAtIt) {
  {
    Database reader(file_uri(old_ / "store.db", "mode=rw"), SQLITE_OPEN_READWRITE);
    reader.integer("SELECT count(*) FROM runs");
    EXPECT_THAT(said<StoreError>([&] { upgrade(old_); }), HasSubstr("open in another process"));
  }
  Database db(file_uri(old_ / "store.db", "mode=rw"), SQLITE_OPEN_READWRITE);
  EXPECT_EQ(db.integer("PRAGMA user_version"), 1);
  EXPECT_EQ(db.integer("SELECT count(*) FROM runs"), 4);
}

TEST_F(UpgradeTest, ADamagedStoreStaysAsItWas) {
  {
    Database db(file_uri(old_ / "store.db", "mode=rw"), SQLITE_OPEN_READWRITE);
    db.execute("PRAGMA foreign_keys = OFF; INSERT INTO invocations VALUES (2, 77, 6, '', 'accuracy')");
  }
  EXPECT_THAT(said<StoreError>([&] { upgrade(old_); }), HasSubstr("was not upgraded"));
  Database db(file_uri(old_ / "store.db", "mode=rw"), SQLITE_OPEN_READWRITE);
  EXPECT_EQ(db.integer("PRAGMA user_version"), 1);
  EXPECT_FALSE(fs::exists(old_ / "store.db.upgrading"));
}

TEST_F(UpgradeTest, WhatAKilledOneLeftIsNoHindrance) {
  write_text(old_ / "store.db.upgrading", "half a database");
  EXPECT_EQ(upgrade(old_).from, 1);
  EXPECT_THAT(said<StoreError>([&] { upgrade(folder_ / "nowhere"); }), HasSubstr("there is no store at"));
}

/// Two stores; each begins the experiment "e" with the same methods.
class MergeTest : public StoreTest {
 protected:
  /// A finished run in `store` with a point, a cost, an event and an artifact.
  static std::string add(Store& store, const std::string& label, int64_t seed, double accuracy) {
    const auto ids = store.begin_invocation(
        {"e", "# the file", "accuracy"},
        {{"k-full", "full", "full", {"full"}, {}, true}, {"k-lora", "lora", "lora", {"lora"}, {}, false}});
    const std::string sha256 =
        store.put_object("weights of " + label + std::to_string(seed) + std::to_string(accuracy));
    RunInputs inputs{store.add_base_model({"m", "toy", 10, "float32", sha('1')}),
                     {store.add_dataset({"d", "test", "p", 1, sha('2')})},
                     {store.add_plugin({"lora", "method", "f", sha('3'), 1, "2"})}};
    const std::string run = store.create_run(ids[label == "full" ? 0 : 1], seed, inputs);
    store.start_run(run, store.add_environment({{"cpu", "abacus"}}), "test");
    store.append_points(run, std::vector<MetricPoint>{{"train/loss", 1, accuracy}, {"train/loss", 2, 0.0 / 0.0}});
    store.put_scores(run, std::vector<Score>{{"accuracy", "test", accuracy, 10, true}});
    store.put_cost(run, {"train", 2000, 3000, 5'000'000, {}});
    store.add_event(run, "note", {{"text", "x"}});
    store.add_artifact(run, "adapter", "adapter", sha256);
    store.finish_run(run, {sha256, 100, 1000});
    return run;
  }

  Store make(const std::string& name) { return Store::open(folder_ / name, Mode::read_write_create); }

  static std::string numbers(const Store& store) {
    std::string text;
    for (const CompareRow& row : store.compare("e")) {
      text += row.label + " " + std::to_string(row.n) + " " + std::to_string(row.mean) + "\n";
    }
    for (const PairedRow& row : store.paired("e")) text += row.label + " " + row.verdict + "\n";
    return text;
  }
};

TEST_F(MergeTest, AddsWhatTheOtherHasOnceAndInEitherOrder) {
  Store a = make("a"), b = make("b"), c = make("c"), d = make("d");
  for (int64_t seed = 0; seed < 3; ++seed) {
    add(a, "full", seed, 0.5 + 0.01 * static_cast<double>(seed));
    add(b, "lora", seed, 0.6 + 0.012 * static_cast<double>(seed));
  }
  const std::string uuid = b.runs("e").back().uuid;
  EXPECT_EQ(merge(a, folder_ / "b", /*dry_run=*/true).runs_added, 3);
  EXPECT_EQ(a.runs("e").size(), 3u) << "a dry run writes nothing";
  EXPECT_EQ(merge(a, folder_ / "b", false).runs_added, 3);
  EXPECT_EQ(a.runs("e").size(), 6u);
  const MergeSummary again = merge(a, folder_ / "b", false);
  EXPECT_EQ(again.runs_added, 0);
  EXPECT_EQ(again.runs_known, 3);
  EXPECT_EQ(a.paired("e").at(0).n, 3);
  EXPECT_EQ(a.paired("e").at(0).verdict, "better");

  const RunDetail run = a.run(uuid), original = b.run(uuid);
  EXPECT_EQ(run.run.adapter_sha256, original.run.adapter_sha256);
  EXPECT_EQ(run.run.created_ms, original.run.created_ms);
  EXPECT_EQ(run.run.ended_ms, original.run.ended_ms);
  EXPECT_EQ(run.environment, original.environment);
  EXPECT_EQ(run.datasets, original.datasets);
  EXPECT_EQ(run.plugins, original.plugins);
  EXPECT_EQ(run.events.size(), original.events.size());
  EXPECT_EQ(run.costs.at(0).cost.wall_ms, 2000);
  ASSERT_THAT(a.series(uuid, "train/loss"), SizeIs(2));
  EXPECT_EQ(a.series(uuid, "train/loss")[0].at_ms, b.series(uuid, "train/loss")[0].at_ms);
  EXPECT_FALSE(a.get_object(run.artifacts.at(0).sha256).empty());
  EXPECT_THAT(a.check(), IsEmpty());

  merge(c, folder_ / "a", false);
  merge(d, folder_ / "b", false);
  merge(d, folder_ / "a", false);
  EXPECT_EQ(numbers(c), numbers(a));
  EXPECT_EQ(numbers(d), numbers(a));
}

TEST_F(MergeTest, TheNewerInvocationSaysWhatIsCurrent) {
  Store a = make("a"), b = make("b");
  const auto begin_as = [](Store& store, const std::string& label, bool is_baseline) {
    store.begin_invocation({"e", "# " + label, "accuracy"}, {{"k-lora", label, "lora", {"lora"}, {}, is_baseline}});
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  add(b, "lora", 0, 0.5);
  begin_as(b, "old name", true);
  begin_as(a, "new name", false);
  merge(a, folder_ / "b", false);
  merge(b, folder_ / "a", false);
  for (const Store* store : {&a, &b}) {
    ASSERT_THAT(store->compare("e"), SizeIs(1));
    EXPECT_EQ(store->compare("e")[0].label, "new name");
    EXPECT_EQ(store->experiments()[0].baseline, "");
    EXPECT_EQ(store->config_text("e"), "# new name");
  }
}

TEST_F(MergeTest, ContradictionsAreToldAndNothingIsWritten) {
  Store a = make("a"), b = make("b");
  add(a, "full", 0, 0.5);
  const std::string other = add(b, "full", 0, 0.75);
  add(b, "lora", 0, 0.5);
  EXPECT_THAT(said<MergeConflictError>([&] { merge(a, folder_ / "b", false); }),
              HasSubstr("e: full seed 0 (" + other + "): was finished here too, with another result"));
  EXPECT_EQ(a.runs("e").size(), 1u);

  Store c = make("c");
  merge(c, folder_ / "b", false);
  Database db(file_uri(folder_ / "c/store.db", "mode=rw"), SQLITE_OPEN_READWRITE);
  db.execute("DROP TRIGGER scores_frozen; UPDATE run_scores SET value = 0.25");
  EXPECT_THAT(said<MergeConflictError>([&] { merge(c, folder_ / "b", false); }),
              HasSubstr("the same run has other contents in each"));

  Store d = make("d");
  db = Database(file_uri(folder_ / "d/store.db", "mode=rw"), SQLITE_OPEN_READWRITE);
  db.execute("INSERT INTO metrics (name, higher_is_better) VALUES ('accuracy', 0)");
  EXPECT_THAT(said<MergeConflictError>([&] { merge(d, folder_ / "b", false); }),
              HasSubstr("metric accuracy: lower is better here, higher there"));
  EXPECT_THAT(said<StoreError>([&] { merge(d, folder_ / "d", false); }), HasSubstr("into itself"));
}

TEST_F(MergeTest, TheSameResultMadeTwiceIsOneAndUnfinishedRunsStayWhereTheyAre) {
  Store a = make("a"), b = make("b");
  add(a, "full", 0, 0.5);
  add(b, "full", 0, 0.5);
  const auto ids = b.begin_invocation(
      {"e", "# the file", "accuracy"},
      {{"k-full", "full", "full", {"full"}, {}, true}, {"k-lora", "lora", "lora", {"lora"}, {}, false}});
  const std::string waiting = b.create_run(ids[1], 5, {});
  const std::string failed = b.create_run(ids[0], 0, {});
  b.fail_run(failed, "diverged", "the loss is nan");
  const std::string alone = b.create_run(ids[1], 6, {});
  b.fail_run(alone, "diverged", "the loss is nan");
  const MergeSummary summary = merge(a, folder_ / "b", false);
  EXPECT_EQ(summary.runs_known, 1);
  EXPECT_EQ(summary.runs_added, 1);
  EXPECT_EQ(a.run(alone).run.error_text, "the loss is nan");
  EXPECT_THAT(summary.left_out, ElementsAre(HasSubstr(waiting + "): it is pending"),
                                            HasSubstr(failed + "): it failed, and is finished here")));
}

TEST_F(MergeTest, ADamagedOtherIsRefused) {
  Store a = make("a");
  {
    Store b = make("b");
    for (int64_t seed = 0; seed < 40; ++seed) add(b, "full", seed, 0.5);
  }
  fs::resize_file(folder_ / "b/store.db", fs::file_size(folder_ / "b/store.db") / 2);
  fs::remove(folder_ / "b/store.db-wal");
  EXPECT_THROW(merge(a, folder_ / "b", false), StoreError);
  EXPECT_TRUE(a.runs().empty());
  Store c = make("c");
  const std::string run = add(c, "full", 0, 0.5);
  const fs::path object = c.object_path(c.run(run).artifacts.at(0).sha256);
  fs::permissions(object, fs::perms::owner_all);
  write_text(object, "something else");
  EXPECT_THROW(merge(a, folder_ / "c", false), StoreError);
  EXPECT_TRUE(a.runs().empty());
}

}  // namespace
}  // namespace peftlab::store
