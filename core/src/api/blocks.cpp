// The blocks models are made of, but for attention.

#include "api/pointwise.h"
#include "api/table_gradients.h"

#include <peftlab/error.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/first_values.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>
#include <peftlab/nn/product.h>
#include <peftlab/nn/rotary.h>
#include <peftlab/nn/sublayer.h>
#include <peftlab/nn/to_device.h>

#include <cmath>

namespace peftlab {

namespace {

thread_local int blueprints = 0;

}  // namespace

Blueprint::Blueprint() { ++blueprints; }
Blueprint::~Blueprint() { --blueprints; }
bool Blueprint::is_drawn() { return blueprints > 0; }

// One element seen as many, which no parameter with values is.
bool Blueprint::describes(const torch::Tensor& parameter) {
  for (int64_t d = 0; d < parameter.dim(); ++d) {
    if (parameter.size(d) > 1 && parameter.stride(d) == 0) return true;
  }
  return false;
}

torch::Tensor empty_parameter(torch::IntArrayRef shape) {
  return Blueprint::is_drawn() ? torch::zeros({1}).expand(shape) : torch::empty(shape);
}

Linear::Linear(int64_t in, int64_t out, bool with_bias) : in(in), out(out) {
  weight = register_parameter("weight", empty_parameter({out, in}));
  if (with_bias) bias = register_parameter("bias", empty_parameter({out}));
  if (Blueprint::is_drawn()) return;
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  if (with_bias) torch::nn::init::uniform_(bias, -bound, bound);
}

torch::Tensor Linear::base(const torch::Tensor& x) const {
  if (!quantized_) return product(x, weight, bias);
  const auto y = quantized_->multiply(x);
  return bias.defined() ? y + bias : y;
}

torch::Tensor Linear::forward(const torch::Tensor& x) const { return apply(hooks_.size(), x); }

torch::Tensor Linear::apply(size_t hooks, const torch::Tensor& x) const {
  if (hooks == 0) return base(x);
  return hooks_[hooks - 1](x, [this, hooks](const torch::Tensor& inner) { return apply(hooks - 1, inner); });
}

void Linear::extend(Hook hook) { hooks_.push_back(std::move(hook)); }

void Linear::restore() { hooks_.clear(); }

void Linear::add_to_weight(const torch::Tensor& delta) {
  const torch::NoGradGuard no_grad;
  const auto sum = (weight_as(torch::kFloat32) + delta.to(torch::kFloat32)).to(dtype());
  if (quantized_) {
    set_weight({sum, nullptr});
  } else {
    weight.copy_(sum);
  }
}

torch::Tensor Linear::weight_as(torch::ScalarType type) const {
  return quantized_ ? quantized_->dense(type) : weight.to(type);
}

torch::ScalarType Linear::dtype() const { return quantized_ ? *type_ : weight.scalar_type(); }

torch::Device Linear::device() const { return quantized_ ? quantized_->device() : weight.device(); }

void Linear::set_weight(Weight given) {
  TORCH_CHECK(given.dense.defined() != (given.quantized != nullptr), "a weight has one of its two forms");
  quantized_ = std::move(given.quantized);
  if (quantized_ && !type_) type_ = quantized_->dtype();
  weight = given.dense;
  parameters_["weight"] = weight;
}

void Linear::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  to(device, non_blocking);
  to(dtype, non_blocking);
}

void Linear::to(torch::Dtype dtype, bool non_blocking) {
  torch::nn::Module::to(dtype, non_blocking);
  if (type_) type_ = dtype;
}

void Linear::to(torch::Device device, bool non_blocking) {
  torch::nn::Module::to(device, non_blocking);
  if (quantized_) quantized_ = quantized_->to(device);
}

torch::Tensor Sublayer::forward(torch::Tensor h, const SublayerContext& around) const {
  for (const Hook& hook : hooks_) h = hook(h, around);
  return h;
}

LayerNorm::LayerNorm(int64_t width, double eps) : eps(eps) {
  weight = register_parameter("weight", torch::ones({width}));
  bias = register_parameter("bias", torch::zeros({width}));
}

