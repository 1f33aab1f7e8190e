/// Every tiny folder against transformers, and each model against itself.

#include "test_support.h"

#include <peftlab/method.h>

namespace peftlab::bert {
namespace {

namespace fs = std::filesystem;

constexpr double kClose = 1e-5;

/// What transformers gives of a sequence: rows of a bare stack, [1, classes], or logits of every word.
torch::Tensor output(Model& model, const Encoded& encoded, const std::string& kind) {
  const torch::NoGradGuard no_grad;
  const auto rows = model.hidden(pack({encoded}));
  if (kind.ends_with("Model")) return rows;
  return model.head(encoded.class_at >= 0 ? rows.slice(0, encoded.class_at, encoded.class_at + 1) : rows);
}

class Folder : public ::testing::TestWithParam<std::string> {
 protected:
  std::string kind() const { return *cases().at(GetParam()).find("kind")->get_if<std::string>(); }
};

TEST_P(Folder, OutputsAndLossAgree) {
  auto model = open_model(GetParam());
  const auto sequences = sequences_of(GetParam());
  ASSERT_EQ(sequences.size(), 4u);
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto found = output(*model, sequences[i].encoded, kind());
    EXPECT_LE(difference(found, number(GetParam() + "." + std::to_string(i))), kClose) << i;
    EXPECT_EQ(sequences[i].loss.has_value(), !kind().ends_with("Model"));
    if (!sequences[i].loss) continue;
    const auto labels = pack({sequences[i].encoded}).labels;
    const auto at = (labels != kNoLabel).nonzero().flatten();
    const auto rows = found.size(0) == labels.size(0) ? found.index_select(0, at) : found;
    const double loss = torch::cross_entropy_loss(rows, labels.index_select(0, at)).item<double>();
    EXPECT_NEAR(loss, *sequences[i].loss, 1e-6 * std::max(1.0, *sequences[i].loss)) << i;
  }
}

TEST_P(Folder, PackedSequencesAreAsAlone) {
  auto model = open_model(GetParam());
  std::vector<std::vector<int64_t>> together;
  std::vector<torch::Tensor> alone;
  for (const Sequence& one : sequences_of(GetParam())) {
    together.push_back(one.encoded.tokens);
    alone.push_back(hidden(*model, {one.encoded.tokens}));
  }
  EXPECT_LE(difference(hidden(*model, together), torch::cat(alone)), kClose);
}

TEST_P(Folder, KeysBeforeTheSequenceTakeItsFirstPositions) {
  auto model = open_model(GetParam());
  const auto tokens = sequences_of(GetParam())[2].encoded.tokens;
  EXPECT_TRUE(model->facts().prefix_takes_positions);
  const auto sites = model->attention_sites();
  ASSERT_EQ(static_cast<int64_t>(sites.size()), model->facts().layers);
  for (size_t layer = 0; layer < sites.size(); ++layer) {
    const std::string key = GetParam() + ".prefix." + std::to_string(layer);
    const KeyValue prefix{number(key + ".keys"), number(key + ".values")};
    sites[layer]->prepend([prefix] { return prefix; }, prefix.keys.size(0), /*take_positions=*/true);
  }
  EXPECT_LE(difference(hidden(*model, {tokens}), number(GetParam() + ".prefix")), kClose);
}

TEST_P(Folder, VirtualTokensGoBeforeTheWords) {
  auto model = open_model(GetParam());
  const auto tokens = sequences_of(GetParam())[2].encoded.tokens;
  const auto vectors = number(GetParam() + ".prompt.vectors");
  model->embedding_site().prepend([vectors] { return vectors; }, vectors.size(0));
  // A classifier's first row is a virtual token's: see the next test.
  const int64_t from = model->facts().labels.empty() ? 0 : 1;
  const auto wanted = number(GetParam() + ".prompt").slice(0, from);
  EXPECT_LE(difference(hidden(*model, {tokens}).slice(0, from), wanted), kClose);
  // Neighbours of other lengths change nothing, and each has its own virtual tokens.
  const auto packed = hidden(*model, {{7, 8}, tokens, {9}});
  EXPECT_LE(difference(packed.slice(0, 2 + from, -1), wanted), kClose);
}

TEST_P(Folder, AClassIsReadAtTheFirstRowOfAll) {
  auto model = open_model(GetParam());
  if (model->facts().labels.empty()) return;  // the first row of other models is the first token's
  const auto written_out = hidden(*model, {{5, 6, 7, 8}}).slice(0, 0, 1);
  const auto vectors = model->embedding_table().index_select(0, torch::tensor({5, 6}, torch::kInt64));
  model->embedding_site().prepend([vectors] { return vectors; }, 2);
  EXPECT_LE(difference(hidden(*model, {{7, 8}}).slice(0, 0, 1), written_out), kClose);
}

TEST_P(Folder, IsWrittenSoThatItReadsAlike) {
  auto model = open_model(GetParam());
  const fs::path saved = fs::path(::testing::TempDir()) / ("bert_" + GetParam());
  checkpoint::save_model(*model, folder(GetParam()), saved);
  auto again = make_model(checkpoint::read_config(saved));
  checkpoint::load_weights(*again, saved, torch::kFloat32);
  const auto wanted = model->named_parameters();
  for (const auto& item : again->named_parameters()) EXPECT_TRUE(torch::equal(item.value(), wanted[item.key()]));
  fs::remove_all(saved);
}

TEST_P(Folder, EveryMethodAttachesAndIsSeen) {
  const testing::ToyTokenizer tokenizer;
  const auto tokens = sequences_of(GetParam())[2].encoded.tokens;
  for (const auto& [plugin, options] :
       std::vector<std::pair<std::string, Table>>{{"lora", {}},
                                                  {"lora", {{"targets", std::vector<std::string>{"all-linear"}}}},
                                                  {"adapter", {{"width", int64_t{4}}}},
                                                  {"prefix", {{"tokens", int64_t{3}}}},
                                                  {"prompt", {{"tokens", int64_t{3}}}}}) {
    SCOPED_TRACE(plugin);
    auto model = open_model(GetParam());
    const auto before = hidden(*model, {tokens});
    auto method = testing::make_method(plugin, options);
    method->attach(*model, tokenizer);
    method->eval();
    if (method->starts_at_base()) {
      EXPECT_LE(difference(hidden(*model, {tokens}), before), kClose);
    }
    const torch::NoGradGuard no_grad;
    torch::manual_seed(4);
    for (auto& parameter : method->parameters()) parameter.add_(0.3 * torch::randn_like(parameter));
    EXPECT_GT(difference(hidden(*model, {tokens}), before), 1e-3);
  }
}

TEST_P(Folder, LearnsAllItsParameters) {
  auto model = open_model(GetParam());
  auto rows = model->hidden(pack({sequences_of(GetParam())[2].encoded}), nullptr);
  if (!kind().ends_with("Model")) rows = model->head(rows);
  rows.square().sum().backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
  }
}

INSTANTIATE_TEST_SUITE_P(All, Folder, ::testing::ValuesIn(case_names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace peftlab::bert
