/// Methods on tiny GPT-2, LLaMA, Mistral, Qwen2, BERT and RoBERTa folders, put on, saved and read again by the host:
/// what the laws cannot see on models without classes and of types that the methods have no targets for.

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_folder.h"
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
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

fs::path oracle(const std::string& name) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  if (!source) throw Error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
  return fs::path(source) / "tests/oracle" / name;
}

Session open(const std::string& model) {
  torch::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  return open_model({.folder = oracle(model)}, plugins(), torch::kCPU);
}

/// Names and shapes, as in defaults.json.
std::string described(const TensorMap& tensors) {
  Table shapes;
  for (const auto& [name, tensor] : tensors) {
    List sizes;
    for (const int64_t size : tensor.sizes()) sizes.push_back(size);
    shapes[name] = sizes;
  }
  return to_json(shapes);
}

TEST(DefaultTargets, ArePeftsForEachModelType) {
  const fs::path path = oracle("methods/defaults.json");
  const Value expected = parse_json(read_text(path, size_t{4} << 20), path.string());
  ASSERT_EQ(expected.get_if<Table>()->size(), 6u);
  for (const auto& [model, methods] : *expected.get_if<Table>()) {
    for (const auto& [method, shapes] : *methods.get_if<Table>()) {
      SCOPED_TRACE(method + " on " + model);
      Session session = open(model);
      attach_methods(session, {{method, method == "vera" ? Table{{"rank", 4}} : Table()}}, 0, plugins());
      EXPECT_EQ(described(session.methods[0].method->save(*session.model).tensors), to_json(shapes));
    }
  }
}

TEST(DefaultTargets, SayThatTheWeightsOfGpt2LieTransposed) {
  for (const char* method : {"ia3", "vera"}) {
    Session session = open("causal_models/gpt2");
    attach_methods(session, {{method, {}}}, 0, plugins());
    EXPECT_EQ(session.methods[0].method->save(*session.model).config.at("fan_in_fan_out"), Value(true)) << method;
  }
}

TEST(DefaultTargets, OfChatGlmAreTheFusedMapsAndTheSecondFeedForwardMaps) {
  Params config(checkpoint::read_config(oracle("visualglm/model")), "config.json");
  config.ignore({"model_type"});
  const auto model = plugins().make_model("visualglm", config);
  const auto ia3 = testing::make_method("ia3");
  ia3->attach(*model, testing::ToyTokenizer());
  const TensorMap tensors = ia3->save(*model).tensors;
  const std::string layer = "base_model.model.transformer.layers.0.";
  EXPECT_EQ(tensors.at(layer + "attention.query_key_value.ia3_l").sizes(), (std::vector<int64_t>{144, 1}));
  EXPECT_EQ(tensors.at(layer + "mlp.dense_4h_to_h.ia3_l").sizes(), (std::vector<int64_t>{1, 80}));
}

struct Pair {
  std::string model;
  std::string method;
};

std::ostream& operator<<(std::ostream& out, const Pair& pair) { return out << pair.method << " on " << pair.model; }

class AdapterFolders : public ::testing::TestWithParam<Pair> {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// Logits of every row, [total, vocabulary or classes].
  static torch::Tensor logits(Session& session) {
    const torch::NoGradGuard no_grad;
    session.set_training(false);
    std::vector<Encoded> examples = {{{5, 7, 3, 8}, std::vector<int64_t>(4, kNoLabel), 0, -1},
                                     {{6, 2}, std::vector<int64_t>(2, kNoLabel), 0, -1}};
    return session.model->head(session.model->hidden(pack(examples)));
  }

  /// As if it had been trained.
  static void disturb(Session& session) {
    const torch::NoGradGuard no_grad;
    torch::manual_seed(4);
    for (const auto& [name, tensor] : session.trained()) torch::Tensor(tensor).add_(0.3 * torch::randn_like(tensor));
  }

  const fs::path folder_ = fs::temp_directory_path() / ("peftlab_methods_" + std::to_string(getpid()));
};

