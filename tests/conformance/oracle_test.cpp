/// Methods beside the real libraries: what is saved right after attach() is what Hugging Face peft and `adapters` save,
/// file for file, and what they save is taken here. tests/oracle/methods says how the files were made.

#include "checkpoint/adapter_folder.h"

#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace peftlab::conformance {
namespace {

struct Sample {
  std::string folder;
  std::string plugin;
  Table options;
  torch::ScalarType type = torch::kFloat32;
  int64_t kv_heads = 2;
};

std::ostream& operator<<(std::ostream& out, const Sample& sample) { return out << sample.folder; }

class Oracle : public ::testing::TestWithParam<Sample> {
 protected:
  static constexpr uint64_t kSeed = 5;
  static constexpr double kLastBits = 5e-7;

  void SetUp() override {
    const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
    ASSERT_NE(source, nullptr);
    theirs_ =
        checkpoint::read_adapter(std::filesystem::path(source) / "tests/oracle/methods" / GetParam().folder).files;
    // The library names GPT-2's layers where the toy model has its own.
    TensorMap renamed;
    for (const auto& [name, tensor] : theirs_.tensors) {
      std::string own = name;
      if (own.starts_with("transformer.h.")) own.replace(12, 1, "layers");
      renamed[own] = tensor;
    }
    theirs_.tensors = renamed;
  }

  std::shared_ptr<testing::ToyModel> model() const {
    testing::ToySizes sizes;
    sizes.kv_heads = GetParam().kv_heads;
    auto model = std::make_shared<testing::ToyModel>(sizes);
    const torch::NoGradGuard no_grad;
    // Row i of the embeddings is full of i, as in the files.
    model->embedding_table().copy_(torch::arange(32).unsqueeze(1).expand({-1, 16}));
    // The norms there are fresh.
    auto parameters = model->named_parameters();
    for (const std::string& norm : model->norm_parameters()) parameters[norm].fill_(norm.ends_with("weight") ? 1 : 0);
    model->to(GetParam().type);
    model->freeze();
    return model;
  }

  static void expect_equal(const TensorMap& ours, const TensorMap& theirs) {
    std::vector<std::string> our_names, their_names;
    for (const auto& [name, tensor] : ours) our_names.push_back(name);
    for (const auto& [name, tensor] : theirs) their_names.push_back(name);
    ASSERT_EQ(our_names, their_names);
    for (const auto& [name, tensor] : ours) {
      EXPECT_EQ(tensor.scalar_type(), theirs.at(name).scalar_type()) << name;
      const torch::Tensor ours_exact = tensor.to(torch::kFloat64), theirs_exact = theirs.at(name).to(torch::kFloat64);
      // The last bits of what a network gives, and of draws made of sines, differ from processor to processor.
      EXPECT_LE((ours_exact - theirs_exact).abs().max().item<double>(),
                kLastBits * theirs_exact.abs().max().item<double>())
          << name << "\n"
          << tensor << "\n"
          << theirs.at(name);
    }
  }

  AdapterFiles theirs_;
};

TEST_P(Oracle, FirstValuesAndConfigurationAreTheirs) {
  auto base = model();
  auto method = testing::make_method(GetParam().plugin, GetParam().options);
  torch::manual_seed(kSeed);
  method->attach(*base, testing::ToyTokenizer());
  const AdapterFiles ours = method->save(*base);
  expect_equal(ours.tensors, theirs_.tensors);

  Table config = ours.config, expected = theirs_.config;
  for (const char* key : {"model_class", "model_name", "model_type", "peftlab"}) {
    config.erase(key);  // GPT-2's there
    expected.erase(key);
  }
  if (config.count("prompt_tuning_init")) expected["prompt_tuning_init"] = "RANDOM";
  if (Value* inner = config.count("config") ? &config["config"] : nullptr) {
    Table fields = *inner->get_if<Table>();
    fields["reduction_factor"] = static_cast<int64_t>(*fields["reduction_factor"].get_if<double>());
    *inner = fields;
  }
  EXPECT_EQ(to_json(config), to_json(expected));
}

TEST_P(Oracle, TheirsAreTaken) {
  auto base = model();
  const Table options = testing::make_method(GetParam().plugin)->options_from(theirs_.config);
  auto method = testing::make_method(GetParam().plugin, options);
  torch::manual_seed(kSeed + 1);
  method->attach(*base, testing::ToyTokenizer());
  method->load(*base, theirs_);
  TensorMap theirs = theirs_.tensors;
  expect_equal(method->save(*base).tensors, theirs);
}

const std::vector<std::string> kTwo = {"query_key_value", "dense_4h_to_h"};
const std::vector<std::string> kPattern = {R"(.*\.1\.mlp\..*)"};

INSTANTIATE_TEST_SUITE_P(
    Libraries, Oracle,
    ::testing::Values(
        Sample{"lora", "lora", {{"rank", 4}, {"alpha", 32}, {"dropout", 0.1}, {"targets", kTwo}}},
        Sample{"lora_bf16", "lora", {{"rank", 4}, {"targets", std::vector<std::string>{"dense"}}}, torch::kBFloat16},
        Sample{"rslora", "lora", {{"rank", 2}, {"rslora", true}, {"targets", kPattern}}},
        Sample{"ia3", "ia3", {{"targets", kTwo}, {"feedforward", std::vector<std::string>{"dense_4h_to_h"}}}},
        Sample{"ia3_pattern",
               "ia3",
               {{"targets", std::vector<std::string>{R"(.*\.1\.(attention|mlp)\..*)"}},
                {"feedforward", std::vector<std::string>{R"(.*\.mlp\..*)"}}},
               torch::kBFloat16},
        Sample{"layernorm", "layernorm", {{"targets", std::vector<std::string>{"input_layernorm", "final_layernorm"}}}},
        Sample{"layernorm_bf16",
               "layernorm",
               {{"targets", std::vector<std::string>{R"(.*\.1\..*norm)"}}},
               torch::kBFloat16},
        Sample{"vera", "vera", {{"rank", 4}, {"dropout", 0.1}, {"targets", kTwo}}},
        Sample{"vera_unsaved",
               "vera",
               {{"rank", 3},
                {"d_initial", 0.25},
                {"projection_seed", 7},
                {"save_projection", false},
                {"targets", std::vector<std::string>{R"(.*\.0\.mlp\..*)"}}}},
        Sample{"prefix", "prefix", {{"tokens", 3}}},
        Sample{"prefix_flat", "prefix", {{"tokens", 3}, {"projection", false}}, torch::kFloat32, 1},
        Sample{"prompt", "prompt", {{"tokens", 3}}},
        Sample{"prompt_vocabulary", "prompt", {{"tokens", 3}, {"init", "vocabulary"}}},
        Sample{"adapter", "adapter", {{"layer_norms", false}}},
        Sample{"adapter_houlsby",
               "adapter",
               {{"layer_norms", false}, {"init", "houlsby"}, {"reduction", 4}, {"nonlinearity", "relu"}}}),
    [](const auto& info) { return info.param.folder; });

}  // namespace
}  // namespace peftlab::conformance
