/// Methods on these models: every kind of site is where it is said to be, and reached from a cache too.

#include "../support/causal_models.h"

#include <peftlab/method.h>

#include <gmock/gmock.h>

namespace peftlab::causal {
namespace {

const std::vector<int64_t> kTokens = {5, 17, 33, 8, 60, 21, 40, 2, 11};

class OnModel : public ::testing::TestWithParam<std::string> {};

/// The rows of a pass that is cut in two, the second from the cache.
torch::Tensor cached(Model& model) {
  KeyValueCache cache(4);
  const auto first = logits(model, {{kTokens.begin(), kTokens.begin() + 5}}, &cache);
  return torch::cat({first, logits(model, {{kTokens.begin() + 5, kTokens.end()}}, &cache)});
}

/// Values of a trained method, whatever they start from.
void disturb(Method& method) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(4);
  for (auto& parameter : method.parameters()) parameter.add_(0.3 * torch::randn_like(parameter));
}

TEST_P(OnModel, EveryMethodAttachesAndIsSeenFromACache) {
  const testing::ToyTokenizer tokenizer;
  for (const auto& [plugin, options] :
       std::vector<std::pair<std::string, Table>>{{"lora", {}},
                                                  {"lora", {{"targets", std::vector<std::string>{"all-linear"}}}},
                                                  {"adapter", {{"width", int64_t{4}}}},
                                                  {"prefix", {{"tokens", int64_t{3}}}},
                                                  {"prompt", {{"tokens", int64_t{3}}}}}) {
    SCOPED_TRACE(plugin);
    auto model = open_model(GetParam());
    const auto before = logits(*model, {kTokens});
    auto method = testing::make_method(plugin, options);
    method->attach(*model, tokenizer);
    method->eval();
    if (method->starts_at_base()) {
      EXPECT_LE(difference(logits(*model, {kTokens}), before), 1e-5);
    }
    disturb(*method);
    const auto after = logits(*model, {kTokens});
    EXPECT_GT(difference(after, before), 1e-3);
    EXPECT_LE(difference(cached(*model), after), 2e-5);
  }
}

TEST_P(OnModel, ATrainedUpdateFoldsIntoEveryMap) {
  const testing::ToyTokenizer tokenizer;
  auto model = open_model(GetParam());
  auto lora = testing::make_method("lora", {{"targets", std::vector<std::string>{"all-linear"}}});
  lora->attach(*model, tokenizer);
  lora->eval();
  disturb(*lora);
  const auto apart = logits(*model, {kTokens});
  lora->merge(*model);
  // The disturbed update is some ten times the weights, and float32 has 7 digits.
  EXPECT_LE(difference(logits(*model, {kTokens}), apart), 1e-5 * apart.abs().max().item<double>());
}

TEST_P(OnModel, EverySublayerIsCalledAndNamedAfterAMap) {
  auto model = open_model(GetParam());
  const auto before = logits(*model, {kTokens});
  std::vector<std::string> maps;
  for (const Linear* site : model->linear_sites()) maps.push_back(site->name);
  ASSERT_EQ(static_cast<int64_t>(model->sublayer_sites().size()), 2 * model->facts().layers);
  for (size_t i = 0; i < model->sublayer_sites().size(); ++i) {
    auto fresh = open_model(GetParam());
    Sublayer* site = fresh->sublayer_sites()[i];
    EXPECT_THAT(maps, ::testing::Contains(site->name));
    EXPECT_EQ(site->position, i % 2 == 0 ? Sublayer::Position::attention : Sublayer::Position::feed_forward);
    site->extend([](const torch::Tensor& h, const SublayerContext&) { return 1.5 * h; });
    EXPECT_GT(difference(logits(*fresh, {kTokens}), before), 1e-3) << site->name;
  }
}

TEST_P(OnModel, TheFirstTokensAsVirtualTokensAreThoseTokens) {
  auto model = open_model(GetParam());
  const auto wanted = logits(*model, {kTokens}).slice(0, 2);
  const auto front = model->embedding_table().index_select(0, torch::tensor({kTokens[0], kTokens[1]}));
  model->embedding_site().prepend([front] { return front; }, 2);
  const std::vector<int64_t> rest(kTokens.begin() + 2, kTokens.end());
  EXPECT_LE(difference(logits(*model, {rest}), wanted), 1e-5);
  EXPECT_LE(difference(logits(*model, {rest, rest}), torch::cat({wanted, wanted})), 1e-5);
}

TEST_P(OnModel, LearnsAllItsParameters) {
  auto model = open_model(GetParam());
  const auto loss = model->head(model->hidden(pack({encoded(kTokens)}))).logsumexp(-1).sum();
  loss.backward();
  for (const auto& item : model->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << item.key();
  }
}

INSTANTIATE_TEST_SUITE_P(All, OnModel, ::testing::ValuesIn(names("cases")));

}  // namespace
}  // namespace peftlab::causal
