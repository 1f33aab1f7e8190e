#pragma once

/// \file
/// A model of a few named parts that is never run: for tests of which parts a method takes.

#include <peftlab/model.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::testing {

struct SmallParts {
  std::string model_type = "small";
  std::vector<std::string> maps = {"map"};  ///< names of linear maps, 2 to 2; dots make modules
  bool with_bias = false;                   ///< of the maps
  std::vector<std::string> rms_norms = {};  ///< names of norms of width 2, without dots
  bool head = false;                        ///< a head of three classes, "score"
};

/// The parts, frozen.
class SmallModel final : public Model {
 public:
  explicit SmallModel(const SmallParts& parts) {
    facts_.model_type = parts.model_type;
    for (const std::string& path : parts.maps) {
      torch::nn::Module* parent = this;
      std::string rest = path;
      for (size_t dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
        const std::string name = rest.substr(0, dot);
        const auto known = parent->named_children();
        parent = known.contains(name) ? known[name].get()
                                      : parent->register_module(name, std::make_shared<torch::nn::Module>()).get();
        rest = rest.substr(dot + 1);
      }
      parent->register_module(rest, std::make_shared<Linear>(2, 2, parts.with_bias));
    }
    for (const std::string& norm : parts.rms_norms) register_module(norm, std::make_shared<RmsNorm>(2, 1e-5));
    if (parts.head) {
      register_module("score", std::make_shared<Linear>(2, 3));
      facts_.labels = {"a", "b", "c"};
    }
    freeze();
  }

  const ModelFacts& facts() const override { return facts_; }
  Encoded encode(const Example&, const Tokenizer&, int64_t, bool) const override { return {}; }
  torch::Tensor hidden(const Batch&, KeyValueCache*) override { return {}; }
  torch::Tensor head(const torch::Tensor& rows) override { return rows; }
  std::vector<AttentionSite*> attention_sites() override { return {}; }
  EmbeddingSite& embedding_site() override { return site_; }
  torch::Tensor embedding_table() override { return {}; }
  std::string classification_head() const override { return facts_.labels.empty() ? "" : "score"; }
  std::vector<std::string> default_lora_targets() const override { return {"map"}; }

 private:
  ModelFacts facts_;
  EmbeddingSite site_{"words", 2};
};

}  // namespace peftlab::testing
