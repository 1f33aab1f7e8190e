/// Adapters as the `adapters` library keeps them: what its configurations mean here and what is refused. Its own files
/// are in tests/methods.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string options_from(const Value& config) {
  return to_json(testing::make_method("adapter")->options_from({{"config", config}, {"name", "mine"}}));
}

TEST(AdapterConfiguration, OfTheLibraryMayBeAName) {
  for (const char* name : {"double_seq_bn", "houlsby"})
    EXPECT_EQ(options_from(name), R"({"kind":"houlsby","layer_norms":false})");
  for (const char* name : {"seq_bn", "pfeiffer"})
    EXPECT_EQ(options_from(name), R"({"kind":"pfeiffer","layer_norms":false})");
  for (const char* name : {"par_bn", "parallel"})
    EXPECT_EQ(options_from(name), R"({"kind":"parallel","layer_norms":false})");
  EXPECT_THAT([] { options_from("scaled_par_bn"); }, ThrowsMessage<FormatError>(HasSubstr("scaled_par_bn")));
}

TEST(AdapterConfiguration, OfTheLibraryIsReadFieldByField) {
  const Table four = {
      {"mh_adapter", true}, {"output_adapter", true}, {"reduction_factor", 8}, {"non_linearity", "ReLU"}};
  const std::string rest = R"("layer_norms":false,"nonlinearity":"relu","places":"both","reduction":8.0,"scale":)";
  EXPECT_EQ(options_from(four), R"({"kind":"houlsby",)" + rest + "1.0}");
  Table other = four;
  other["original_ln_before"] = true;
  EXPECT_EQ(options_from(other), R"({"kind":"pfeiffer",)" + rest + "1.0}");
  other["is_parallel"] = true;  // then the library does not look at the norm
  other["scaling"] = 4;
  EXPECT_EQ(options_from(other), R"({"kind":"parallel",)" + rest + "4.0}");
  other["mh_adapter"] = false;
  EXPECT_THAT(options_from(other), HasSubstr(R"("places":"feed_forward")"));
  other["mh_adapter"] = true;
  other["output_adapter"] = false;
  EXPECT_THAT(options_from(other), HasSubstr(R"("places":"attention")"));
}

std::shared_ptr<Method> attach(testing::ToyModel& model, const Table& options) {
  model.freeze();
  auto adapter = testing::make_method("adapter", options);
  adapter->attach(model, testing::ToyTokenizer());
  return adapter;
}

TEST(AdapterConfiguration, WrittenIsReadAsTheSameAdapter) {
  const std::vector<Table> several = {{{"width", 3}},
                                      {{"kind", "pfeiffer"}, {"reduction", 2.5}, {"layer_norms", true}},
                                      {{"kind", "parallel"}, {"scale", 0.5}, {"places", "both"}},
                                      {{"kind", "parallel"}, {"targets", std::vector<std::string>{"dense_4h_to_h"}}}};
  for (const Table& options : several) {
    testing::ToyModel model, other;
    const Table config = attach(model, options)->save(model).config;
    const Table again = testing::make_method("adapter")->options_from(config);
    EXPECT_EQ(to_json(attach(other, again)->save(other).config), to_json(config));
    for (const auto& [key, value] : options) EXPECT_EQ(again.at(key), value) << key;

    // Without our table the library's fields say the same, but for norms, and places that are chosen by name.
    if (options.count("targets") || options.count("layer_norms")) continue;
    Table theirs = config;
    theirs.erase("peftlab");
    testing::ToyModel third;
    Table from_fields = testing::make_method("adapter")->options_from(theirs);
    EXPECT_EQ(attach(third, from_fields)->save(third).config.at("config"), config.at("config")) << to_json(options);
  }
}

TEST(AdapterConfiguration, TakesTheNameTheAdapterHasThere) {
  testing::ToyModel model({.layers = 1});
  auto adapter = attach(model, {{"layer_norms", false}});
  AdapterFiles files = adapter->save(model), renamed;
  renamed.config = files.config;
  renamed.config["name"] = "mine";
  for (const auto& [name, tensor] : files.tensors) {
    std::string other = name;
    renamed.tensors[other.replace(other.find(".peftlab."), 9, ".mine.")] = tensor + 1;
  }
  adapter->load(model, renamed);
  for (const auto& [name, tensor] : adapter->save(model).tensors)
    EXPECT_TRUE(torch::equal(tensor, files.tensors[name] + 1));
}

TEST(AdapterConfiguration, RefusesByNameWhatItCannotCompute) {
  const std::vector<std::pair<std::string, Value>> asked = {{"scaling", "learned"},
                                                            {"ln_after", true},
                                                            {"ln_before", true},
                                                            {"phm_layer", true},
                                                            {"cross_adapter", true},
                                                            {"dropout", 0.1},
                                                            {"leave_out", List{1}},
                                                            {"inv_adapter", "nice"},
                                                            {"non_linearity", "prelu"},
                                                            {"use_gating", true},
                                                            {"stochastic_depth", 0.1},
                                                            {"original_ln_after", false},
                                                            {"residual_before_ln", "post_add"},
                                                            {"reduction_factor", Table{{"1", 8}}}};
  for (const auto& [key, value] : asked) {
    Table inner = {{"mh_adapter", true},
                   {"output_adapter", true},
                   {"reduction_factor", 16},
                   {"non_linearity", "swish"},
                   {"original_ln_before", true}};
    inner[key] = value;
    EXPECT_THAT([&] { options_from(inner); }, ThrowsMessage<FormatError>(HasSubstr("`config." + key + "`"))) << key;
    EXPECT_THAT([&] { options_from(inner); }, ThrowsMessage<FormatError>(HasSubstr(to_json(value)))) << key;
  }
  EXPECT_THAT(
      [] {
        options_from(Table{{"mh_adapter", false}, {"output_adapter", false}});
      },
      ThrowsMessage<FormatError>(HasSubstr("neither `config.mh_adapter`")));
}

}  // namespace
}  // namespace peftlab
