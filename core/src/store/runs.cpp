// The life of a run.

#include "store/impl.h"
#include "store/process.h"

#include <fmt/format.h>

#include <cmath>

namespace peftlab::store {
namespace {

/// A message or log longer than this is cut: it is there to be read.
constexpr size_t kMaxErrorText = 64 * 1024;

/// How a number that is not finite is kept; nullptr for one that is.
const char* special_name(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return nullptr;
}

/// The error text without a character cut in two at its end.
std::string shorten(const std::string& text) {
  if (text.size() <= kMaxErrorText) return text;
  size_t end = kMaxErrorText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + " [...]";
}

/// Copies what led to the resume point at `step` of run `from`: the points that count there, and the costs of the
/// segments that wrote them.
void copy_history(Database& db, Id from, Id to, int64_t step) {
  db.prepare(
        "INSERT INTO metric_points (run_id, metric_id, step, segment, at_ms, value, special) "
        "SELECT ?2, p.metric_id, p.step, p.segment, p.at_ms, p.value, p.special FROM metric_points p "
        "WHERE p.run_id = ?1 AND p.step <= ?3 AND NOT EXISTS (SELECT 1 FROM metric_points q "
        "WHERE q.run_id = p.run_id AND q.metric_id = p.metric_id AND q.step = p.step AND q.segment > p.segment)")
      .bind(from, to, step)
      .run();
  db.prepare(
        "INSERT INTO run_costs (run_id, segment, phase, wall_ms, cpu_ms, peak_rss_bytes, peak_device_bytes, energy_uj, "
        "energy_source, examples, tokens) SELECT ?2, segment, phase, wall_ms, cpu_ms, peak_rss_bytes, "
        "peak_device_bytes, energy_uj, energy_source, examples, tokens FROM run_costs "
        "WHERE run_id = ?1 AND segment IN (SELECT segment FROM metric_points WHERE run_id = ?2)")
      .bind(from, to)
      .run();
}

/// Moves a run to `state`. `set` gives further columns, with the parameters ?3 and on.
template <typename... T>
void move_run(Database& db, const std::string& run, const std::string& state, const std::string& set,
              const T&... values) {
  db.prepare(fmt::format("UPDATE runs SET state = ?2{} WHERE uuid = ?1", set)).bind(run, state, values...).run();
  if (db.changes() == 0) throw StoreError(fmt::format("the store has no run {}", run));
}

/// In these two states a second call would change nothing but the times; it is a mistake all the same.
void require_state(Database& db, const std::string& run, const std::string& wanted, const std::string& doing) {
  Statement find = db.prepare("SELECT state FROM runs WHERE uuid = ?");
  if (!find.bind(run).step()) throw StoreError(fmt::format("the store has no run {}", run));
  const std::string state = find.text(0);
  if (state != wanted) throw StoreError(fmt::format("cannot {} run {}: it is {}, not {}", doing, run, state, wanted));
}

}  // namespace

std::optional<Attempt> Store::newest_attempt(Id variant, int64_t seed) const {
  Statement find = impl_->db.prepare(
      "SELECT uuid, attempt, state, error_kind, error_text FROM runs WHERE variant_id = ? AND seed = ? "
      "ORDER BY attempt DESC LIMIT 1");
  if (!find.bind(variant, seed).step()) return std::nullopt;
  return Attempt{find.text(0), find.integer(1), find.text(2), find.text(3), find.text(4)};
}

std::string Store::create_run(Id variant, int64_t seed, const RunInputs& inputs, const std::string& continues,
                              int64_t step) {
  Database& db = impl_->db;
  Transaction transaction(db);
  std::optional<Id> from;
  int64_t segment = 0;
  if (!continues.empty()) {
    Statement find = db.prepare(
        "SELECT run_id, segment FROM runs WHERE uuid = ? AND variant_id = ? AND seed = ? "
        "AND state IN ('failed', 'cancelled')");
    if (!find.bind(continues, variant, seed).step()) {
      throw StoreError(fmt::format("run {} is no ended attempt of this variant and seed to continue", continues));
    }
    from = find.integer(0);
    segment = find.integer(1) + 1;
  }
  const std::string uuid = make_uuid();
  db.prepare(
        "INSERT INTO runs (uuid, variant_id, seed, attempt, state, segment, continues_run_id, base_id, created_ms) "
        "VALUES (?1, ?2, ?3, (SELECT coalesce(max(attempt), 0) + 1 FROM runs WHERE variant_id = ?2 AND seed = ?3), "
        "'pending', ?4, ?5, ?6, ?7)")
      .bind(uuid, variant, seed, segment, from, inputs.base_model, now_ms())
      .run();
  const Id id = db.last_id();
  for (const Id dataset : inputs.datasets) {
    db.prepare("INSERT INTO run_datasets (run_id, dataset_id) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(id, dataset)
        .run();
  }
  for (const Id plugin : inputs.plugins) {
    db.prepare("INSERT INTO run_plugins (run_id, plugin_id) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(id, plugin)
        .run();
  }
  if (from) copy_history(db, *from, id, step);
  transaction.commit();
  return uuid;
}

void Store::start_run(const std::string& run, Id environment, const std::string& worker) {
  const ProcessIdentity self = this_process();
  Database& db = impl_->db;
  Transaction transaction(db);
  Statement find = db.prepare("SELECT state, pid FROM runs WHERE uuid = ?");
  if (!find.bind(run).step()) throw StoreError(fmt::format("the store has no run {}", run));
  const std::string state = find.text(0);
  if (state == "running") {
    throw StoreError(fmt::format("run {} is already running, in process {}", run, find.integer(1)));
  }
  if (state != "pending" && state != "interrupted") throw StoreError(fmt::format("run {} has ended: {}", run, state));
  // A resumed run writes a segment of its own.
  move_run(db, run, "running",
           ", segment = segment + (state = 'interrupted'), env_id = ?3, worker = ?4, pid = ?5, boot_id = ?6, "
           "pid_start = ?7, started_ms = coalesce(started_ms, ?8), heartbeat_ms = ?8, ended_ms = NULL",
           environment, worker, self.pid, self.boot_id, self.start_ticks, now_ms());
  transaction.commit();
}

void Store::heartbeat(const std::string& run) {
  impl_->db.prepare("UPDATE runs SET heartbeat_ms = ? WHERE uuid = ? AND state = 'running'").bind(now_ms(), run).run();
}

void Store::append_points(const std::string& run, std::span<const MetricPoint> points) {
  if (points.empty()) return;
  Database& db = impl_->db;
  Transaction transaction(db);
  require_state(db, run, "running", "append points to");
  const Id id = impl_->run_id(run);
  const int64_t at_ms = now_ms();
  Statement put = db.prepare(
      "INSERT INTO metric_points (run_id, metric_id, step, segment, at_ms, value, special) "
      "SELECT run_id, ?2, ?3, segment, ?4, ?5, ?6 FROM runs WHERE run_id = ?1 "
      "ON CONFLICT DO NOTHING");
  Statement same = db.prepare(
      "SELECT p.value IS ?4 AND p.special IS ?5 FROM metric_points p JOIN runs r USING (run_id) "
      "WHERE p.run_id = ?1 AND p.metric_id = ?2 AND p.step = ?3 AND p.segment = r.segment");
  for (const MetricPoint& point : points) {
    const Id metric = impl_->metric_id(point.metric);
    const char* special = special_name(point.value);
    std::optional<double> value;
    std::optional<std::string> kept;
    if (special) {
      kept = special;
    } else {
      value = point.value;
    }
    put.bind(id, metric, point.step, at_ms, value, kept).run();
    if (db.changes() == 1) continue;
    // A commit whose answer was lost is written again: that is no error unless it says something else.
    same.bind(id, metric, point.step, value, kept);
    if (!same.step() || same.integer(0) == 0) {
      throw StoreError(fmt::format("run {} already has another value of {} at step {}", run, point.metric, point.step));
    }
    same.run();
  }
  transaction.commit();
}

void Store::put_scores(const std::string& run, std::span<const Score> scores) {
  Database& db = impl_->db;
  Transaction transaction(db);
  const Id id = impl_->run_id(run);
  for (const Score& score : scores) {
    if (!std::isfinite(score.value)) {
      throw TrainError(fmt::format("{} on split {} is {}: a score must be a finite number", score.metric, score.split,
                                   special_name(score.value)));
    }
    const Id metric = impl_->metric_id(score.metric);
    db.prepare("UPDATE metrics SET higher_is_better = ? WHERE metric_id = ? AND higher_is_better IS NULL")
        .bind(score.higher_is_better, metric)
        .run();
    Statement direction = db.prepare("SELECT higher_is_better FROM metrics WHERE metric_id = ?");
    direction.bind(metric).step();
    if ((direction.integer(0) != 0) != score.higher_is_better) {
      throw StoreError(
          fmt::format("this store knows {} as a metric where {} is better; now it is said to be the other "
                      "way round",
                      score.metric, score.higher_is_better ? "lower" : "higher"));
    }
    db.prepare(
          "INSERT INTO run_scores (run_id, metric_id, split, value, n_items) VALUES (?, ?, ?, ?, ?) "
          "ON CONFLICT DO UPDATE SET value = excluded.value, n_items = excluded.n_items")
        .bind(id, metric, score.split, score.value, score.n_items)
        .run();
  }
  transaction.commit();
}

void Store::put_cost(const std::string& run, const Cost& cost) {
  Database& db = impl_->db;
  Transaction transaction(db);
  db.prepare(
        "INSERT INTO run_costs (run_id, segment, phase, wall_ms, cpu_ms, peak_rss_bytes, peak_device_bytes, energy_uj, "
        "energy_source, examples, tokens) "
        "SELECT run_id, segment, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM runs WHERE run_id = ?1 "
        "ON CONFLICT DO UPDATE SET wall_ms = excluded.wall_ms, cpu_ms = excluded.cpu_ms, "
        "peak_rss_bytes = excluded.peak_rss_bytes, peak_device_bytes = excluded.peak_device_bytes, "
        "energy_uj = excluded.energy_uj, energy_source = excluded.energy_source, examples = excluded.examples, "
        "tokens = excluded.tokens")
      .bind(impl_->run_id(run), cost.phase, cost.wall_ms, cost.cpu_ms, cost.peak_rss_bytes, cost.peak_device_bytes,
            cost.energy_uj, cost.energy_source, cost.examples, cost.tokens)
      .run();
  transaction.commit();
}

void Store::add_artifact(const std::string& run, const std::string& name, const std::string& kind,
                         const std::string& sha256) {
  Database& db = impl_->db;
  Transaction transaction(db);
  const Id id = impl_->run_id(run);
  Statement find = db.prepare("SELECT sha256 FROM artifacts WHERE run_id = ? AND name = ?");
  if (find.bind(id, name).step()) {
    if (find.text(0) == sha256) return;
    // A resumed run may make its file anew; an ended one is what it is.
    require_state(db, run, "running", "replace an artifact of");
    db.prepare("DELETE FROM artifacts WHERE run_id = ? AND name = ?").bind(id, name).run();
  }
  db.prepare("INSERT INTO artifacts (run_id, name, kind, sha256, created_ms) VALUES (?, ?, ?, ?, ?)")
      .bind(id, name, kind, sha256, now_ms())
      .run();
  transaction.commit();
}

void Store::add_event(const std::string& run, const std::string& kind, const Table& detail) {
  impl_->db.prepare("INSERT INTO run_events (run_id, at_ms, kind, detail_json) VALUES (?, ?, ?, ?)")
      .bind(impl_->run_id(run), now_ms(), kind, to_json(Value(detail)))
      .run();
}

void Store::finish_run(const std::string& run, const Outcome& outcome) {
  Transaction transaction(impl_->db);
  require_state(impl_->db, run, "running", "finish");
  if (!outcome.adapter_sha256 && outcome.trainable_parameters != 0) {
    throw StoreError(
        fmt::format("run {} trained {} parameters and names no adapter checksum", run, outcome.trainable_parameters));
  }
  move_run(impl_->db, run, "finished",
           ", ended_ms = ?3, adapter_sha256 = ?4, trainable_parameters = ?5, total_parameters = ?6", now_ms(),
           outcome.adapter_sha256, outcome.trainable_parameters, outcome.total_parameters);
  transaction.commit();
}

void Store::fail_run(const std::string& run, const std::string& kind, const std::string& text) {
  move_run(impl_->db, run, "failed", ", ended_ms = ?3, error_kind = ?4, error_text = ?5", now_ms(), kind,
           shorten(text));
}

void Store::interrupt_run(const std::string& run) {
  Transaction transaction(impl_->db);
  require_state(impl_->db, run, "running", "interrupt");
  move_run(impl_->db, run, "interrupted", ", ended_ms = ?3", now_ms());
  transaction.commit();
}

void Store::cancel_run(const std::string& run) {
  move_run(impl_->db, run, "cancelled", ", ended_ms = ?3", now_ms());
}

bool Store::is_alive(const std::string& run) const {
  Statement find =
      impl_->db.prepare("SELECT pid, boot_id, pid_start, coalesce(heartbeat_ms, 0) FROM runs WHERE uuid = ?");
  if (!find.bind(run).step() || find.is_null(0)) return false;
  return store::is_alive({find.integer(0), find.text(1), find.integer(2)}, now_ms() - find.integer(3));
}

std::vector<std::string> Store::fail_dead_runs() {
  Database& db = impl_->db;
  Transaction transaction(db);
  std::vector<std::string> dead;
  Statement running = db.prepare(
      "SELECT uuid, pid, boot_id, pid_start, coalesce(heartbeat_ms, 0) FROM runs WHERE state = 'running' ORDER BY "
      "run_id");
  while (running.step()) {
    const int64_t silent_ms = now_ms() - running.integer(4);
    if (!store::is_alive({running.integer(1), running.text(2), running.integer(3)}, silent_ms))
      dead.push_back(running.text(0));
  }
  for (const std::string& run : dead) {
    fail_run(run, "worker died", "the process that ran it is gone and has left no reason");
  }
  transaction.commit();
  return dead;
}

}  // namespace peftlab::store
