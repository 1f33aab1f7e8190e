#include "api/pointwise.h"

#include <peftlab/error.h>
#include <peftlab/nn/activation.h>

#include <cmath>
#include <map>

namespace peftlab {
namespace {

using torch::Tensor;

Tensor exact_gelu(const Tensor& x) { return curve_of(Curve::gelu, x); }

// Hendrycks and Gimpel's x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), which transformers writes in several ways.
Tensor tanh_gelu(const Tensor& x) { return curve_of(Curve::gelu_tanh, x); }

Tensor silu(const Tensor& x) { return curve_of(Curve::silu, x); }

// x Phi_L(x), with the mean and deviation that make the Laplace distribution's function closest to relu squared.
Tensor laplace(const Tensor& x) {
  constexpr double kMean = 0.707107, kDeviation = 0.282095;
  return 0.5 * (1.0 + torch::erf((x - kMean) / (kDeviation * std::sqrt(2.0))));
}

const std::map<std::string, Activation>& activations() {
  static const std::map<std::string, Activation> known = {
      {"gelu", exact_gelu},
      {"gelu_python", exact_gelu},
      {"gelu_10", [](const Tensor& x) { return exact_gelu(x).clamp(-10.0, 10.0); }},
      {"gelu_accurate", tanh_gelu},
      {"gelu_fast", tanh_gelu},
      {"gelu_new", tanh_gelu},
      {"gelu_python_tanh", tanh_gelu},
      {"gelu_pytorch_tanh", tanh_gelu},
      {"laplace", laplace},
      {"leaky_relu", [](const Tensor& x) { return torch::leaky_relu(x); }},
      {"linear", [](const Tensor& x) { return x; }},
      {"mish", [](const Tensor& x) { return torch::mish(x); }},
      {"quick_gelu", [](const Tensor& x) { return x * torch::sigmoid(1.702 * x); }},
      {"relu", [](const Tensor& x) { return torch::relu(x); }},
      {"relu2", [](const Tensor& x) { return torch::relu(x).square(); }},
      {"relu6", [](const Tensor& x) { return torch::relu6(x); }},
      {"sigmoid", [](const Tensor& x) { return torch::sigmoid(x); }},
      {"silu", silu},
      {"swish", silu},
      {"tanh", [](const Tensor& x) { return torch::tanh(x); }},
  };
  return known;
}

std::string read_name(Params& params, const std::string& key, const std::string& default_name) {
  const auto name = params.get(key, default_name, "the function between the maps of the feed-forward network");
  const bool known = activations().count(name) > 0;
  params.check(known, key, "is `" + name + "`, no activation that is known. " + suggestion(name, activation_names()));
  return known ? name : default_name;
}

}  // namespace

Activation activation(const std::string& name) {
  const auto found = activations().find(name);
  if (found != activations().end()) return found->second;
  throw ConfigError("activation `" + name + "` is not known. " + suggestion(name, activation_names()));
}

GatedActivation gated_activation(const std::string& name) {
  if (name == "silu" || name == "swish") return silu_times;
  return [f = activation(name)](const Tensor& gate, const Tensor& up) { return f(gate) * up; };
}

std::vector<std::string> activation_names() {
  std::vector<std::string> names;
  for (const auto& [name, function] : activations()) names.push_back(name);
  return names;
}

Activation read_activation(Params& params, const std::string& key, const std::string& default_name) {
  return activation(read_name(params, key, default_name));
}

GatedActivation read_gated_activation(Params& params, const std::string& key, const std::string& default_name) {
  return gated_activation(read_name(params, key, default_name));
}

}  // namespace peftlab
