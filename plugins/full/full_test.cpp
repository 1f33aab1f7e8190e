/// Full fine-tuning: what is trained. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

namespace peftlab {
namespace {

TEST(Full, TrainsEveryParameterOfTheModelAndHasNone) {
  testing::ToyModel model;
  model.freeze();
  auto full = testing::make_method("full");
  full->attach(model, testing::ToyTokenizer());
  EXPECT_EQ(model.trained_parameters().size(), model.parameters().size());
  EXPECT_TRUE(full->parameters().empty());
}

TEST(Full, LeavesAModelAndNoAdapter) {
  testing::ToyModel model;
  auto full = testing::make_method("full");
  EXPECT_TRUE(full->saves_model());
  EXPECT_THROW(full->save(model), UnsupportedError);
  EXPECT_THROW(full->load(model, {}), UnsupportedError);
  EXPECT_THROW(full->merge(model), UnsupportedError);
  EXPECT_THROW(full->options_from({{"peft_type", "LORA"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
