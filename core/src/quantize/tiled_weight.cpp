#include "api/matrix_product.h"
#include "kernels/few_rows.h"
#include "kernels/path.h"

#include <quantize/device_weight.h>
#include <quantize/tiled_weight.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>

namespace peftlab {
namespace {

/// Bytes of a tile. Measured with W [4096, 4096] on two cores: from 2 to 4 MB products of 65 rows and more gain a fifth,
/// and nothing beyond.
constexpr int64_t kTileBytes = 4 << 20;
constexpr int64_t kTileUnit = 64;           // columns: tiles begin where blocks of weights may
constexpr int64_t kPieceBytes = 256 << 10;  // of W, which stay in a core's own cache

/// Up to so many rows x W in float32 is summed over such pieces. Measured with W [4096, 4096] on two cores with AVX-512:
/// 32 rows take 0.62 of the time with tiles, 64 rows 0.81, 128 rows 0.95.
int64_t most_rows_across() { return best_path() >= Path::avx512 ? 128 : 48; }

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

torch::Tensor TiledWeight::without_tiles(const torch::Tensor&, bool) const { return {}; }

torch::Tensor TiledWeight::multiply_rows(const torch::Tensor& x, bool transposed) const {
  if (const auto y = without_tiles(x, transposed); y.defined()) return y;
  if (transposed && x.scalar_type() == torch::kFloat32 && x.size(0) <= most_rows_across()) return few_rows_across(x);
  const auto y = at::empty({x.size(0), transposed ? in() : out()}, x.options());
  multiply_tiles(x, y, transposed);
  return y;
}

/// Each strip of columns of W gives those of y, and sums over the strip's pieces in their order.
torch::Tensor TiledWeight::few_rows_across(const torch::Tensor& x) const {
  const auto y = at::zeros({x.size(0), in()}, x.options());
  const int64_t width = std::clamp(in() / 4 / 64 * 64, kTileUnit, int64_t{1024});
  const int64_t depth = std::max<int64_t>(1, kPieceBytes / (width * static_cast<int64_t>(sizeof(float))));
  at::parallel_for(0, (in() + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    auto* piece = static_cast<float*>(scratch(0, kPieceBytes));
    for (int64_t first = begin * width; first < std::min(end * width, in()); first += width) {
      FewRowsCall call;
      call.weight = piece;
      call.weight_row = call.out = std::min(width, in() - first);
      call.rows = x.size(0);
      call.x_row = out();
      call.y = y.mutable_data_ptr<float>() + first;
      call.y_row = in();
      for (int64_t row = 0; row < out(); row += depth) {
        call.in = std::min(depth, out() - row);
        tile(row, call.in, first, call.out, torch::kFloat32, piece);
        call.x = x.const_data_ptr<float>() + row;
        few_rows_kernels().across_columns(call, 0, call.out);
      }
    }
  });
  return y;
}

/// Each tile gives some columns of y for good: it has whole rows of W for x W^T, whole columns for x W. So sums are
/// never continued, and their order does not depend on the number of threads.
void TiledWeight::multiply_tiles(const torch::Tensor& x, const torch::Tensor& y, bool transposed) const {
  const auto type = piece_type(x.scalar_type());
  const int64_t width = c10::elementSize(type), length = x.size(1), columns = y.size(1);
  // A multiple of four tiles where there is so much, of nearly one width, that threads have as much to do as each other.
  const int64_t units = (columns + kTileUnit - 1) / kTileUnit;
  const int64_t fit = std::max<int64_t>(1, kTileBytes / std::max<int64_t>(1, length * width * kTileUnit));
  const int64_t tiles = std::min(units, ((units + fit - 1) / fit + 3) / 4 * 4);
  const auto first_of = [&](int64_t i) { return std::min(columns, units * i / tiles * kTileUnit); };
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    const torch::NoGradGuard no_grad;
    void* memory = scratch(0, (units + tiles - 1) / tiles * kTileUnit * length * width);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = first_of(i), count = first_of(i + 1) - first;
      auto w =
          at::from_blob(memory, {transposed ? length : count, transposed ? count : length}, torch::TensorOptions(type));
      if (transposed) {
        tile(0, length, first, count, type, memory);
      } else {
        tile(first, count, 0, length, type, memory);
      }
      auto part = y.narrow(1, first, count);
      const auto factor = (transposed ? w : w.t()).to(x.scalar_type());
      if (goes_to_onednn(x, factor)) {
        part.copy_(matrix_product(x, factor));
      } else {
        at::mm_out(part, x, factor);
      }
    }
  });
}

void TiledWeight::write_rows(int64_t first, const torch::Tensor& to) const {
  check_rows(first, to);
  const auto type = to.scalar_type();
  auto* memory = static_cast<char*>(to.mutable_data_ptr());
  const int64_t row_bytes = in() * to.element_size();
  at::parallel_for(0, to.size(0), std::max<int64_t>(1, 65536 / std::max<int64_t>(1, row_bytes)),
                   [&](int64_t begin, int64_t end) {
                     const torch::NoGradGuard no_grad;
                     tile(first + begin, end - begin, 0, in(), type, memory + begin * row_bytes);
                   });
}

std::shared_ptr<const WeightStorage> TiledWeight::to(torch::Device device) const {
  return device.is_cpu() ? shared_from_this() : put_on_device(*this, device);
}

}  // namespace peftlab
