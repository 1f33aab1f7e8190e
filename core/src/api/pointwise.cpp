#include "api/pointwise.h"

#include <peftlab/error.h>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/autograd.h>

namespace peftlab {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kFewest = 512;      // numbers; with fewer nothing is gained
constexpr int64_t kAtOnce = 1 << 13;  // numbers that are worth a thread

bool is_known(const torch::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         x.layout() == at::kStrided && x.numel() >= kFewest;
}
bool is_half(const torch::Tensor& x) { return x.scalar_type() == at::kBFloat16; }

bool is_tracked(std::initializer_list<torch::Tensor> tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (const torch::Tensor& t : tensors) {
    if (t.requires_grad()) return true;
  }
  return false;
}

void refuse_second_gradient(const char* name) {
  if (at::GradMode::is_enabled()) throw UnsupportedError(std::string(name) + " has no gradient of its gradient");
}

/// The numbers of a contiguous tensor from number i on.
char* numbers(const torch::Tensor& t, int64_t i = 0) {
  return t.defined() ? static_cast<char*>(t.data_ptr()) + i * t.element_size() : nullptr;
}

template <typename F>
void in_pieces(int64_t n, int64_t at_once, const F& f) {
  at::parallel_for(0, n, std::max<int64_t>(1, at_once), f);
}

struct CurveOf : torch::autograd::Function<CurveOf> {
  static torch::Tensor computed(Curve f, const torch::Tensor& x, const torch::Tensor& slope) {
    const auto y = at::empty_like(x);
    in_pieces(x.numel(), kAtOnce, [&](int64_t begin, int64_t end) {
      pointwise_kernels().curve(f, is_half(x), numbers(x, begin), end - begin, numbers(y, begin),
                                numbers(slope, begin));
    });
    return y;
  }
  // What is kept is the slope instead of x: the backward pass is a product.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, int64_t f) {
    const auto slope = at::empty_like(x);
    context->save_for_backward({slope});
    return computed(static_cast<Curve>(f), x, slope);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_gradient("an activation");
    return {gradients[0] * context->get_saved_variables()[0], torch::Tensor()};
  }
};

struct SumInType : torch::autograd::Function<SumInType> {
  static torch::Tensor computed(const torch::Tensor& y, const torch::Tensor& more) {
    const auto sum = at::empty_like(y);
    in_pieces(y.numel(), kAtOnce, [&](int64_t begin, int64_t end) {
      pointwise_kernels().add_to_bfloat16(numbers(y, begin), more.const_data_ptr<float>() + begin, end - begin,
                                          numbers(sum, begin));
    });
    return sum;
  }
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& y, const torch::Tensor& more) {
    return computed(y, more);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {gradients[0], context->needs_input_grad(1) ? gradients[0].to(at::kFloat) : torch::Tensor()};
  }
};

struct SiluTimes : torch::autograd::Function<SiluTimes> {
  static torch::Tensor computed(const torch::Tensor& gate, const torch::Tensor& up) {
    const auto y = at::empty_like(gate);
    in_pieces(y.numel(), kAtOnce, [&](int64_t begin, int64_t end) {
      pointwise_kernels().silu_times(is_half(y), numbers(gate, begin), numbers(up, begin), end - begin,
                                     numbers(y, begin));
    });
    return y;
  }
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& gate, const torch::Tensor& up) {
    context->save_for_backward({gate, up});
    return computed(gate, up);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_gradient("a gated activation");
    const auto saved = context->get_saved_variables();
    const auto &gate = saved[0], &up = saved[1];
    const auto dy = gradients[0].contiguous(), dgate = at::empty_like(gate), dup = at::empty_like(up);
    in_pieces(dy.numel(), kAtOnce, [&](int64_t begin, int64_t end) {
      pointwise_kernels().silu_times_back(is_half(dy), numbers(gate, begin), numbers(up, begin), numbers(dy, begin),
                                          end - begin, numbers(dgate, begin), numbers(dup, begin));
    });
    return {dgate, dup};
  }
};

