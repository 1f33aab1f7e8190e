#pragma once

/// \file
/// The stack of BERT. All names of members are the names of a checkpoint's tensors.

#include "config.h"

#include <peftlab/batch.h>
#include <peftlab/nn/attention.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>
#include <peftlab/nn/sublayer.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::bert {

/// What ends each sublayer: LN(residual + dropout(dense(x))), with a site before the sum.
struct Output : torch::nn::Module {
  /// `path`: the module's name in the model, after which its site is named.
  Output(const Config& config, int64_t in, Sublayer::Position position, const std::string& path);

  /// x [total, in], residual [total, hidden] -> [total, hidden]. The residual is what the whole sublayer was given.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual) const;

  std::shared_ptr<Linear> dense;
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<Sublayer> sublayer;
  double dropout;
};

/// One layer: h = LN(x + attention(x)); LN(h + W_2 activation(W_1 h)).
struct Layer : torch::nn::Module {
  Layer(const Config& config, const std::string& path);

  /// x [total, hidden] -> the same shape. Every row sees all rows of its sequence.
  torch::Tensor forward(const torch::Tensor& x, const AttentionPlan& plan) const;

  std::shared_ptr<Linear> query, key, value, intermediate;
  std::shared_ptr<AttentionSite> site;
  std::shared_ptr<Output> attention_output, output;
  Activation activation;
  double attention_dropout;
};

/// "bert" or "roberta" of the checkpoint, without the pooler.
struct Stack : torch::nn::Module {
  explicit Stack(const Config& config);

  /// tokens int64 [total] -> [total, hidden], or of the rows `asked` alone, int64 [n] ascending, [n, hidden]. Every row
  /// sees its whole sequence, whatever the layout's contexts are.
  /// Rows that methods put in front are gone from the result; `first_of_all`: the row of each sequence's first token is
  /// then that of its first virtual token, which is what transformers' classifiers read.
  /// Throws: ConfigError for a sequence that is longer than the table of positions.
  torch::Tensor forward(const torch::Tensor& tokens, const Layout& layout, const torch::Tensor& asked,
                        bool first_of_all) const;

  std::shared_ptr<Embedding> words, positions, types;
  std::shared_ptr<EmbeddingSite> embedding_site;
  std::shared_ptr<LayerNorm> norm;
  std::vector<std::shared_ptr<Layer>> layers;
  double dropout;

 private:
  torch::Tensor places(const torch::Tensor& tokens, const AttentionPlan& plan) const;
  torch::Tensor read(const EmbeddingSite::Extended& extended, const Layout& layout, const torch::Tensor& asked,
                     bool first_of_all) const;

  int64_t first_position_;
  bool skips_padding_;  // RoBERTa: a pad written in a text takes no position
};

}  // namespace peftlab::bert
