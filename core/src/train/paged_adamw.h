#pragma once

/// \file
/// AdamW whose moments need not fit into memory, after the paged optimizers of Dettmers et al., 2023, "QLoRA: Efficient
/// Finetuning of Quantized LLMs", arXiv:2305.14314, section 3.

#include "train/optimizer.h"
#include "train/paged_memory.h"

#include <memory>
#include <vector>

namespace peftlab::train {

/// The numbers of AdamW, bit for bit; the moments lie in paged memory: a mapped file on the CPU, memory managed by the
/// driver on a GPU. bitsandbytes has the second alone, and not for tensors below 100,000 numbers; here all are paged.
///
/// A step passes through the parameters in windows of at least 4 MiB of moments (or one parameter): while one is
/// updated, the next is asked for; then it is given back. Where one window holds everything, nothing is.
class PagedAdamW final : public Optimizer {
 public:
  /// `folder`: where the file is made. Throws: as mapped_file() and managed_memory().
  PagedAdamW(const TensorMap& parameters, const Options& options, const std::filesystem::path& folder);

  TensorMap state() const override;

 private:
  void update(double learning_rate, double gradient_factor) override;

  /// Slots [begin, end) and where their moments lie.
  struct Window {
    size_t begin, end;
    int64_t offset, bytes;
  };

  std::shared_ptr<PagedMemory> memory_;        ///< none if there is no number to train
  std::vector<torch::Tensor> first_, second_;  ///< by slot
  std::vector<Window> windows_;
};

}  // namespace peftlab::train
