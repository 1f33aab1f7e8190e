#pragma once

/// \file
/// What the laws have in common: a model with a method on it, its outputs, its loss, a few steps of training.

#include <peftlab/testing/conformance.h>

#include <c10/util/Exception.h>

#include <sstream>

namespace peftlab::testing::bench {

/// A model with the method on it. `seed` is torch's, right before attach().
struct Bench {
  std::shared_ptr<Model> model;
  std::shared_ptr<Method> method;
  torch::ScalarType type;  ///< of the base

  Bench(const MethodCase& given, const Table& options, uint64_t seed) : Bench(given, options, seed, given.type) {}
  Bench(const MethodCase& given, const Table& options, uint64_t seed, torch::ScalarType type);

  void training(bool on);
  /// What is trained, the method's and the base's.
  TensorMap trained() const;
};

Batch batch_of(const MethodCase& given, torch::ScalarType type);
inline Batch batch_of(const MethodCase& given) { return batch_of(given, given.type); }

/// How far two ways to compute the same may differ, as a share of the largest number.
inline double rounding(torch::ScalarType type) { return type == torch::kBFloat16 ? 5e-2 : 1e-5; }

/// The last hidden states, without a gradient.
torch::Tensor outputs(Model& model, const Batch& batch);

/// Mean cross-entropy over the labelled rows, in float32 at least.
torch::Tensor loss_of(Model& model, const Batch& batch);

/// Trains with Adam and returns the loss before each step; `after_backward` may look at the gradients.
std::vector<double> train(
    Bench& bench, const MethodCase& given, int steps, const std::function<void()>& after_backward = [] {});

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(9);
  (out << ... << parts);
  return out.str();
}

inline bool same(const torch::Tensor& a, const torch::Tensor& b) { return torch::equal(a, b); }

/// The largest difference as a share of the largest value (of 1 if that is smaller).
double difference(const torch::Tensor& a, const torch::Tensor& b);

inline bool finite(const torch::Tensor& t) { return torch::isfinite(t).all().item<bool>(); }

TensorMap copies(const TensorMap& tensors);
TensorMap all_parameters(const Model& model);

/// Runs a law's body; what it throws is a violation.
template <typename Body>
Violations guarded(Body body) {
  Violations found;
  try {
    body(found);
  } catch (const c10::Error& error) {
    found.push_back(text("threw: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    found.push_back(text("threw: ", error.what()));
  } catch (...) {
    found.push_back("threw something that is no exception");
  }
  return found;
}

/// attach() must throw a peftlab::Error with the words of `refusal`, and leave the model as it was.
void check_refusal(const MethodCase& given, Violations& found);

/// guarded(), for a law that needs the method on the model: where the method cannot work on it, its refusal is judged.
template <typename Body>
Violations on_model(const MethodCase& given, Body body) {
  return guarded([&](Violations& found) {
    if (given.refusal.empty()) {
      body(found);
    } else {
      check_refusal(given, found);
    }
  });
}

}  // namespace peftlab::testing::bench
