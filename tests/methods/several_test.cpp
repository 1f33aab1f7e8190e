/// Several methods on one model, and several adapters: put on, saved, read again, weighed.

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"
#include "support/files.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdlib>

namespace peftlab::attach {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

class Several : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static Session open(const std::string& model = "causal_models/gpt2") {
    const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
    if (!source) throw Error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
    return open_model({.folder = fs::path(source) / "tests/oracle" / model}, plugins(), torch::kCPU);
  }

  static torch::Tensor logits(Session& session) {
    const torch::NoGradGuard no_grad;
    session.set_training(false);
    const std::vector<Encoded> examples = {{{5, 7, 3, 8}, std::vector<int64_t>(4, kNoLabel), 0, -1},
                                           {{6, 2}, std::vector<int64_t>(2, kNoLabel), 0, -1}};
    return session.model->head(session.model->hidden(pack(examples)));
  }

  /// As if it had been trained; `seed` decides how.
  static void disturb(Session& session, uint64_t seed) {
    const torch::NoGradGuard no_grad;
    torch::manual_seed(seed);
    for (const auto& [name, tensor] : session.trained()) torch::Tensor(tensor).add_(0.3 * torch::randn_like(tensor));
  }

  /// An adapter folder of these methods with values of `seed`, and the logits with it.
  torch::Tensor make(const std::string& name, const std::vector<plan::PluginUse>& uses, uint64_t seed,
                     const std::string& model = "causal_models/gpt2") {
    Session session = open(model);
    attach_methods(session, uses, 0, plugins());
    disturb(session, seed);
    save_result(session, folder_ / name);
    return logits(session);
  }

  torch::Tensor with(const std::vector<AdapterUse>& adapters, const std::string& model = "causal_models/gpt2") const {
    Session session = open(model);
    attach_adapters(session, adapters, plugins());
    return logits(session);
  }

  const fs::path folder_ = fs::temp_directory_path() / ("peftlab_several_" + std::to_string(getpid()));
};

TEST_F(Several, AMixtureIsReadAsItWasSaved) {
  const std::vector<std::vector<plan::PluginUse>> mixtures = {
      {{"lora", {{"rank", 2}}}, {"prefix", {{"tokens", 3}, {"projection", false}}}},
      {{"prefix", {{"tokens", 3}, {"projection", false}}}, {"adapter", {{"layer_norms", false}}}},
      {{"adapter", {}}, {"lora", {}}},
      {{"ia3", {}}, {"lora", {{"dora", true}}}, {"prompt", {{"tokens", 2}}}},
  };
  for (size_t i = 0; i < mixtures.size(); ++i) {
    const std::string name = "mixture" + std::to_string(i);
    const torch::Tensor wanted = make(name, mixtures[i], 4);
    std::vector<fs::path> parts;
    for (const plan::PluginUse& use : mixtures[i]) parts.push_back(folder_ / name / use.plugin);
    EXPECT_EQ(checkpoint::adapter_parts(folder_ / name), parts);
    EXPECT_TRUE(torch::equal(with({{folder_ / name}}), wanted)) << name;
  }
}

TEST_F(Several, AMixtureMergesInTheOrderOfAttaching) {
  const torch::Tensor wanted = make("both", {{"ia3", {}}, {"lora", {}}}, 4);
  Session session = open();
  attach_adapters(session, {{folder_ / "both"}}, plugins());
  for (const AttachedMethod& attached : session.methods) attached.method->merge(*session.model);
  EXPECT_LE((logits(session) - wanted).abs().max().item<double>(), 1e-5 * wanted.abs().max().item<double>());
}

TEST_F(Several, TheListOfAMixtureNamesFoldersBesideIt) {
  for (const char* list :
       {"{}", R"({"methods": []})", R"({"methods": [".."]})", R"({"methods": ["a/b"]})", R"({"methods": [3]})"}) {
    write_text(folder_ / "peftlab_mixture.json", list);
    EXPECT_THAT([&] { checkpoint::adapter_parts(folder_); },
                ThrowsMessage<FormatError>(HasSubstr("peftlab_mixture.json: ")))
        << list;
  }
}

