#include "encoder.h"

#include <peftlab/nn/linear.h>

#include <torch/nn/modules/rnn.h>

#include <string>
#include <utility>
#include <vector>

namespace peftlab::ptuning {
namespace {

/// Linear maps with a ReLU between each and the next. They count as peft's torch.nn.Sequential does, ReLUs included:
/// "0", "2", "4".
class Head final : public torch::nn::Module {
 public:
  /// `widths`: of the input and of each map's output.
  explicit Head(const std::vector<int64_t>& widths) {
    for (size_t i = 0; i + 1 < widths.size(); ++i) {
      maps_.push_back(register_module(std::to_string(2 * i), std::make_shared<Linear>(widths[i], widths[i + 1])));
    }
  }

  torch::Tensor forward(torch::Tensor x) const {
    for (size_t i = 0; i < maps_.size(); ++i) x = maps_[i]->forward(i == 0 ? x : torch::relu(x));
    return x;
  }

 private:
  std::vector<std::shared_ptr<Linear>> maps_;
};

/// P = W_3 relu(W_2 relu(W_1 E + b_1) + b_2) + b_3.
class Mlp final : public Encoder {
 public:
  explicit Mlp(const EncoderShape& shape) : Encoder(shape) {
    const std::vector<int64_t> widths = {shape.width, shape.hidden, shape.hidden, shape.width};
    head_ = register_module("mlp_head", std::make_shared<Head>(widths));
  }

  torch::Tensor forward() override { return head_->forward(table_->weight); }

 private:
  std::shared_ptr<Head> head_;
};

/// P = W_2 relu(W_1 h + b_1) + b_2, with h [tokens, 2 hidden] of an LSTM that reads E both ways.
class Lstm final : public Encoder {
 public:
  explicit Lstm(const EncoderShape& shape) : Encoder(shape) {
    lstm_ = register_module("lstm_head", torch::nn::LSTM(torch::nn::LSTMOptions(shape.width, shape.hidden)
                                                             .num_layers(shape.layers)
                                                             .dropout(shape.dropout)
                                                             .bidirectional(true)
                                                             .batch_first(true)));
    const std::vector<int64_t> widths = {2 * shape.hidden, 2 * shape.hidden, shape.width};
    head_ = register_module("mlp_head", std::make_shared<Head>(widths));
  }

  torch::Tensor forward() override {
    // Without gradients LibTorch computes an LSTM by other kernels, to another last bit. P is to be the same while
    // training, answering and saving (where peft has gradients on).
    const bool wanted = torch::GradMode::is_enabled();
    const torch::AutoGradMode grad(true);
    const torch::Tensor prompt = head_->forward(std::get<0>(lstm_->forward(table_->weight.unsqueeze(0))).squeeze(0));
    return wanted ? prompt : prompt.detach();
  }

 private:
  torch::nn::LSTM lstm_ = nullptr;
  std::shared_ptr<Head> head_;
};

}  // namespace

Encoder::Encoder(const EncoderShape& shape) {
  table_ = register_module("embedding", std::make_shared<Embedding>(shape.tokens, shape.width));
}

std::shared_ptr<Encoder> make_encoder(const EncoderShape& shape) {
  if (shape.lstm) return std::make_shared<Lstm>(shape);
  return std::make_shared<Mlp>(shape);
}

}  // namespace peftlab::ptuning
