#include "api/packed_attention.h"

#include <peftlab/error.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/autograd.h>

#include <memory>

namespace peftlab {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Memory of this thread that stays and grows.
float* room(int64_t numbers) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local int64_t size = 0;
  if (size < numbers) {
    memory.reset(new float[numbers]);
    size = numbers;
  }
  return memory.get();
}

/// As kernels read them: the numbers of a head one behind the other.
torch::Tensor readable(const torch::Tensor& t) { return t.stride(-1) == 1 ? t : t.contiguous(); }

template <typename Rows>
Rows rows_of(const torch::Tensor& t, int64_t row, int64_t head) {
  auto* const first = static_cast<char*>(t.data_ptr()) +
                      (row * t.stride(0) + head * t.stride(1)) * static_cast<int64_t>(t.element_size());
  return {first, t.stride(0), t.stride(1)};
}

/// Tensors [rows, heads, width] that are there or not.
struct Operands {
  torch::Tensor q, k, v, prefix_k, prefix_v;
};

/// Calls of one pass: one for each sequence and head of keys.
class Calls {
 public:
  Calls(Operands operands, const PackedShape& shape, uint64_t draw, torch::Tensor logsumexp)
      : operands_(std::move(operands)), shape_(shape), draw_(draw), logsumexp_(std::move(logsumexp)) {}

  int64_t kv_heads() const { return operands_.k.size(1); }
  int64_t group() const { return operands_.q.size(1) / kv_heads(); }
  int64_t prefix() const { return operands_.prefix_k.defined() ? operands_.prefix_k.size(0) : 0; }
  int64_t sequences() const { return shape_.sequences(); }

  AttentionCall of(int64_t s, int64_t head) const {
    AttentionCall call;
    call.is_bfloat16 = operands_.q.scalar_type() == at::kBFloat16;
    const auto [row, rows] = shape_.queries[s];
    const auto [key, keys] = shape_.keys[s];
    call.queries = rows;
    call.group = group();
    call.width = operands_.q.size(2);
    call.scale = static_cast<float>(shape_.scale);
    call.dropout = static_cast<float>(shape_.dropout);
    call.draw = draw_ + 0xD1B54A32D192ED03u * static_cast<uint64_t>(s * kv_heads() + head + 1);
    call.sight = shape_.sights.data() + row;
    call.query = rows_of<GivenRows>(operands_.q, row, head * group());
    if (prefix() > 0) {
      call.front = {rows_of<GivenRows>(operands_.prefix_k, 0, head), rows_of<GivenRows>(operands_.prefix_v, 0, head),
                    prefix()};
    }
    call.own = {rows_of<GivenRows>(operands_.k, key, head), rows_of<GivenRows>(operands_.v, key, head), keys};
    if (logsumexp_.defined()) {
      call.logsumexp = logsumexp_.data_ptr<float>() + (head * operands_.q.size(0) + row) * group();
    }
    return call;
  }

  /// f(sequence, head) for all, on all threads. Neighbours are of one head: threads then share long and short sequences.
  template <typename F>
  void each(const F& f) const {
    at::parallel_for(0, sequences() * kv_heads(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(i % sequences(), i / sequences());
    });
  }

 private:
  const Operands operands_;
  const PackedShape& shape_;
  const uint64_t draw_;
  const torch::Tensor logsumexp_;
};

torch::Tensor computed(const Calls& calls, const torch::Tensor& q, const PackedShape& shape) {
  const auto out = at::empty(q.sizes(), q.options());
  const AttentionKernels& kernels = attention_kernels();
  calls.each([&](int64_t s, int64_t head) {
    const AttentionCall call = calls.of(s, head);
    kernels.forward(call, rows_of<WrittenRows>(out, shape.queries[s].first, head * calls.group()),
                    room(kernels.forward_room(call)));
  });
  return out.view({q.size(0), q.size(1) * q.size(2)});
}

struct Held : torch::CustomClassHolder {
  Held(PackedShape shape, uint64_t draw) : shape(std::move(shape)), draw(draw) {}
  const PackedShape shape;
  const uint64_t draw;
};

uint64_t drawn() { return static_cast<uint64_t>(at::empty({1}, torch::kInt64).random_().const_data_ptr<int64_t>()[0]); }

