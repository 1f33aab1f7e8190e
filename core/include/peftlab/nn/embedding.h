#pragma once

/// \file
/// Rows looked up by id, and the place before the first layer where a method may put vectors of its own.

#include <peftlab/batch.h>
#include <peftlab/export.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace peftlab {

/// A table of vectors, weight [rows, width]; N(0, 1) at first, as torch.nn.Embedding.
class PEFTLAB_API Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t rows, int64_t width);

  /// ids int64 [n] -> [n, width].
  torch::Tensor forward(const torch::Tensor& ids) const;

  torch::Tensor weight;
};

/// The input embeddings of a model as a site: virtual tokens go in front of every sequence.
class PEFTLAB_API EmbeddingSite : public torch::nn::Module {
 public:
  /// Gives the vectors to put in front: [virtual tokens, width]. Called once a forward pass.
  using Source = std::function<torch::Tensor()>;

  EmbeddingSite(std::string name, int64_t width) : name(std::move(name)), width(width) {}

  /// Later sources go in front of earlier ones.
  void prepend(Source source, int64_t tokens);
  int64_t virtual_tokens() const { return tokens_; }

  /// Sequences with the virtual tokens in front of each.
  struct Extended {
    torch::Tensor rows;      ///< [total + sequences * virtual tokens, width]
    Layout layout;           ///< lengths and contexts grown by the virtual tokens (a context of 0 stays 0)
    torch::Tensor own_rows;  ///< int64 [total]: where the batch's own rows went; undefined if nothing was added

    /// Where `asked` of the batch's own rows went, int64 [n] on the device of `asked`; undefined, which means all: all
    /// of them.
    torch::Tensor places(const torch::Tensor& asked) const;
  };
  /// embedded [total, width] as `layout` says.
  Extended extend(const torch::Tensor& embedded, const Layout& layout) const;

  std::string name;
  int64_t width;

 private:
  std::vector<Source> sources_;
  int64_t tokens_ = 0;
};

}  // namespace peftlab
