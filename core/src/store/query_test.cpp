/// What `peftlab query` lets through, and what it does not.

#include "store/test_store.h"

#include <gmock/gmock.h>

#include <limits>

namespace peftlab::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StoreTest;

class Query : public StoreTest {
 protected:
  /// The reason of the refusal; what was answered, if it was.
  std::string refusal(const std::string& sql, QueryLimits limits = {}) {
    try {
      return "answered, with rows: " + std::to_string(query(path(), sql, limits).rows.size());
    } catch (const ConfigError& error) {
      return error.what();
    }
  }
};

TEST_F(Query, AnswersWithTypes) {
  const Rows rows =
      query(path(), "SELECT 1 AS i, 0.1 AS r, 'a''b' AS t, NULL AS n, x'00ff' AS b, 9e999 AS inf; -- end");
  EXPECT_THAT(rows.columns, ElementsAre("i", "r", "t", "n", "b", "inf"));
  ASSERT_EQ(rows.rows.size(), 1u);
  EXPECT_THAT(rows.rows[0], ElementsAre(Cell(int64_t{1}), Cell(0.1), Cell("a'b"), Cell(), Cell("x'00ff'"),
                                        Cell(std::numeric_limits<double>::infinity())));
  EXPECT_TRUE(query(path(), "SELECT * FROM v_runs").rows.empty());
  EXPECT_EQ(query(path(), "SELECT * FROM v_runs").columns.at(0), "run_uuid");
}

TEST_F(Query, EveryViewCanBeRead) {
  finish(begin({"full", "lora"}).at("lora"), 0, 0.5);
  for (const std::string view : {"v_runs", "v_metric", "v_score", "v_compare", "v_paired"}) {
    EXPECT_NO_THROW(query(path(), "SELECT * FROM " + view)) << view;
  }
  EXPECT_NO_THROW(query(path(),
                        "WITH a AS (SELECT label, mean FROM v_compare) SELECT upper(label), sum(mean) OVER () FROM a "
                        "ORDER BY 1 LIMIT 3"));
  EXPECT_NO_THROW(query(path(), "PRAGMA table_info(runs)"));
  EXPECT_NO_THROW(query(path(), "EXPLAIN QUERY PLAN SELECT * FROM v_paired"));
}

TEST_F(Query, RefusesToChangeAnything) {
  finish(begin({"lora"}).at("lora"), 0, 0.5);
  const std::string evil = (folder_ / "evil.db").string();
  for (const std::string& sql : std::vector<std::string>{"DELETE FROM runs",
                                                         "UPDATE runs SET seed = 1",
                                                         "INSERT INTO store_meta VALUES ('a', 'b')",
                                                         "DROP TABLE runs",
                                                         "CREATE TABLE z (a)",
                                                         "CREATE TEMP TABLE z (a)",
                                                         "ALTER TABLE runs ADD COLUMN z",
                                                         "REINDEX",
                                                         "ANALYZE",
                                                         "ATTACH DATABASE '" + evil + "' AS e",
                                                         "VACUUM",
                                                         "VACUUM INTO '" + evil + "'",
                                                         "BEGIN IMMEDIATE",
                                                         "SAVEPOINT a",
                                                         "PRAGMA writable_schema = ON",
                                                         "PRAGMA journal_mode = DELETE",
                                                         "PRAGMA query_only = 0",
                                                         "PRAGMA user_version = 7",
                                                         "PRAGMA wal_checkpoint(TRUNCATE)",
                                                         "SELECT load_extension('/tmp/x.so')",
                                                         "SELECT writefile('" + evil + "', 'x')",
                                                         "SELECT * FROM pragma_database_list",
                                                         "SELECT * FROM sqlite_stat1"}) {
    EXPECT_THAT(refusal(sql), HasSubstr("refused")) << sql;
  }
  EXPECT_FALSE(std::filesystem::exists(evil));
  EXPECT_EQ(store_.runs().size(), 1u);
  EXPECT_TRUE(store_.check().empty());
}

TEST_F(Query, RefusesWhatIsNotOneStatement) {
  EXPECT_THAT(refusal("SELECT 1; DELETE FROM runs"), HasSubstr("more than one statement"));
  EXPECT_THAT(refusal("SELECT 1; SELECT 2"), HasSubstr("more than one statement"));
  EXPECT_THAT(refusal(""), HasSubstr("no statement"));
  EXPECT_THAT(refusal("-- nothing"), HasSubstr("no statement"));
  EXPECT_THAT(refusal("SELEKT 1"), HasSubstr("syntax error"));
  EXPECT_THAT(refusal("SELECT nosuch FROM runs"), HasSubstr("no such column: nosuch"));
  EXPECT_THAT(refusal("SELECT \"nosuch\" FROM runs"), HasSubstr("no such column"));
  EXPECT_THAT(refusal("SELECT ?"), HasSubstr("parameters"));
  EXPECT_THAT(refusal(std::string("SELECT 1\0; DELETE FROM runs", 27)), HasSubstr("NUL"));
}

TEST_F(Query, IsBoundInRowsAndMemory) {
  const std::string endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) ";
  EXPECT_THAT(refusal(endless + "SELECT x FROM c", {std::chrono::seconds(10), 50}), HasSubstr("more than 50 rows"));
  EXPECT_EQ(query(path(), endless + "SELECT x FROM c LIMIT 50", {std::chrono::seconds(10), 50}).rows.size(), 50u);
  EXPECT_THAT(refusal("SELECT length(randomblob(500000000))"), HasSubstr("refused"));
}

TEST_F(Query, IsStoppedAtItsDeadline) {
  const QueryLimits limits{std::chrono::milliseconds(200), 1000};
  EXPECT_THAT(refusal("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c", limits),
              HasSubstr("stopped after 0.2 s"));
  // One call of instr() that would go on for an hour: no handler of SQLite's is asked in the middle of it.
  EXPECT_THAT(refusal("SELECT instr(zeroblob(8000000), CAST(zeroblob(4000000) || x'01' AS BLOB))", limits),
              HasSubstr("stopped after 0.2 s"));
  // The store is as usable as before.
  EXPECT_EQ(query(path(), "SELECT 1").rows.size(), 1u);
  begin({"lora"});
}

}  // namespace
}  // namespace peftlab::store
