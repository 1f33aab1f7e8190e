/// The heads of classifiers in adapter folders, under the names that peft 0.21 and `adapters` 1.3 give them.

#include "checkpoint/adapter_folder.h"

#include "checkpoint/safetensors.h"
#include "support/files.h"

#include <peftlab/value.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace peftlab::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::Key;
using ::testing::Pair;

class AdapterFolderTest : public ::testing::Test {
 protected:
  AdapterFolderTest() : folder_(fs::temp_directory_path() / ("peftlab_adapter_folder_" + std::to_string(::getpid()))) {}
  ~AdapterFolderTest() override { fs::remove_all(folder_); }

  Value config() const { return parse_json(read_text(folder_ / "adapter_config.json"), "test"); }

  fs::path folder_;
};

AdapterFiles files_of(const Table& config) {
  AdapterFiles files;
  files.config = config;
  files.tensors = {{"x.lora_A.weight", torch::ones({1, 2})}};
  files.head = {{"classifier.weight", torch::ones({2, 3})}, {"classifier.bias", torch::zeros({2})}};
  files.labels = {"no", "yes"};
  return files;
}

TEST_F(AdapterFolderTest, PeftKeepsTheHeadAmongTheTensors) {
  write_adapter(folder_, files_of({{"peft_type", "LORA"}, {"task_type", "CAUSAL_LM"}, {"modules_to_save", Value()}}),
                "");
  EXPECT_THAT(read_tensors(folder_ / "adapter_model.safetensors"),
              ElementsAre(Key("base_model.model.classifier.bias"), Key("base_model.model.classifier.weight"),
                          Key("x.lora_A.weight")));
  EXPECT_EQ(*config().find("task_type"), Value("SEQ_CLS"));
  EXPECT_EQ(to_json(*config().find("modules_to_save")), R"(["classifier","score"])");

  const auto read = read_adapter(folder_).files;
  EXPECT_THAT(read.tensors, ElementsAre(Key("x.lora_A.weight")));
  EXPECT_THAT(read.head, ElementsAre(Key("classifier.bias"), Key("classifier.weight")));
  EXPECT_THAT(read.labels, ElementsAre("no", "yes"));
  EXPECT_TRUE(read.config.at("modules_to_save").is_null());
}

TEST_F(AdapterFolderTest, PromptsAreWrappedOnceLess) {
  write_adapter(folder_, files_of({{"peft_type", "PROMPT_TUNING"}, {"num_virtual_tokens", 3}}), "");
  EXPECT_THAT(
      read_tensors(folder_ / "adapter_model.safetensors"),
      ElementsAre(Key("base_model.classifier.bias"), Key("base_model.classifier.weight"), Key("x.lora_A.weight")));
  EXPECT_THAT(read_adapter(folder_).files.head, ElementsAre(Key("classifier.bias"), Key("classifier.weight")));
}

TEST_F(AdapterFolderTest, AdaptersKeepsTheHeadInAFileOfItsOwn) {
  write_adapter(folder_, files_of({{"config", "double_seq_bn"}, {"hidden_size", 3}, {"model_type", "bert"}}), "");
  EXPECT_THAT(read_tensors(folder_ / "adapter.safetensors"), ElementsAre(Key("x.lora_A.weight")));
  EXPECT_THAT(read_tensors(folder_ / "model_head.safetensors"),
              ElementsAre(Key("classifier.bias"), Key("classifier.weight")));
  const Value head = parse_json(read_text(folder_ / "head_config.json"), "test");
  EXPECT_EQ(to_json(*head.find("label2id")), R"({"no":0,"yes":1})");
  EXPECT_EQ(*head.find("num_labels"), Value(2));

  fs::remove(folder_ / "adapter_model.safetensors");  // as the library itself would leave the folder
  const auto read = read_adapter(folder_).files;
  EXPECT_THAT(read.head, ElementsAre(Key("classifier.bias"), Key("classifier.weight")));
  EXPECT_THAT(read.labels, ElementsAre("no", "yes"));
}

TEST_F(AdapterFolderTest, OtherModulesThatWereSavedWholeAreLeftForTheMethodToRefuse) {
  fs::create_directories(folder_);
  write_safetensors(folder_ / "adapter_model.safetensors", {{"base_model.model.score.weight", torch::ones({2, 3})},
                                                            {"base_model.model.pooler.weight", torch::ones({3, 3})}});
  write_text(folder_ / "adapter_config.json",
             R"({"peft_type": "LORA", "modules_to_save": ["pooler", "score", "score"]})");
  const auto read = read_adapter(folder_).files;
  EXPECT_EQ(to_json(read.config.at("modules_to_save")), R"(["pooler"])");
  EXPECT_THAT(read.tensors, ElementsAre(Key("base_model.model.pooler.weight")));
  EXPECT_THAT(read.head, ElementsAre(Pair("score.weight", ::testing::_)));
}

}  // namespace
}  // namespace peftlab::checkpoint
