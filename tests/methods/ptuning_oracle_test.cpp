/// P-tuning beside peft on the tiny models (tests/oracle/methods/make_ptuning.py): first vectors and losses are its own,
/// and the folders it wrote are read, give its logits and are written again as they were.

#include "../support/causal_models.h"

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"
#include "train/trainer.h"

#include <algorithm>

namespace peftlab::causal {
namespace {

std::filesystem::path theirs(const std::string& name) { return folder("../methods/ptuning_models/" + name); }

const Value& numbers_of(const std::filesystem::path& path) {
  static std::map<std::string, Value> files;
  const auto [file, is_new] = files.try_emplace(path.string());
  if (is_new) file->second = parse_json(read_text(path, size_t{1} << 20), path.string());
  return file->second;
}

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

struct Sample {
  std::string model, encoder;
  Table options;

  std::string folder() const { return model + "_" + encoder; }
};

std::ostream& operator<<(std::ostream& out, const Sample& sample) { return out << sample.folder(); }

/// The model without a method, and without dropout.
attach::Session session_of(const std::string& model) {
  attach::Session session;
  session.folder = folder(model);
  Table changes;
  if (model == "gpt2") changes = {{"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}, {"attn_pdrop", 0.0}};
  session.model = open_model(model, changes);
  session.tokenizer = std::make_unique<testing::ToyTokenizer>();
  session.model->freeze();
  return session;
}

class PTuningBesidePeft : public ::testing::TestWithParam<Sample> {
 protected:
  AdapterFiles given() const { return checkpoint::read_adapter(theirs(GetParam().folder())).files; }

  static void expect_as_given(const AdapterFiles& found, const AdapterFiles& given) {
    EXPECT_EQ(to_json(found.config), to_json(given.config));
    ASSERT_EQ(found.tensors.size(), 1u);
    const torch::Tensor &ours = found.tensors.at("prompt_embeddings"), &theirs = given.tensors.at("prompt_embeddings");
    // The last bits of what a network gives differ from processor to processor.
    EXPECT_LE((ours - theirs).abs().max().item<double>(), 5e-7 * theirs.abs().max().item<double>()) << ours;
  }
};

TEST_P(PTuningBesidePeft, FirstVectorsAndConfigurationArePefts) {
  attach::Session session = session_of(GetParam().model);
  attach::attach_methods(session, {{"ptuning", GetParam().options}}, /*seed=*/5, plugins());
  const AdapterFiles found = session.methods.at(0).method->save(*session.model);
  expect_as_given(found, given());
  size_t tensors = 0;
  for (const auto& [name, tensor] : checkpoint::read_tensors(theirs("encoders.safetensors"))) {
    if (!name.starts_with(GetParam().folder() + ".")) continue;
    const std::string own = name.substr(GetParam().folder().size() + 1);
    ASSERT_TRUE(found.extra.count(own)) << own;
    EXPECT_TRUE(torch::equal(found.extra.at(own), tensor)) << own;
    ++tensors;
  }
  EXPECT_EQ(tensors, found.extra.size());
}

TEST_P(PTuningBesidePeft, ItsFolderGivesItsLogitsAndIsWrittenAsItWas) {
  attach::Session session =
      attach::open_model({.folder = folder(GetParam().model), .labels = {}}, plugins(), torch::kCPU);
  attach::attach_adapters(session, {{theirs(GetParam().folder())}}, plugins());
  const torch::Tensor wanted = checkpoint::read_tensors(theirs("logits.safetensors")).at(GetParam().folder());
  const auto tokens = ids(numbers_of(theirs("expected.json")), "ids");
  EXPECT_LE(difference(logits(*session.model, {tokens}), wanted), 1e-5);
  expect_as_given(session.methods.at(0).method->save(*session.model), given());
}

/// The examples that all curves are of.
class Prompts final : public Dataset {
 public:
  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return static_cast<int64_t>(all().size()); }
  Example example(int64_t index) const override {
    return {.prompt = text(all().at(index), "prompt"), .target = text(all().at(index), "target"), .label = ""};
  }
  std::string fingerprint() const override { return "prompts"; }

 private:
  static const List& all() { return list(numbers_of(folder("curves.json")), "examples"); }
};

TEST_P(PTuningBesidePeft, TwentyLossesArePefts) {
  attach::Session session = session_of(GetParam().model);
  attach::attach_methods(session, {{"ptuning", GetParam().options}}, /*seed=*/5, plugins());
  const Prompts prompts;
  train::Feed feed(prompts, *session.model, *session.tokenizer, 0, torch::kCPU);
  const Value& numbers = numbers_of(theirs("expected.json"));
  config::TrainSection section;
  section.steps = 20;
  section.batch_size = 4;
  section.learning_rate = real(numbers, "rate");
  section.warmup_ratio = 0.1;
  section.shuffle = false;
  std::vector<double> losses;
  train::Watch watch;
  watch.step = [&](const train::StepReport& step) { losses.push_back(step.loss); };
  train::train(session, feed, section, /*seed=*/5, watch);

  const List& wanted = list(*numbers.find("curves"), GetParam().model + "/" + GetParam().encoder);
  ASSERT_EQ(losses.size(), wanted.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], *wanted[i].get_if<double>(), 2e-5) << "at step " << i + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Peft, PTuningBesidePeft,
    ::testing::Values(Sample{"gpt2", "mlp", {{"tokens", 4}}},
                      Sample{"gpt2", "lstm", {{"tokens", 4}, {"encoder", "lstm"}, {"hidden", 6}}},
                      Sample{"llama", "mlp", {{"tokens", 4}, {"hidden", 5}}},
                      Sample{"llama", "lstm", {{"tokens", 4}, {"encoder", "lstm"}, {"hidden", 6}, {"layers", 1}}}),
    [](const auto& info) { return info.param.folder(); });

}  // namespace
}  // namespace peftlab::causal