torch::Tensor LayerNorm::forward(const torch::Tensor& x) const {
  return torch::layer_norm(x, {weight.size(0)}, weight, bias, eps);
}

RmsNorm::RmsNorm(int64_t width, double eps) : eps(eps) { weight = register_parameter("weight", torch::ones({width})); }

torch::Tensor RmsNorm::forward(const torch::Tensor& x) const { return rms_norm(x, weight, eps); }

Embedding::Embedding(int64_t rows, int64_t width) {
  weight = register_parameter("weight", empty_parameter({rows, width}));
  if (!Blueprint::is_drawn()) torch::nn::init::normal_(weight);
}

torch::Tensor Embedding::forward(const torch::Tensor& ids) const {
  return torch::embedding(weight, ids, /*padding_idx=*/-1, /*scale_grad_by_freq=*/false,
                          /*sparse=*/TableGradientsAsRows::is_on());
}

void EmbeddingSite::prepend(Source source, int64_t tokens) {
  sources_.push_back(std::move(source));
  tokens_ += tokens;
}

EmbeddingSite::Extended EmbeddingSite::extend(const torch::Tensor& embedded, const Layout& layout) const {
  Extended extended{embedded, layout, {}};
  if (sources_.empty()) return extended;

  std::vector<torch::Tensor> vectors;
  for (auto source = sources_.rbegin(); source != sources_.rend(); ++source) {
    vectors.push_back((*source)().to(embedded.scalar_type()));
  }
  const torch::Tensor front = torch::cat(vectors);
  TORCH_CHECK(front.size(0) == tokens_ && front.size(1) == width, "virtual tokens are ", front.sizes(), ", wanted [",
              tokens_, ", ", width, "]");

  extended.layout = Layout();
  std::vector<torch::Tensor> parts;
  std::vector<torch::Tensor> own;
  for (int64_t s = 0; s < layout.sequences(); ++s) {
    parts.push_back(front);
    parts.push_back(embedded.slice(0, layout.offsets[s], layout.offsets[s + 1]));
    const int64_t start = extended.layout.total() + tokens_;
    own.push_back(torch::arange(start, start + layout.length(s)));
    const int64_t context = layout.context[s];
    extended.layout.add(layout.length(s) + tokens_, context > 0 ? context + tokens_ : 0);
  }
  extended.rows = torch::cat(parts);
  extended.own_rows = to_device(torch::cat(own), embedded.device());
  return extended;
}

torch::Tensor EmbeddingSite::Extended::places(const torch::Tensor& asked) const {
  if (!own_rows.defined() || !asked.defined()) return asked.defined() ? asked : own_rows;
  if (asked.device() == own_rows.device()) return own_rows.index_select(0, asked);
  // On the CPU, while the rows are on a GPU, which is not waited for: they are counted again.
  const int64_t virtual_tokens = (layout.total() - own_rows.numel()) / layout.sequences();
  const auto places = asked.clone();
  int64_t *at = places.data_ptr<int64_t>(), *const end = at + places.numel();
  for (int64_t s = 0; s < layout.sequences(); ++s) {
    const int64_t in_front = (s + 1) * virtual_tokens;
    for (; at != end && *at + in_front < layout.offsets[s + 1]; ++at) *at += in_front;
  }
  return places;
}

torch::Tensor inverse_frequencies(int64_t width, double base) {
  const auto exponents = torch::arange(0, width, 2, torch::kInt64).to(torch::kFloat32) / static_cast<double>(width);
  return 1.0 / torch::pow(base, exponents);
}

RotaryAngles RotaryAngles::at(const torch::Tensor& positions, const torch::Tensor& inverse_frequencies) {
  const auto half = torch::outer(positions.to(inverse_frequencies.scalar_type()), inverse_frequencies);
  const auto angles = torch::cat({half, half}, -1);
  return {angles.cos(), angles.sin()};
}

torch::Tensor rotate(const torch::Tensor& x, const RotaryAngles& angles) {
  return turned(x, angles.cosines, angles.sines);
}

}  // namespace peftlab
