/// The parts that the plugin does not show one by one: positions, vision, and what is said about a wrong config.json.

#include "test_support.h"

#include "language.h"
#include "vision.h"

#include <gmock/gmock.h>

namespace peftlab::visualglm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Positions, CountThePromptThenTheAnswer) {
  Layout layout;
  layout.add(11, 5);
  layout.add(3, 2);
  const auto positions = Positions::of(layout, nullptr);
  EXPECT_THAT(list(positions.in_prompt), ElementsAre(0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 0, 1, 1));
  EXPECT_THAT(list(positions.in_answer), ElementsAre(0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 1));
}

TEST(Positions, GoOnWhereTheCacheEnds) {
  Layout next;
  next.add(1, 0);
  next.add(1, 0);
  KeyValueCache cache(4);
  cache.seen = {6, 9};
  cache.context = {5, 3};
  const auto positions = Positions::of(next, &cache);
  EXPECT_THAT(list(positions.in_prompt), ElementsAre(4, 2));
  EXPECT_THAT(list(positions.in_answer), ElementsAre(2, 7));
}

Config config_of(Table values, std::string* problems = nullptr) {
  Params params(std::move(values), "config.json");
  Config config = read_config(params);
  try {
    params.finish();
  } catch (const ConfigError& error) {
    if (!problems) throw;
    *problems = error.what();
  }
  return config;
}

/// Gives `module` the oracle's weights below `prefix`.
void load(torch::nn::Module& module, const std::string& prefix) {
  static const TensorMap weights = checkpoint::read_tensors(oracle("model/model.safetensors"));
  for (auto& item : module.named_parameters()) item.value().set_data(weights.at(prefix + item.key()));
}

TEST(Vision, PartsAgreeWithTheReference) {
  const torch::NoGradGuard no_grad;
  const Config config = config_of(checkpoint::read_config(oracle("model")));
  VisionTransformer vit(config.image->vision);
  load(vit, "image_encoder.vit.");
  QFormer qformer(config.image->qformer, config.image->vision.hidden);
  load(qformer, "image_encoder.qformer.");
  for (const std::string name : {"image", "image2"}) {
    const auto seen = vit.forward(expected().at(name + ".pixels"));
    EXPECT_LE(difference(seen, expected().at(name + ".vit")), 1e-5);
    EXPECT_LE(difference(qformer.forward(seen), expected().at(name + ".qformer")), 1e-5);
  }
}

std::string problems_of(const std::function<void(Table&)>& change) {
  Table config = checkpoint::read_config(oracle("model"));
  change(config);
  std::string problems;
  config_of(config, &problems);
  return problems;
}

Table& table(Table& config, const std::string& key) { return std::get<Table>(config.at(key).data); }

TEST(Config, TheReleasedModelsKeysAreTaken) {
  // config.json of the 6B release, as far as its keys are known.
  const Table values = std::get<Table>(parse_json(R"({
    "_name_or_path": "THUDM/visualglm-6b", "architectures": ["ChatGLMModel"], "auto_map": {"AutoConfig": "x"},
    "bos_token_id": 130004, "eos_token_id": 130005, "mask_token_id": 130000, "gmask_token_id": 130001,
    "pad_token_id": 3, "hidden_size": 4096, "inner_hidden_size": 16384, "image_length": 32,
    "layernorm_epsilon": 1e-05, "max_sequence_length": 2048, "model_type": "chatglm", "num_attention_heads": 32,
    "num_layers": 28, "position_encoding_2d": true, "torch_dtype": "float16", "transformers_version": "4.27.1",
    "use_cache": true, "vocab_size": 130528, "pre_seq_len": null, "prefix_projection": false, "quantization_bit": 0,
    "eva_config": {"num_layers": 39, "hidden_size": 1408, "num_attention_heads": 16, "vocab_size": 1,
      "layernorm_order": "pre", "model_parallel_size": 1, "max_sequence_length": 257, "inner_hidden_size": 6144,
      "use_final_layernorm": false, "layernorm_epsilon": 1e-06, "image_size": [224, 224], "pre_len": 1, "post_len": 0,
      "in_channels": 3, "num_classes": 0, "patch_size": 14},
    "qformer_config": {"num_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "vocab_size": 32,
      "layernorm_order": "post", "model_parallel_size": 1, "max_sequence_length": 0,
      "is_decoder": [true, false, true, false, true, false, true, false, true, false, true, false],
      "cross_attn_hidden_size": 1408, "layernorm_epsilon": 1e-12}})",
                                                  "test")
                                           .data);
  const Config config = config_of(values);
  EXPECT_EQ(config.language.head_width(), 128);
  EXPECT_EQ(config.language.alpha_layers, 28);
  EXPECT_TRUE(config.language.tied && config.language.per_head);
  ASSERT_TRUE(config.image);
  EXPECT_EQ(config.image->vision.patches(), 256);
  EXPECT_EQ(config.image->qformer.inner, 3072);
  EXPECT_EQ(config.image->qformer.queries, 32);
}

