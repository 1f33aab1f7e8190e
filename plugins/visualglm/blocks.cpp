#include "blocks.h"

#include <peftlab/nn/attention.h>

#include <string_view>

namespace peftlab::visualglm {

std::shared_ptr<torch::nn::Module> group(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

void name_sites(torch::nn::Module& model) {
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    const std::string& path = item.key();
    if (auto sublayer = std::dynamic_pointer_cast<Sublayer>(item.value())) {
      sublayer->name = path.substr(0, path.size() - std::string_view(kSublayerSuffix).size());
    } else if (auto site = std::dynamic_pointer_cast<AttentionSite>(item.value())) {
      site->name = path.substr(0, path.rfind('.'));
    }
  }
}

Mlp::Mlp(int64_t width, int64_t inner, const char* gelu) : gelu(activation(gelu)) {
  dense_h_to_4h = register_module("dense_h_to_4h", std::make_shared<Linear>(width, inner));
  dense_4h_to_h = register_module("dense_4h_to_h", std::make_shared<Linear>(inner, width));
  sublayer = register_module(std::string("dense_4h_to_h") + kSublayerSuffix,
                             std::make_shared<Sublayer>(width, Sublayer::Position::feed_forward));
}

torch::Tensor Mlp::forward(const torch::Tensor& x, const SublayerContext& around) const {
  return sublayer->forward(dense_4h_to_h->forward(gelu(dense_h_to_4h->forward(x))), around);
}

FullAttention::FullAttention(int64_t width, int64_t heads) : width(width), heads(heads) {
  query_key_value = register_module("query_key_value", std::make_shared<Linear>(width, 3 * width));
  dense = register_module("dense", std::make_shared<Linear>(width, width));
  sublayer = register_module(std::string("dense") + kSublayerSuffix,
                             std::make_shared<Sublayer>(width, Sublayer::Position::attention));
}

torch::Tensor FullAttention::forward(const torch::Tensor& x, int64_t pictures, const SublayerContext& around) const {
  const auto parts = query_key_value->forward(x).view({pictures, -1, 3, width}).unbind(2);
  const auto attended = attend_all(parts[0], parts[1], parts[2], heads);
  return sublayer->forward(dense->forward(attended.view({-1, width})), around);
}

}  // namespace peftlab::visualglm
