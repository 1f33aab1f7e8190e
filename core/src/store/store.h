#pragma once

/// \file
/// The experiment store: `store.db`, a SQLite database, and `objects/`, files named by their sha256, in one folder.
/// Everything peftlab knows of a run is written and read here; nothing else sees SQL.

#include "store/records.h"
#include "store/rows.h"

#include <peftlab/error.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::store {

inline constexpr int64_t kSchemaVersion = 2;

/// The store was written by another version of peftlab (exit code 6).
class StoreVersionError : public StoreError {
 public:
  using StoreError::StoreError;
};

enum class Mode {
  read_write_create,  ///< makes the store if there is none
  read_write,
  read_only,
};

/// One connection to a store. Any number of processes may have one open; writers wait for each other, up to 30 s.
///
/// Threads: one thread a Store; open another for another thread. Do not use one across fork().
/// Throws: every member throws StoreError where the store is locked, full, failing or asked for what it forbids, such
/// as
///         a change to a run that has ended.
class Store {
 public:
  /// Throws: StoreError if there is no store (unless it may be made) or the folder holds something else;
  ///         StoreVersionError.
  static Store open(const std::filesystem::path& folder, Mode mode);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  const std::filesystem::path& folder() const;
  /// The store's own name, made with it.
  std::string uuid() const;

  // What runs are made from. add_* finds the row that says the same, or adds it.

  Id add_base_model(const BaseModel& model);
  Id add_dataset(const Dataset& dataset);
  Id add_plugin(const Plugin& plugin);
  Id add_environment(const Table& facts);

  /// Notes one invocation of `peftlab run`: finds the experiment by its name or adds it, keeps the file's text, and
  /// makes `variants` (all of the file, in its order, also those that --only leaves out) its current ones. A variant is
  /// known by its key: its label, place and baseline mark follow the file. Returns their ids, in order. Throws:
  /// ConfigError if two have one label or one key, or more than one is the baseline.
  std::vector<Id> begin_invocation(const Experiment& experiment, const std::vector<Variant>& variants);
  /// Adds what a search tries to the experiment's variants before begin_invocation() is told them all. Those there
  /// stay, but for one that has a label of these.
  std::vector<Id> add_variants(const Experiment& experiment, const std::vector<Variant>& variants);

  // The life of a run: pending -> running -> finished | failed | interrupted | cancelled; interrupted -> running.

  std::optional<Attempt> newest_attempt(Id variant, int64_t seed) const;
  /// A new attempt, pending. Returns its uuid.
  /// With `continues`, the uuid of an ended attempt of the same variant and seed, and the `step` of the resume point
  /// taken from it, the new one starts with that one's points up to `step` and with the costs of the segments that they
  /// came from: the curve and the training time are whole.
  std::string create_run(Id variant, int64_t seed, const RunInputs& inputs, const std::string& continues = "",
                         int64_t step = 0);
  /// Takes a pending or interrupted run for this process.
  /// Throws: StoreError, saying its state and process, if it is neither.
  void start_run(const std::string& run, Id environment, const std::string& worker);
  void heartbeat(const std::string& run);

  /// Writes a batch of points, all or none. The same point twice is written once.
  /// Throws: StoreError if a point is there with another value.
  void append_points(const std::string& run, std::span<const MetricPoint> points);
  /// Throws: TrainError if a score is not finite; StoreError if the metric had the other direction before.
  void put_scores(const std::string& run, std::span<const Score> scores);
  /// Sets the present segment's cost of a phase (a segment lasts from start_run to the end or the next resume). Written
  /// at every save, it tells the time of a segment that was killed.
  void put_cost(const std::string& run, const Cost& cost);
  void add_artifact(const std::string& run, const std::string& name, const std::string& kind,
                    const std::string& sha256);
  void add_event(const std::string& run, const std::string& kind, const Table& detail);

  void finish_run(const std::string& run, const Outcome& outcome);
  void fail_run(const std::string& run, const std::string& kind, const std::string& text);
  void interrupt_run(const std::string& run);
  void cancel_run(const std::string& run);
  /// Whether the process that started it last is alive, as far as can be told from here.
  bool is_alive(const std::string& run) const;
  /// Fails ("worker died") every running run whose process is gone. Returns their uuids.
  std::vector<std::string> fail_dead_runs();

  // Objects: files named by the sha256 of their bytes.

  /// Returns the sha256.
  std::string put_object(std::string_view bytes);
  /// Throws: FormatError if `file` cannot be read.
  std::string put_object_file(const std::filesystem::path& file);
  std::filesystem::path object_path(const std::string& sha256) const;
  /// The bytes, checked against their name.
  /// Throws: StoreError if the object is missing or is not what its name says.
  std::string get_object(const std::string& sha256) const;

  // Reading.

  /// All experiments, that of the newest invocation first, or the one of this name.
  std::vector<ExperimentRow> experiments(const std::string& experiment = "") const;
  /// The name of `experiment`, or of the newest one if empty.
  /// Throws: ConfigError, listing what there is.
  std::string resolve_experiment(const std::string& experiment) const;
  /// All runs, or those of one experiment, in the file's order, then by seed and attempt.
  std::vector<RunRow> runs(const std::string& experiment = "") const;
  /// What is going on in the experiment: newest attempts, those that run first, then in the file's order.
  std::vector<Progress> progress(const std::string& experiment) const;
  /// The run whose uuid begins with `prefix`.
  /// Throws: ConfigError if none or more than one does.
  RunDetail run(const std::string& prefix) const;
  std::vector<MetricPoint> series(const std::string& run, const std::string& metric) const;
  std::vector<CompareRow> compare(const std::string& experiment) const;
  std::vector<PairedRow> paired(const std::string& experiment) const;
  /// The experiment's file at its newest invocation, verbatim.
  std::string config_text(const std::string& experiment) const;
  /// What the untouched base scores, where the experiment measured it apart from its methods. Metric, split, value and
  /// direction are set, and n is 1.
  std::vector<CompareRow> base_scores(const std::string& experiment) const;
  /// What was chosen for the experiment's current methods, by label.
  std::map<std::string, std::vector<Choice>> choices(const std::string& experiment) const;
  std::vector<Difference> diff(const std::string& prefix_a, const std::string& prefix_b) const;

  // Care.

  /// What is wrong: the database's integrity, its foreign keys, objects missing, changed or unknown, features damaged.
  /// Empty: all is well.
  std::vector<std::string> check() const;

  /// Moves every object whose bytes are not those of its name to quarantine/, so that nothing takes it for what it is not
  /// and the right bytes can take its place (a run or a merge that has them writes them). Returns what was wrong with
  /// each and where it is now. Throws: StoreError if one cannot be moved.
  std::vector<std::string> quarantine();
  /// Objects that nothing refers to and that are older than `min_age`, and all features, which are a cache; deletes them
  /// unless `dry_run`.
  std::vector<Garbage> gc(bool dry_run, std::chrono::seconds min_age = std::chrono::hours(1));
  /// Writes a copy of the whole store, as it is at this moment, to the new folder `target`.
  void backup(const std::filesystem::path& target) const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct QueryLimits {
  std::chrono::milliseconds deadline = std::chrono::seconds(10);
  int64_t max_rows = 100'000;
};

/// Answers one read-only SQL statement over the store, in a process of its own, which is stopped at the deadline
/// whatever it is doing.
/// Throws: ConfigError with the reason if the statement is refused, wrong, or stopped; StoreError; StoreVersionError.
Rows query(const std::filesystem::path& folder, const std::string& sql, const QueryLimits& limits = {});

}  // namespace peftlab::store
