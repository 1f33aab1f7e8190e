/// Every tiny folder and every changed configuration against transformers, and each model against itself.

#include "../support/causal_models.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

namespace peftlab::causal {
namespace {

namespace fs = std::filesystem;

constexpr double kClose = 1e-5;

/// Folders and variants have points in their names, which a test's name may not have.
std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

double loss_of(Model& model, const std::vector<int64_t>& tokens, const std::vector<int64_t>& labels) {
  const torch::NoGradGuard no_grad;
  const Batch batch = pack({encoded(tokens, labels)});
  const auto rows = (batch.labels != kNoLabel).nonzero().flatten();
  const auto scores = model.head(model.hidden(batch).index_select(0, rows));
  return torch::cross_entropy_loss(scores, batch.labels.index_select(0, rows)).item<double>();
}

/// To 1e-6 of the loss, which is what float32 tells apart.
void expect_loss(double found, double wanted) { EXPECT_NEAR(found, wanted, 1e-6 * std::max(1.0, wanted)); }

std::vector<std::vector<int64_t>> sequences_of(const std::string& case_name) {
  std::vector<std::vector<int64_t>> sequences;
  for (const Value& sequence : list(expected("cases").at(case_name), "sequences")) {
    sequences.push_back(ids(sequence, "ids"));
  }
  return sequences;
}

class Folder : public ::testing::TestWithParam<std::string> {};

TEST_P(Folder, LogitsAndLossAgree) {
  auto model = open_model(GetParam());
  const List& sequences = list(expected("cases").at(GetParam()), "sequences");
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto tokens = ids(sequences[i], "ids");
    EXPECT_LE(difference(logits(*model, {tokens}), numbers().at(GetParam() + "." + std::to_string(i))), kClose);
    expect_loss(loss_of(*model, tokens, ids(sequences[i], "labels")), real(sequences[i], "loss"));
  }
}

TEST_P(Folder, PackedSequencesAreAsAlone) {
  auto model = open_model(GetParam());
  const auto sequences = sequences_of(GetParam());
  std::vector<torch::Tensor> alone;
  for (const auto& tokens : sequences) alone.push_back(logits(*model, {tokens}));
  EXPECT_LE(difference(logits(*model, sequences), torch::cat(alone)), kClose);
}

TEST_P(Folder, ACachedPassIsTheWholePass) {
  // Two sequences of different length, grown by one row, then by two.
  auto model = open_model(GetParam());
  const auto all = sequences_of(GetParam());
  const auto& a = all[1];
  const auto& b = all[2];
  const auto part = [](const std::vector<int64_t>& tokens, size_t from, size_t to) {
    return std::vector<int64_t>(tokens.begin() + from, tokens.begin() + to);
  };
  KeyValueCache cache(3);
  const auto first = logits(*model, {part(a, 0, 4), part(b, 0, 11)}, &cache);
  const auto second = logits(*model, {part(a, 4, 5), part(b, 11, 12)}, &cache);
  const auto third = logits(*model, {part(a, 5, 7), part(b, 12, 14)}, &cache);
  const auto cached = torch::cat({first.slice(0, 0, 4), second.slice(0, 0, 1), third.slice(0, 0, 2), first.slice(0, 4),
                                  second.slice(0, 1), third.slice(0, 2)});
  EXPECT_LE(difference(cached, logits(*model, {a, b})), kClose);
}

TEST_P(Folder, KeysBeforeTheSequenceTakeItsFirstPositions) {
  auto model = open_model(GetParam());
  EXPECT_TRUE(model->facts().prefix_takes_positions);
  const auto sites = model->attention_sites();
  ASSERT_EQ(static_cast<int64_t>(sites.size()), model->facts().layers);
  for (size_t layer = 0; layer < sites.size(); ++layer) {
    const std::string key = GetParam() + ".prefix." + std::to_string(layer);
    const KeyValue prefix{numbers().at(key + ".keys"), numbers().at(key + ".values")};
    sites[layer]->prepend([prefix] { return prefix; }, prefix.keys.size(0), /*take_positions=*/true);
  }
  const auto tokens = sequences_of(GetParam())[2];
  EXPECT_LE(difference(logits(*model, {tokens}).slice(0, -4), numbers().at(GetParam() + ".prefix.logits")), kClose);
}

TEST_P(Folder, IsWrittenAsItWasRead) {
  auto model = open_model(GetParam());
  const fs::path saved = fs::path(::testing::TempDir()) / ("causal_" + GetParam());
  checkpoint::save_model(*model, folder(GetParam()), saved);
  auto again = make_model(checkpoint::read_config(saved));
  checkpoint::load_weights(*again, saved, torch::kFloat32);
  const auto wanted = model->named_parameters();
  for (const auto& item : again->named_parameters()) EXPECT_TRUE(torch::equal(item.value(), wanted[item.key()]));
  // What transformers wrote in one file, with these names and nothing else in it, is there as it was.
  if (GetParam() == "gpt2" || GetParam() == "gpt2_untied" || GetParam() == "llama" || GetParam() == "qwen2") {
    const auto written = checkpoint::read_tensors(saved / "model.safetensors");
    const auto given = checkpoint::read_tensors(folder(GetParam()) / "model.safetensors");
    ASSERT_EQ(written.size(), given.size());
    for (const auto& [name, tensor] : given) EXPECT_TRUE(torch::equal(written.at(name), tensor)) << name;
  }
  fs::remove_all(saved);
}

INSTANTIATE_TEST_SUITE_P(All, Folder, ::testing::ValuesIn(names("cases")), test_name);

class Variant : public ::testing::TestWithParam<std::string> {};

TEST_P(Variant, LogitsAndLossAgree) {
  const Value& variant = expected("variants").at(GetParam());
  const std::string base = text(variant, "folder");
  auto model = open_model(base, *variant.find("changes")->get_if<Table>());
  const List& sequences = list(expected("cases").at(base), "sequences");
  const List& losses = list(variant, "losses");
  std::vector<torch::Tensor> alone;
  double changed = 0.0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto tokens = ids(sequences[i], "ids");
    const auto wanted = numbers().at(GetParam() + "." + std::to_string(i));
    alone.push_back(logits(*model, {tokens}));
    EXPECT_LE(difference(alone.back().slice(0, -1), wanted), kClose);
    expect_loss(loss_of(*model, tokens, ids(sequences[i], "labels")), *losses[i].get_if<double>());
    changed = std::max(changed, difference(numbers().at(base + "." + std::to_string(i)).slice(0, -1), wanted));
  }
  // Neighbours in a batch change nothing, dynamic positions included.
  EXPECT_LE(difference(logits(*model, sequences_of(base)), torch::cat(alone)), kClose);
  // These say what the folder says, in other words.
  const bool same = GetParam() == "gpt2.gelu_pytorch_tanh" || GetParam() == "gpt2.gelu_fast" ||
                    GetParam() == "gpt2.gelu_accurate" || GetParam() == "gpt2.gelu_new" ||
                    GetParam() == "llama.default";
  if (!same) {
    EXPECT_GT(changed, 1e-4) << "the change changes nothing, and so proves nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(All, Variant, ::testing::ValuesIn(names("variants")), test_name);

class Classifier : public ::testing::TestWithParam<std::string> {};

TEST_P(Classifier, LogitsAndLossAgree) {
  const torch::NoGradGuard no_grad;
  auto model = open_model(GetParam());
  EXPECT_EQ(model->facts().labels, (std::vector<std::string>{"bad", "fair", "good"}));
  EXPECT_EQ(model->classification_head(), "score");
  const List& sequences = list(expected("classes").at(GetParam()), "sequences");
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto tokens = ids(sequences[i], "ids");
    const auto found = logits(*model, {tokens}).slice(0, -1);
    EXPECT_LE(difference(found, numbers().at(GetParam() + "." + std::to_string(i))), kClose);
    std::vector<int64_t> labels(tokens.size(), kNoLabel);
    const auto& classes = model->facts().labels;
    labels.back() = std::find(classes.begin(), classes.end(), text(sequences[i], "label")) - classes.begin();
    expect_loss(loss_of(*model, tokens, labels), real(sequences[i], "loss"));
  }
}

TEST_P(Classifier, ReadsTheClassAtTheLastToken) {
  auto model = open_model(GetParam());
  const testing::ToyTokenizer tokenizer;
  const Example example{.prompt = "", .target = "abc", .label = "good"};
  const Encoded encoded = model->encode(example, tokenizer, 64, /*with_target=*/true);
  EXPECT_EQ(encoded.tokens, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(encoded.labels, (std::vector<int64_t>{kNoLabel, kNoLabel, 2}));
  EXPECT_EQ(encoded.class_at, 2);
}

TEST_P(Classifier, TheHeadOfALanguageModelIsPassedOver) {
  auto model = open_model(GetParam());
  EXPECT_TRUE(model->ignores("lm_head.weight"));
  for (const Linear* site : model->linear_sites()) EXPECT_NE(site->name, "score");
}

INSTANTIATE_TEST_SUITE_P(All, Classifier, ::testing::ValuesIn(names("classes")), test_name);

/// The greedy answer to one prompt, from a cache that grows by a row a step.
std::vector<int64_t> answer(Model& model, const std::vector<int64_t>& prompt, int64_t longest) {
  const auto& ends = model.facts().end_of_sequence;
  KeyValueCache cache(longest);
  std::vector<int64_t> given;
  auto next = logits(model, {prompt}, &cache);
  while (true) {
    given.push_back(next.slice(0, -1).argmax(-1).item<int64_t>());
    const bool ended = std::count(ends.begin(), ends.end(), given.back()) > 0;
    if (ended || static_cast<int64_t>(given.size()) == longest) return given;
    next = logits(model, {{given.back()}}, &cache);
  }
}

void expect_answers(const Value& wanted) {
  const Value* changes = wanted.find("changes");
  auto model = open_model(text(wanted, "folder"), changes ? *changes->get_if<Table>() : Table{});
  for (const Value& prompt : list(wanted, "prompts")) {
    EXPECT_EQ(answer(*model, ids(prompt, "prompt"), *wanted.find("max_new_tokens")->get_if<int64_t>()),
              ids(prompt, "greedy"));
  }
}

TEST(CausalModels, AnswersAreThoseOfTransformers) {
  for (const auto& [name, wanted] : expected("generation")) {
    SCOPED_TRACE(name);
    expect_answers(wanted);
  }
}

TEST(CausalModels, AnswersWithDynamicPositionsAreThoseOfTransformers) {
  // Keys keep the angles they were stored with, while the base goes on growing.
  for (const auto& [name, wanted] : expected("variants_generation")) {
    SCOPED_TRACE(name);
    expect_answers(wanted);
  }
}

TEST(CausalModels, KeysOfACheckpointAreStrict) {
  // A layer more in config.json than there is in the file, and one less.
  for (const auto& [name, layers, one] :
       {std::tuple{"gpt2", "n_layer", "transformer.h.2.ln_1.weight"},
        std::tuple{"llama", "num_hidden_layers", "model.layers.2.self_attn.q_proj.weight"}}) {
    try {
      open_model(name, {{layers, int64_t{3}}});
      ADD_FAILURE() << name << ": a missing layer went unnoticed";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(std::string("missing: ") + one));
    }
    EXPECT_THROW(open_model(name, {{layers, int64_t{1}}}), FormatError);
    EXPECT_THROW(open_model(name, {{"vocab_size", int64_t{65}}}), FormatError);
  }
  // A head of its own where the file has none, and a file's head that the configuration does not know.
  EXPECT_THROW(open_model("gpt2", {{"tie_word_embeddings", false}}), FormatError);
  EXPECT_THROW(open_model("llama", {{"tie_word_embeddings", true}}), FormatError);
}

}  // namespace
}  // namespace peftlab::causal
