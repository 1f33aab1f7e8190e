/// One ChatGLM in the two orders that files have: Hugging Face's shards with the rows of query_key_value by head, and
/// SAT's blocks of all q, all k, all v.

#include "support/files.h"
#include "test_support.h"

namespace peftlab {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeads = 3;  // of model_text

/// [heads * (q, k, v), ...] -> [all q, all k, all v, ...], as README.md says it is done.
torch::Tensor blocks(const torch::Tensor& per_head) {
  const int64_t width = per_head.size(0) / (3 * kHeads);
  return per_head.unflatten(0, {kHeads, 3, width}).transpose(0, 1).flatten(0, 2).contiguous();
}

/// Writes `tensors` in `count` shards with an index, each tensor in the next shard; gives the folder.
fs::path write_shards(const std::string& name, const Table& config, const TensorMap& tensors, size_t count) {
  const fs::path made = fs::path(::testing::TempDir()) / name;
  fs::remove_all(made);
  fs::create_directories(made);
  std::vector<TensorMap> shards(count);
  Table places;
  size_t next = 0;
  for (const auto& [tensor, values] : tensors) {
    const size_t shard = next++ % count;
    shards[shard][tensor] = values;
    places[tensor] = "model-" + std::to_string(shard) + ".safetensors";
  }
  for (size_t i = 0; i < count; ++i) {
    checkpoint::write_safetensors(made / ("model-" + std::to_string(i) + ".safetensors"), shards[i]);
  }
  write_text(made / "config.json", to_json(config));
  write_text(made / "model.safetensors.index.json", to_json(Table{{"weight_map", places}}));
  return made;
}

torch::Tensor logits_of(const fs::path& made) {
  auto model = make_model(checkpoint::read_config(made));
  checkpoint::load_weights(*model, made, torch::kFloat32);
  const torch::NoGradGuard no_grad;
  return model->head(model->hidden(batch_of({Case("model_text.text")}), nullptr));
}

TEST(ChatGlmLayouts, ShardsByHeadAndBlocksAreOneModel) {
  const Table config = checkpoint::read_config(oracle("model_text"));
  const TensorMap by_head = checkpoint::read_tensors(oracle("model_text") / "model.safetensors");
  TensorMap in_blocks = by_head;
  int64_t reordered = 0;
  for (auto& [name, tensor] : in_blocks) {
    if (name.find(".query_key_value.") == std::string::npos) continue;
    tensor = blocks(tensor);
    EXPECT_FALSE(torch::equal(tensor, by_head.at(name))) << name;
    ++reordered;
  }
  EXPECT_EQ(reordered, 2 * 2);  // weight and bias of two layers
  Table of_sat = config;
  of_sat["qkv_layout"] = "blocks";

  const auto first = write_shards("chatglm_by_head", config, by_head, 4);
  const auto second = write_shards("chatglm_in_blocks", of_sat, in_blocks, 1);
  EXPECT_LE(difference(logits_of(first), expected().at("model_text.text.logits")), 1e-5);
  EXPECT_TRUE(torch::equal(logits_of(first), logits_of(second)));

  // Read in the wrong order it is another model, and nothing in the file tells.
  const auto wrong = write_shards("chatglm_wrong", of_sat, by_head, 3);
  EXPECT_GT(difference(logits_of(wrong), expected().at("model_text.text.logits")), 1e-2);
  for (const fs::path& made : {first, second, wrong}) fs::remove_all(made);
}

TEST(ChatGlmLayouts, AShardThatIsNotThereIsNamed) {
  const fs::path made = write_shards("chatglm_short", checkpoint::read_config(oracle("model_text")),
                                     checkpoint::read_tensors(oracle("model_text") / "model.safetensors"), 3);
  fs::remove(made / "model-1.safetensors");
  try {
    logits_of(made);
    FAIL() << "opened";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("model-1.safetensors"), std::string::npos) << error.what();
  }
  fs::remove_all(made);
}

}  // namespace
}  // namespace peftlab