TEST_F(Several, FullStandsAlone) {
  Session session = open();
  EXPECT_THAT(
      [&] {
        attach_methods(session, {{"lora", {}}, {"full", {}}}, 0, plugins());
      },
      ThrowsMessage<ConfigError>(HasSubstr("method full trains and saves the whole model")));
}

/// W x + 0.7 s1 B1 A1 x - 0.3 s2 B2 A2 x is what the concatenation [A1; A2], [0.7 s1 B1, -0.3 s2 B2] gives, and what the
/// base gives with the weighted sum of the updates in its weights.
TEST_F(Several, WeightedLorasAreTheirConcatenationAndTheSumOfTheirUpdates) {
  make("first", {{"lora", {{"rank", 2}, {"alpha", 6}}}}, 4);
  make("second", {{"lora", {{"rank", 3}, {"alpha", 3}}}}, 5);
  const torch::Tensor sum = with({{folder_ / "first", 0.7}, {folder_ / "second", -0.3}});

  const AdapterFiles first = checkpoint::read_adapter(folder_ / "first").files;
  const AdapterFiles second = checkpoint::read_adapter(folder_ / "second").files;
  AdapterFiles joined = first;
  joined.config["r"] = 5;
  joined.config["lora_alpha"] = 5;
  Session added = open();
  for (Linear* site : added.model->linear_sites({"c_attn"})) {
    const std::string start = "base_model.model." + site->name + ".";
    const std::string a = start + "lora_A.weight", b = start + "lora_B.weight";
    joined.tensors[a] = torch::cat({first.tensors.at(a), second.tensors.at(a)}).contiguous();
    joined.tensors[b] = torch::cat({0.7 * 3 * first.tensors.at(b), -0.3 * second.tensors.at(b)}, 1).contiguous();
    site->add_to_weight(torch::mm(joined.tensors[b], joined.tensors[a]));
  }
  checkpoint::write_adapter(folder_ / "joined", joined, "");
  const double scale = sum.abs().max().item<double>();
  EXPECT_LE((with({{folder_ / "joined"}}) - sum).abs().max().item<double>(), 1e-6 * scale);
  EXPECT_LE((logits(added) - sum).abs().max().item<double>(), 1e-6 * scale);
  EXPECT_GT((with({{folder_ / "first"}, {folder_ / "second"}}) - sum).abs().max().item<double>(), 1e-3 * scale);
}

TEST_F(Several, NoWeightIsTheBase) {
  make("one", {{"lora", {}}}, 4);
  Session base = open();
  EXPECT_TRUE(torch::equal(with({{folder_ / "one", 0.0}}), logits(base)));
}

TEST_F(Several, AWeightOfWhatIsNoSummandIsRefusedByName) {
  make("prompt", {{"prompt", {{"tokens", 2}}}}, 4);
  EXPECT_THAT(
      [&] {
        with({{folder_ / "prompt", 0.5}});
      },
      ThrowsMessage<UnsupportedError>(AllOf(HasSubstr("prompt: "), HasSubstr("cannot be weighted"))));
}

TEST_F(Several, TwoAdaptersCannotBringOneParameterOfTheBase) {
  make("first", {{"bitfit", {}}}, 4);
  make("second", {{"bitfit", {}}}, 5);
  EXPECT_THAT(
      [&] {
        with({{folder_ / "first"}, {folder_ / "second"}});
      },
      ThrowsMessage<UnsupportedError>(
          AllOf(HasSubstr("second and "), HasSubstr("`transformer.h.0.attn.c_attn.bias`"))));
  const std::string classifier = "bert/bert_class";
  make("a", {{"lora", {}}}, 4, classifier);
  make("b", {{"ia3", {}}}, 5, classifier);
  EXPECT_THAT(
      [&] {
        with({{folder_ / "a"}, {folder_ / "b"}}, classifier);
      },
      ThrowsMessage<UnsupportedError>(HasSubstr("`classifier.bias`")));
}

}  // namespace
}  // namespace peftlab::attach