struct RmsNormOf : torch::autograd::Function<RmsNormOf> {
  static torch::Tensor computed(const torch::Tensor& x, const torch::Tensor& weight, double eps,
                                const torch::Tensor& reciprocals) {
    const int64_t width = weight.size(0);
    const auto y = at::empty_like(x);
    in_pieces(x.numel() / width, kAtOnce / width, [&](int64_t begin, int64_t end) {
      pointwise_kernels().rms_norm(is_half(x), numbers(x, begin * width), numbers(weight), end - begin, width,
                                   static_cast<float>(eps), numbers(y, begin * width),
                                   reciprocals.data_ptr<float>() + begin);
    });
    return y;
  }
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight,
                               double eps) {
    const auto reciprocals = at::empty({x.numel() / weight.size(0)}, at::kFloat);
    context->save_for_backward({x, weight, reciprocals});
    return computed(x, weight, eps, reciprocals);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_gradient("a norm");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &reciprocals = saved[2];
    const int64_t width = weight.size(0), rows = reciprocals.numel();
    const auto dy = gradients[0].contiguous(), dx = at::empty_like(x);
    // Sums over rows are made in pieces whose number does not depend on that of the threads.
    constexpr int64_t kRows = 64;
    const int64_t pieces = (rows + kRows - 1) / kRows;
    torch::Tensor parts;
    if (context->needs_input_grad(1)) parts = at::zeros({pieces, width}, at::kFloat);
    in_pieces(pieces, std::max<int64_t>(1, kAtOnce / (kRows * width)), [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t first = piece * kRows, at = first * width;
        pointwise_kernels().rms_norm_back(is_half(x), numbers(x, at), numbers(weight), numbers(dy, at),
                                          reciprocals.data_ptr<float>() + first, std::min(kRows, rows - first), width,
                                          numbers(dx, at),
                                          parts.defined() ? parts.data_ptr<float>() + piece * width : nullptr);
      }
    });
    return {dx, parts.defined() ? parts.sum(0).to(weight.scalar_type()) : torch::Tensor(), torch::Tensor()};
  }
};

struct Turned : torch::autograd::Function<Turned> {
  static torch::Tensor computed(const torch::Tensor& x, const torch::Tensor& c, const torch::Tensor& s, float sign) {
    const int64_t rows = x.size(0), heads = x.size(1), half = x.size(-1) / 2,
                  pieces = x.numel() / (rows * heads) / (2 * half);
    const auto y = at::empty(x.sizes(), x.options());
    const int64_t head = pieces * 2 * half;  // numbers of one
    in_pieces(rows, kAtOnce / (heads * head), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t h = 0; h < heads; ++h) {
          pointwise_kernels().turn(is_half(x), numbers(x, row * x.stride(0) + h * x.stride(1)),
                                   c.const_data_ptr<float>() + row * head, s.const_data_ptr<float>() + row * head, sign,
                                   pieces, half, numbers(y, (row * heads + h) * head));
        }
      }
    });
    return y;
  }
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& c,
                               const torch::Tensor& s) {
    context->save_for_backward({c, s});
    return computed(x, c, s, 1.0f);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_gradient("a rotation");
    const auto saved = context->get_saved_variables();
    return {computed(gradients[0].contiguous(), saved[0], saved[1], -1.0f), torch::Tensor(), torch::Tensor()};
  }
};

struct RowLosses : torch::autograd::Function<RowLosses> {
  static torch::Tensor computed(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& sums) {
    const int64_t classes = logits.size(1);
    const auto losses = at::empty({logits.size(0)}, at::kFloat);
    in_pieces(logits.size(0), kAtOnce / classes, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t label = labels.const_data_ptr<int64_t>()[row];
        const float sum = pointwise_kernels().logsumexp(is_half(logits), numbers(logits, row * classes), classes);
        if (sums.defined()) sums.data_ptr<float>()[row] = sum;
        losses.data_ptr<float>()[row] = sum - number(logits, row * classes + label);
      }
    });
    return losses;
  }
  static float number(const torch::Tensor& t, int64_t i) {
    return is_half(t) ? static_cast<float>(t.const_data_ptr<at::BFloat16>()[i]) : t.const_data_ptr<float>()[i];
  }
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& logits, const torch::Tensor& labels) {
    const auto sums = at::empty({logits.size(0)}, at::kFloat);
    context->save_for_backward({logits, labels, sums});
    return computed(logits, labels, sums);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_second_gradient("a loss");
    const auto saved = context->get_saved_variables();
    const auto &logits = saved[0], &labels = saved[1], &sums = saved[2];
    const auto factors = gradients[0].to(at::kFloat).contiguous();
    const int64_t classes = logits.size(1);
    const auto dlogits = at::empty_like(logits);
    in_pieces(logits.size(0), kAtOnce / classes, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const float factor = factors.const_data_ptr<float>()[row], sum = sums.const_data_ptr<float>()[row];
        pointwise_kernels().softmax(is_half(logits), numbers(logits, row * classes), sum, factor, classes,
                                    numbers(dlogits, row * classes));
        const int64_t at = row * classes + labels.const_data_ptr<int64_t>()[row];
        const float right = (std::exp(number(logits, at) - sum) - 1.0f) * factor;
        if (is_half(logits)) {
          dlogits.data_ptr<at::BFloat16>()[at] = right;
        } else {
          dlogits.data_ptr<float>()[at] = right;
        }
      }
    });
    return {dlogits, torch::Tensor()};
  }
};

