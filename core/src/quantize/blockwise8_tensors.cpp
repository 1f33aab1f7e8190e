#include <quantize/blockwise8.h>
#include <quantize/blockwise8_tensors.h>

#include <torch/torch.h>

namespace peftlab {
namespace {

/// The first n of what each block has one of.
torch::Tensor by_number(const torch::Tensor& of_block, int64_t block, int64_t n) {
  return of_block.repeat_interleave(block).narrow(0, 0, n);
}

}  // namespace

void encode8_tensor(const torch::Tensor& x, int64_t block, bool is_signed, const torch::Tensor& q,
                    const torch::Tensor& absmax) {
  const torch::NoGradGuard no_grad;
  const int64_t n = x.numel(), blocks = absmax.numel();
  absmax.copy_(torch::constant_pad_nd(x, {0, blocks * block - n}).view({blocks, block}).abs().amax(1));
  const auto scale = by_number(torch::where(absmax > 0, 1.0f / absmax, torch::zeros_like(absmax)), block, n);
  const auto v = (x * scale).clamp_(-1.0f, 1.0f);
  const auto place = v.add_(1.0f).mul_(0.5f).mul_(65535.0f).add_(0.5f).to(torch::kInt32);
  const auto& codes = sixteen_bit_codes(is_signed);
  const auto table =
      torch::from_blob(const_cast<uint8_t*>(codes.data()), {static_cast<int64_t>(codes.size())}, torch::kUInt8)
          .to(x.device());
  q.copy_(torch::where(scale > 0, table.index_select(0, place), torch::zeros_like(q)));
}

torch::Tensor decode8_tensor(const torch::Tensor& q, const torch::Tensor& absmax, int64_t block, bool is_signed) {
  const torch::NoGradGuard no_grad;
  const auto& code = dynamic_code(is_signed);
  const auto table = torch::from_blob(const_cast<float*>(code.data()), {256}, torch::kFloat32).to(q.device());
  return table.index_select(0, q.to(torch::kInt32)).mul_(by_number(absmax, block, q.numel()));
}

}  // namespace peftlab
