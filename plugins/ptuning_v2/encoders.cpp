#include "encoders.h"

#include <peftlab/nn/linear.h>

#include <torch/nn/modules/rnn.h>
#include <torch/nn/modules/transformerlayer.h>

namespace peftlab::ptuning_v2 {
namespace {

/// P = W_2 tanh(W_1 E + b_1) + b_2.
class Mlp final : public Encoder {
 public:
  explicit Mlp(const EncoderSizes& sizes) : Encoder(sizes.tokens, sizes.width) {
    inner_ = register_module("inner", std::make_shared<Linear>(sizes.width, sizes.hidden));
    outer_ = register_module("outer", std::make_shared<Linear>(sizes.hidden, sizes.columns));
  }

  torch::Tensor forward() override { return outer_->forward(torch::tanh(inner_->forward(table_))); }

 private:
  std::shared_ptr<Linear> inner_, outer_;
};

/// P = W_2 relu(W_1 h + b_1) + b_2 with h [tokens, 2 hidden] of a bidirectional LSTM of two layers over E.
class Lstm final : public Encoder {
 public:
  explicit Lstm(const EncoderSizes& sizes) : Encoder(sizes.tokens, sizes.width) {
    lstm_ = register_module(
        "lstm",
        torch::nn::LSTM(
            torch::nn::LSTMOptions(sizes.width, sizes.hidden).num_layers(2).bidirectional(true).batch_first(true)));
    inner_ = register_module("inner", std::make_shared<Linear>(2 * sizes.hidden, sizes.hidden));
    outer_ = register_module("outer", std::make_shared<Linear>(sizes.hidden, sizes.columns));
  }

  torch::Tensor forward() override {
    const auto h = std::get<0>(lstm_->forward(table_.unsqueeze(0))).squeeze(0);
    return outer_->forward(torch::relu(inner_->forward(h)));
  }

 private:
  torch::nn::LSTM lstm_ = nullptr;
  std::shared_ptr<Linear> inner_, outer_;
};

/// P = W h + b with h [tokens, width] of one transformer layer (post-norm, relu) over E.
class Transformer final : public Encoder {
 public:
  explicit Transformer(const EncoderSizes& sizes) : Encoder(sizes.tokens, sizes.width) {
    const int64_t heads = sizes.width % 4 == 0 ? 4 : 1;
    layer_ = register_module(
        "layer",
        torch::nn::TransformerEncoderLayer(
            torch::nn::TransformerEncoderLayerOptions(sizes.width, heads).dim_feedforward(sizes.hidden).dropout(0)));
    outer_ = register_module("outer", std::make_shared<Linear>(sizes.width, sizes.columns));
  }

  torch::Tensor forward() override { return outer_->forward(layer_->forward(table_.unsqueeze(1)).squeeze(1)); }

 private:
  torch::nn::TransformerEncoderLayer layer_ = nullptr;
  std::shared_ptr<Linear> outer_;
};

}  // namespace

Encoder::Encoder(int64_t tokens, int64_t width) {
  table_ = register_parameter("embedding", torch::randn({tokens, width}, torch::kFloat32));
}

const std::vector<std::string>& encoder_names() {
  static const std::vector<std::string> names = {"mlp", "lstm", "transformer"};
  return names;
}

std::shared_ptr<Encoder> make_encoder(const std::string& name, const EncoderSizes& sizes) {
  if (name == "mlp") return std::make_shared<Mlp>(sizes);
  if (name == "lstm") return std::make_shared<Lstm>(sizes);
  return std::make_shared<Transformer>(sizes);
}

}  // namespace peftlab::ptuning_v2
