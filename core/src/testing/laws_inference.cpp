#include "testing/bench.h"

#include <peftlab/error.h>

#include <ATen/autocast_mode.h>

namespace peftlab::testing {

using namespace bench;

namespace {

/// Mixed precision on the CPU, in bfloat16, as long as it lives.
struct Autocast {
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

}  // namespace

Violations law_types_and_shapes(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      Bench bench(given, given.options, 1, type);
      train(bench, given, 2);  // away from a start at which it may do nothing
      for (const auto& item : bench.method->named_parameters()) {
        if (item.value().scalar_type() != torch::kFloat32)
          found.push_back(text(item.key(), " is ", item.value().dtype()));
      }
      const Batch batch = batch_of(given, type);
      const torch::Tensor all = outputs(*bench.model, batch);
      const int64_t hidden = bench.model->facts().hidden;
      if (all.scalar_type() != type) found.push_back(text("outputs of a base in ", type, " are ", all.dtype()));
      if (all.dim() != 2 || all.size(0) != batch.layout.total() || all.size(1) != hidden) {
        found.push_back(text("outputs are ", all.sizes(), ", wanted [", batch.layout.total(), ", ", hidden, "]"));
        continue;
      }
      if (!finite(all)) found.push_back(text("outputs in ", type, " are not finite"));

      for (auto& [name, tensor] : bench.trained()) tensor.mutable_grad() = torch::Tensor();
      const torch::Tensor loss = loss_of(*bench.model, batch);
      if (!bench.trained().empty()) loss.backward();
      for (const auto& [name, tensor] : bench.trained()) {
        if (tensor.grad().defined() && !finite(tensor.grad()))
          found.push_back(text("the gradient of `", name, "` in ", type, " is not finite"));
      }

      size_t picture = 0;
      for (size_t i = 0; i < given.examples.size(); ++i) {
        std::vector<torch::Tensor> images;
        if (given.examples[i].image_at >= 0) images.push_back(given.images.at(picture++).to(type));
        const torch::Tensor alone = outputs(*bench.model, pack({given.examples[i]}, images));
        const auto& offsets = batch.layout.offsets;
        const double off = difference(alone, all.slice(0, offsets[i], offsets[i + 1]));
        if (!(off <= rounding(type)))
          found.push_back(text("example ", i, " alone differs from itself in a batch by ", off, " in ", type));
      }
      const torch::Tensor read = torch::arange(1, all.size(0), 2, torch::kInt64);  // every second row
      const torch::Tensor of_read = bench.model->hidden_at(batch, read).detach();
      const double off = difference(of_read, all.index_select(0, read));
      if (!(off <= rounding(type))) found.push_back(text("rows that are read alone differ by ", off, " in ", type));
      const torch::Tensor least = outputs(*bench.model, pack({given.shortest}));
      if (least.size(0) != static_cast<int64_t>(given.shortest.tokens.size()) || !finite(least)) {
        found.push_back(text("the shortest sequence gives ", least.sizes(), " in ", type));
      }
    }

    Bench mixed(given, given.options, 1, torch::kFloat32);
    torch::Tensor loss;
    {
      const Autocast autocast;
      loss = loss_of(*mixed.model, batch_of(given, torch::kFloat32));
    }
    if (!finite(loss)) found.push_back("the loss under autocast is not finite");
    if (!mixed.trained().empty()) loss.backward();
    for (const auto& [name, tensor] : mixed.trained()) {
      const torch::Tensor gradient = tensor.grad();
      if (gradient.defined() && (!finite(gradient) || gradient.scalar_type() != torch::kFloat32)) {
        found.push_back(text("the gradient of `", name, "` under autocast is not finite in float32"));
      }
    }
  });
}

Violations law_cache(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    if (!given.keeps_cache) return;
    Bench bench(given, given.options, 1);
    train(bench, given, 2);
    const torch::NoGradGuard no_grad;
    // The prompts are all but the last three tokens, which are then fed one at a time.
    constexpr int64_t kFed = 3;
    std::vector<Encoded> prompts = given.examples;
    for (Encoded& prompt : prompts) {
      prompt.tokens.resize(prompt.tokens.size() - kFed);
      prompt.labels.resize(prompt.tokens.size());
    }
    const Batch whole = batch_of(given);
    const torch::Tensor wanted = outputs(*bench.model, whole);
    KeyValueCache cache(kFed);
    bench.model->hidden(pack(prompts, given.images), &cache);
    double most = 0.0;
    for (int64_t step = 0; step < kFed; ++step) {
      std::vector<Encoded> next;
      std::vector<int64_t> rows;
      for (size_t s = 0; s < given.examples.size(); ++s) {
        const size_t at = prompts[s].tokens.size() + static_cast<size_t>(step);
        next.push_back({{given.examples[s].tokens[at]}, {kNoLabel}, 0, -1});
        rows.push_back(whole.layout.offsets[s] + static_cast<int64_t>(at));
      }
      const torch::Tensor fed = bench.model->hidden(pack(next), &cache);
      const double off = difference(fed, wanted.index_select(0, torch::tensor(rows, torch::kInt64)));
      most = std::max(most, off);
      if (!(off <= rounding(given.type)))
        found.push_back(text("token ", step, " fed through the cache is off by ", off, " of the largest"));
    }
    found.measured.push_back(text("largest difference ", most));
  });
}

Violations law_weight(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    train(bench, given, 3);
    const Batch batch = batch_of(given);
    const torch::Tensor own = outputs(*bench.model, batch);
    bench.method->weigh(1.0);
    if (!same(outputs(*bench.model, batch), own)) found.push_back("weigh(1) changed the outputs");
    try {
      bench.method->weigh(0.0);
    } catch (const UnsupportedError&) {
      if (!same(outputs(*bench.model, batch), own)) found.push_back("weigh(0) was refused, but changed the outputs");
      return;
    }
    const auto base = given.model();
    Params params(given.options, "the method");
    given.method(params)->prepare(*base);
    base->to(given.type);
    base->eval();
    const double off = difference(outputs(*bench.model, batch), outputs(*base, batch));
    if (!(off <= rounding(given.type))) found.push_back(text("with weight 0 the outputs are off the base's by ", off));
  });
}

}  // namespace peftlab::testing
