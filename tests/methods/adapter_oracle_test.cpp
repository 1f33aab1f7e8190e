/// Bottleneck adapters beside `adapters` on the tiny GPT-2 (norms before the sublayers) and BERT (after them): its
/// folders give its outputs, are written as they were, and first values are its own. Numbers:
/// tests/oracle/methods/adapter_models.

#include "../support/causal_models.h"

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"

#include <cmath>

namespace peftlab::causal {
namespace {

std::filesystem::path theirs(const std::string& name) { return folder("../methods/adapter_models/" + name); }

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

attach::Session open(const std::string& base) {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  const auto path = folder(base == "bert" ? "../bert/bert_class" : base);
  return attach::open_model({.folder = path, .labels = {}}, plugins(), torch::kCPU);
}

/// Of every token, or [1, classes].
torch::Tensor outputs(const attach::Session& session) {
  const Value numbers = parse_json(read_text(theirs("expected.json"), size_t{1} << 20), "expected.json");
  const torch::Tensor rows = logits(*session.model, {ids(numbers, "ids")});
  return session.model->facts().labels.empty() ? rows : rows.slice(0, 0, 1);
}

/// The fields of a configuration, a whole reduction as the integer it is there.
std::string fields(const AdapterFiles& files) {
  Table inner = *files.config.at("config").get_if<Table>();
  if (const double* reduction = inner["reduction_factor"].get_if<double>();
      reduction && std::floor(*reduction) == *reduction)
    inner["reduction_factor"] = static_cast<int64_t>(*reduction);
  return to_json(inner);
}

/// Ours are those of `given`, to the bit, under our name for the adapter.
void expect_same(const AdapterFiles& ours, const AdapterFiles& given) {
  EXPECT_EQ(fields(ours), fields(given));
  ASSERT_EQ(ours.tensors.size(), given.tensors.size());
  for (const auto& [name, tensor] : given.tensors) {
    std::string own = name;
    own.replace(own.find(".mine."), 6, ".peftlab.");
    ASSERT_TRUE(ours.tensors.count(own)) << own;
    EXPECT_TRUE(torch::equal(ours.tensors.at(own), tensor)) << own;
  }
}

class BottleneckFolders : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  BottleneckFolders() : session(open(std::get<0>(GetParam()))) {
    before = outputs(session);
    attach::attach_adapters(session, {{theirs(name)}}, plugins());
  }

  const std::string name = std::get<0>(GetParam()) + "_" + std::get<1>(GetParam());
  attach::Session session;
  torch::Tensor before;
};

TEST_P(BottleneckFolders, GiveTheOutputsOfTheLibrary) {
  const torch::Tensor wanted = checkpoint::read_tensors(theirs("outputs.safetensors")).at(name);
  EXPECT_GT(difference(before, wanted), 1e-2);
  EXPECT_LE(difference(outputs(session), wanted), 1e-5);
}

TEST_P(BottleneckFolders, AreWrittenAsTheyWere) {
  expect_same(session.methods.at(0).method->save(*session.model), checkpoint::read_adapter(theirs(name)).files);
}

INSTANTIATE_TEST_SUITE_P(Adapters, BottleneckFolders,
                         ::testing::Combine(::testing::Values("bert", "gpt2"),
                                            ::testing::Values("houlsby", "houlsby_scaled", "pfeiffer", "pfeiffer_both",
                                                              "parallel", "parallel_both")),
                         [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); });

TEST(BottleneckStart, IsTheLibrarysToTheBit) {
  const std::vector<std::pair<std::string, Table>> starts = {
      {"houlsby", {{"reduction", 4}, {"layer_norms", false}}},
      {"pfeiffer", {{"kind", "pfeiffer"}, {"reduction", 4}}},
      {"parallel", {{"kind", "parallel"}}},
  };
  for (const std::string base : {"bert", "gpt2"}) {
    for (const auto& [kind, options] : starts) {
      SCOPED_TRACE(base + " " + kind);
      attach::Session session = open(base);
      attach::attach_methods(session, {{"adapter", options}}, /*seed=*/5, plugins());
      expect_same(session.methods.at(0).method->save(*session.model),
                  checkpoint::read_adapter(theirs(base + "_" + kind + "_start")).files);
    }
  }
}

}  // namespace
}  // namespace peftlab::causal