torch::Tensor by_libtorch(Curve f, const torch::Tensor& x) {
  if (f == Curve::silu) return torch::silu(x);
  return f == Curve::gelu ? torch::gelu(x) : torch::gelu(x, "tanh");
}

}  // namespace

torch::Tensor curve_of(Curve f, const torch::Tensor& x) {
  if (!is_known(x)) return by_libtorch(f, x);
  const auto numbers = x.contiguous();
  return is_tracked({x}) ? CurveOf::apply(numbers, static_cast<int64_t>(f)) : CurveOf::computed(f, numbers, {});
}

torch::Tensor sum_in_type(const torch::Tensor& y, const torch::Tensor& more) {
  if (!is_known(y) || !is_half(y) || more.scalar_type() != at::kFloat || more.sizes() != y.sizes()) {
    return (y + more).to(y.scalar_type());
  }
  const auto a = y.contiguous(), b = more.contiguous();
  return is_tracked({y, more}) ? SumInType::apply(a, b) : SumInType::computed(a, b);
}

torch::Tensor silu_times(const torch::Tensor& gate, const torch::Tensor& up) {
  if (!is_known(gate) || up.scalar_type() != gate.scalar_type() || up.sizes() != gate.sizes()) {
    return torch::silu(gate) * up;
  }
  const auto a = gate.contiguous(), b = up.contiguous();
  return is_tracked({gate, up}) ? SiluTimes::apply(a, b) : SiluTimes::computed(a, b);
}

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps) {
  if (is_known(x) && weight.scalar_type() == x.scalar_type()) {
    const auto rows = x.contiguous(), factors = weight.contiguous();
    if (is_tracked({x, weight})) return RmsNormOf::apply(rows, factors, eps);
    return RmsNormOf::computed(rows, factors, eps, at::empty({x.numel() / weight.size(0)}, at::kFloat));
  }
  // At least in float32, as in transformers.
  const auto wide = x.scalar_type() == torch::kFloat64 ? x : x.to(torch::kFloat32);
  return weight * (wide * torch::rsqrt(wide.pow(2).mean(-1, /*keepdim=*/true) + eps)).to(x.scalar_type());
}

torch::Tensor turned(const torch::Tensor& x, const torch::Tensor& cosines, const torch::Tensor& sines) {
  if (is_known(x) && x.dim() >= 3 && x.size(-1) % 2 == 0) {
    // The numbers of a head one behind the other.
    const auto packed = x.flatten(2).stride(-1) == 1 ? x : x.contiguous();
    const auto wide = [](const torch::Tensor& t) { return t.to(at::kFloat).contiguous(); };
    return is_tracked({x}) ? Turned::apply(packed, wide(cosines), wide(sines))
                           : Turned::computed(packed, wide(cosines), wide(sines), 1.0f);
  }
  const auto halves = x.chunk(2, -1);
  const auto across = torch::cat({-halves[1], halves[0]}, -1);
  return (x * cosines.unsqueeze(1) + across * sines.unsqueeze(1)).to(x.scalar_type());
}

torch::Tensor row_losses(const torch::Tensor& logits, const torch::Tensor& labels) {
  if (!is_known(logits)) {
    return torch::cross_entropy_loss(logits.to(torch::kFloat32), labels, {}, at::Reduction::None);
  }
  const auto rows = logits.contiguous(), right = labels.contiguous();
  const int64_t classes = rows.size(1);
  TORCH_CHECK(right.numel() == rows.size(0) && right.ge(0).logical_and(right.lt(classes)).all().item<bool>(),
              "a label is none of ", classes, " classes");
  return is_tracked({logits}) ? RowLosses::apply(rows, right) : RowLosses::computed(rows, right, {});
}

}  // namespace peftlab
