/// Linear probing: what is trained and what is refused. Its file is written by the host: see core/src/attach.

#include "../../tests/support/small_model.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Head, TrainsTheHeadAndNothingElse) {
  testing::SmallModel model({.with_bias = true, .head = true});
  auto head = testing::make_method("head");
  head->attach(model, testing::ToyTokenizer());
  EXPECT_TRUE(head->parameters().empty());
  const TensorMap trained = model.trained_parameters();
  EXPECT_EQ(trained.size(), 2u);
  EXPECT_TRUE(trained.count("score.weight") && trained.count("score.bias"));
  head->merge(model);
  const AdapterFiles files = head->save(model);
  EXPECT_EQ(to_json(files.config), R"({"peft_type":"HEAD"})");
  EXPECT_TRUE(files.tensors.empty() && files.extra.empty());
}

TEST(Head, RefusesAModelWithoutClasses) {
  testing::SmallModel model({.with_bias = true});
  EXPECT_THAT([&] { testing::make_method("head")->attach(model, testing::ToyTokenizer()); },
              ThrowsMessage<UnsupportedError>(AllOf(HasSubstr("type `small`"), HasSubstr("`labels` under [model]"))));
  EXPECT_TRUE(model.trained_parameters().empty());
}

TEST(Head, ReadsNoOthersAdapter) {
  const auto head = testing::make_method("head");
  EXPECT_TRUE(
      head->options_from({{"peft_type", "HEAD"}, {"task_type", "SEQ_CLS"}, {"modules_to_save", Value()}}).empty());
  EXPECT_THROW(head->options_from({{"peft_type", "LORA"}}), FormatError);
  EXPECT_THROW(head->options_from({{"peft_type", "HEAD"}, {"r", 8}}), FormatError);
}

}  // namespace
}  // namespace peftlab
