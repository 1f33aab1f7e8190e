#pragma once

/// \file
/// What the loop asks of an optimizer, and the optimizers there are, by name.

#include <peftlab/model.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::train {

/// Whether weight decay applies to a parameter, named as in Session::trained(): not to biases, nor to the base's norms.
bool decays(const std::string& name, const torch::Tensor& parameter);

/// An update rule with its state. Parameters keep the order of their names, so that state can be written and read.
class Optimizer {
 public:
  struct Options {
    double weight_decay = 0.0;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    /// By parameter, what its learning rate is multiplied with; 1 for those that are not there.
    std::map<std::string, double> rate_factors = {};
  };

  Optimizer(const TensorMap& parameters, const Options& options);
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One update with the gradients there are now, which are multiplied with `gradient_factor` first and stay so; a
  /// parameter without one stays as it is.
  void step(double learning_rate, double gradient_factor = 1.0) { update(learning_rate, gradient_factor); }
  void zero_gradients();

  /// The tensors to go on from, by the parameter's name and what they are: "<name>/m" and "<name>/v" (first and second
  /// moment), "<name>/t" (steps made, float32 []), and what the rule needs beside. They are the optimizer's own.
  virtual TensorMap state() const = 0;
  /// Throws: FormatError if it is not the state of these parameters under this rule.
  void load_state(const TensorMap& state);

  int64_t state_bytes() const;

 protected:
  /// One parameter and what is its own of the options.
  struct Slot {
    std::string name;
    torch::Tensor parameter;
    double weight_decay, rate_factor;
    torch::Tensor steps;
  };

  const Options options_;
  std::vector<Slot> slots_;  ///< in the order of the names

 private:
  virtual void update(double learning_rate, double gradient_factor) = 0;
  /// Told when load_state() has given the state other numbers.
  virtual void loaded() {}
};

/// What LibTorch's fused kernels divide gradients by, where `gradient_factor` is to multiply them. Only what is not 1 costs.
std::optional<torch::Tensor> gradient_divisor(double gradient_factor, torch::Device device);

/// The names make_optimizer() knows.
inline constexpr const char* kAdamW = "adamw";
inline constexpr const char* kPagedAdamW = "paged_adamw";
inline constexpr const char* kAdamW8bit = "adamw8bit";

/// The optimizer of that name. `folder`: where one that keeps its state in a file makes it.
/// Throws: ConfigError for a name that is none; UnsupportedError where the device cannot do it; StoreError if the file
/// cannot be made.
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const TensorMap& parameters,
                                          const Optimizer::Options& options, const std::filesystem::path& folder);

}  // namespace peftlab::train
