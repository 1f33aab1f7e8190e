#include "rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace peftlab::llama {
namespace {

const std::vector<std::string> kKinds = {"default", "linear", "dynamic", "llama3"};

/// The kind that `rope_type`, or in old files `type`, names.
std::string read_kind(Params& p) {
  const auto old = p.get_optional<std::string>("type", "old files' name of rope_type");
  const auto kind = p.get_optional<std::string>("rope_type", "default, linear, dynamic or llama3");
  p.check(kind || old, "rope_type", "is missing");
  p.check(!kind || !old || *kind == *old, "rope_type", "must be `type` (" + old.value_or("") + ")");
  const std::string name = kind ? *kind : old.value_or("default");
  p.check(std::find(kKinds.begin(), kKinds.end(), name) != kKinds.end(), kind ? "rope_type" : "type",
          "is `" + name + "`, which cannot be computed. " + suggestion(name, kKinds));
  return name;
}

double read_factor(Params& p, const std::string& name, double least, const std::string& meaning) {
  const auto factor = p.require<double>(name, meaning);
  p.check(factor >= least && factor < 1e6, name, "must be at least " + to_json(least) + " and below 1e6");
  return factor;
}

void read_scaling(Params& p, int64_t max_positions, RotaryConfig& config) {
  const std::string kind = read_kind(p);
  if (kind == "default") return;
  config.factor = read_factor(p, "factor", 1.0, "how much longer sequences become, at least 1");
  if (kind == "linear") config.stretch = Stretch::linear;
  if (kind == "dynamic") {
    config.stretch = Stretch::dynamic;
    config.pretrained = max_positions;
    p.check(config.width > 2, "rope_type", "is `dynamic`, which needs heads that are wider than 2");
    p.ignore({"original_max_position_embeddings"});  // transformers takes max_position_embeddings all the same
  }
  if (kind == "llama3") {
    config.stretch = Stretch::llama3;
    config.low =
        read_factor(p, "low_freq_factor", 1e-6, "wavelengths above the pretrained length / this are stretched");
    config.high = read_factor(p, "high_freq_factor", 1e-6, "wavelengths below the pretrained length / this stay");
    p.check(config.high > config.low, "high_freq_factor", "must be above low_freq_factor");
    config.pretrained = p.require<int64_t>("original_max_position_embeddings", "the pretrained length");
    p.check(config.pretrained >= 1, "original_max_position_embeddings", "must be at least 1");
  }
}

/// Hands what is wrong in a nested table on, under dotted names.
void hand_on(const Params& inner, const std::string& table, Params& outer) {
  for (const OptionProblem& problem : inner.problems()) {
    const std::string quoted = "`" + problem.name + "` ";
    std::string message = problem.unknown ? "is an unknown key" : problem.message;
    if (message.starts_with(quoted)) message = message.substr(quoted.size());
    if (!problem.help.empty()) message += " (" + problem.help + ")";
    outer.check(false, table + "." + problem.name, message);
  }
}

// Grattafiori et al.; the released code of Llama 3.1.
torch::Tensor stretch_low(const torch::Tensor& frequencies, const RotaryConfig& c) {
  const auto pretrained = static_cast<double>(c.pretrained);
  const auto wavelength = 2.0 * std::numbers::pi / frequencies;
  const auto is_long = wavelength > pretrained / c.low;
  const auto smooth = (pretrained / wavelength - c.low) / (c.high - c.low);
  const auto between = (1.0 - smooth) * frequencies / c.factor + smooth * frequencies;
  const auto unstretched = torch::where(wavelength < pretrained / c.high, frequencies, between);
  return torch::where(is_long, frequencies / c.factor, unstretched);
}

}  // namespace

RotaryConfig read_rotary(Params& p, int64_t head_width, int64_t max_positions) {
  RotaryConfig config;
  config.width = head_width;
  const std::string meaning = "base of the rotary positions' wavelengths, > 0";
  config.theta = p.get("rope_theta", 10000.0, meaning);
  const auto scaling =
      p.get_optional<Table>("rope_scaling", "how positions are stretched: rope_type and what it takes");
  const auto both = p.get_optional<Table>("rope_parameters", "transformers 5's rope_scaling, with rope_theta in it");
  p.check(!both || (!scaling && !p.given("rope_theta")), "rope_parameters",
          "must stand in place of rope_scaling and rope_theta, not beside them");
  if (scaling || both) {
    const std::string name = both ? "rope_parameters" : "rope_scaling";
    Params table(both ? *both : *scaling, name);
    if (both) config.theta = table.get("rope_theta", config.theta, meaning);
    read_scaling(table, max_positions, config);
    hand_on(table, name, p);
  }
  p.check(0.0 < config.theta && config.theta < 1e12, "rope_theta", "must lie between 0 and 1e12");
  return config;
}

Rotary::Rotary(const RotaryConfig& config) : config_(config), usual_(inverse_frequencies(config.width, config.theta)) {
  if (config.stretch == Stretch::linear) usual_ = usual_ / config.factor;
  if (config.stretch == Stretch::llama3) usual_ = stretch_low(usual_, config);
}

torch::Tensor Rotary::frequencies(int64_t length) const {
  if (config_.stretch != Stretch::dynamic || length <= config_.pretrained) return usual_;
  const double width = static_cast<double>(config_.width);
  const double grown = config_.factor * static_cast<double>(length) / static_cast<double>(config_.pretrained);
  const double base = config_.theta * std::pow(grown - (config_.factor - 1.0), width / (width - 2.0));
  return inverse_frequencies(config_.width, base);
}

RotaryAngles Rotary::angles(const torch::Tensor& positions, const Layout& layout) const {
  if (config_.stretch != Stretch::dynamic) return RotaryAngles::at(positions, usual_);
  std::vector<torch::Tensor> cosines, sines;
  for (int64_t s = 0; s < layout.sequences(); ++s) {
    const auto own = positions.slice(0, layout.offsets[s], layout.offsets[s + 1]);
    if (own.numel() == 0) continue;
    const auto turned = RotaryAngles::at(own, frequencies(own[-1].item<int64_t>() + 1));
    cosines.push_back(turned.cosines);
    sines.push_back(turned.sines);
  }
  return {torch::cat(cosines), torch::cat(sines)};
}

}  // namespace peftlab::llama
