#include "low_rank/options.h"

#include <peftlab/adapter_config.h>

#include <algorithm>
#include <cmath>

namespace peftlab::low_rank {
namespace {

bool holds(const std::optional<std::vector<std::string>>& names, const std::string& name) {
  return names && std::find(names->begin(), names->end(), name) != names->end();
}

/// Whether the targets are one regular expression.
bool is_pattern(const std::vector<std::string>& targets) {
  return names_for_peft(targets, {}).get_if<std::string>() != nullptr;
}

bool is_rank(const Value& value) { return value.get_if<int64_t>() && *value.get_if<int64_t>() >= 1; }

bool is_scale(double value) { return std::isfinite(value) && value > 0; }

bool is_alpha(const Value& value) {
  return (value.get_if<int64_t>() || value.get_if<double>()) && is_scale(number(value));
}

bool all_of(const Table& table, bool (*is_right)(const Value&)) {
  return std::all_of(table.begin(), table.end(), [&](const auto& entry) { return is_right(entry.second); });
}

bool is_even(const Value& rank) { return rank.get_if<int64_t>() && *rank.get_if<int64_t>() % 2 == 0; }

}  // namespace

double number(const Value& value) {
  if (const auto* whole = value.get_if<int64_t>()) return static_cast<double>(*whole);
  return *value.get_if<double>();
}

Options::Options(Params& p)
    : rank(p.get<int64_t>("rank", 8, "rank r of the update, at least 1")),
      alpha(p.get("alpha", 8.0, "the update is scaled by alpha / rank; above 0")),
      dropout(p.get("dropout", 0.0, "probability in [0, 1), on the update's input, while training")),
      targets(p.get_optional<std::vector<std::string>>(
          "targets",
          "ends of the names of the linear maps to adapt; \"all-linear\"; or one regular expression for "
          "whole names. As peft for the model type if left out")),
      exclude(p.get_optional<std::vector<std::string>>(
          "exclude", "ends of the names of modules that `targets` shall not mean; or one regular expression")),
      layers(p.get_optional<std::vector<int64_t>>(
          "layers",
          "numbers of the layers, from 0, in which `targets` are adapted; one that is a whole name is adapted anyway")),
      layers_pattern(p.get_optional<std::vector<std::string>>(
          "layers_pattern", "names of the lists whose numbers `layers` means, such as \"h\"; any list if left out")),
      rank_pattern(p.get("rank_pattern", Table(),
                         "a regular expression for the end of names, and the rank of the maps it means; of several the "
                         "first in the order of their text")),
      alpha_pattern(p.get("alpha_pattern", Table(), "the same for alpha")),
      bias(p.get("bias", "none",
                 "biases of the model to train as well: \"none\", \"all\", \"lora_only\" (of the adapted maps)")),
      init(p.get("init", kKaiming,
                 "first values: \"kaiming\" and \"gaussian\" draw A and leave B at zero; \"pissa\" moves the largest "
                 "singular directions of the frozen weight to A and B")),
      rslora(p.get("rslora", false, "scale by alpha / sqrt(rank) instead")),
      dora(p.get("dora", false, "train the length of every row of the weight apart from its direction")),
      frozen_half(
          p.get("frozen_half", false,
                "the second half of the rank is not trained: as a folder of \"pissa\" is read, whose second half "
                "takes its start away from the weight")),
      loraplus_ratio(p.get("loraplus_ratio", 1.0, "learning rate of B by that of A; above 0")) {
  p.check(rank >= 1, "rank", "must be at least 1");
  p.check(is_scale(alpha), "alpha", "must be above 0");
  p.check(0.0 <= dropout && dropout < 1.0, "dropout", "must be in [0, 1)");
  p.check(!targets || !targets->empty(), "targets", "must name at least one linear map");
  p.check(!holds(exclude, "all-linear"), "exclude", "must name modules, which \"all-linear\" does not");

  p.check(!layers || !layers->empty(), "layers", "must name at least one layer");
  p.check(!layers || std::all_of(layers->begin(), layers->end(), [](int64_t layer) { return layer >= 0; }), "layers",
          "must hold numbers from 0 on");
  p.check(!layers || !targets || (!is_pattern(*targets) && !holds(targets, "all-linear")), "layers",
          "cannot choose among targets that are a regular expression or \"all-linear\"");
  p.check(!layers_pattern || layers, "layers_pattern", "says where `layers` count, and needs them");

  p.check(all_of(rank_pattern, is_rank), "rank_pattern", "must hold ranks, whole numbers from 1 on");
  p.check(all_of(alpha_pattern, is_alpha), "alpha_pattern", "must hold numbers above 0");
  p.check(bias == "none" || bias == "all" || bias == "lora_only", "bias", "must be \"none\", \"all\" or \"lora_only\"");
  p.check(init == kKaiming || init == kGaussian || init == kPissa, "init",
          "must be \"kaiming\", \"gaussian\" or \"pissa\"");
  p.check(init != kPissa || !dora, "init", "cannot go with `dora`, whose lengths are those of the whole weight");
  p.check(!frozen_half || (rank % 2 == 0 && all_of(rank_pattern, is_even)), "frozen_half", "needs even ranks");
  p.check(!frozen_half || (init != kPissa && !dora), "frozen_half", "cannot go with `dora` or `init` = \"pissa\"");
  p.check(is_scale(loraplus_ratio), "loraplus_ratio", "must be above 0");
  // A method gives rates to its own parameters alone, and LoRA+ has the biases learn as fast as B.
  p.check(loraplus_ratio == 1.0 || bias == "none", "loraplus_ratio", "cannot be other than 1 where `bias` is trained");
}

double Options::scale(int64_t its_rank, double its_alpha) const {
  const auto r = static_cast<double>(its_rank);
  return its_alpha / (rslora ? std::sqrt(r) : r);
}

}  // namespace peftlab::low_rank
