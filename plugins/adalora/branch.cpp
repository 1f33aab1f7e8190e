#include "branch.h"

#include <peftlab/nn/product.h>

namespace peftlab::adalora {
namespace {

/// |M - I| for a square M, as a Frobenius norm.
torch::Tensor distance_to_identity(const torch::Tensor& square) {
  return torch::linalg_vector_norm(square - torch::eye(square.size(0), square.options()));
}

/// How important each entry has been, of the shape of the weight.
torch::Tensor entry_scores(const Weight& weight) { return weight.sensitivity * weight.uncertainty; }

void measure_one(Weight& weight, double beta1, double beta2) {
  const torch::Tensor& gradient = weight.value.grad();
  const torch::Tensor now =
      gradient.defined() ? (weight.value * gradient).abs() : torch::zeros_like(weight.sensitivity);
  weight.sensitivity.copy_(beta1 * weight.sensitivity + (1 - beta1) * now);
  weight.uncertainty.copy_(beta2 * weight.uncertainty + (1 - beta2) * (now - weight.sensitivity).abs());
}

}  // namespace

Branch::Branch(Linear& site, int64_t rank, double alpha, double dropout)
    : site(site), scale_(alpha / (static_cast<double>(rank) + 1e-5)), dropout_(dropout) {
  // peft draws all of A, E, B and the rank once before it draws A and B: those draws are taken and dropped.
  for (const int64_t dropped : {rank * site.in, rank, site.out * rank, int64_t{1}}) torch::randn({dropped});
  auto first_a = torch::empty({rank, site.in}, torch::kFloat32).normal_(0.0, 0.02);
  auto first_b = torch::empty({site.out, rank}, torch::kFloat32).normal_(0.0, 0.02);
  // peft keeps them in the base's type for a moment, so a 16-bit base rounds them.
  const auto place = [&](const torch::Tensor& drawn) {
    return drawn.to(site.dtype()).to(site.device(), torch::kFloat32);
  };
  a = add("lora_A", place(first_a));
  e = add("lora_E", place(torch::zeros({rank, 1})));
  b = add("lora_B", place(first_b));
  kept = register_buffer("kept", torch::ones({rank}, torch::dtype(torch::kBool).device(site.device())));
}

Weight Branch::add(const std::string& name, const torch::Tensor& first) {
  return {register_parameter(name, first), register_buffer(name + "_sensitivity", torch::zeros_like(first)),
          register_buffer(name + "_uncertainty", torch::zeros_like(first))};
}

torch::Tensor Branch::forward(const torch::Tensor& x, const Linear::Map& next) const {
  const torch::Tensor y = next(x);
  if (merged()) return y;
  const torch::Tensor input = torch::dropout(x.to(a.value.scalar_type()), dropout_, dropout_ > 0 && is_training());
  // The scale is applied where the tensor is narrow.
  const torch::Tensor update = product(product(input, a.value * e.value) * scale(), b.value);
  return (y + update).to(y.scalar_type());
}

torch::Tensor Branch::distance_to_orthogonal() const {
  return distance_to_identity(torch::mm(a.value, a.value.t())) + distance_to_identity(torch::mm(b.value.t(), b.value));
}

void Branch::measure(double beta1, double beta2) {
  const torch::NoGradGuard no_grad;
  for (Weight* weight : {&a, &e, &b}) measure_one(*weight, beta1, beta2);
}

torch::Tensor Branch::scores() const {
  return entry_scores(e).flatten() + (entry_scores(a).mean(1) + entry_scores(b).mean(0));
}

void Branch::choose(const torch::Tensor& chosen) {
  kept.copy_(chosen);
  prune();
}

void Branch::prune() {
  const torch::NoGradGuard no_grad;
  e.value.masked_fill_(kept.logical_not().unsqueeze(1), 0.0);
}

torch::Tensor Branch::alive() const { return kept.logical_or(e.value.detach().flatten() != 0); }

void Branch::merge() {
  const torch::NoGradGuard no_grad;
  before_merge_ = site.weight_now();
  const torch::Tensor update = scale() * torch::mm(b.value, a.value * e.value);
  site.set_weight({(site.weight_as(torch::kFloat32) + update).to(site.dtype()), nullptr});
  merged_ = true;
}

void Branch::unmerge() {
  site.set_weight(before_merge_);
  before_merge_ = {};
  merged_ = false;
}

}  // namespace peftlab::adalora
