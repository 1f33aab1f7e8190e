// Two stores become one.

#include "store/care.h"
#include "store/impl.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <optional>
#include <set>

namespace peftlab::store {
namespace {

namespace fs = std::filesystem;

struct TheirRun {
  Id id = 0, variant = 0;
  std::string uuid, state, label, experiment, variant_key;
  int64_t seed = 0;

  std::string name() const { return fmt::format("{}: {} seed {} ({})", experiment, label, seed, uuid); }
};

constexpr const char* kRunFacts =
    "SELECT r.run_id, r.variant_id, r.uuid, r.state, v.label, e.name, v.variant_key, r.seed FROM runs r "
    "JOIN variants v USING (variant_id) JOIN experiments e USING (experiment_id)";

TheirRun run_of(const Statement& s) {
  return {s.integer(0), s.integer(1), s.text(2), s.text(3), s.text(4), s.text(5), s.text(6), s.integer(7)};
}

/// All that a run says, in a line: two of one uuid must say the same.
std::string contents(const Database& db, Id run) {
  std::string text;
  const auto add = [&](const char* sql) {
    Statement s = db.prepare(sql);
    s.bind(run);
    while (s.step()) text += s.text(0) + "\n";
  };
  add("SELECT state || ' ' || segment || ' ' || coalesce(adapter_sha256, '') || ' ' || coalesce(error_text, '') "
      "FROM runs WHERE run_id = ?");
  add("SELECT m.name || ' ' || s.split || ' ' || s.value FROM run_scores s JOIN metrics m USING (metric_id) "
      "WHERE run_id = ? ORDER BY 1");
  add("SELECT m.name || ' ' || count(*) || ' ' || max(p.step) || ' ' || coalesce(sum(p.value), '') "
      "FROM metric_points p JOIN metrics m USING (metric_id) WHERE run_id = ? GROUP BY m.name ORDER BY 1");
  add("SELECT name || ' ' || sha256 FROM artifacts WHERE run_id = ? ORDER BY 1");
  return text;
}

/// What a finished run found: its adapter and its scores.
std::string result(const Database& db, Id run) {
  std::string text;
  Statement s = db.prepare(
      "SELECT coalesce(adapter_sha256, '') FROM runs WHERE run_id = ?1 UNION ALL SELECT * FROM (SELECT m.name || ' ' "
      "|| "
      "s.split || ' ' || s.value FROM run_scores s JOIN metrics m USING (metric_id) WHERE run_id = ?1 ORDER BY 1)");
  s.bind(run);
  while (s.step()) text += s.text(0) + "\n";
  return text;
}

class Merging {
 public:
  Merging(Store& store, Database& ours, const fs::path& folder, const fs::path& other)
      : store_(store), ours_(ours), folder_(folder), other_(other), theirs_(open_database(other, Mode::read_only)) {}

  MergeSummary run(bool dry_run) {
    check_other();
    look();
    if (!conflicts_.empty()) {
      throw MergeConflictError(fmt::format("nothing was merged; {} and {} contradict each other:\n  {}",
                                           folder_.string(), other_.string(), fmt::join(conflicts_, "\n  ")));
    }
    summary_.runs_added = static_cast<int64_t>(wanted_.size());
    if (dry_run) return summary_;
    copy_objects();
    ours_.execute("ATTACH '" + escaped(file_uri(other_ / "store.db", "mode=ro")) + "' AS theirs");
    try {
      Transaction transaction(ours_);
      add_experiments();
      for (const TheirRun& run : wanted_) add_run(run);
      transaction.commit();
    } catch (...) {
      ours_.execute("DETACH theirs");
      throw;
    }
    ours_.execute("DETACH theirs");
    return summary_;
  }

 private:
  static std::string escaped(std::string text) {
    for (size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 2) text.insert(at, 1, '\'');
    return text;
  }

  void check_other() {
    Statement integrity = theirs_.prepare("PRAGMA integrity_check");
    if (!integrity.step() || integrity.text(0) != "ok") {
      throw StoreError(fmt::format("{} is damaged: {}", other_.string(), integrity.text(0)));
    }
    std::error_code error;
    if (fs::equivalent(folder_, other_, error)) throw StoreError("a store cannot be merged into itself");
  }

  /// Says which runs are wanted, and what stands against it.
  void look() {
    look_at_metrics();
    Statement s = theirs_.prepare(fmt::format("{} ORDER BY r.run_id", kRunFacts));
    while (s.step()) look_at(run_of(s));
  }

