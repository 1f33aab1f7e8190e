/// Gradient checkpointing with the models' own dropout on, under methods that reach into blocks in different ways.

#include "../support/causal_models.h"

#include <peftlab/method.h>
#include <peftlab/nn/checkpointing.h>

#include <optional>

namespace peftlab::causal {
namespace {

struct Outcome {
  torch::Tensor loss;
  TensorMap gradients;
  torch::Tensor draw;  ///< the next numbers of the random stream
};

Outcome outcome(const std::string& plugin, const Table& options, bool on) {
  const Table dropout = {{"attn_pdrop", 0.2}, {"embd_pdrop", 0.2}, {"resid_pdrop", 0.2}};
  const testing::ToyTokenizer tokenizer;
  const auto model = open_model("gpt2", dropout);
  model->freeze();
  torch::manual_seed(3);
  const auto method = testing::make_method(plugin, options);
  method->attach(*model, tokenizer);
  model->train();
  method->train();
  Outcome result;
  {
    std::optional<Checkpointing> checkpointing;
    if (on) checkpointing.emplace();
    const Batch batch = pack({encoded({5, 17, 33, 8, 60, 21, 40, 2, 11}), encoded({9, 4, 4})});
    result.loss = model->head(model->hidden(batch)).square().mean();
    if (on) EXPECT_EQ(checkpointing->blocks(), model->facts().layers);
  }
  result.loss.backward();
  result.draw = torch::rand({4});
  for (const auto& item : method->named_parameters()) {
    if (item.value().grad().defined()) result.gradients["method: " + item.key()] = item.value().grad();
  }
  for (const auto& item : model->named_parameters()) {
    if (item.value().grad().defined()) result.gradients[item.key()] = item.value().grad();
  }
  return result;
}

TEST(Checkpointing, KeepsTheDropoutOfTheModel) {
  const auto all = std::vector<std::string>{"all-linear"};
  for (const auto& [plugin, options] :
       std::vector<std::pair<std::string, Table>>{{"lora", {{"targets", all}, {"dropout", 0.3}}},
                                                  {"adapter", {{"width", int64_t{4}}}},
                                                  {"prefix", {{"tokens", int64_t{3}}}},
                                                  {"prompt", {{"tokens", int64_t{3}}}},
                                                  {"full", {}}}) {
    SCOPED_TRACE(plugin);
    const Outcome with = outcome(plugin, options, true), without = outcome(plugin, options, false);
    EXPECT_TRUE(torch::equal(with.loss, without.loss));
    EXPECT_TRUE(torch::equal(with.draw, without.draw));
    EXPECT_FALSE(without.gradients.empty());
    ASSERT_EQ(with.gradients.size(), without.gradients.size());
    for (const auto& [name, gradient] : without.gradients) {
      EXPECT_TRUE(torch::equal(with.gradients.at(name), gradient)) << name;
    }
  }
}

}  // namespace
}  // namespace peftlab::causal
