#include <peftlab/error.h>
#include <quantize/tiled_weight.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <torch/autograd.h>

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>

namespace peftlab {
namespace {

/// Bytes of a tile: it stays in the second cache of a core, and is wide enough for a product to be fast.
constexpr int64_t kTileBytes = 2 << 20;
constexpr int64_t kFewestInTile = 64;

/// The type in which tiles are made for an operand of `type`.
torch::ScalarType tile_type(torch::ScalarType type) { return type == torch::kDouble ? torch::kFloat32 : type; }

void require_real(torch::ScalarType type) {
  if (type != torch::kFloat32 && type != torch::kBFloat16 && type != torch::kHalf && type != torch::kDouble) {
    throw UnsupportedError(std::string("a product with a quantized weight has the type ") + c10::toString(type) +
                           ", wanted Float, BFloat16, Half or Double");
  }
}

/// What autograd keeps for the backward pass: a share in the codes, and no tensor.
struct Share : torch::CustomClassHolder {
  explicit Share(std::shared_ptr<const TiledWeight> weight) : weight(std::move(weight)) {}
  std::shared_ptr<const TiledWeight> weight;
};

/// x W^T or x W. The gradient of each is the other of the gradient.
class Product : public torch::autograd::Function<Product> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const std::shared_ptr<const TiledWeight>& weight, bool transposed) {
    context->saved_data["weight"] = torch::IValue::make_capsule(c10::make_intrusive<Share>(weight));
    context->saved_data["transposed"] = transposed;
    return weight->product(x, transposed);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto share = c10::static_intrusive_pointer_cast<Share>(context->saved_data["weight"].toCapsule());
    const bool transposed = context->saved_data["transposed"].toBool();
    return {apply(gradients[0], share->weight, !transposed), torch::Tensor(), torch::Tensor()};
  }
};

/// Asks for large pages where a new tensor is large: its first touch is most of the time that filling it takes.
void expect_all_of(const torch::Tensor& t) {
  constexpr uintptr_t kLargePage = 2 << 20;
  const auto begin = reinterpret_cast<uintptr_t>(t.data_ptr()), end = begin + t.nbytes();
  const uintptr_t first = (begin + kLargePage - 1) / kLargePage * kLargePage, last = end / kLargePage * kLargePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

struct Freed {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
};

}  // namespace

void* scratch(int slot, int64_t bytes) {
  struct Piece {
    std::unique_ptr<void, Freed> memory;
    int64_t bytes = 0;
  };
  thread_local std::array<Piece, 4> pieces;
  auto& piece = pieces.at(slot);
  if (piece.bytes < bytes) {
    piece.memory.reset(::operator new(bytes, std::align_val_t(64)));
    piece.bytes = bytes;
  }
  return piece.memory.get();
}

TiledWeight::TiledWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype)
    : format_(std::move(format)), in_(in), out_(out), dtype_(dtype) {}

int64_t TiledWeight::bytes() const {
  int64_t sum = 0;
  for (const auto& [name, tensor] : tensors()) sum += tensor.nbytes();
  return sum;
}

torch::Tensor TiledWeight::whole(torch::ScalarType) const { return {}; }
torch::Tensor TiledWeight::few_rows(const torch::Tensor&) const { return {}; }

torch::Tensor TiledWeight::multiply(const torch::Tensor& x) const {
  if (torch::GradMode::is_enabled() && x.requires_grad()) return Product::apply(x, shared_from_this(), false);
  return product(x, false);
}

torch::Tensor TiledWeight::product(const torch::Tensor& x, bool transposed) const {
  const int64_t from = transposed ? out_ : in_, to = transposed ? in_ : out_;
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == from, "the last size of the operand is not ", from, " but its shape is ",
              x.sizes());
  require_real(x.scalar_type());
  if (!x.device().is_cpu())
    throw UnsupportedError("the quantized weight is on the CPU, what it is multiplied by is not");

  const auto rows = x.detach().reshape({-1, from}).contiguous();
  auto sizes = x.sizes().vec();
  sizes.back() = to;
  if (const auto w = whole(x.scalar_type()); w.defined()) return at::mm(rows, transposed ? w : w.t()).view(sizes);
  if (!transposed && rows.numel() > 0) {
    if (const auto y = few_rows(rows); y.defined()) return y.view(sizes);
  }
  const auto y = at::empty({rows.size(0), to}, rows.options());
  if (y.numel() > 0) multiply_tiles(rows, y, transposed);
  return y.view(sizes);
}

/// Each tile gives some columns of y for good: it has whole rows of W for x W^T, whole columns for x W. So sums are
/// never continued, and their order does not depend on the number of threads.
void TiledWeight::multiply_tiles(const torch::Tensor& x, const torch::Tensor& y, bool transposed) const {
  const auto type = tile_type(x.scalar_type());
  const int64_t width = c10::elementSize(type), length = x.size(1), columns = y.size(1);
  // At least four tiles where there is so much, that threads have something to share.
  const int64_t fit = kTileBytes / std::max<int64_t>(1, length * width), share = columns / 4;
  const int64_t a_tile = std::max(kFewestInTile, std::min(fit, share) / 64 * 64);
  const int64_t tiles = (columns + a_tile - 1) / a_tile;
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    const torch::NoGradGuard no_grad;
    void* memory = scratch(0, a_tile * length * width);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * a_tile, count = std::min(a_tile, columns - first);
      auto w =
          at::from_blob(memory, {transposed ? length : count, transposed ? count : length}, torch::TensorOptions(type));
      if (transposed) {
        tile(0, length, first, count, type, memory);
      } else {
        tile(first, count, 0, length, type, memory);
      }
      auto part = y.narrow(1, first, count);
      at::mm_out(part, x, (transposed ? w : w.t()).to(x.scalar_type()));
    }
  });
}

torch::Tensor TiledWeight::dense(torch::ScalarType type) const {
  require_real(type);
  if (type == torch::kDouble) return dense(torch::kFloat32).to(type);
  if (const auto w = whole(type); w.defined()) return w.clone();
  const auto w = at::empty({out_, in_}, torch::TensorOptions(type));
  expect_all_of(w);
  auto* to = static_cast<char*>(w.mutable_data_ptr());
  const int64_t row_bytes = in_ * w.element_size();
  at::parallel_for(0, out_, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, row_bytes)),
                   [&](int64_t begin, int64_t end) { tile(begin, end - begin, 0, in_, type, to + begin * row_bytes); });
  return w;
}

std::shared_ptr<const WeightStorage> TiledWeight::to(torch::Device device) const {
  if (device.is_cpu()) return shared_from_this();
  throw UnsupportedError("a weight in " + format_.type + " cannot be on the device " + device.str() +
                         ": these formats are computed on the CPU");
}

}  // namespace peftlab
