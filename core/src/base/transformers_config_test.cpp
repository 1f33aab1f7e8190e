/// The keys all folders of transformers share.

#include <peftlab/error.h>
#include <peftlab/transformers_config.h>
#include <peftlab/value.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
  TransformersConfig config;
  std::string problems;
};

Read read(const std::string& json) {
  Params params(*parse_json(json, "test").get_if<Table>(), "config.json");
  Read result{read_transformers_config(params, Task::language), ""};
  for (const OptionProblem& problem : params.problems()) result.problems += problem.message + "\n";
  return result;
}

TEST(TransformersConfig, TheArchitectureTellsTheTask) {
  EXPECT_EQ(read("{}").config.task, Task::language);
  EXPECT_EQ(read(R"({"architectures": ["BertModel"]})").config.task, Task::base);
  EXPECT_EQ(read(R"({"architectures": ["GPT2LMHeadModel"]})").config.task, Task::language);
  EXPECT_EQ(read(R"({"architectures": ["LlamaForCausalLM"]})").config.task, Task::language);
  EXPECT_EQ(read(R"({"architectures": ["BertForPreTraining"]})").config.task, Task::masked);
  EXPECT_EQ(read(R"({"architectures": ["RobertaForSequenceClassification"]})").config.task, Task::classification);
  EXPECT_THAT(read(R"({"architectures": ["BertForTokenClassification"]})").problems, HasSubstr("architectures"));
}

TEST(TransformersConfig, LabelsAreInTheOrderOfTheirNumbers) {
  const std::string start = R"({"architectures": ["BertForSequenceClassification"])";
  EXPECT_THAT(read(start + R"(, "id2label": {"0": "no", "10": "k", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f",
                              "6": "g", "7": "h", "8": "i", "9": "j"}})")
                  .config.labels,
              ElementsAre("no", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"));
  EXPECT_THAT(read(start + "}").config.labels, ElementsAre("LABEL_0", "LABEL_1"));
  EXPECT_THAT(read(start + R"(, "num_labels": 3})").config.labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  EXPECT_THAT(read(start + R"(, "id2label": {"0": "a", "2": "b"}})").problems, HasSubstr("each number from 0"));
  EXPECT_THAT(read(start + R"(, "id2label": {"0": "a", "1": "a"}})").problems, HasSubstr("two classes one name"));
  EXPECT_THAT(read(start + R"(, "problem_type": "regression"})").problems, HasSubstr("single_label_classification"));
}

TEST(TransformersConfig, EndsAreOneOrSeveral) {
  EXPECT_THAT(read(R"({"eos_token_id": 7})").config.end_of_sequence, ElementsAre(7));
  EXPECT_THAT(read(R"({"eos_token_id": [7, 9]})").config.end_of_sequence, ElementsAre(7, 9));
  EXPECT_THAT(read(R"({"eos_token_id": null})").config.end_of_sequence, ElementsAre());
}

TEST(TransformersConfig, WhatIsNotComputedIsRefusedAndWhatIsUnknownToo) {
  EXPECT_THAT(read(R"({"is_encoder_decoder": true})").problems, HasSubstr("is_encoder_decoder"));
  EXPECT_THAT(read(R"({"pruned_heads": {"1": [0]}})").problems, HasSubstr("pruned_heads"));
  EXPECT_THAT(read(R"({"quantization_config": {}})").problems, HasSubstr("quantization_config"));
  EXPECT_EQ(read(R"({"use_cache": true, "torch_dtype": "float32", "pruned_heads": {}})").problems, "");
}

TEST(TransformersConfig, WithLabelsMakesAClassifierOfTheFamily) {
  const Table bert =
      with_labels({{"architectures", std::vector<std::string>{"BertModel"}}, {"num_labels", 5}}, {"a", "b"});
  EXPECT_EQ(to_json(bert), R"({"architectures":["BertForSequenceClassification"],"id2label":{"0":"a","1":"b"},)"
                           R"("label2id":{"a":0,"b":1}})");
  EXPECT_TRUE(is_classifier(bert));
  EXPECT_FALSE(is_classifier({{"architectures", std::vector<std::string>{"BertModel"}}}));
  EXPECT_FALSE(is_classifier({}));
}

}  // namespace
}  // namespace peftlab