  void look_at_metrics() {
    Statement s = theirs_.prepare("SELECT name, higher_is_better FROM metrics WHERE higher_is_better IS NOT NULL");
    Statement mine =
        ours_.prepare("SELECT higher_is_better FROM metrics WHERE name = ? AND higher_is_better IS NOT NULL");
    while (s.step()) {
      mine.bind(s.text(0));
      if (mine.step() && mine.integer(0) != s.integer(1)) {
        conflicts_.push_back(fmt::format("metric {}: {} is better here, {} there", s.text(0),
                                         mine.integer(0) != 0 ? "higher" : "lower",
                                         s.integer(1) != 0 ? "higher" : "lower"));
      }
    }
  }

  void look_at(const TheirRun& run) {
    Statement same = ours_.prepare("SELECT run_id FROM runs WHERE uuid = ?");
    if (same.bind(run.uuid).step()) {
      if (contents(ours_, same.integer(0)) != contents(theirs_, run.id)) {
        conflicts_.push_back(run.name() + ": the same run has other contents in each");
      } else {
        ++summary_.runs_known;
      }
      return;
    }
    if (run.state == "running" || run.state == "pending" || run.state == "interrupted") {
      summary_.left_out.push_back(run.name() + ": it is " + run.state);
      return;
    }
    Statement finished = ours_.prepare(fmt::format(
        "{} WHERE r.state = 'finished' AND e.name = ? AND v.variant_key = ? AND r.seed = ? ORDER BY r.attempt DESC",
        kRunFacts));
    if (!finished.bind(run.experiment, run.variant_key, run.seed).step()) {
      wanted_.push_back(run);
    } else if (run.state != "finished") {
      summary_.left_out.push_back(run.name() + ": it " + run.state + ", and is finished here");
    } else if (result(ours_, finished.integer(0)) == result(theirs_, run.id)) {
      ++summary_.runs_known;
    } else {
      conflicts_.push_back(run.name() + ": was finished here too, with another result (" + finished.text(2) + ")");
    }
  }

  void copy_objects() {
    Statement s = theirs_.prepare(
        "SELECT DISTINCT a.sha256 FROM artifacts a JOIN runs r USING (run_id) WHERE r.uuid = ? ORDER BY 1");
    std::set<std::string> seen;
    const Store other = Store::open(other_, Mode::read_only);
    for (const TheirRun& run : wanted_) {
      s.bind(run.uuid);
      while (s.step()) {
        const std::string sha256 = s.text(0);
        if (!seen.insert(sha256).second) continue;
        if (const std::string found = store_.put_object_file(other.object_path(sha256)); found != sha256) {
          throw StoreError(fmt::format("{} of {} is changed: its sha256 is {}", sha256, other_.string(), found));
        }
      }
    }
  }

  // From here on `theirs` is attached to our connection.

  int64_t newest_invocation(const std::string& schema, const std::string& experiment) {
    Statement s = ours_.prepare(fmt::format(
        "SELECT max(i.at_ms) FROM {0}.invocations i JOIN {0}.experiments e USING (experiment_id) WHERE e.name = ?",
        schema));
    s.bind(experiment).step();
    return s.integer(0);
  }

  void add_experiments() {
    Statement s = ours_.prepare("SELECT experiment_id, name FROM theirs.experiments ORDER BY experiment_id");
    while (s.step()) add_experiment(s.integer(0), s.text(1));
  }

  void add_experiment(Id their, const std::string& name) {
    const bool is_newer = newest_invocation("theirs", name) > newest_invocation("main", name);
    ours_
        .prepare(
            "INSERT INTO main.experiments (uuid, name, config_text, primary_metric, created_ms) "
            "SELECT uuid, name, config_text, primary_metric, created_ms FROM theirs.experiments WHERE experiment_id = "
            "? "
            "ON CONFLICT (name) DO NOTHING")
        .bind(their)
        .run();
    Statement find = ours_.prepare("SELECT experiment_id FROM main.experiments WHERE name = ?");
    find.bind(name).step();
    const Id mine = find.integer(0);
    find.run();
    ours_
        .prepare(
            "INSERT INTO main.invocations (experiment_id, at_ms, config_text, primary_metric) "
            "SELECT ?1, at_ms, config_text, primary_metric FROM theirs.invocations t WHERE experiment_id = ?2 AND NOT "
            "EXISTS "
            "(SELECT 1 FROM main.invocations m WHERE m.experiment_id = ?1 AND m.at_ms = t.at_ms AND m.config_text = "
            "t.config_text) ORDER BY invocation_id")
        .bind(mine, their)
        .run();
    if (is_newer) {
      ours_.prepare("UPDATE main.variants SET is_current = 0, is_baseline = 0 WHERE experiment_id = ?")
          .bind(mine)
          .run();
      ours_
          .prepare(
              "UPDATE main.experiments SET (config_text, primary_metric) = (SELECT config_text, primary_metric FROM "
              "theirs.experiments WHERE experiment_id = ?2) WHERE experiment_id = ?1")
          .bind(mine, their)
          .run();
    }
    add_variants(mine, their, is_newer);
  }

