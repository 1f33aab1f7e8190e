#include "testing/bench.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <set>

namespace peftlab::testing {

using namespace bench;

Violations law_start(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      const Batch batch = batch_of(given, type);
      auto base = given.model();
      base->to(type);
      base->eval();
      Bench bench(given, given.options, 1, type);
      const bool equal = same(outputs(*bench.model, batch), outputs(*base, batch));
      found.measured.push_back(text(type, ": ", equal ? "the base's" : "not the base's"));
      // A small start may be less than what bfloat16 can tell apart.
      if (equal && type == torch::kBFloat16) continue;
      if (equal != bench.method->starts_at_base()) {
        found.push_back(text("starts_at_base() is ", bench.method->starts_at_base() ? "true" : "false",
                             ", but right after attach() the outputs in ", type, (equal ? " are" : " are not"),
                             " the base's"));
      }
    }
  });
}

Violations law_gradients(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    TensorMap frozen;
    for (const auto& [name, tensor] : all_parameters(*bench.model)) {
      if (!tensor.requires_grad()) frozen[name] = tensor;
    }
    const TensorMap before = copies(frozen);
    const TensorMap trained = bench.trained();
    std::set<std::string> moved, touched;
    train(bench, given, 2, [&] {
      for (const auto& [name, tensor] : frozen) {
        if (tensor.grad().defined()) touched.insert(name);
      }
      for (const auto& [name, tensor] : trained) {
        if (tensor.grad().defined() && tensor.grad().count_nonzero().item<int64_t>() > 0) moved.insert(name);
      }
    });
    found.measured.push_back(text(trained.size(), " tensors trained, ", frozen.size(), " frozen"));
    for (const std::string& name : touched) found.push_back(text("frozen parameter ", name, " has a gradient"));
    for (const auto& [name, tensor] : before) {
      if (!same(tensor, frozen[name])) found.push_back(text("frozen parameter ", name, " changed"));
    }
    for (const auto& [name, tensor] : trained) {
      if (!moved.count(name)) found.push_back(text("after two steps `", name, "` has had no gradient but zero"));
    }
  });
}

Violations law_learns(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    const bool trains = !bench.trained().empty();
    const std::vector<double> losses = train(bench, given, 31);
    found.measured.push_back(text("loss ", losses.front(), " to ", losses.back(), trains ? "" : ", nothing trained"));
    if (trains && !(losses.back() < losses.front())) {
      found.push_back(text("thirty steps took the loss from ", losses.front(), " to ", losses.back()));
    }
    if (!trains && losses.back() != losses.front()) {
      found.push_back(text("nothing is trained, but the loss went from ", losses.front(), " to ", losses.back()));
    }
  });
}

Violations law_seeds(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    TensorMap trained;  // by the last run
    const auto losses = [&](uint64_t seed) {
      Bench bench(given, given.options, seed);
      auto found = train(bench, given, 3);
      trained = bench.trained();
      return found;
    };
    const auto first = losses(11), again = losses(11);
    const TensorMap of_first = trained;
    const auto other = losses(12);
    // In 16 bits a difference may be too small for the losses of three steps.
    bool is_same = first == other;
    for (const auto& [name, tensor] : of_first) is_same = is_same && same(tensor, trained.at(name));
    found.measured.push_back(
        text("losses after three steps ", first.back(), ", ", again.back(), "; another seed ", other.back()));
    if (first != again)
      found.push_back(text("two runs with one seed end at the losses ", first.back(), " and ", again.back()));
    Bench bench(given, given.options, 11);
    const bool draws = given.seeded && !bench.method->parameters().empty();
    if (draws && is_same) found.push_back(text("two seeds both give the losses up to ", first.back()));
  });
}

Violations law_parameter_count(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    int64_t count = 0;
    for (const auto& [name, tensor] : bench.trained()) count += tensor.numel();
    found.measured.push_back(
        text(count, " numbers are trained", given.parameters ? "" : "; no formula to hold them to"));
    if (!given.parameters) return;
    if (count != *given.parameters)
      found.push_back(text(count, " numbers are trained, the formula says ", *given.parameters));
  });
}

Violations law_gradient_check(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    if (!given.exact_gradient) return;
    Bench bench(given, given.options, 1);
    if (bench.trained().empty()) return;
    train(bench, given, 2);  // away from a start at which factors are zero
    bench.model->to(torch::kFloat64);
    bench.method->to(torch::kFloat64);
    const TensorMap trained = bench.trained();
    const Batch batch = batch_of(given, torch::kFloat64);
    for (const auto& [name, tensor] : trained) torch::Tensor(tensor).mutable_grad() = torch::Tensor();
    loss_of(*bench.model, batch).backward();

    const torch::NoGradGuard no_grad;
    auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{5});
    for (int direction = 0; direction < 2; ++direction) {
      TensorMap along;
      double slope = 0.0, length = 0.0;
      for (const auto& [name, tensor] : trained) {
        along[name] = torch::randn(tensor.sizes(), generator, tensor.options());
        if (!tensor.grad().defined()) continue;
        slope += (along[name] * tensor.grad()).sum().item<double>();
        length += tensor.grad().pow(2).sum().item<double>();
      }
      const auto loss_at = [&](double step) {
        for (const auto& [name, tensor] : trained) torch::Tensor(tensor).add_(along[name], step);
        const double loss = loss_of(*bench.model, batch).item<double>();
        for (const auto& [name, tensor] : trained) torch::Tensor(tensor).sub_(along[name], step);
        return loss;
      };
      const double allowed = 1e-5 * std::max(std::sqrt(length), 1e-3);
      double off = 0.0, difference = 0.0;
      // A kink, such as a ReLU's, that lies within a step does not lie within all of them.
      for (const double step : {1e-5, 1e-6, 1e-7}) {
        difference = (loss_at(step) - loss_at(-step)) / (2 * step);
        off = std::abs(difference - slope);
        if (off <= allowed) break;
      }
      found.measured.push_back(text("slope ", slope, ", off by ", off));
      if (!(off <= allowed)) {
        found.push_back(text("along direction ", direction, " the loss changes by ", difference, ", the gradient says ",
                             slope, " (its length is ", std::sqrt(length), ")"));
      }
    }
  });
}

}  // namespace peftlab::testing
