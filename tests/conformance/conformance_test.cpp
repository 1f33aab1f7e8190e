/// Every law on every method plugin.

#include "cases.h"

#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace peftlab::conformance {
namespace {

/// The tensors are tiny: more threads than one only wait for each other.
class OneThread : public ::testing::Environment {
 public:
  void SetUp() override { torch::set_num_threads(1); }
};

[[maybe_unused]] const auto* const kOneThread = ::testing::AddGlobalTestEnvironment(new OneThread);

struct Trial {
  Variation variation;
  std::string model;
  torch::ScalarType type;
  testing::Law law;
};

std::ostream& operator<<(std::ostream& out, const Trial& trial) {
  return out << trial.variation.plugin << " " << to_json(trial.variation.options) << " on " << trial.model << " in "
             << trial.type;
}

std::vector<Trial> trials() {
  std::vector<Trial> all;
  for (const Variation& variation : variations()) {
    for (const std::string& model : models()) {
      const bool is_default = variation.label == "default";
      // What options change, two models show.
      if (!is_default && model != "toy" && model != "visualglm") continue;
      // Whose maps are quantized already.
      if (model == "toy_nf4" && (variation.plugin == "qlora" || variation.plugin == "quantized")) continue;
      for (const testing::Law& law : testing::method_laws()) {
        all.push_back({variation, model, torch::kFloat32, law});
        if (is_default) all.push_back({variation, model, torch::kBFloat16, law});
      }
    }
  }
  return all;
}

class MethodLaws : public ::testing::TestWithParam<Trial> {};

TEST_P(MethodLaws, Hold) {
  const Trial& trial = GetParam();
  ASSERT_TRUE(available(trial.model)) << "the model " << trial.model << " belongs to the source tree and is not here";
  for (const std::string& violation : trial.law.check(make_case(trial.variation, trial.model, trial.type))) {
    ADD_FAILURE() << violation;
  }
}

std::string trial_name(const ::testing::TestParamInfo<Trial>& info) {
  std::string plugins = info.param.variation.plugin;
  std::replace(plugins.begin(), plugins.end(), '+', '_');
  return plugins + "_" + info.param.variation.label + "_" + info.param.model +
         (info.param.type == torch::kBFloat16 ? "_bf16_" : "_") + info.param.law.name;
}

INSTANTIATE_TEST_SUITE_P(Plugins, MethodLaws, ::testing::ValuesIn(trials()), trial_name);

TEST(MethodPlugins, AreFound) {
  std::vector<std::string> names;
  for (const Variation& variation : variations()) names.push_back(variation.plugin);
  for (const char* name : {"adalora", "adapter", "bitfit", "full", "head", "ia3", "layernorm", "lora", "none", "prefix",
                           "prompt", "ptuning", "ptuning_v2", "qlora", "quantized", "vera"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
}

TEST(MethodPlugins, ReadmesListTheirOptions) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  for (const Variation& variation : variations()) {
    if (variation.label != "default") continue;
    const auto path = std::filesystem::path(source) / "plugins" / variation.plugin / "README.md";
    std::ifstream in(path);
    ASSERT_TRUE(in) << path;
    std::stringstream readme;
    readme << in.rdbuf();
    Params params({}, variation.plugin);
    make_case(variation, "toy").method(params);
    for (const OptionSpec& option : params.declared()) {
      const std::string shown = option.default_.empty() ? "" : "`" + option.default_ + "`";
      const std::string row =
          "| `" + option.name + "` | " + option.type + " | " + shown + " | " + option.meaning + " |";
      EXPECT_NE(readme.str().find(row + "\n"), std::string::npos) << path << " lacks\n" << row;
    }
  }
}

}  // namespace
}  // namespace peftlab::conformance