  void add_variants(Id mine, Id their, bool is_newer) {
    const std::string adopt =
        "UPDATE SET label = excluded.label, position = excluded.position, is_baseline = excluded.is_baseline, "
        "is_current = excluded.is_current, role = excluded.role, of_label = excluded.of_label";
    ours_
        .prepare(fmt::format(
            "INSERT INTO main.variants (experiment_id, variant_key, label, method, method_plugins, config_json, "
            "position, is_baseline, is_current, role, of_label) SELECT ?1, variant_key, label, method, "
            "method_plugins, config_json, position, is_baseline * ?3, is_current * ?3, role, of_label "
            "FROM theirs.variants WHERE experiment_id = ?2 ON CONFLICT (experiment_id, variant_key) DO {}",
            is_newer ? adopt : "NOTHING"))
        .bind(mine, their, int64_t{is_newer})
        .run();
    ours_
        .prepare(
            "INSERT OR IGNORE INTO main.choices (variant_id, option, chosen_by, value, tried, criterion, flag, "
            "n_tried, "
            "seconds) SELECT m.variant_id, c.option, c.chosen_by, c.value, c.tried, c.criterion, c.flag, c.n_tried, "
            "c.seconds "
            "FROM theirs.choices c JOIN theirs.variants t USING (variant_id) JOIN main.variants m "
            "ON m.variant_key = t.variant_key AND m.experiment_id = ?1 WHERE t.experiment_id = ?2")
        .bind(mine, their)
        .run();
  }

  /// Our row that says what their row `id` says, found or made.
  std::optional<Id> same_row(const std::string& table, const std::string& key, const std::string& columns,
                             const std::optional<int64_t>& id) {
    if (!id) return std::nullopt;
    ours_
        .prepare(
            fmt::format("INSERT INTO main.{0} ({2}) SELECT {2} FROM theirs.{0} WHERE {1} = ? ON CONFLICT DO NOTHING",
                        table, key, columns))
        .bind(*id)
        .run();
    Statement find = ours_.prepare(fmt::format(
        "SELECT {1} FROM main.{0} WHERE ({2}) = (SELECT {2} FROM theirs.{0} WHERE {1} = ?)", table, key, columns));
    find.bind(*id).step();
    return find.integer(0);
  }

  void add_run(const TheirRun& run) {
    Statement facts = ours_.prepare("SELECT base_id, env_id, continues_run_id FROM theirs.runs WHERE run_id = ?");
    facts.bind(run.id).step();
    const auto base = same_row("base_models", "base_id", "sha256, name, arch, n_params, dtype", facts.maybe_integer(0));
    const auto environment = same_row("environments", "env_id", "sha256, facts", facts.maybe_integer(1));
    const auto before = facts.maybe_integer(2);
    std::optional<Id> continues;
    if (before && our_run_.contains(*before)) continues = our_run_.at(*before);
    ours_
        .prepare(
            "INSERT INTO main.runs (uuid, variant_id, seed, attempt, state, segment, continues_run_id, base_id, "
            "created_ms) "
            "SELECT t.uuid, m.variant_id, t.seed, (SELECT coalesce(max(a.attempt), 0) + 1 FROM main.runs a WHERE "
            "a.variant_id = m.variant_id AND a.seed = t.seed), 'pending', t.segment, ?2, ?3, t.created_ms "
            "FROM theirs.runs t, main.variants m JOIN main.experiments e USING (experiment_id) "
            "WHERE t.run_id = ?1 AND e.name = ?4 AND m.variant_key = ?5")
        .bind(run.id, continues, base, run.experiment, run.variant_key)
        .run();
    const Id mine = ours_.last_id();
    our_run_[run.id] = mine;
    // Every rule of a run's life holds for one that is copied too; of a run that never started nothing else is there.
    if (run.state != "cancelled" || environment) {
      ours_
          .prepare(
              "UPDATE main.runs SET (state, env_id, worker, pid, boot_id, pid_start, started_ms, heartbeat_ms) = "
              "(SELECT "
              "'running', ?3, worker, coalesce(pid, 0), coalesce(boot_id, ''), coalesce(pid_start, 0), started_ms, "
              "heartbeat_ms FROM theirs.runs WHERE run_id = ?2) WHERE run_id = ?1")
          .bind(mine, run.id, environment)
          .run();
    }
    add_parts(run.id, mine);
    ours_
        .prepare(
            "UPDATE main.runs SET (state, ended_ms, error_kind, error_text, trainable_parameters, total_parameters, "
            "adapter_sha256) = (SELECT state, ended_ms, error_kind, error_text, trainable_parameters, "
            "total_parameters, "
            "adapter_sha256 FROM theirs.runs WHERE run_id = ?2) WHERE run_id = ?1")
        .bind(mine, run.id)
        .run();
    ours_.prepare("DELETE FROM main.run_events WHERE run_id = ?").bind(mine).run();
    ours_
        .prepare(
            "INSERT INTO main.run_events (run_id, at_ms, kind, detail_json) SELECT ?1, at_ms, kind, detail_json "
            "FROM theirs.run_events WHERE run_id = ?2 ORDER BY event_id")
        .bind(mine, run.id)
        .run();
  }

