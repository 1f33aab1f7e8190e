/// LoRA beside peft on the tiny models (tests/oracle/methods/make_lora.py): folders it wrote are read, give its logits
/// and are written again as they were; first values and losses are its own.

#include "../support/causal_models.h"

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"
#include "train/trainer.h"

#include <algorithm>

namespace peftlab::causal {
namespace {

std::filesystem::path theirs(const std::string& name) { return folder("../methods/lora_models/" + name); }

const Value& number_file(const std::filesystem::path& path) {
  static std::map<std::string, Value> files;
  const auto [file, is_new] = files.try_emplace(path.string());
  if (is_new) file->second = parse_json(read_text(path, size_t{1} << 20), path.string());
  return file->second;
}

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

attach::Session open(const std::string& name) {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  return attach::open_model({.folder = folder(name), .labels = {}}, plugins(), torch::kCPU);
}

torch::Tensor logits_of(attach::Session& session) {
  return logits(*session.model, {ids(number_file(theirs("expected.json")), "ids")});
}

Method& method_of(attach::Session& session) { return *session.methods.at(0).method; }

class LoraFolders : public ::testing::TestWithParam<std::string> {
 protected:
  LoraFolders() : session(open("gpt2")) { attach::attach_adapters(session, {{theirs(GetParam())}}, plugins()); }

  torch::Tensor wanted() const { return checkpoint::read_tensors(theirs("logits.safetensors")).at(GetParam()); }

