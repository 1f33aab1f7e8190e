/// VisualGLM-6B and ChatGLM-6B at their full size, described without memory: the names, the shapes and how many numbers.

#include "test_support.h"

#include <peftlab/nn/first_values.h>

#include <chrono>
#include <map>
#include <vector>

namespace peftlab {
namespace {

using Shape = std::vector<int64_t>;
using Shapes = std::map<std::string, Shape>;

/// config.json of THUDM/chatglm-6b, without keys that only name files and code.
Table chatglm_6b() {
  return {{"model_type", "chatglm"},
          {"architectures", std::vector<std::string>{"ChatGLMModel"}},
          {"auto_map", Table{{"AutoConfig", "configuration_chatglm.ChatGLMConfig"}}},
          {"_name_or_path", "THUDM/chatglm-6b"},
          {"torch_dtype", "float16"},
          {"transformers_version", "4.23.1"},
          {"use_cache", true},
          {"bos_token_id", int64_t{130004}},
          {"eos_token_id", int64_t{130005}},
          {"mask_token_id", int64_t{130000}},
          {"gmask_token_id", int64_t{130001}},
          {"pad_token_id", int64_t{3}},
          {"hidden_size", int64_t{4096}},
          {"inner_hidden_size", int64_t{16384}},
          {"layernorm_epsilon", 1e-5},
          {"max_sequence_length", int64_t{2048}},
          {"num_attention_heads", int64_t{32}},
          {"num_layers", int64_t{28}},
          {"position_encoding_2d", true},
          {"pre_seq_len", Value()},
          {"prefix_projection", false},
          {"quantization_bit", int64_t{0}},
          {"vocab_size", int64_t{130528}}};
}

/// The same with the vision parts of THUDM/visualglm-6b.
Table visualglm_6b() {
  Table config = chatglm_6b();
  config["image_length"] = int64_t{32};
  config["eva_config"] = Table{{"num_layers", int64_t{39}},
                               {"hidden_size", int64_t{1408}},
                               {"num_attention_heads", int64_t{16}},
                               {"vocab_size", int64_t{1}},
                               {"layernorm_order", "pre"},
                               {"model_parallel_size", int64_t{1}},
                               {"max_sequence_length", int64_t{257}},
                               {"inner_hidden_size", int64_t{6144}},
                               {"use_final_layernorm", false},
                               {"layernorm_epsilon", 1e-6},
                               {"image_size", std::vector<int64_t>{224, 224}},
                               {"pre_len", int64_t{1}},
                               {"post_len", int64_t{0}},
                               {"in_channels", int64_t{3}},
                               {"num_classes", int64_t{0}},
                               {"patch_size", int64_t{14}}};
  List crosses;
  for (int i = 0; i < 12; ++i) crosses.push_back(Value(i % 2 == 0));
  config["qformer_config"] = Table{
      {"num_layers", int64_t{12}},         {"hidden_size", int64_t{768}}, {"num_attention_heads", int64_t{12}},
      {"vocab_size", int64_t{32}},         {"layernorm_order", "post"},   {"model_parallel_size", int64_t{1}},
      {"max_sequence_length", int64_t{0}}, {"is_decoder", crosses},       {"cross_attn_hidden_size", int64_t{1408}},
      {"layernorm_epsilon", 1e-12}};
  return config;
}

void add(Shapes& shapes, const std::string& name, const Shape& weight) {
  shapes[name + ".weight"] = weight;
  shapes[name + ".bias"] = {weight[0]};
}

/// The parts that the layers of all three stacks have.
void add_layer(Shapes& shapes, const std::string& layer, int64_t hidden, int64_t inner) {
  add(shapes, layer + "input_layernorm", {hidden});
  add(shapes, layer + "attention.query_key_value", {3 * hidden, hidden});
  add(shapes, layer + "attention.dense", {hidden, hidden});
  add(shapes, layer + "post_attention_layernorm", {hidden});
  add(shapes, layer + "mlp.dense_h_to_4h", {inner, hidden});
  add(shapes, layer + "mlp.dense_4h_to_h", {hidden, inner});
}

Shapes language_shapes(bool tied) {
  Shapes shapes = {{"transformer.word_embeddings.weight", {130528, 4096}}};
  for (int i = 0; i < 28; ++i) add_layer(shapes, "transformer.layers." + std::to_string(i) + ".", 4096, 16384);
  add(shapes, "transformer.final_layernorm", {4096});
  if (!tied) shapes["lm_head.weight"] = {130528, 4096};
  return shapes;
}

Shapes vision_shapes() {
  Shapes shapes;
  const std::string vit = "image_encoder.vit.", qformer = "image_encoder.qformer.transformer.";
  shapes[vit + "transformer.word_embeddings.weight"] = {1, 1408};
  shapes[vit + "transformer.position_embeddings.weight"] = {257, 1408};
  add(shapes, vit + "mixins.patch_embedding.proj", {1408, 3, 14, 14});
  for (int i = 0; i < 39; ++i) add_layer(shapes, vit + "transformer.layers." + std::to_string(i) + ".", 1408, 6144);
  add(shapes, vit + "mixins.cls.ln_vision", {1408});
  shapes[qformer + "word_embeddings.weight"] = {32, 768};
  for (int i = 0; i < 12; ++i) {
    const std::string layer = qformer + "layers." + std::to_string(i) + ".";
    add_layer(shapes, layer, 768, 3072);
    if (i % 2 != 0) continue;
    add(shapes, layer + "cross_attention.query", {768, 768});
    add(shapes, layer + "cross_attention.key_value", {1536, 1408});
    add(shapes, layer + "cross_attention.dense", {768, 768});
    add(shapes, layer + "post_cross_attention_layernorm", {768});
  }
  add(shapes, qformer + "final_layernorm", {768});
  add(shapes, "image_encoder.glm_proj", {4096, 768});
  return shapes;
}

/// Describes the model and compares; gives how many numbers it has.
int64_t described(Table config, bool tied, const Shapes& wanted) {
  if (!tied) config["tie_word_embeddings"] = false;
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<Model> model;
  {
    const Blueprint blueprint;
    model = make_model(config);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  Shapes found;
  int64_t count = 0;
  for (const auto& item : model->named_parameters()) {
    found[item.key()] = item.value().sizes().vec();
    count += item.value().numel();
  }
  for (const auto& [name, shape] : wanted) {
    EXPECT_EQ(found.contains(name) ? found.at(name) : Shape{}, shape) << name;
    found.erase(name);
  }
  for (const auto& [name, shape] : found) ADD_FAILURE() << "not among the released names: " << name;
  return count;
}

TEST(VisualGlmFullSize, IsWhatSatCounts) {
  Shapes shapes = vision_shapes();
  shapes.merge(language_shapes(/*tied=*/false));
  EXPECT_EQ(described(visualglm_6b(), /*tied=*/false, shapes), 7'802'193'408);
}

TEST(VisualGlmFullSize, TiedItIsOneTableLess) {
  Shapes shapes = vision_shapes();
  shapes.merge(language_shapes(/*tied=*/true));
  EXPECT_EQ(described(visualglm_6b(), /*tied=*/true, shapes), 7'267'550'720);
}

TEST(VisualGlmFullSize, ChatGlmIsTheLanguageModelAlone) {
  EXPECT_EQ(described(chatglm_6b(), /*tied=*/true, language_shapes(true)), 6'173'286'400);
  EXPECT_EQ(described(chatglm_6b(), /*tied=*/false, language_shapes(false)), 6'707'929'088);
}

TEST(VisualGlmFullSize, FactsAreThoseOfTheRelease) {
  const Blueprint blueprint;
  const ModelFacts facts = make_model(visualglm_6b())->facts();
  EXPECT_EQ(facts.vocabulary, 130528);
  EXPECT_EQ(facts.head_width, 128);
  EXPECT_EQ(facts.max_length, 2048);
  EXPECT_EQ(facts.end_of_sequence, (std::vector<int64_t>{130005}));
  ASSERT_TRUE(facts.images);
  EXPECT_EQ(facts.images->height, 224);
  EXPECT_EQ(facts.image_tokens, 32);
}

TEST(VisualGlmFullSize, QuantizedReleasesAreRefusedByName) {
  const auto refusal = [](const std::string& key, const Value& value) -> std::string {
    Table config = chatglm_6b();
    config[key] = value;
    const Blueprint blueprint;
    try {
      make_model(config);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "taken";
  };
  for (const int64_t bits : {4, 8}) {
    EXPECT_NE(refusal("quantization_bit", bits).find("`quantization_bit` must be 0"), std::string::npos);
  }
  const std::string said = refusal("quantization_config", Table{{"quant_method", "bitsandbytes"}});
  EXPECT_NE(said.find("`quantization_config` must be absent"), std::string::npos) << said;
  EXPECT_NE(said.find("unquantized"), std::string::npos) << said;
  EXPECT_EQ(refusal("quantization_config", Value()), "taken");
  EXPECT_NE(refusal("pre_seq_len", int64_t{128}).find("`pre_seq_len`"), std::string::npos);
}

}  // namespace
}  // namespace peftlab
