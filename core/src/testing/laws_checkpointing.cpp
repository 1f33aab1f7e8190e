#include "testing/bench.h"

#include <peftlab/nn/checkpointing.h>

#include <optional>

namespace peftlab::testing {

using namespace bench;

namespace {

/// What some steps of training leave behind.
struct Course {
  std::vector<double> losses;
  std::vector<TensorMap> gradients;  ///< of each step
  double draw = 0.0;                 ///< the next number of the random stream
};

Course course(const MethodCase& given, bool on, Violations& found) {
  constexpr int kSteps = 3;
  Bench bench(given, given.options, 1);
  torch::manual_seed(2);
  std::optional<Checkpointing> checkpointing;
  if (on) checkpointing.emplace();
  Course done;
  done.losses = train(bench, given, kSteps, [&] {
    TensorMap gradients;
    for (const auto& [name, tensor] : bench.trained()) {
      if (tensor.grad().defined()) gradients[name] = tensor.grad().clone();
    }
    done.gradients.push_back(std::move(gradients));
  });
  done.draw = torch::rand({1}).item<double>();
  if (on && checkpointing->blocks() == 0) found.push_back("the model has no block that can be run again");
  return done;
}

}  // namespace

Violations law_checkpointing(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    const Course without = course(given, false, found), with = course(given, true, found);
    for (size_t step = 0; step < without.gradients.size(); ++step) {
      const TensorMap& wanted = without.gradients[step];
      if (with.gradients[step].size() != wanted.size()) {
        found.push_back(
            text("step ", step + 1, " gives ", with.gradients[step].size(), " gradients, without ", wanted.size()));
      }
      for (const auto& [name, gradient] : with.gradients[step]) {
        const auto it = wanted.find(name);
        if (it != wanted.end() && same(gradient, it->second)) continue;
        found.push_back(text("with checkpointing the gradient of `", name, "` in step ", step + 1, " is another"));
      }
    }
    if (with.losses != without.losses) {
      found.push_back(
          text("with checkpointing the losses end at ", with.losses.back(), ", without at ", without.losses.back()));
    }
    if (with.draw != without.draw) found.push_back("with checkpointing the random stream goes on elsewhere");
  });
}

}  // namespace peftlab::testing
