/// Training beside peft: every step's loss of the same examples in the same order from the same seed
/// (tests/oracle/methods/make_curves.py).

#include "../support/causal_models.h"

#include "attach/session.h"
#include "train/trainer.h"

#include <algorithm>

namespace peftlab::causal {
namespace {

/// "examples" of the folder of the models; "curves" of ours.
const Value& kept(const std::string& key) {
  static const auto read = [](const std::filesystem::path& path) {
    return parse_json(read_text(path, size_t{1} << 20), path.string());
  };
  static const Value models = read(folder("curves.json")), ours = read(folder("../methods/curves.json"));
  return *(key == "examples" ? models : ours).find(key);
}

/// The oracle's examples: prompts with answers, or texts with classes.
class Examples final : public Dataset {
 public:
  explicit Examples(bool classified) : classified_(classified) {}

  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return static_cast<int64_t>(kept("examples").get_if<List>()->size()); }
  Example example(int64_t index) const override {
    const Value& one = kept("examples").get_if<List>()->at(index);
    if (classified_) return {.prompt = "", .target = text(one, "prompt"), .label = text(one, "label")};
    return {.prompt = text(one, "prompt"), .target = text(one, "target"), .label = ""};
  }
  std::string fingerprint() const override { return "curves"; }

 private:
  bool classified_;
};

std::vector<std::string> curve_names() {
  std::vector<std::string> names;
  for (const auto& [name, losses] : *kept("curves").get_if<Table>()) names.push_back(name);
  return names;
}

class Curve : public ::testing::TestWithParam<std::string> {};

TEST_P(Curve, IsThatOfTheOtherLibrary) {
  const size_t slash = GetParam().find('/');
  const std::string name = GetParam().substr(0, slash), method = GetParam().substr(slash + 1);
  const registry::Registry plugins({testing::plugin_folder()});
  attach::Session session;
  session.folder = folder(name);
  Table changes;
  if (name.starts_with("gpt2")) changes = {{"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}, {"attn_pdrop", 0.0}};
  session.model = open_model(name, changes);
  session.tokenizer = std::make_unique<testing::ToyTokenizer>();
  session.model->freeze();
  const Table options = method == "vera" ? Table{{"rank", 8}} : Table();
  attach::attach_methods(session, {{method, options}}, /*seed=*/5, plugins);
  const Examples examples(!session.model->facts().labels.empty());
  train::Feed feed(examples, *session.model, *session.tokenizer, 0, torch::kCPU);

  config::TrainSection section;
  section.steps = 20;
  section.batch_size = 4;
  section.learning_rate = 1e-2;
  section.warmup_ratio = 0.1;
  section.shuffle = false;
  std::vector<double> losses;
  train::Watch watch;
  watch.step = [&](const train::StepReport& step) { losses.push_back(step.loss); };
  train::train(session, feed, section, /*seed=*/5, watch);

  const List& wanted = list(kept("curves"), GetParam());
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

INSTANTIATE_TEST_SUITE_P(Methods, Curve, ::testing::ValuesIn(curve_names()), test_name);

}  // namespace
}  // namespace peftlab::causal
