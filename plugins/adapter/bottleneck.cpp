#include "bottleneck.h"

#include <torch/nn/init.h>

#include <cmath>

namespace peftlab::adapter {
namespace {

/// Normal values of deviation `sd`, none further than 2 sd from zero, drawn as torch.nn.init.trunc_normal_ does.
void truncated_normal_(torch::Tensor weight, double sd) {
  const torch::NoGradGuard no_grad;
  const double below = (1.0 + std::erf(-2.0 / std::sqrt(2.0))) / 2.0,
               above = (1.0 + std::erf(2.0 / std::sqrt(2.0))) / 2.0;
  weight.uniform_(2 * below - 1, 2 * above - 1).erfinv_().mul_(sd * std::sqrt(2.0)).clamp_(-2 * sd, 2 * sd);
}

}  // namespace

Bottleneck::Bottleneck(const Sublayer& site, const Options& options)
    : kind_(options.kind), scale_(options.scale), nonlinearity_(adapter::nonlinearity(options.nonlinearity)) {
  const int64_t width = options.width_for(site.width);
  // Making the maps draws torch.nn.Linear's values, as it does in `adapters`, which then draws anew.
  down = register_module("down", std::make_shared<Linear>(site.width, width));
  up = register_module("up", std::make_shared<Linear>(width, site.width));
  const torch::NoGradGuard no_grad;
  if (options.init == "houlsby") {
    truncated_normal_(down->weight, 0.01);
    truncated_normal_(up->weight, 0.01);
  } else if (options.init == "mam_adapter") {
    torch::nn::init::kaiming_uniform_(down->weight, std::sqrt(5.0));
  } else {
    down->weight.normal_(0.0, 0.02);
    if (options.init == "bert") up->weight.normal_(0.0, 0.02);
  }
  if (options.up_starts_at_zero()) up->weight.zero_();
  down->bias.zero_();
  up->bias.zero_();
}

torch::Tensor Bottleneck::input(const torch::Tensor& h, const SublayerContext& around) const {
  if (kind_ == Kind::houlsby) return h;
  // Before a norm `adapters` reads the residual stream itself, not what the sublayer was given.
  if (kind_ == Kind::parallel) return around.residual;
  const torch::Tensor sum = h + around.residual;
  return around.norm ? around.norm(sum) : sum;
}

torch::Tensor Bottleneck::forward(const torch::Tensor& h, const SublayerContext& around) const {
  const auto type = down->weight.scalar_type();
  const torch::Tensor added = up->forward(nonlinearity_(down->forward(input(h, around).to(type))));
  return (h.to(type) + (scale_ == 1.0 ? added : added * scale_)).to(h.scalar_type());
}

}  // namespace peftlab::adapter
