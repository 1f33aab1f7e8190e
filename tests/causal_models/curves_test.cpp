/// Training beside peft and adapters: every step's loss of the same examples in the same order from the same seed.

#include "../support/causal_models.h"

#include "train/trainer.h"

#include <algorithm>

namespace peftlab::causal {
namespace {

const Value& curves() {
  static const Value all = parse_json(read_text(folder("curves.json"), size_t{1} << 20), "curves.json");
  return all;
}

/// The oracle's examples: prompts with answers, or texts with classes.
class Examples final : public Dataset {
 public:
  explicit Examples(bool classified) : classified_(classified) {}

  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return static_cast<int64_t>(list(curves(), "examples").size()); }
  Example example(int64_t index) const override {
    const Value& one = list(curves(), "examples").at(index);
    if (classified_) return {.prompt = "", .target = text(one, "prompt"), .label = text(one, "label")};
    return {.prompt = text(one, "prompt"), .target = text(one, "target"), .label = ""};
  }
  std::string fingerprint() const override { return "curves"; }

 private:
  bool classified_;
};

/// The method that a curve is named after.
const std::map<std::string, plan::PluginUse>& methods() {
  static const std::map<std::string, plan::PluginUse> known = {
      {"full", {"full", {}}},
      {"lora", {"lora", {{"rank", int64_t{4}}, {"alpha", 8.0}}}},
      {"prefix", {"prefix", {{"tokens", int64_t{4}}}}},
      {"prompt", {"prompt", {{"tokens", int64_t{4}}}}},
      {"adapter", {"adapter", {{"reduction", 4.0}, {"layer_norms", false}}}},
      {"pfeiffer", {"adapter", {{"kind", "pfeiffer"}, {"reduction", 4.0}}}},
      {"parallel", {"adapter", {{"kind", "parallel"}, {"reduction", 4.0}}}},
  };
  return known;
}

attach::Session session_of(const std::string& name, const std::string& method) {
  const registry::Registry plugins({testing::plugin_folder()});
  attach::Session session;
  session.folder = folder(name);
  Table changes;
  if (name.starts_with("gpt2")) changes = {{"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}, {"attn_pdrop", 0.0}};
  session.model = open_model(name, changes);
  session.tokenizer = std::make_unique<testing::ToyTokenizer>();
  session.model->freeze();
  attach::attach_methods(session, {methods().at(method)}, /*seed=*/5, plugins);
  return session;
}

std::vector<std::string> curve_names() {
  std::vector<std::string> names;
  for (const auto& [name, losses] : *curves().find("curves")->get_if<Table>()) names.push_back(name);
  return names;
}

class Curve : public ::testing::TestWithParam<std::string> {};

TEST_P(Curve, IsThatOfTheOtherLibrary) {
  const size_t slash = GetParam().find('/');
  const std::string name = GetParam().substr(0, slash);
  auto session = session_of(name, GetParam().substr(slash + 1));
  const Examples examples(!session.model->facts().labels.empty());
  train::Feed feed(examples, *session.model, *session.tokenizer, 0, torch::kCPU);

  config::TrainSection section;
  section.steps = 20;
  section.batch_size = 4;
  section.learning_rate = 1e-2;
  section.warmup_ratio = 0.1;
  section.weight_decay = 0.1;
  section.shuffle = false;
  std::vector<double> losses;
  train::Watch watch;
  watch.step = [&](const train::StepReport& step) { losses.push_back(step.loss); };
  train::train(session, feed, section, /*seed=*/5, watch);

  const List& wanted = list(*curves().find("curves"), GetParam());
  ASSERT_EQ(losses.size(), wanted.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], *wanted[i].get_if<double>(), 2e-5) << "at step " << i + 1;
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Curve, ::testing::ValuesIn(curve_names()), test_name);

}  // namespace
}  // namespace peftlab::causal