class Packed : public torch::autograd::Function<Packed> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, const std::optional<torch::Tensor>& prefix_k,
                               const std::optional<torch::Tensor>& prefix_v, const PackedShape& shape) {
    const Operands operands{readable(q), readable(k), readable(v), prefix_k ? readable(*prefix_k) : torch::Tensor(),
                            prefix_v ? readable(*prefix_v) : torch::Tensor()};
    const uint64_t draw = shape.dropout > 0 ? drawn() : 0;
    const auto logsumexp = at::empty({q.numel() / q.size(2)}, torch::kFloat32);
    const auto out = computed(Calls(operands, shape, draw, logsumexp), operands.q, shape);
    context->save_for_backward({operands.q, operands.k, operands.v, operands.prefix_k, operands.prefix_v, logsumexp});
    context->saved_data["held"] = torch::IValue::make_capsule(c10::make_intrusive<Held>(shape, draw));
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    if (torch::GradMode::is_enabled()) throw UnsupportedError("attention has no gradient of its gradient");
    const auto held = c10::static_intrusive_pointer_cast<Held>(context->saved_data["held"].toCapsule());
    const auto saved = context->get_saved_variables();
    const Operands operands{saved[0], saved[1], saved[2], saved[3], saved[4]};
    const Calls calls(operands, held->shape, held->draw, saved[5]);
    const auto dout = readable(gradients[0].view(operands.q.sizes()));
    const auto dq = at::empty(operands.q.sizes(), operands.q.options());
    const auto dk = at::empty(operands.k.sizes(), operands.k.options());
    const auto dv = at::empty(operands.v.sizes(), operands.v.options());
    torch::Tensor dfront;  // [2, sequences, prefix, kv heads, width]
    if (calls.prefix() > 0) {
      dfront = at::zeros({2, calls.sequences(), calls.prefix(), calls.kv_heads(), operands.q.size(2)}, torch::kFloat32);
    }
    const AttentionKernels& kernels = attention_kernels();
    calls.each([&](int64_t s, int64_t head) {
      const AttentionCall call = calls.of(s, head);
      const int64_t row = held->shape.queries[s].first, key = held->shape.keys[s].first, first = head * calls.group();
      AttentionGradients to;
      to.dout = rows_of<GivenRows>(dout, row, first);
      to.dquery = rows_of<WrittenRows>(dq, row, first);
      to.dkeys = rows_of<WrittenRows>(dk, key, head);
      to.dvalues = rows_of<WrittenRows>(dv, key, head);
      if (dfront.defined()) {
        to.dfront_keys = dfront.data_ptr<float>() + s * dfront.stride(1) + head * dfront.stride(3);
        to.dfront_values = to.dfront_keys + dfront.stride(0);
        to.dfront_row = dfront.stride(2);
      }
      kernels.backward(call, to, room(kernels.backward_room(call)));
    });
    torch::Tensor dprefix_k, dprefix_v;
    if (dfront.defined()) {
      const auto sums = dfront.sum(1).to(operands.q.scalar_type());
      dprefix_k = sums[0];
      dprefix_v = sums[1];
    }
    return {dq, dk, dv, dprefix_k, dprefix_v, torch::Tensor()};
  }
};

}  // namespace

bool can_be_packed(const torch::Tensor& q) {
  return q.device().is_cpu() && (q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16);
}

torch::Tensor packed_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const torch::Tensor& prefix_k, const torch::Tensor& prefix_v, const PackedShape& shape) {
  const auto given = [](const torch::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; };
  return Packed::apply(q, k, v, given(prefix_k), given(prefix_v), shape);
}

torch::Tensor cached_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const PackedShape& shape) {
  // Rows of a sequence's keys are `width` apart, heads a capacity: [sequences * capacity, kv heads, width] as views.
  const auto rows = [](const torch::Tensor& t) {
    return t.as_strided({t.size(0) * t.size(2), t.size(1), t.size(3)}, {t.stride(2), t.stride(1), 1});
  };
  PackedShape places = shape;
  for (int64_t s = 0; s < shape.sequences(); ++s) places.keys[s].first = s * k.stride(0) / k.stride(2);
  const auto query = readable(q);
  return computed(Calls({query, rows(k), rows(v), {}, {}}, places, 0, {}), query, places);
}

}  // namespace peftlab