TEST(Config, OneTrueMeansEvenLayers) {
  Table values = checkpoint::read_config(oracle("model"));
  table(values, "qformer_config")["is_decoder"] = true;
  EXPECT_THAT(config_of(values).image->qformer.crosses, ElementsAre(true, false, true));
}

TEST(Config, RefusesByNameWhatItCannotCompute) {
  const auto with = [](const std::string& key, Value value) {
    return problems_of([&](Table& config) { config[key] = std::move(value); });
  };
  EXPECT_THAT(with("pre_seq_len", 128), HasSubstr("`pre_seq_len` must be 0"));
  EXPECT_THAT(with("quantization_bit", 4), HasSubstr("`quantization_bit` must be 0"));
  EXPECT_THAT(with("position_encoding_2d", false), HasSubstr("`position_encoding_2d` must be true"));
  EXPECT_THAT(with("prefix_projection", true), HasSubstr("`prefix_projection` must be false"));
  EXPECT_THAT(with("qkv_layout", "rows"), HasSubstr("`qkv_layout` must be"));
  EXPECT_THAT(with("image_length", 4),
              HasSubstr("`image_length` must be qformer_config.vocab_size (3), found the integer 4"));
  EXPECT_THAT(with("bos_token_id", 64),
              HasSubstr("`bos_token_id` must be an id below vocab_size (64), found the integer 64"));
  EXPECT_THAT(with("hidden_sizes", 1), HasSubstr("unknown key `hidden_sizes`"));
  EXPECT_THAT(with("num_attention_heads", 5), HasSubstr("`hidden_size` must be a multiple of 4 times"));
  EXPECT_THAT(with("num_layers", 0), HasSubstr("`num_layers` must lie between 1 and 2^30, found the integer 0"));
}

TEST(Config, NestedKeysAreNamedWithTheirTable) {
  const std::string problems = problems_of([](Table& config) {
    table(config, "eva_config")["num_attention_heads"] = 7;
    table(config, "eva_config")["image_size"] = std::vector<int64_t>{28, 30};
    table(config, "eva_config")["hidden_dropout"] = 0.1;
    table(config, "eva_config")["layernorm_epsilom"] = 1;
    table(config, "qformer_config")["num_layers"] = "three";
    table(config, "qformer_config")["cross_attn_hidden_size"] = 23;
    table(config, "qformer_config").erase("vocab_size");
  });
  EXPECT_THAT(problems, HasSubstr("`eva_config.hidden_size` must be a multiple of num_attention_heads (7)"));
  EXPECT_THAT(problems,
              HasSubstr("`eva_config.image_size` must be [height, width], both multiples of patch_size (14)"));
  EXPECT_THAT(problems, HasSubstr("`eva_config.hidden_dropout` must be 0"));
  EXPECT_THAT(problems, HasSubstr("`eva_config.layernorm_epsilom` is an unknown key"));
  EXPECT_THAT(problems, HasSubstr("`qformer_config.num_layers` must be an integer"));
  EXPECT_THAT(problems, HasSubstr("`qformer_config.cross_attn_hidden_size` must be eva_config.hidden_size (24)"));
  EXPECT_THAT(problems, HasSubstr("`qformer_config.vocab_size` is missing"));
}

TEST(Config, PicturesNeedBothParts) {
  const std::string problems = problems_of([](Table& config) { config.erase("eva_config"); });
  EXPECT_THAT(problems, HasSubstr("`eva_config` is missing"));
}

TEST(Config, AnEmptyOneIsAnErrorAndNoCrash) {
  std::string problems;
  config_of({}, &problems);
  EXPECT_THAT(problems, HasSubstr("`hidden_size` is missing"));
  EXPECT_THAT(problems, HasSubstr("`vocab_size` is missing"));
}

}  // namespace
}  // namespace peftlab::visualglm
