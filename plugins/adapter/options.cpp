#include "options.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace peftlab::adapter {
namespace {

/// What is in force where an option is left out: double_seq_bn, seq_bn and par_bn of `adapters` 1.3, but for the norms.
struct Defaults {
  const char* name;
  double reduction, scale;
  const char *nonlinearity, *init, *places;
  bool layer_norms;
};

const Defaults& defaults(Kind kind) {
  static const std::array<Defaults, 3> known = {{{"houlsby", 16.0, 1.0, "swish", "bert", "both", true},
                                                 {"pfeiffer", 16.0, 1.0, "relu", "bert", "feed_forward", false},
                                                 {"parallel", 2.0, 4.0, "relu", "mam_adapter", "feed_forward", false}}};
  return known.at(static_cast<size_t>(kind));
}

bool is_one_of(const std::string& value, const std::vector<std::string>& known) {
  return std::find(known.begin(), known.end(), value) != known.end();
}

Kind read_kind(Params& p) {
  const auto name = p.get("kind", "houlsby",
                          "houlsby: bottlenecks after attention and feed-forward part; pfeiffer: after the "
                          "feed-forward part, reading the residual stream behind it; parallel: beside that part");
  for (const Kind kind : {Kind::houlsby, Kind::pfeiffer, Kind::parallel})
    if (name == name_of(kind)) return kind;
  p.check(false, "kind", "must be houlsby, pfeiffer or parallel");
  return Kind::houlsby;
}

/// The option, or what the kind has in its place.
template <typename T>
T read(Params& p, const std::string& key, const T& otherwise, const std::string& meaning) {
  return p.get_optional<T>(key, meaning).value_or(otherwise);
}

}  // namespace

std::string name_of(Kind kind) { return defaults(kind).name; }

Options::Options(Params& p) : kind(read_kind(p)) {
  const Defaults& its = defaults(kind);
  width = p.get_optional<int64_t>("width", "width m of the bottleneck, at least 1; in place of `reduction`");
  reduction = read(p, "reduction", its.reduction,
                   "width = d / reduction, rounded down, at least 1; above 0; 16 if left out, for parallel 2");
  nonlinearity = read<std::string>(p, "nonlinearity", its.nonlinearity,
                                   "relu, swish, gelu, gelu_new, leakyrelu, tanh or another one that transformers "
                                   "knows by name; relu if left out, for houlsby swish");
  scale = read(p, "scale", its.scale, "factor on what the bottleneck adds; 1 if left out, for parallel 4");
  init = read<std::string>(p, "init", its.init,
                           "bert: N(0, 0.02); houlsby: N(0, 0.01) cut at 2 deviations; mam_adapter: Kaiming's uniform "
                           "values, and the up map is zero; zero: as bert, and the up map is zero; bert if left out, "
                           "for parallel mam_adapter");
  layer_norms = read(p, "layer_norms", its.layer_norms,
                     "train the LayerNorms of the adapted stacks too; true if left out, for pfeiffer and parallel "
                     "false");
  places = read<std::string>(p, "places", its.places,
                             "attention, feed_forward or both: which sublayers have a bottleneck; both if left out, "
                             "for pfeiffer and parallel feed_forward");
  targets = p.get_optional<std::vector<std::string>>(
      "targets",
      "ends of the names of the linear maps to put a bottleneck after, or one regular expression for "
      "whole names, among its places; every one of them in every stack if left out");
  p.check(!width || *width >= 1, "width", "must be at least 1");
  p.check(!(p.given("width") && p.given("reduction")), "reduction", "cannot be given together with `width`");
  p.check(std::isfinite(reduction) && reduction > 0, "reduction", "must be above 0");
  p.check(is_nonlinearity(nonlinearity), "nonlinearity",
          "is none that is known. " + suggestion(nonlinearity, nonlinearity_names()));
  p.check(std::isfinite(scale), "scale", "must be finite");
  p.check(is_one_of(init, {"bert", "houlsby", "mam_adapter", "zero"}), "init",
          "must be bert, houlsby, mam_adapter or zero");
  p.check(is_one_of(places, {"attention", "feed_forward", "both"}), "places",
          "must be attention, feed_forward or both");
  p.check(!targets || !targets->empty(), "targets", "must name at least one part of the model");
}

int64_t Options::width_for(int64_t d) const {
  if (width) return *width;
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(static_cast<double>(d) / reduction)));
}

bool Options::is_place(Sublayer::Position position) const {
  return places == "both" || places == (position == Sublayer::Position::attention ? "attention" : "feed_forward");
}

Table Options::table() const {
  Table all = {{"kind", name_of(kind)}, {"nonlinearity", nonlinearity}, {"scale", scale}, {"init", init},
               {"places", places},      {"layer_norms", layer_norms}};
  if (width) {
    all["width"] = *width;
  } else {
    all["reduction"] = reduction;
  }
  if (targets) all["targets"] = *targets;
  return all;
}

Activation nonlinearity(const std::string& name) { return activation(name == "leakyrelu" ? "leaky_relu" : name); }

bool is_nonlinearity(const std::string& name) { return is_one_of(name, nonlinearity_names()); }

std::vector<std::string> nonlinearity_names() {
  std::vector<std::string> names = activation_names();
  names.insert(std::upper_bound(names.begin(), names.end(), "leakyrelu"), "leakyrelu");
  return names;
}

}  // namespace peftlab::adapter