TEST_P(AdapterFolders, GiveTheTrainedOutputsAgainAndMerged) {
  Session base = open(GetParam().model);
  const torch::Tensor before = logits(base);
  Session trained = open(GetParam().model);
  attach_methods(trained, {{GetParam().method, {}}}, 0, plugins());
  EXPECT_TRUE(torch::equal(logits(trained), before));
  disturb(trained);
  const torch::Tensor after = logits(trained);
  EXPECT_GT((after - before).abs().max().item<double>(), 1e-3);
  const SavedResult saved = save_result(trained, folder_);
  EXPECT_FALSE(saved.is_model);

  Session read = open(GetParam().model);
  attach_adapters(read, {{folder_}}, plugins());
  EXPECT_EQ(read.methods[0].plugin, GetParam().method);
  EXPECT_TRUE(torch::equal(logits(read), after));
  read.methods[0].method->merge(*read.model);
  EXPECT_LE((logits(read) - after).abs().max().item<double>(), 1e-5 * std::max(1.0, after.abs().max().item<double>()));
}

INSTANTIATE_TEST_SUITE_P(
    Methods, AdapterFolders,
    ::testing::Values(Pair{"causal_models/gpt2", "bitfit"}, Pair{"causal_models/gpt2", "ia3"},
                      Pair{"causal_models/gpt2", "layernorm"}, Pair{"causal_models/gpt2", "vera"},
                      Pair{"causal_models/qwen2", "bitfit"}, Pair{"causal_models/llama", "layernorm"},
                      Pair{"causal_models/gpt2_class", "bitfit"}, Pair{"causal_models/gpt2_class", "head"},
                      Pair{"causal_models/llama_class", "head"}, Pair{"bert/bert_class", "bitfit"},
                      Pair{"bert/bert_class", "head"}, Pair{"bert/bert_class", "ia3"},
                      Pair{"bert/bert_class", "layernorm"}, Pair{"bert/bert_class", "vera"},
                      Pair{"bert/roberta_class", "head"}),
    [](const auto& info) { return info.param.method + "_" + fs::path(info.param.model).filename().string(); });

TEST(HeadAdapter, HoldsTheHeadAsPeftKeepsItAndNothingElse) {
  const fs::path folder = fs::temp_directory_path() / ("peftlab_head_" + std::to_string(getpid()));
  Session session = open("bert/bert_class");
  attach_methods(session, {{"head", {}}}, 0, plugins());
  save_result(session, folder);
  const checkpoint::AdapterFolder read = checkpoint::read_adapter(folder);
  EXPECT_TRUE(read.files.tensors.empty());
  EXPECT_EQ(read.files.head.size(), 2u);
  EXPECT_TRUE(
      torch::equal(read.files.head.at("classifier.bias"), session.model->named_parameters()["classifier.bias"]));
  EXPECT_EQ(read.files.labels, session.model->facts().labels);

  // Without the head there is nothing in it: it must not pass for an adapter.
  checkpoint::write_adapter(folder, {{{"peft_type", "HEAD"}}, {}, {}, {}, {}}, "");
  Session again = open("bert/bert_class");
  EXPECT_THAT([&] { attach_adapters(again, {{folder}}, plugins()); },
              ThrowsMessage<FormatError>(HasSubstr("holds no tensors, but an adapter of type `HEAD` trains some")));
  fs::remove_all(folder);
}

TEST(MethodsOnModels, RefuseWhatAModelLacks) {
  Session llama = open("causal_models/llama");
  EXPECT_THAT(
      [&] {
        attach_methods(llama, {{"bitfit", {}}}, 0, plugins());
      },
      ThrowsMessage<UnsupportedError>(HasSubstr("type `llama` has none")));
  EXPECT_THAT(
      [&] {
        attach_methods(llama, {{"head", {}}}, 0, plugins());
      },
      ThrowsMessage<UnsupportedError>(HasSubstr("`labels` under [model]")));
}

}  // namespace
}  // namespace peftlab::attach
