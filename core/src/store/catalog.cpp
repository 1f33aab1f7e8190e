// What runs are made from: base models, data, plugins, environments; experiments and their variants.

#include "store/impl.h"
#include "support/sha256.h"

#include <fmt/format.h>

#include <map>

namespace peftlab::store {
namespace {

/// The id of the row that holds `values` in `columns` ("a, b, ..."), added if there is none.
template <typename... T>
Id find_or_add(Database& db, const std::string& table, const std::string& id, const std::string& columns,
               const T&... values) {
  std::string marks = "?";
  for (size_t i = 1; i < sizeof...(T); ++i) marks += ", ?";
  Statement find = db.prepare(fmt::format("SELECT {} FROM {} WHERE ({}) = ({})", id, table, columns, marks));
  if (find.bind(values...).step()) return find.integer(0);
  // Another process may add the same row between the two statements; then the second look finds it.
  db.prepare(fmt::format("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING", table, columns, marks))
      .bind(values...)
      .run();
  find.bind(values...);
  if (!find.step()) throw StoreError(fmt::format("a row of {} was not kept", table));
  return find.integer(0);
}

void check_variants(const std::string& experiment, const std::vector<Variant>& variants) {
  std::map<std::string, std::string> label_of_key;
  std::map<std::string, std::string> key_of_label;
  std::string baseline;
  for (const Variant& variant : variants) {
    if (!key_of_label.emplace(variant.label, variant.key).second) {
      throw ConfigError(fmt::format("experiment \"{}\" has two methods labelled \"{}\"", experiment, variant.label));
    }
    const auto [found, added] = label_of_key.emplace(variant.key, variant.label);
    if (!added) {
      throw ConfigError(
          fmt::format("experiment \"{}\": the methods \"{}\" and \"{}\" are the same, down to every option", experiment,
                      found->second, variant.label));
    }
    if (!variant.is_baseline) continue;
    if (!baseline.empty()) {
      throw ConfigError(
          fmt::format("experiment \"{}\" has two baselines, \"{}\" and \"{}\"", experiment, baseline, variant.label));
    }
    baseline = variant.label;
  }
}

Id find_or_add_experiment(Database& db, const Experiment& experiment) {
  db.prepare(
        "INSERT INTO experiments (uuid, name, config_text, primary_metric, created_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO NOTHING")
      .bind(make_uuid(), experiment.name, experiment.config_text, experiment.primary_metric, now_ms())
      .run();
  Statement find = db.prepare("SELECT experiment_id FROM experiments WHERE name = ?");
  find.bind(experiment.name).step();
  return find.integer(0);
}

/// Makes them current, in their order.
std::vector<Id> put_variants(Database& db, Id experiment, const std::vector<Variant>& variants) {
  Statement put = db.prepare(
      "INSERT INTO variants (experiment_id, variant_key, label, method, method_plugins, config_json, position, "
      "is_baseline, is_current, role, of_label) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) "
      "ON CONFLICT (experiment_id, variant_key) DO UPDATE SET label = excluded.label, method = excluded.method, "
      "method_plugins = excluded.method_plugins, config_json = excluded.config_json, position = excluded.position, "
      "is_baseline = excluded.is_baseline, is_current = 1, role = excluded.role, of_label = excluded.of_label "
      "RETURNING variant_id");
  std::vector<Id> ids;
  for (const Variant& variant : variants) {
    put.bind(experiment, variant.key, variant.label, variant.method, to_json(Value(variant.method_plugins)),
             to_json(Value(variant.config)), static_cast<int64_t>(ids.size()), variant.is_baseline, variant.role,
             variant.of_label);
    put.step();
    const Id id = put.integer(0);
    put.run();
    ids.push_back(id);
    db.prepare("DELETE FROM choices WHERE variant_id = ?").bind(id).run();
    for (const Choice& choice : variant.choices) {
      db.prepare(
            "INSERT INTO choices (variant_id, option, chosen_by, value, tried, criterion, flag, n_tried, seconds) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
          .bind(id, choice.option, choice.chosen_by, to_json(choice.value), to_json(Value(choice.tried)),
                choice.criterion, choice.flag, choice.n_tried, choice.seconds)
          .run();
    }
  }
  return ids;
}

}  // namespace

Id Store::add_base_model(const BaseModel& model) {
  return find_or_add(impl_->db, "base_models", "base_id", "sha256, name, arch, n_params, dtype", model.sha256,
                     model.name, model.arch, model.n_params, model.dtype);
}

Id Store::add_dataset(const Dataset& dataset) {
  return find_or_add(impl_->db, "datasets", "dataset_id", "sha256, split, name, path, n_rows", dataset.sha256,
                     dataset.split, dataset.name, dataset.path, dataset.n_rows);
}

Id Store::add_plugin(const Plugin& plugin) {
  return find_or_add(impl_->db, "plugins", "plugin_id", "sha256, name, kind, file, abi, torch_version", plugin.sha256,
                     plugin.name, plugin.kind, plugin.file, plugin.abi, plugin.torch_version);
}

Id Store::add_environment(const Table& facts) {
  const std::string text = to_json(Value(facts));
  return find_or_add(impl_->db, "environments", "env_id", "sha256, facts", sha256_hex(text), text);
}

std::vector<Id> Store::begin_invocation(const Experiment& experiment, const std::vector<Variant>& variants) {
  check_variants(experiment.name, variants);
  Database& db = impl_->db;
  Transaction transaction(db);
  const Id id = find_or_add_experiment(db, experiment);
  db.prepare("UPDATE experiments SET config_text = ?, primary_metric = ? WHERE experiment_id = ?")
      .bind(experiment.config_text, experiment.primary_metric, id)
      .run();
  db.prepare("INSERT INTO invocations (experiment_id, at_ms, config_text, primary_metric) VALUES (?, ?, ?, ?)")
      .bind(id, now_ms(), experiment.config_text, experiment.primary_metric)
      .run();
  // Labels and the baseline mark may move between variants, so all are taken off before any is put on.
  db.prepare("UPDATE variants SET is_current = 0, is_baseline = 0 WHERE experiment_id = ?").bind(id).run();
  const std::vector<Id> ids = put_variants(db, id, variants);
  transaction.commit();
  return ids;
}

std::vector<Id> Store::add_variants(const Experiment& experiment, const std::vector<Variant>& variants) {
  check_variants(experiment.name, variants);
  Database& db = impl_->db;
  Transaction transaction(db);
  const Id id = find_or_add_experiment(db, experiment);
  for (const Variant& variant : variants) {
    db.prepare("UPDATE variants SET is_current = 0, is_baseline = 0 WHERE experiment_id = ? AND label = ?")
        .bind(id, variant.label)
        .run();
  }
  const std::vector<Id> ids = put_variants(db, id, variants);
  transaction.commit();
  return ids;
}

}  // namespace peftlab::store
