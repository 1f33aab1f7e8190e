/// Which triplets AdaLoRA keeps while it trains, by hand, and how a choice is written and read.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<std::string> kTwo = {"attention.dense", "dense_h_to_4h"};
const std::string kFirst = "transformer/layers/0/attention/dense.";
const std::string kSecond = "transformer/layers/0/mlp/dense_h_to_4h.";

/// Two maps of width 2 with two triplets each, of which two may stay. With three steps the scores are measured at the
/// first, and the choice made at the second.
class AdaLoraTraining : public ::testing::Test {
 protected:
  AdaLoraTraining() : model(sizes()), method(made(model)) {}

  static testing::ToySizes sizes() { return {.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1, .inner = 2}; }

  static std::shared_ptr<Method> made(testing::ToyModel& model, int64_t target_rank = 1) {
    model.freeze();
    auto method = testing::make_method(
        "adalora", {{"rank", 2}, {"target_rank", target_rank}, {"final_steps", 2}, {"targets", kTwo}, {"alpha", 2}});
    torch::manual_seed(0);
    method->attach(model, testing::ToyTokenizer());
    for (const std::string& map : {kFirst, kSecond}) testing::set(*method, map + "lora_E", torch::ones({2, 1}));
    method->eval();
    return method;
  }

  void give(const std::string& parameter, const torch::Tensor& value, const torch::Tensor& gradient) {
    testing::set(*method, parameter, value);
    method->named_parameters()[parameter].mutable_grad() = gradient;
  }

  void give_e(const std::string& map, const torch::Tensor& gradient) {
    give(map + "lora_E", torch::ones({2, 1}), gradient);
  }

  /// The first and the second step, at the second of which the choice is made.
  void choose() {
    method->begin_training(3);
    method->after_step(1);
    method->after_step(2);
  }

  void expect_e(const std::string& map, const torch::Tensor& wanted) const {
    const auto e = method->named_parameters()[map + "lora_E"].flatten();
    EXPECT_TRUE(torch::equal(e, wanted)) << map << e;
  }

  torch::Tensor outputs(testing::ToyModel& of) const {
    const torch::NoGradGuard no_grad;
    return of.hidden(pack({{{3, 9, 1}, std::vector<int64_t>(3, kNoLabel), 0, -1}}));
  }

  testing::ToyModel model;
  std::shared_ptr<Method> method;
};

// After one measurement an entry's score is 0.15 * 0.15 * 0.85 times the square of |w g|: the squares can be compared.

TEST_F(AdaLoraTraining, KeepsTheMostImportantTripletsOfAllMaps) {
  give_e(kFirst, torch::tensor({{-4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {2.0}}));
  // First map: 16 and 9, the second of which gets the mean 8 of 0 and 16 by B's column.
  give(kFirst + "lora_B", torch::ones({2, 2}), torch::tensor({{0.0, 0.0}, {0.0, 4.0}}));
  // Second map: 1 and 4, the first of which gets the mean 16.5 of 25 and 8 by A's row.
  give(kSecond + "lora_A", torch::ones({2, 2}), torch::tensor({{5.0, std::sqrt(8.0)}, {0.0, 0.0}}));
  choose();
  // 16, 17 and 17.5, 4: two stay.
  expect_e(kFirst, torch::tensor({0.0f, 1.0f}));
  expect_e(kSecond, torch::tensor({1.0f, 0.0f}));
}

TEST_F(AdaLoraTraining, OneMapMayKeepNothing) {
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {2.0}}));
  choose();
  expect_e(kFirst, torch::tensor({1.0f, 1.0f}));
  expect_e(kSecond, torch::tensor({0.0f, 0.0f}));
}

TEST_F(AdaLoraTraining, EqualScoresGoTogether) {
  give_e(kFirst, torch::tensor({{4.0}, {1.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {1.0}}));
  choose();
  expect_e(kFirst, torch::tensor({1.0f, 0.0f}));
  expect_e(kSecond, torch::tensor({0.0f, 0.0f}));
}

TEST_F(AdaLoraTraining, NothingGoesWhereTheTargetIsTheRank) {
  testing::ToyModel other(sizes());
  method = made(other, 2);
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {0.0}}));
  choose();
  expect_e(kFirst, torch::tensor({1.0f, 1.0f}));
  expect_e(kSecond, torch::tensor({1.0f, 1.0f}));
  EXPECT_TRUE(method->save(other).config.at("rank_pattern").is_null());
}

TEST_F(AdaLoraTraining, WhatIsGoneStaysSoAfterTheChoice) {
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {2.0}}));
  choose();
  // As an optimizer does with its means of old gradients; the gradients' new order no longer matters.
  give_e(kSecond, torch::tensor({{9.0}, {9.0}}));
  method->after_step(3);
  expect_e(kFirst, torch::tensor({1.0f, 1.0f}));
  expect_e(kSecond, torch::tensor({0.0f, 0.0f}));
}

