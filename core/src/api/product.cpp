// A product of a few rows costs what reading the weight costs, if the weight lies in the order it is read in; MKL's puts it
// into that order at every call, which takes longer than the rest (4 to 32 rows of float32: 40 % of the time).

#include "api/matrix_product.h"
#include "api/onednn.h"
#include "base/free_memory.h"

#include <peftlab/nn/product.h>

#include <ATen/autocast_mode.h>

#include <mutex>
#include <unordered_map>

namespace peftlab {
namespace {

constexpr int64_t kFewestNumbers = int64_t{1} << 18;  // of a weight; a smaller one stays in the processor's caches
constexpr int64_t kFewestRows = 2, kMostRows = 64;    // outside them nothing is gained
constexpr int kMeetings = 4;                          // after so many a weight is met again
constexpr double kShareOfFree = 0.25;                 // of the memory that is free, for all copies

/// The copies there are, by the weight they are of.
class Packed {
 public:
  /// The copy of `weight`; undefined while it is not worth one.
  at::Tensor find(const at::Tensor& weight) {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[weight.unsafeGetTensorImpl()];
    if (entry.weight.expired() || entry.version != weight._version()) {
      drop(entry);
      entry = {c10::weak_intrusive_ptr<at::TensorImpl>(weight.getIntrusivePtr()),
               static_cast<int64_t>(weight._version()),
               0,
               {}};
    }
    if (!entry.copy.defined() && ++entry.met == kMeetings) {  // once: where memory is short it stays so
      forget_the_dead();
      const auto bytes = static_cast<int64_t>(weight.nbytes());
      if (static_cast<double>(bytes_ + bytes) <=
          kShareOfFree * static_cast<double>(free_memory().value_or(0) + bytes_)) {
        entry.copy = reordered(weight);
        entry.bytes = bytes;
        bytes_ += bytes;
      }
    }
    return entry.copy;
  }

 private:
  struct Entry {
    c10::weak_intrusive_ptr<at::TensorImpl> weight{c10::intrusive_ptr<at::TensorImpl>()};
    int64_t version = 0;
    int met = 0;
    at::Tensor copy;
    int64_t bytes = 0;
  };

  void drop(Entry& entry) {
    bytes_ -= entry.bytes;
    entry.copy.reset();
    entry.bytes = 0;
  }
  void forget_the_dead() {
    for (auto& [weight, entry] : entries_) {
      if (entry.weight.expired()) drop(entry);
    }
    std::erase_if(entries_, [](const auto& item) { return item.second.weight.expired(); });
  }

  std::mutex mutex_;
  std::unordered_map<const at::TensorImpl*, Entry> entries_;
  int64_t bytes_ = 0;
};

bool is_worth_packing(const at::Tensor& x, const at::Tensor& weight) {
  if (at::GradMode::is_enabled() || !x.device().is_cpu() || weight.numel() < kFewestNumbers) return false;
  if (x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat || weight.dim() != 2) return false;
  const int64_t rows = x.numel() / weight.size(1);
  return rows >= kFewestRows && rows <= kMostRows && !weight.is_inference() &&
         !at::autocast::is_autocast_enabled(at::kCPU) && at::hasMKLDNN();
}

}  // namespace

torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  if (is_worth_packing(x, weight)) {
    static Packed* const packed = new Packed;  // never destroyed: libraries that end after it may still ask
    if (const at::Tensor copy = packed->find(weight); copy.defined()) return onednn_linear(x, copy, bias);
  }
  return goes_to_onednn(x, weight) ? linear_by_onednn(x, weight, bias) : torch::linear(x, weight, bias);
}

}  // namespace peftlab
