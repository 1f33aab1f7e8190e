/// Full fine-tuning: every parameter of the model is trained, in the type it has; or those of some layers only.
///
/// The baseline the other methods are measured against. With AdamW in float32 it holds 16 bytes a parameter: weight,
/// gradient and two moments.

#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <algorithm>
#include <set>

namespace peftlab {
namespace {

using Names = std::vector<std::string>;

/// The path of the layer that an attention stands in: up to and with the last number in its name
/// ("transformer.h.3.attn" -> "transformer.h.3"); empty if there is none.
std::string layer_of(const std::string& attention) {
  size_t end = attention.size();
  while (end != std::string::npos && end > 0) {
    const size_t dot = attention.rfind('.', end - 1);
    const size_t first = dot == std::string::npos ? 0 : dot + 1;
    const std::string part = attention.substr(first, end - first);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string::npos) return attention.substr(0, end);
    end = dot;
  }
  return "";
}

class Full final : public Method {
 public:
  explicit Full(Params& p)
      : layers_(p.get_optional<std::vector<int64_t>>(
            "layers",
            "numbers of the layers to train, from 0; negative ones count from the last, -1. All if left out")),
        targets_(p.get_optional<Names>("targets",
                                       "ends of the names of the modules to train, beside those layers; or one regular "
                                       "expression for whole names")) {
    p.check(!layers_ || !layers_->empty(), "layers", "must name at least one layer");
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one module");
    p.check(!targets_ || std::find(targets_->begin(), targets_->end(), "all-linear") == targets_->end(), "targets",
            "must name modules; \"all-linear\" is for methods that extend linear maps");
  }

  void attach(Model& model, const Tokenizer&) override {
    for (const Linear* site : model.linear_sites()) {
      if (!site->quantized()) continue;
      throw UnsupportedError("plugin full: the weight of " + site->name + " is quantized (" +
                             site->quantized()->format().type +
                             "), and codes cannot be trained: take the model as it "
                             "was before");
    }
    const Names parameters = model.named_parameters().keys();
    if (!layers_ && !targets_) {
      model.train_parameters(parameters);
      return;
    }
    std::set<std::string> places;
    if (layers_) places.merge(layer_places(model));
    if (targets_) places.merge(target_places(parameters));
    Names chosen;
    for (const std::string& name : parameters) {
      const bool is_meant = std::any_of(places.begin(), places.end(),
                                        [&](const std::string& place) { return name.starts_with(place + "."); });
      if (is_meant) chosen.push_back(name);
    }
    model.train_parameters(chosen);
  }

  bool starts_at_base() const override { return true; }
  bool saves_model() const override { return true; }

  AdapterFiles save(Model&) const override {
    throw UnsupportedError("full fine-tuning leaves a model folder, not an adapter");
  }

  void load(Model&, const AdapterFiles&) override {
    throw UnsupportedError("full fine-tuning leaves a model folder, not an adapter: open that folder as the model");
  }

  Table options_from(const Table&) const override {
    throw FormatError("plugin full reads no adapter: full fine-tuning leaves a model folder");
  }

 private:
  std::set<std::string> layer_places(Model& model) const {
    Names layers;
    for (const AttentionSite* site : model.attention_sites()) layers.push_back(layer_of(site->name));
    const auto count = static_cast<int64_t>(layers.size());
    std::set<std::string> places;
    for (const int64_t number : *layers_) {
      if (number < -count || number >= count) {
        throw ConfigError("plugin full: `layers` names layer " + std::to_string(number) + ", the model has " +
                          std::to_string(count) + ": 0 to " + std::to_string(count - 1));
      }
      places.insert(layers.at(number < 0 ? number + count : number));
    }
    return places;
  }

  std::set<std::string> target_places(const Names& parameters) const {
    Names modules;
    for (const std::string& name : parameters) {
      for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
        if (modules.empty() || modules.back() != name.substr(0, dot)) modules.push_back(name.substr(0, dot));
      }
    }
    const Names chosen = select_names(modules, *targets_);
    return {chosen.begin(), chosen.end()};
  }

  std::optional<std::vector<int64_t>> layers_;
  std::optional<Names> targets_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Full, "full", "every parameter of the model is trained", "the baseline", "")

}  // namespace peftlab