TEST_F(AdaLoraTraining, TheChoiceIsMadeLateWhereItsStepIsSkipped) {
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {2.0}}));
  method->begin_training(3);
  method->after_step(1);
  method->after_step(3);
  expect_e(kSecond, torch::tensor({0.0f, 0.0f}));
}

TEST_F(AdaLoraTraining, AScheduleThatLeavesNoStepsIsRefusedByName) {
  for (const int64_t steps : {1, 2}) {
    EXPECT_THAT([&] { method->begin_training(steps); },
                ThrowsMessage<ConfigError>(AllOf(HasSubstr("`warmup_steps` = 0"), HasSubstr("`final_steps` = 2"),
                                                 HasSubstr(std::to_string(steps) + " steps"))));
  }
  method->begin_training(3);
}

TEST_F(AdaLoraTraining, FilesHoldTheTripletsThatStay) {
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {5.0}}));
  choose();
  const AdapterFiles files = method->save(model);
  EXPECT_EQ(to_json(files.config.at("rank_pattern")),
            R"({"transformer.layers.0.attention.dense.lora_E":[true,false],)"
            R"("transformer.layers.0.mlp.dense_h_to_4h.lora_E":[false,true]})");
  EXPECT_EQ(files.config.at("total_step"), Value(3));
  const std::string second = "base_model.model.transformer.layers.0.mlp.dense_h_to_4h.";
  const auto parameters = method->named_parameters();
  EXPECT_TRUE(torch::equal(files.tensors.at(second + "lora_A"), parameters[kSecond + "lora_A"].slice(0, 1, 2)));
  EXPECT_TRUE(torch::equal(files.tensors.at(second + "lora_E"), torch::ones({1, 1})));
  EXPECT_TRUE(torch::equal(files.tensors.at(second + "lora_B"), parameters[kSecond + "lora_B"].slice(1, 1, 2)));

  testing::ToyModel other(sizes());
  auto read = made(other);
  read->load(other, files);
  EXPECT_TRUE(torch::equal(outputs(other), outputs(model)));
  const AdapterFiles again = read->save(other);
  EXPECT_EQ(to_json(again.config), to_json(files.config));
  for (const auto& [name, tensor] : files.tensors) EXPECT_TRUE(torch::equal(again.tensors.at(name), tensor)) << name;
}

TEST_F(AdaLoraTraining, FilesHoldWhatCameBack) {
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {2.0}}));
  choose();
  testing::set(*method, kSecond + "lora_E", torch::tensor({{0.5}, {0.0}}));
  const AdapterFiles files = method->save(model);
  EXPECT_EQ(to_json(*Value(files.config).find("rank_pattern")->find("transformer.layers.0.mlp.dense_h_to_4h.lora_E")),
            "[true,false]");
  testing::ToyModel other(sizes());
  auto read = made(other);
  read->load(other, files);
  EXPECT_TRUE(torch::equal(outputs(other), outputs(model)));
}

TEST_F(AdaLoraTraining, RefusesAPatternOfOtherMapsOrRanks) {
  give_e(kFirst, torch::tensor({{4.0}, {3.0}}));
  give_e(kSecond, torch::tensor({{1.0}, {2.0}}));
  choose();
  const AdapterFiles files = method->save(model);
  const Table pattern = *files.config.at("rank_pattern").get_if<Table>();
  const std::string first = "transformer.layers.0.attention.dense.lora_E";
  const auto before = outputs(model);
  const auto refuse = [&](const Value& wrong, const std::string& words) {
    AdapterFiles changed = files;
    changed.config["rank_pattern"] = wrong;
    EXPECT_THAT([&] { method->load(model, changed); }, ThrowsMessage<FormatError>(HasSubstr(words))) << to_json(wrong);
    EXPECT_TRUE(torch::equal(outputs(model), before));
  };
  const auto with = [&](const Value& entry) {
    Table changed = pattern;
    changed[first] = entry;
    return changed;
  };
  refuse(3, "`rank_pattern` is 3");
  refuse(Table(), "has nothing for `" + first + "`");
  refuse(with(List{true}), "wanted 2 times true or false");
  refuse(with(List{true, 1}), "wanted 2 times true or false");
  refuse(with(List{true, false}), "lora_A is [2, 2], wanted [1, 2]");
  Table more = pattern;
  more["transformer.layers.7.attention.dense.lora_E"] = List{true, true};
  refuse(more, "`transformer.layers.7.attention.dense.lora_E`");
}

}  // namespace
}  // namespace peftlab
