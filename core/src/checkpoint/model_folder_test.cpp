#include "checkpoint/model_folder.h"

#include "checkpoint/safetensors.h"
#include "support/files.h"
#include "support/sha256.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A fresh folder with the toy model's weights.
fs::path folder(const std::string& name, const std::function<void(TensorMap&)>& change = {}) {
  const fs::path place = fs::path(::testing::TempDir()) / name;
  fs::remove_all(place);
  fs::create_directories(place);
  write_text(place / "config.json", R"({"model_type": "toy"})");
  TensorMap tensors;
  const testing::ToyModel model;
  for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
  if (change) change(tensors);
  write_safetensors(place / "model.safetensors", tensors);
  return place;
}

std::string refusal(const fs::path& place) {
  testing::ToyModel model;
  try {
    load_weights(model, place, torch::kFloat32);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ModelFolder, GivesTheModelTheFilesValues) {
  const fs::path place = folder("values", [](TensorMap& t) {
    for (auto& [name, tensor] : t) tensor = torch::full_like(tensor, 0.25);
  });
  testing::ToyModel model;
  load_weights(model, place, torch::kFloat32);
  for (const auto& item : model.named_parameters()) {
    EXPECT_TRUE(torch::equal(item.value(), torch::full_like(item.value(), 0.25))) << item.key();
  }
}

TEST(ModelFolder, ConvertsToTheTypeAskedFor) {
  testing::ToyModel model;
  load_weights(model, folder("converted"), torch::kBFloat16);
  for (const auto& parameter : model.parameters()) EXPECT_EQ(parameter.scalar_type(), torch::kBFloat16);
}

TEST(ModelFolder, NamesWhatIsMissingUnknownOrMisshapen) {
  const std::string said = refusal(folder("wrong", [](TensorMap& t) {
    const auto first = t.begin()->first;
    t["stranger"] = torch::ones({3});
    t["transformer.layers.0.attention.dense.weight"] = torch::ones({5, 5});
    t.erase(first);
  }));
  EXPECT_THAT(said, HasSubstr("missing: "));
  EXPECT_THAT(said, HasSubstr("not known: stranger [3]"));
  EXPECT_THAT(said, HasSubstr("transformer.layers.0.attention.dense.weight is [5,5], wanted [16,16]"));
}

TEST(ModelFolder, ReadsShardsByTheirIndex) {
  const fs::path place = folder("shards");
  const TensorMap all = read_tensors(place / "model.safetensors");
  TensorMap first, second;
  std::string map;
  for (const auto& [name, tensor] : all) {
    const bool into_first = first.size() * 2 < all.size();
    (into_first ? first : second)[name] = tensor;
    map += (map.empty() ? "" : ",") + ("\"" + name + "\":\"") + (into_first ? "a" : "b") + ".safetensors\"";
  }
  write_safetensors(place / "a.safetensors", first);
  write_safetensors(place / "b.safetensors", second);
  write_text(place / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  fs::remove(place / "model.safetensors");
  EXPECT_EQ(refusal(place), "accepted");
  EXPECT_EQ(weights_sha256(place), sha256_hex(sha256_file(place / "a.safetensors") + "  a.safetensors\n" +
                                              sha256_file(place / "b.safetensors") + "  b.safetensors\n"));
  // The index is held to its files: a tensor elsewhere, in two of them, in none.
  const std::string moved = first.begin()->first;
  second[moved] = first.begin()->second;
  write_safetensors(place / "b.safetensors", second);
  EXPECT_THAT(refusal(place), HasSubstr("twice: " + moved + ", in a.safetensors and b.safetensors"));
  first.erase(moved);
  write_safetensors(place / "a.safetensors", first);
  EXPECT_THAT(refusal(place), HasSubstr(moved + " is said to be in a.safetensors, but is in b.safetensors"));
  second.erase(moved);
  write_safetensors(place / "b.safetensors", second);
  EXPECT_THAT(refusal(place), HasSubstr(moved + " is said to be in a.safetensors, which does not hold it"));
  fs::remove(place / "a.safetensors");
  EXPECT_THAT(refusal(place), HasSubstr("a.safetensors: cannot be opened"));
  write_text(place / "model.safetensors.index.json", R"({"weight_map":{"x":"../b.safetensors"}})");
  EXPECT_THAT(refusal(place), HasSubstr("wanted the name of a file in this folder"));
}

TEST(ModelFolder, RefusesPicklesWithTheWayOut) {
  const fs::path place = folder("pickle");
  fs::rename(place / "model.safetensors", place / "pytorch_model.bin");
  EXPECT_THAT(refusal(place), HasSubstr("pytorch_model.bin"));
  EXPECT_THAT(refusal(place), HasSubstr("save_file"));
}

TEST(ModelFolder, SavesWhatItLoads) {
  const fs::path place = folder("source"), saved = fs::path(::testing::TempDir()) / "saved";
  fs::remove_all(saved);
  testing::ToyModel model;
  load_weights(model, place, torch::kFloat32);
  save_model(model, place, saved);
  EXPECT_EQ(weights_sha256(saved), weights_sha256(place));
  EXPECT_EQ(read_text(saved / "config.json"), read_text(place / "config.json"));
}

TEST(ModelFolder, AConfigWithoutAModelTypeIsRefused) {
  const fs::path place = folder("untyped");
  write_text(place / "config.json", "{}");
  EXPECT_THROW(read_config(place), FormatError);
  EXPECT_THROW(read_config(place / "nowhere"), FormatError);
}

}  // namespace
}  // namespace peftlab::checkpoint
