#include "library_files.h"

#include "norms.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>

#include <algorithm>
#include <cctype>

namespace peftlab::adapter {
namespace {

std::string join(const std::vector<std::string>& parts, size_t count) {
  std::string name;
  for (size_t i = 0; i < count; ++i) name += (i ? "." : "") + parts[i];
  return name;
}

/// A configuration that `adapters` knows by its name; empty if it is none of ours.
std::string kind_named(const std::string& name) {
  static const std::map<std::string, Kind> known = {{"double_seq_bn", Kind::houlsby}, {"houlsby", Kind::houlsby},
                                                    {"seq_bn", Kind::pfeiffer},       {"pfeiffer", Kind::pfeiffer},
                                                    {"par_bn", Kind::parallel},       {"parallel", Kind::parallel}};
  const auto found = known.find(name);
  if (found != known.end()) return name_of(found->second);
  throw FormatError("adapter_config.json: `config` is \"" + name +
                    "\"; plugin adapter computes \"double_seq_bn\", \"seq_bn\" and \"par_bn\"");
}

/// Reads where the bottlenecks stand and what they read.
void read_wiring(AdapterConfig& fields, Table& options) {
  const bool attention = fields.get("mh_adapter", false), output = fields.get("output_adapter", false);
  if (!attention && !output) {
    throw FormatError("adapter_config.json: neither `config.mh_adapter` nor `config.output_adapter` is true");
  }
  options["places"] = attention && output ? "both" : attention ? "attention" : "feed_forward";
  const bool after_norm = fields.get("original_ln_before", false);
  Kind kind = after_norm ? Kind::pfeiffer : Kind::houlsby;
  if (fields.get("is_parallel", false)) kind = Kind::parallel;
  options["kind"] = name_of(kind);
  fields.expect("original_ln_after", true);
  if (kind == Kind::pfeiffer) {
    fields.expect("residual_before_ln", true);
  } else {
    fields.ignore({"residual_before_ln"});  // the library reads it only where it takes the norm before the bottleneck
  }
}

std::string read_nonlinearity(AdapterConfig& fields, const Value* found) {
  std::string name = fields.get("non_linearity", "swish");
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (is_nonlinearity(name)) return name;
  throw FormatError("adapter_config.json asks for `config.non_linearity` = " + to_json(*found) + ". " +
                    suggestion(name, nonlinearity_names()));
}

}  // namespace

std::string library_path(const Sublayer& site) {
  const std::vector<std::string> parts = split(site.name);
  const size_t n = parts.size();
  if (n >= 2 && parts[n - 1] == "dense" && parts[n - 2] == "output") return join(parts, n - 1);
  const bool attention = site.position == Sublayer::Position::attention;
  return join(parts, n < 2 ? n : n - 2) + (attention ? ".attention_adapters" : ".output_adapters");
}

Table library_config(const Options& options, const ModelFacts& facts, const std::set<Sublayer::Position>& positions) {
  // The library takes d // reduction: half a step above the width is safe from rounding.
  Value reduction = options.reduction;
  if (options.width) {
    reduction = static_cast<double>(facts.hidden) / (static_cast<double>(*options.width) + 0.5);
    if (facts.hidden % *options.width == 0) reduction = facts.hidden / *options.width;
  }
  Table inner = {{"mh_adapter", positions.count(Sublayer::Position::attention) > 0},
                 {"output_adapter", positions.count(Sublayer::Position::feed_forward) > 0},
                 {"reduction_factor", reduction},
                 {"non_linearity", options.nonlinearity},
                 {"init_weights", options.init == "zero" ? "bert" : options.init},
                 {"original_ln_before", options.kind == Kind::pfeiffer},
                 {"original_ln_after", true},
                 {"residual_before_ln", true},
                 {"is_parallel", options.kind == Kind::parallel},
                 {"scaling", options.scale},
                 {"dropout", 0.0},
                 {"stochastic_depth", 0.0},
                 {"leave_out", List()},
                 {"phm_dim", 4},
                 {"phm_rank", 1},
                 {"phm_init_range", 0.0001},
                 {"phm_c_init", "normal"},
                 {"hypercomplex_nonlinearity", "glorot-uniform"}};
  for (const char* key : {"ln_before", "ln_after", "use_gating", "cross_adapter", "adapter_residual_before_ln",
                          "phm_layer", "shared_W_phm", "factorized_phm_rule"}) {
    inner[key] = false;
  }
  for (const char* key : {"factorized_phm_W", "shared_phm_rule", "learn_phm", "phm_bias"}) inner[key] = true;
  for (const char* key : {"inv_adapter", "inv_adapter_reduction_factor", "init_weights_seed"}) inner[key] = Value();

  return {{"config", inner},
          {"hidden_size", facts.hidden},
          {"model_type", facts.model_type},
          {"model_class", Value()},
          {"model_name", Value()},
          {"name", kName},
          {"peftlab", options.table()},
          {"version", "adapters.1.3.0"}};
}

Table options_of_library(const Table& adapter_config) {
  AdapterConfig config(adapter_config, "plugin adapter");
  config.ignore({"hidden_size", "model_class", "model_name", "model_type", "name", "version"});
  const Table* own = config.table("peftlab");
  const Value* inner = config.value("config");
  config.finish();
  if (own) return *own;

  // The library trains no LayerNorm.
  Table options = {{"layer_norms", false}};
  if (!inner || inner->get_if<std::string>()) {
    options["kind"] = kind_named(inner ? *inner->get_if<std::string>() : "");
    return options;
  }
  if (!inner->get_if<Table>())
    throw FormatError("adapter_config.json: `config` is " + to_json(*inner) + ", wanted a table");
  AdapterConfig fields(*inner->get_if<Table>(), "plugin adapter", "config.");
  read_wiring(fields, options);
  options["scale"] = fields.get("scaling", 1.0);
  options["reduction"] = fields.get("reduction_factor", 16.0);
  options["nonlinearity"] = read_nonlinearity(fields, inner->find("non_linearity"));
  fields.expect("dropout", 0.0);
  fields.expect("stochastic_depth", 0.0);
  // How the weights started, and the shape of hypercomplex maps that `phm_layer` = false leaves unused.
  fields.ignore({"init_weights", "init_weights_seed", "phm_dim", "phm_rank", "phm_init_range", "phm_c_init", "phm_bias",
                 "hypercomplex_nonlinearity", "factorized_phm_W", "shared_phm_rule", "learn_phm", "shared_W_phm",
                 "factorized_phm_rule", "inv_adapter_reduction_factor", "architecture"});
  fields.finish();
  return options;
}

}  // namespace peftlab::adapter
