#include "low_rank/branch.h"

#include "api/pointwise.h"
#include "low_rank/update.h"

#include <peftlab/error.h>
#include <peftlab/nn/product.h>

#include <algorithm>
#include <cmath>

namespace peftlab::low_rank {
namespace {

/// Bytes of a quantized weight's rows that are looked at in one piece.
constexpr int64_t kPieceBytes = 4 << 20;

/// The length of every row: [out, in] -> [out].
torch::Tensor row_lengths(const torch::Tensor& weight) { return torch::linalg_vector_norm(weight, 2, {1}); }

/// W x without bias, hooks and gradient of W.
torch::Tensor base_map(const Linear& site, const torch::Tensor& x) {
  return site.quantized() ? site.quantized()->multiply(x) : product(x, site.weight_as(x.scalar_type()));
}

/// Whether both are one piece of memory.
bool same(const Linear::Weight& one, const Linear::Weight& other) {
  if (one.quantized != other.quantized) return false;
  return one.quantized || one.dense.data_ptr() == other.dense.data_ptr();
}

}  // namespace

Branch::Branch(Linear& site, const Options& options, int64_t rank, double alpha)
    : site(site), scale(options.scale(rank, alpha)), dropout_(options.dropout), shares_site_(site.extended()) {
  const int64_t trained = options.frozen_half ? rank / 2 : rank;
  // peft makes two torch.nn.Linear before it draws A: their draws are taken from the generator and dropped.
  Linear(site.in, trained, /*with_bias=*/false);
  Linear(trained, site.out, /*with_bias=*/false);
  auto first = torch::empty({trained, site.in}, torch::kFloat32);
  if (options.init == kGaussian) {
    torch::nn::init::normal_(first, 0.0, 1.0 / static_cast<double>(trained));
  } else if (options.init == kKaiming) {
    torch::nn::init::kaiming_uniform_(first, std::sqrt(5.0));
  }
  // peft keeps A in the base's type for a moment, so a 16-bit base rounds it.
  first = first.to(site.dtype()).to(site.device(), torch::kFloat32);
  a = register_parameter("lora_A", first);
  b = register_parameter("lora_B", torch::zeros({site.out, trained}, first.options()));
  if (options.frozen_half || options.init == kPissa) {
    frozen_a = register_buffer("frozen_A", torch::zeros_like(a));
    frozen_b = register_buffer("frozen_B", torch::zeros_like(b));
  }
  if (options.init == kPissa) start_at_principal_directions();
  if (options.dora) {
    at_start_ = site.weight_now();
    magnitude = register_parameter("lora_magnitude_vector", lengths());
  }
}

/// W = U S V^T: A = sqrt(S / s) V^T and B = U sqrt(S / s) of the r largest S, and the same with the other sign stays.
void Branch::start_at_principal_directions() {
  const int64_t rank = a.size(0), most = std::min(site.in, site.out);
  if (rank > most) {
    throw ConfigError("`init` = \"pissa\" takes rank " + std::to_string(rank) + " from the weight of " + site.name +
                      ", which has " + std::to_string(most) + " singular directions");
  }
  const torch::NoGradGuard no_grad;
  const auto [u, s, vh] = torch::linalg_svd(site.weight_as(torch::kFloat32), /*full_matrices=*/false);
  const torch::Tensor root = (s.slice(0, 0, rank) / scale).sqrt();
  a.copy_(root.unsqueeze(1) * vh.slice(0, 0, rank));
  b.copy_(u.slice(1, 0, rank) * root);
  frozen_a.copy_(a);
  frozen_b.copy_(-b);
}

torch::Tensor Branch::update() const { return update(0, site.out); }

torch::Tensor Branch::update(int64_t first, int64_t rows) const {
  torch::Tensor product = torch::mm(b.narrow(0, first, rows), a);
  if (frozen_a.defined()) product = product + torch::mm(frozen_b.narrow(0, first, rows), frozen_a);
  return scale * times * product;
}

/// |W + s B A| per row, [out], as a constant. Of a quantized W some rows are made at a time, never the whole.
torch::Tensor Branch::lengths() const {
  const torch::NoGradGuard constant;
  if (!site.quantized()) return row_lengths(site.weight_as(a.scalar_type()) + update());
  const torch::Tensor found = torch::empty({site.out}, a.options());
  const int64_t most = std::max<int64_t>(1, kPieceBytes / (4 * site.in));
  const torch::Tensor piece = torch::empty({std::min(most, site.out), site.in}, a.options().dtype(torch::kFloat32));
  for (int64_t first = 0; first < site.out; first += most) {
    const torch::Tensor rows = piece.narrow(0, 0, std::min(most, site.out - first));
    site.quantized()->write_rows(first, rows);
    const torch::Tensor whole = rows.to(a.scalar_type()).add_(update(first, rows.size(0)));
    found.narrow(0, first, rows.size(0)).copy_(row_lengths(whole));
  }
  return found;
}

/// m / |W + s B A| per row, [out]. A row of zeros keeps its length 0 instead of dividing by it.
torch::Tensor Branch::stretch() const {
  torch::Tensor now = lengths();
  now.masked_fill_(now == 0, 1.0);
  return magnitude / now;
}

torch::Tensor Branch::forward(const torch::Tensor& x, const Linear::Map& next) const {
  const torch::Tensor y = next(x);
  if (merged()) return y;
  const bool drops = dropout_ > 0 && is_training();
  const double s = scale * times;
  torch::Tensor wide, input;
  if (drops || frozen_a.defined() || magnitude.defined()) {
    wide = x.to(a.scalar_type());
    input = torch::dropout(wide, dropout_, drops);
  }
  torch::Tensor low = update_of(drops ? input : x, a, b, s);
  // Apart from what is trained, so that both cancel to the bit at the start. It is part of the base: nothing is dropped.
  if (frozen_a.defined()) low = low + product(product(wide, frozen_a) * s, frozen_b);
  if (!magnitude.defined()) return sum_in_type(y, low);

  const torch::Tensor c = stretch();
  torch::Tensor plain;  // W x, of the dropped x as in peft, and without what other methods add
  if (drops || shares_site_) {
    plain = base_map(site, input);
  } else {
    plain = site.bias.defined() ? y - site.bias : y;
  }
  return (y + (c - 1) * plain + c * low).to(y.scalar_type());
}

void Branch::check_merge() const {
  if (merged()) throw UnsupportedError("this LoRA is folded into the weights already");
  if (magnitude.defined() && (shares_site_ || !same(site.weight_now(), at_start_))) {
    throw UnsupportedError("DoRA at " + site.name +
                           " reads the weight of the base, but another method extended that map before it or has "
                           "changed its weight: one of the two has to stay unmerged");
  }
}

void Branch::merge() {
  const torch::NoGradGuard no_grad;
  const torch::Tensor base = site.weight_as(torch::kFloat32);
  torch::Tensor folded = base + update();
  if (magnitude.defined()) folded = stretch().unsqueeze(1) * folded;
  before_ = site.weight_now();
  // A new tensor in place of the old one, which may lie in a file that several processes share.
  site.set_weight({folded.to(site.dtype()), nullptr});
  after_ = site.weight_now();
  merged_ = true;
}

void Branch::check_unmerge() const {
  if (!merged()) throw UnsupportedError("this LoRA is not folded into the weights");
  if (!same(site.weight_now(), after_)) {
    throw UnsupportedError("the weight of " + site.name +
                           " is no longer what this LoRA was folded into: what was merged later is taken out first");
  }
}

void Branch::unmerge() {
  site.set_weight(before_);
  before_ = after_ = {};
  merged_ = false;
}

torch::Tensor Branch::whole_a() const { return frozen_a.defined() ? torch::cat({a.detach(), frozen_a}, 0) : a; }

torch::Tensor Branch::whole_b() const { return frozen_b.defined() ? torch::cat({b.detach(), frozen_b}, 1) : b; }

void Branch::take(const torch::Tensor& whole_a, const torch::Tensor& whole_b) {
  const torch::NoGradGuard no_grad;
  const int64_t rank = a.size(0);
  a.copy_(whole_a.slice(0, 0, rank));
  b.copy_(whole_b.slice(1, 0, rank));
  if (whole_a.size(0) == rank) return;
  frozen_a.copy_(whole_a.slice(0, rank));
  frozen_b.copy_(whole_b.slice(1, rank));
}

}  // namespace peftlab::low_rank
