/// The base as it is. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

namespace peftlab {
namespace {

TEST(None, TrainsAndSavesNothing) {
  testing::ToyModel model;
  model.freeze();
  auto none = testing::make_method("none");
  none->attach(model, testing::ToyTokenizer());
  EXPECT_TRUE(model.trained_parameters().empty());
  EXPECT_TRUE(none->parameters().empty());
  const AdapterFiles files = none->save(model);
  EXPECT_TRUE(files.tensors.empty() && files.extra.empty());
  EXPECT_TRUE(none->options_from(files.config).empty());
}

TEST(None, ReadsNoOthersAdapter) {
  EXPECT_THROW(testing::make_method("none")->options_from({{"peft_type", "LORA"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