  attach::Session session;
};

TEST_P(LoraFolders, GiveTheLogitsOfPeft) {
  // PiSSA's base is what a singular value decomposition leaves, which each processor rounds otherwise.
  EXPECT_LE(difference(logits_of(session), wanted()), GetParam() == "pissa" ? 5e-5 : 1e-5);
}

TEST_P(LoraFolders, AreMergedAndTakenOutToTheBit) {
  const torch::Tensor before = logits_of(session);
  TensorMap weights;
  for (const Linear* site : session.model->linear_sites()) weights[site->name] = site->weight.clone();
  method_of(session).merge(*session.model);
  EXPECT_LE(difference(logits_of(session), wanted()), 2e-5);
  method_of(session).unmerge(*session.model);
  for (const Linear* site : session.model->linear_sites()) EXPECT_TRUE(torch::equal(site->weight, weights[site->name]));
  EXPECT_TRUE(torch::equal(logits_of(session), before));
}

TEST_P(LoraFolders, AreWrittenAsTheyWere) {
  if (GetParam() == "pissa") return;  // it is written converted: LoraStart.PissaIsWrittenAsPeftConvertsIt
  const AdapterFiles found = method_of(session).save(*session.model);
  const AdapterFiles given = checkpoint::read_adapter(theirs(GetParam())).files;
  EXPECT_EQ(to_json(found.config), to_json(given.config));
  ASSERT_EQ(found.tensors.size(), given.tensors.size());
  for (const auto& [name, tensor] : given.tensors) {
    ASSERT_TRUE(found.tensors.count(name)) << name;
    EXPECT_TRUE(torch::equal(found.tensors.at(name), tensor)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Peft, LoraFolders,
                         ::testing::Values("bias_all", "bias_lora_only", "patterns", "layers", "exclude",
                                           "exclude_pattern", "gaussian", "pissa", "pissa_converted"),
                         [](const auto& info) { return info.param; });

/// What is saved right after attach() with the oracle's seed.
AdapterFiles attached(const Table& options) {
  attach::Session session = open("gpt2");
  attach::attach_methods(session, {{"lora", options}}, /*seed=*/5, plugins());
  return method_of(session).save(*session.model);
}

TEST(LoraStart, GaussianIsPeftsToTheBit) {
  const AdapterFiles ours = attached({{"rank", 4}, {"init", "gaussian"}});
  const AdapterFiles given = checkpoint::read_adapter(theirs("gaussian")).files;
  EXPECT_EQ(to_json(ours.config), to_json(given.config));
  ASSERT_EQ(ours.tensors.size(), given.tensors.size());
  for (const auto& [name, tensor] : given.tensors) EXPECT_TRUE(torch::equal(ours.tensors.at(name), tensor)) << name;
}

/// B A of all directions of the map whose A has this name.
torch::Tensor product(const AdapterFiles& files, const std::string& a, int64_t from = 0) {
  std::string b = a;
  b.replace(b.rfind("lora_A"), 6, "lora_B");
  return torch::mm(files.tensors.at(b).slice(1, from), files.tensors.at(a).slice(0, from));
}

TEST(LoraStart, PissaTakesWhatPeftTakesFromTheWeights) {
  const std::vector<std::string> targets = {"c_attn", "c_proj"};
  const AdapterFiles ours = attached({{"rank", 4}, {"alpha", 12}, {"init", "pissa"}, {"targets", targets}});
  const AdapterFiles given = checkpoint::read_adapter(theirs("pissa_converted")).files;
  ASSERT_EQ(ours.tensors.size(), given.tensors.size());
  // The sign of a singular direction is free: B A is compared, and that of peft's start is in the second half.
  for (const auto& [name, tensor] : given.tensors) {
    if (name.find("lora_A") == std::string::npos) continue;
    EXPECT_LE(difference(product(ours, name, 4), product(given, name, 4)), 1e-5) << name;
    EXPECT_LE(difference(product(ours, name), torch::zeros_like(product(ours, name))), 1e-6) << name;
  }
}

TEST(LoraStart, PissaIsTheBaseToTheBit) {
  attach::Session session = open("gpt2");
  const torch::Tensor base = logits_of(session);
  attach::attach_methods(session, {{"lora", {{"init", "pissa"}}}}, 0, plugins());
  session.set_training(false);
  EXPECT_TRUE(torch::equal(logits_of(session), base));
}

TEST(LoraStart, PissaIsWrittenAsPeftConvertsIt) {
  attach::Session session = open("gpt2");
  attach::attach_adapters(session, {{theirs("pissa")}}, plugins());
  AdapterFiles ours = method_of(session).save(*session.model);
  const AdapterFiles given = checkpoint::read_adapter(theirs("pissa_converted")).files;
  EXPECT_EQ(to_json(ours.config.at("peftlab")), R"({"frozen_half":true})");
  ours.config.erase("peftlab");
  EXPECT_EQ(to_json(ours.config), to_json(given.config));
  for (const auto& [name, tensor] : given.tensors) {
    ASSERT_TRUE(ours.tensors.count(name)) << name;
    EXPECT_EQ(ours.tensors.at(name).sizes(), tensor.sizes()) << name;
    if (name.find("lora_A") == std::string::npos) continue;
    EXPECT_TRUE(torch::equal(ours.tensors.at(name).slice(0, 0, 4), tensor.slice(0, 0, 4))) << name;
    EXPECT_LE(difference(product(ours, name), product(given, name)), 1e-5) << name;
  }
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
  static const List& all() { return list(number_file(folder("curves.json")), "examples"); }
};

struct CurveOf {
  std::string label;
  Table options;
};

std::ostream& operator<<(std::ostream& out, const CurveOf& curve) { return out << curve.label; }

class LoraCurve : public ::testing::TestWithParam<CurveOf> {};

TEST_P(LoraCurve, IsPefts) {
  const Value& numbers = number_file(theirs("expected.json"));
  const auto& [label, given] = GetParam();
  Table options = given;
  if (label.find("loraplus") != std::string::npos) options["loraplus_ratio"] = real(numbers, "ratio");
  const std::string name = label.substr(0, label.find('/'));
  attach::Session session;
  session.folder = folder(name);
  Table changes;
  if (name == "gpt2") changes = {{"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}, {"attn_pdrop", 0.0}};
  session.model = open_model(name, changes);
  session.tokenizer = std::make_unique<testing::ToyTokenizer>();
  session.model->freeze();
  attach::attach_methods(session, {{"lora", options}}, /*seed=*/5, plugins());
  const Prompts prompts;
  train::Feed feed(prompts, *session.model, *session.tokenizer, 0, torch::kCPU);

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

  const List& wanted = list(*numbers.find("curves"), label);
  ASSERT_EQ(losses.size(), wanted.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], *wanted[i].get_if<double>(), 2e-5) << "at step " << i + 1;
  }
}

const std::vector<std::string> kThree = {"c_attn", "c_proj", "c_fc"}, kTwo = {"c_attn", "c_proj"},
                               kOfLlama = {"q_proj", "down_proj"};

INSTANTIATE_TEST_SUITE_P(
    Peft, LoraCurve,
    ::testing::Values(CurveOf{"gpt2/gaussian", {{"rank", 4}, {"init", "gaussian"}}},
                      CurveOf{"gpt2/bias_all", {{"rank", 4}, {"bias", "all"}}},
                      CurveOf{
                          "gpt2/patterns",
                          {{"rank", 4},
                           {"alpha", 6},
                           {"rslora", true},
                           {"targets", kThree},
                           {"rank_pattern", Table{{"c_fc", 6}, {"h.0.attn.c_proj", 2}, {R"(h\.1\.(mlp|ln)\..*)", 3}}},
                           {"alpha_pattern", Table{{"^transformer.h.0.attn.c_attn", 4}, {"mlp.c_proj", 2.5}}}}},
                      CurveOf{"gpt2/pissa", {{"rank", 4}, {"alpha", 12}, {"init", "pissa"}, {"targets", kTwo}}},
                      CurveOf{"gpt2/loraplus", {{"rank", 4}}},
                      CurveOf{"gpt2/loraplus_dora", {{"rank", 4}, {"dora", true}}},
                      CurveOf{"llama/loraplus", {{"rank", 4}}},
                      CurveOf{"llama/pissa", {{"rank", 4}, {"alpha", 12}, {"init", "pissa"}, {"targets", kOfLlama}}}),
    [](const auto& info) {
      std::string name = info.param.label;
      std::replace(name.begin(), name.end(), '/', '_');
      return name;
    });

}  // namespace
}  // namespace peftlab::causal
