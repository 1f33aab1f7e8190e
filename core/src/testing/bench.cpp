#include "testing/bench.h"

#include <peftlab/error.h>

#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>

namespace peftlab::testing::bench {

Bench::Bench(const MethodCase& given, const Table& options, uint64_t seed, torch::ScalarType type) : type(type) {
  model = given.model();
  Params params(options, "the method");
  torch::manual_seed(seed);
  method = given.method(params);
  params.finish();
  method->prepare(*model);
  model->to(type);
  model->freeze();
  torch::manual_seed(seed);
  method->attach(*model, *given.tokenizer);
  training(false);
}

void Bench::training(bool on) {
  model->train(on);
  method->train(on);
}

TensorMap Bench::trained() const {
  TensorMap tensors;
  for (const auto& item : method->named_parameters()) {
    if (item.value().requires_grad()) tensors["method: " + item.key()] = item.value();
  }
  for (const auto& [name, tensor] : model->trained_parameters()) tensors["base: " + name] = tensor;
  return tensors;
}

Batch batch_of(const MethodCase& given, torch::ScalarType type) {
  Batch batch = pack(given.examples, given.images);
  if (batch.images.defined()) batch.images = batch.images.to(type);
  return batch;
}

torch::Tensor outputs(Model& model, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  return model.hidden(batch);
}

torch::Tensor loss_of(Model& model, const Batch& batch) {
  const torch::Tensor rows = torch::nonzero(batch.labels != kNoLabel).flatten();
  const torch::Tensor logits = model.head(model.hidden_at(batch, rows));
  const auto wide = logits.scalar_type() == torch::kFloat64 ? logits : logits.to(torch::kFloat32);
  return torch::nn::functional::cross_entropy(wide, batch.labels.index_select(0, rows));
}

std::vector<double> train(Bench& bench, const MethodCase& given, int steps,
                          const std::function<void()>& after_backward) {
  std::vector<double> losses;
  std::vector<torch::Tensor> parameters;
  for (const auto& [name, tensor] : bench.trained()) parameters.push_back(tensor);
  std::optional<torch::optim::Adam> adam;
  if (!parameters.empty()) adam.emplace(parameters, torch::optim::AdamOptions(given.learning_rate));
  const Batch batch = batch_of(given, bench.type);
  bench.training(true);
  for (int step = 0; step < steps; ++step) {
    const torch::Tensor loss = loss_of(*bench.model, batch);
    losses.push_back(loss.item<double>());
    if (!adam) continue;
    adam->zero_grad();
    loss.backward();
    after_backward();
    adam->step();
  }
  bench.training(false);
  return losses;
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
  const double scale = std::max(1.0, b.abs().max().item<double>());
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>() / scale;
}

TensorMap copies(const TensorMap& tensors) {
  TensorMap copy;
  for (const auto& [name, tensor] : tensors) copy[name] = tensor.detach().clone();
  return copy;
}

TensorMap all_parameters(const Model& model) {
  TensorMap tensors;
  for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
  return tensors;
}

void check_refusal(const MethodCase& given, Violations& found) {
  const auto model = given.model();
  model->to(given.type);
  model->freeze();
  model->eval();
  const torch::Tensor before = outputs(*model, batch_of(given));
  Params params(given.options, "the method");
  const auto method = given.method(params);
  params.finish();
  try {
    method->attach(*model, *given.tokenizer);
    found.push_back(text("attach() took a model that it is said to refuse for `", given.refusal, "`"));
  } catch (const Error& error) {
    if (std::string(error.what()).find(given.refusal) == std::string::npos) {
      found.push_back(text("the refusal of attach() does not say `", given.refusal, "`: ", error.what()));
    }
  }
  if (!model->trained_parameters().empty() || !same(outputs(*model, batch_of(given)), before)) {
    found.push_back("attach() refused the model, but changed it");
  }
}

}  // namespace peftlab::testing::bench
