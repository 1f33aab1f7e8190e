// What the store tells: typed rows out of its views.

#include "store/impl.h"

#include <fmt/format.h>

#include <limits>
#include <map>

namespace peftlab::store {
namespace {

constexpr const char* kRunColumns =
    "run_uuid, experiment, label, method, seed, attempt, segment, state, adapter_sha256, base_sha256, "
    "trainable_parameters, total_parameters, train_seconds, peak_memory_bytes, is_current, is_baseline, is_newest, "
    "error_kind, error_text, created_ms, started_ms, ended_ms, role, of_label, examples_per_second, tokens_per_second";

/// Experiments `e`, that of the newest invocation first.
constexpr const char* kNewestFirst =
    "(SELECT max(invocation_id) FROM invocations i WHERE i.experiment_id = e.experiment_id) DESC";

RunRow run_row(const Statement& s) {
  RunRow row;
  row.uuid = s.text(0);
  row.experiment = s.text(1);
  row.label = s.text(2);
  row.method = s.text(3);
  row.seed = s.integer(4);
  row.attempt = s.integer(5);
  row.segment = s.integer(6);
  row.state = s.text(7);
  row.adapter_sha256 = s.maybe_text(8);
  row.base_sha256 = s.maybe_text(9);
  row.trainable_parameters = s.maybe_integer(10);
  row.total_parameters = s.maybe_integer(11);
  row.train_seconds = s.maybe_real(12);
  row.peak_memory_bytes = s.maybe_integer(13);
  row.is_current = s.integer(14) != 0;
  row.is_baseline = s.integer(15) != 0;
  row.is_newest = s.integer(16) != 0;
  row.error_kind = s.text(17);
  row.error_text = s.text(18);
  row.created_ms = s.maybe_integer(19);
  row.started_ms = s.maybe_integer(20);
  row.ended_ms = s.maybe_integer(21);
  row.role = s.text(22);
  row.of_label = s.maybe_text(23);
  row.examples_per_second = s.maybe_real(24);
  row.tokens_per_second = s.maybe_real(25);
  return row;
}

Table table_of(const std::string& text, const std::string& origin) {
  const Value value = parse_json(text, origin);
  const Table* table = value.get_if<Table>();
  if (!table) throw StoreError(fmt::format("{}: found {}, expected a table", origin, type_name(value)));
  return *table;
}

double special_value(const std::string& name) {
  if (name == "inf") return std::numeric_limits<double>::infinity();
  if (name == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

/// The leaves of a table by their dotted paths. Lists are leaves, but a list of tables is gone into.
void flatten(const Value& value, const std::string& path, std::map<std::string, std::string>& leaves) {
  if (const Table* table = value.get_if<Table>(); table && !table->empty()) {
    for (const auto& [key, entry] : *table) flatten(entry, path.empty() ? key : path + "." + key, leaves);
    return;
  }
  const List* list = value.get_if<List>();
  if (list && !list->empty() && list->front().get_if<Table>()) {
    for (size_t i = 0; i < list->size(); ++i) flatten((*list)[i], fmt::format("{}[{}]", path, i), leaves);
    return;
  }
  leaves[path] = to_json(value);
}

/// All that two runs can differ in, by path.
std::map<std::string, std::string> facts_of(const RunDetail& detail) {
  std::map<std::string, std::string> facts;
  flatten(Value(detail.config), "config", facts);
  flatten(Value(detail.environment), "environment", facts);
  facts["experiment"] = detail.run.experiment;
  facts["label"] = detail.run.label;
  facts["seed"] = std::to_string(detail.run.seed);
  facts["state"] = detail.run.state;
  if (detail.run.adapter_sha256) facts["adapter"] = *detail.run.adapter_sha256;
  if (detail.base_model) facts["base_model"] = detail.base_model->sha256;
  for (const Dataset& dataset : detail.datasets) facts["data." + dataset.split] = dataset.sha256;
  for (const Plugin& plugin : detail.plugins) facts[fmt::format("plugin.{}", plugin.name)] = plugin.sha256;
  for (const Score& score : detail.scores) {
    facts[fmt::format("score.{}.{}", score.split, score.metric)] = fmt::format("{}", score.value);
  }
  return facts;
}

/// The characters that GLOB gives a meaning to cannot occur in a uuid.
bool is_uuid_prefix(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef-") == std::string::npos;
}

}  // namespace

std::vector<ExperimentRow> Store::experiments(const std::string& experiment) const {
  // + as in v_run_score: each experiment would count through the finished runs of all.
  Statement s = impl_->db.prepare(fmt::format(
      "SELECT e.uuid, e.name, e.primary_metric, "
      "(SELECT label FROM variants v WHERE v.experiment_id = e.experiment_id AND v.is_baseline = 1), "
      "(SELECT count(*) FROM runs JOIN variants v USING (variant_id) WHERE v.experiment_id = e.experiment_id), "
      "(SELECT count(*) FROM runs r JOIN variants v USING (variant_id) WHERE v.experiment_id = e.experiment_id "
      "AND +r.state = 'finished'), e.created_ms, "
      "(SELECT at_ms FROM invocations i WHERE i.experiment_id = e.experiment_id ORDER BY invocation_id DESC LIMIT 1) "
      "FROM experiments e {}ORDER BY {}",
      experiment.empty() ? "" : "WHERE e.name = ? ", kNewestFirst));
  if (!experiment.empty()) s.bind(experiment);
  std::vector<ExperimentRow> rows;
  while (s.step()) {
    rows.push_back(
        {s.text(0), s.text(1), s.text(2), s.text(3), s.integer(4), s.integer(5), s.integer(6), s.integer(7)});
  }
  return rows;
}

std::string Store::resolve_experiment(const std::string& experiment) const {
  if (impl_->db.prepare("SELECT 1 FROM experiments WHERE name = ?").bind(experiment).step()) return experiment;
  Statement names = impl_->db.prepare(fmt::format("SELECT name FROM experiments e ORDER BY {}", kNewestFirst));
  std::string known;
  while (names.step()) {
    if (experiment.empty()) return names.text(0);
    known += (known.empty() ? "" : ", ") + names.text(0);
  }
  if (known.empty()) throw ConfigError(fmt::format("the store {} holds no experiment", impl_->folder.string()));
  throw ConfigError(fmt::format("the store has no experiment \"{}\"; it has: {}", experiment, known));
}

std::vector<RunRow> Store::runs(const std::string& experiment) const {
  // Not `? = '' OR experiment = ?`: no index serves an OR with a constant, and all runs would be read for a few.
  Statement s = impl_->db.prepare(
      fmt::format("SELECT {} FROM v_runs {}ORDER BY experiment_id, is_current DESC, position, label, seed, attempt",
                  kRunColumns, experiment.empty() ? "" : "WHERE experiment = ? "));
  if (!experiment.empty()) s.bind(experiment);
  std::vector<RunRow> rows;
  while (s.step()) rows.push_back(run_row(s));
  return rows;
}

std::vector<Progress> Store::progress(const std::string& experiment) const {
  // The last event "training" tells how many steps were planned: {"steps":300}.
  Statement s = impl_->db.prepare(
      "SELECT r.uuid, v.label, v.role, r.state, r.seed, r.heartbeat_ms, p.step, p.value, "
      "(SELECT detail_json FROM run_events e WHERE e.run_id = r.run_id AND e.kind = 'training' ORDER BY event_id DESC "
      "LIMIT 1) "
      "FROM runs r JOIN variants v USING (variant_id) JOIN experiments x USING (experiment_id) "
      "LEFT JOIN metric_points p ON p.run_id = r.run_id "
      "AND p.metric_id = (SELECT metric_id FROM metrics WHERE name = 'train/loss') AND (p.step, p.segment) = "
      "(SELECT q.step, q.segment FROM metric_points q WHERE q.run_id = r.run_id AND q.metric_id = p.metric_id "
      "ORDER BY q.step DESC, q.segment DESC LIMIT 1) "
      "WHERE x.name = ? AND v.is_current = 1 AND r.attempt = (SELECT max(a.attempt) FROM runs a "
      "WHERE a.variant_id = r.variant_id AND a.seed = r.seed) ORDER BY r.state <> 'running', v.position, r.seed");
  s.bind(experiment);
  std::vector<Progress> rows;
  while (s.step()) {
    Progress row{.uuid = s.text(0), .label = s.text(1), .role = s.text(2), .state = s.text(3), .seed = s.integer(4)};
    row.heartbeat_ms = s.maybe_integer(5);
    row.step = s.maybe_integer(6);
    row.loss = s.maybe_real(7);
    if (!s.is_null(8)) {
      const Value detail = parse_json(s.text(8), "a run's event");
      const Value* steps = detail.find("steps");
      if (steps && steps->get_if<int64_t>()) row.planned_steps = *steps->get_if<int64_t>();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

RunDetail Store::run(const std::string& prefix) const {
  const Database& db = impl_->db;
  RunDetail detail;
  {
    std::vector<RunRow> found;
    if (is_uuid_prefix(prefix)) {
      Statement s = db.prepare(fmt::format("SELECT {} FROM v_runs WHERE run_uuid GLOB ? || '*' LIMIT 10", kRunColumns));
      s.bind(prefix);
      while (s.step()) found.push_back(run_row(s));
    }
    if (found.empty()) {
      throw ConfigError(
          fmt::format("the store has no run whose uuid begins with \"{}\"; `peftlab list` shows them", prefix));
    }
    if (found.size() > 1) {
      std::string all;
      for (const RunRow& row : found) {
        all += fmt::format("\n  {}  {} {} seed {}", row.uuid, row.experiment, row.label, row.seed);
      }
      throw ConfigError(fmt::format("more than one run's uuid begins with \"{}\":{}", prefix, all));
    }
    detail.run = found.front();
  }
  const Id id = impl_->run_id(detail.run.uuid);
  Statement s = db.prepare(
      "SELECT v.config_json, v.method_plugins, b.name, b.arch, b.n_params, b.dtype, b.sha256, e.sha256, e.facts "
      "FROM runs r JOIN variants v USING (variant_id) LEFT JOIN base_models b USING (base_id) "
      "LEFT JOIN environments e USING (env_id) WHERE r.run_id = ?");
  s.bind(id).step();
  detail.config = table_of(s.text(0), "the run's configuration");
  const Value plugin_names = parse_json(s.text(1), "the run's methods");
  if (const List* names = plugin_names.get_if<List>()) {
    for (const Value& name : *names) {
      if (const std::string* text = name.get_if<std::string>()) detail.method_plugins.push_back(*text);
    }
  }
  if (!s.is_null(6)) detail.base_model = BaseModel{s.text(2), s.text(3), s.integer(4), s.text(5), s.text(6)};
  detail.environment_sha256 = s.maybe_text(7);
  if (!s.is_null(8)) detail.environment = table_of(s.text(8), "the run's environment");

  Statement datasets = db.prepare(
      "SELECT name, split, path, n_rows, sha256 FROM datasets JOIN run_datasets USING (dataset_id) WHERE run_id = ? "
      "ORDER BY dataset_id");
  datasets.bind(id);
  while (datasets.step()) {
    detail.datasets.push_back(
        {datasets.text(0), datasets.text(1), datasets.text(2), datasets.integer(3), datasets.text(4)});
  }
  Statement plugins = db.prepare(
      "SELECT name, kind, file, sha256, abi, torch_version FROM plugins JOIN run_plugins USING (plugin_id) "
      "WHERE run_id = ? ORDER BY kind, name");
  plugins.bind(id);
  while (plugins.step()) {
    detail.plugins.push_back(
        {plugins.text(0), plugins.text(1), plugins.text(2), plugins.text(3), plugins.integer(4), plugins.text(5)});
  }
  Statement scores = db.prepare(
      "SELECT name, split, value, n_items, higher_is_better FROM run_scores JOIN metrics USING (metric_id) "
      "WHERE run_id = ? ORDER BY split, name");
  scores.bind(id);
  while (scores.step()) {
    detail.scores.push_back(
        {scores.text(0), scores.text(1), scores.real(2), scores.maybe_integer(3), scores.integer(4) != 0});
  }
  Statement costs = db.prepare(
      "SELECT segment, phase, wall_ms, cpu_ms, peak_rss_bytes, peak_device_bytes, energy_uj, energy_source, examples, "
      "tokens FROM run_costs WHERE run_id = ? ORDER BY segment, phase");
  costs.bind(id);
  while (costs.step()) {
    detail.costs.push_back(
        {costs.integer(0),
         {costs.text(1), costs.maybe_integer(2), costs.maybe_integer(3), costs.maybe_integer(4), costs.maybe_integer(5),
          costs.maybe_integer(6), costs.maybe_text(7), costs.maybe_integer(8), costs.maybe_integer(9)}});
  }
  Statement artifacts = db.prepare(
      "SELECT name, kind, sha256, size_bytes FROM artifacts JOIN objects USING (sha256) WHERE run_id = ? "
      "ORDER BY name");
  artifacts.bind(id);
  while (artifacts.step()) {
    detail.artifacts.push_back({artifacts.text(0), artifacts.text(1), artifacts.text(2), artifacts.integer(3)});
  }
  Statement events = db.prepare("SELECT at_ms, kind, detail_json FROM run_events WHERE run_id = ? ORDER BY event_id");
  events.bind(id);
  while (events.step()) detail.events.push_back({events.integer(0), events.text(1), events.text(2)});
  Statement series = db.prepare(
      "SELECT name FROM metrics m WHERE EXISTS (SELECT 1 FROM metric_points p WHERE p.run_id = ? AND "
      "p.metric_id = m.metric_id) ORDER BY name");
  series.bind(id);
  while (series.step()) detail.series.push_back(series.text(0));
  return detail;
}

std::vector<MetricPoint> Store::series(const std::string& run, const std::string& metric) const {
  Statement s =
      impl_->db.prepare("SELECT step, value, special, at_ms FROM v_metric WHERE run_uuid = ? AND metric = ? ORDER BY step");
  s.bind(run, metric);
  std::vector<MetricPoint> points;
  while (s.step()) {
    points.push_back({metric, s.integer(0), s.is_null(2) ? s.real(1) : special_value(s.text(2)), s.integer(3)});
  }
  return points;
}

std::vector<CompareRow> Store::compare(const std::string& experiment) const {
  Statement s = impl_->db.prepare(
      "SELECT label, method, metric, split, n, mean, sd, ci95_low, ci95_high, higher_is_better, is_baseline "
      "FROM v_compare WHERE experiment = ? ORDER BY label, split, metric");
  s.bind(experiment);
  std::vector<CompareRow> rows;
  while (s.step()) {
    rows.push_back({s.text(0), s.text(1), s.text(2), s.text(3), s.integer(4), s.real(5), s.maybe_real(6),
                    s.maybe_real(7), s.maybe_real(8), s.integer(9) != 0, s.integer(10) != 0});
  }
  return rows;
}

std::vector<PairedRow> Store::paired(const std::string& experiment) const {
  Statement s = impl_->db.prepare(
      "SELECT label, baseline, metric, n, mean_difference, ci95_low, ci95_high, verdict, sd_difference FROM v_paired "
      "WHERE experiment = ? ORDER BY label, metric");
  s.bind(experiment);
  std::vector<PairedRow> rows;
  while (s.step()) {
    rows.push_back({s.text(0), s.text(1), s.text(2), s.integer(3), s.maybe_real(4), s.maybe_real(5), s.maybe_real(6),
                    s.text(7), s.maybe_real(8)});
  }
  return rows;
}

std::string Store::config_text(const std::string& experiment) const {
  Statement s = impl_->db.prepare("SELECT config_text FROM experiments WHERE name = ?");
  return s.bind(experiment).step() ? s.text(0) : "";
}

std::vector<CompareRow> Store::base_scores(const std::string& experiment) const {
  Statement s = impl_->db.prepare(
      "SELECT metric, split, value, higher_is_better FROM v_score "
      "WHERE experiment = ? AND role = 'base' AND is_current = 1 ORDER BY seed DESC, metric, split");
  s.bind(experiment);
  std::map<std::pair<std::string, std::string>, CompareRow> rows;  // nothing is trained: any seed will do
  while (s.step()) {
    CompareRow row;
    row.metric = s.text(0);
    row.split = s.text(1);
    row.n = 1;
    row.mean = s.real(2);
    row.higher_is_better = s.integer(3) != 0;
    rows[{row.metric, row.split}] = row;
  }
  std::vector<CompareRow> found;
  for (auto& [key, row] : rows) found.push_back(std::move(row));
  return found;
}

std::map<std::string, std::vector<Choice>> Store::choices(const std::string& experiment) const {
  Statement s = impl_->db.prepare(
      "SELECT label, option, chosen_by, value, tried, criterion, flag, n_tried, seconds FROM v_choices "
      "WHERE experiment = ? AND is_current = 1 ORDER BY label, option");
  s.bind(experiment);
  std::map<std::string, std::vector<Choice>> chosen;
  while (s.step()) {
    const Value tried = parse_json(s.text(4), "what a search tried");
    const List* list = tried.get_if<List>();
    chosen[s.text(0)].push_back({s.text(1), s.text(2), parse_json(s.text(3), "what a search chose"),
                                 list ? *list : List(), s.text(5), s.maybe_text(6), s.integer(7), s.maybe_real(8)});
  }
  return chosen;
}

std::vector<Difference> Store::diff(const std::string& prefix_a, const std::string& prefix_b) const {
  const std::map<std::string, std::string> a = facts_of(run(prefix_a));
  const std::map<std::string, std::string> b = facts_of(run(prefix_b));
  std::map<std::string, Difference> differences;
  for (const auto& [path, text] : a) {
    const auto other = b.find(path);
    if (other == b.end()) {
      differences[path] = {path, text, std::nullopt};
    } else if (other->second != text) {
      differences[path] = {path, text, other->second};
    }
  }
  for (const auto& [path, text] : b) {
    if (!a.contains(path)) differences[path] = {path, std::nullopt, text};
  }
  std::vector<Difference> rows;
  for (auto& [path, difference] : differences) rows.push_back(std::move(difference));
  return rows;
}

}  // namespace peftlab::store