  void add_parts(Id their, Id mine) {
    for (const auto& [link, key, table, columns] :
         {std::tuple{"run_datasets", "dataset_id", "datasets", "sha256, split, name, path, n_rows"},
          std::tuple{"run_plugins", "plugin_id", "plugins", "sha256, name, kind, file, abi, torch_version"}}) {
      Statement s = ours_.prepare(fmt::format("SELECT {} FROM theirs.{} WHERE run_id = ?", key, link));
      s.bind(their);
      while (s.step()) {
        ours_.prepare(fmt::format("INSERT INTO main.{} (run_id, {}) VALUES (?, ?)", link, key))
            .bind(mine, *same_row(table, key, columns, s.integer(0)))
            .run();
      }
    }
    ours_.execute(
        "INSERT INTO main.metrics (name, higher_is_better) SELECT name, higher_is_better FROM theirs.metrics WHERE "
        "true "
        "ON CONFLICT (name) DO UPDATE SET higher_is_better = coalesce(higher_is_better, excluded.higher_is_better)");
    const std::string metric =
        "(SELECT m.metric_id FROM main.metrics m JOIN theirs.metrics t USING (name) WHERE t.metric_id = p.metric_id)";
    for (const std::string& sql :
         {fmt::format(
              "INSERT INTO main.metric_points (run_id, metric_id, step, segment, at_ms, value, special) SELECT ?1, {}, "
              "step, segment, at_ms, value, special FROM theirs.metric_points p WHERE run_id = ?2",
              metric),
          fmt::format(
              "INSERT INTO main.run_scores (run_id, metric_id, split, value, n_items) SELECT ?1, {}, split, value, "
              "n_items FROM theirs.run_scores p WHERE run_id = ?2",
              metric),
          std::string(
              "INSERT INTO main.run_costs (run_id, segment, phase, wall_ms, cpu_ms, peak_rss_bytes, "
              "peak_device_bytes, energy_uj, energy_source, examples, tokens) SELECT ?1, segment, phase, wall_ms, "
              "cpu_ms, peak_rss_bytes, peak_device_bytes, energy_uj, energy_source, examples, tokens "
              "FROM theirs.run_costs WHERE run_id = ?2"),
          std::string(
              "INSERT INTO main.artifacts (run_id, name, kind, sha256, created_ms) SELECT ?1, name, kind, sha256, "
              "created_ms FROM theirs.artifacts WHERE run_id = ?2")}) {
      ours_.prepare(sql).bind(mine, their).run();
    }
  }

  Store& store_;
  Database& ours_;
  const fs::path folder_, other_;
  Database theirs_;
  std::vector<TheirRun> wanted_;
  std::vector<std::string> conflicts_;
  std::map<Id, Id> our_run_;  ///< by theirs
  MergeSummary summary_;
};

}  // namespace

MergeSummary merge(Store& store, const fs::path& other, bool dry_run) {
  Database ours = open_database(store.folder(), Mode::read_write);
  return Merging(store, ours, store.folder(), other).run(dry_run);
}

}  // namespace peftlab::store
