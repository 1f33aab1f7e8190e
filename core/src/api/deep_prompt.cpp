#include <peftlab/error.h>
#include <peftlab/nn/deep_prompt.h>

#include <ATen/autocast_mode.h>

namespace peftlab {

DeepPromptShape deep_prompt_shape(Model& model, int64_t tokens, const std::string& plugin) {
  const std::vector<AttentionSite*> sites = model.attention_sites();
  if (sites.empty()) {
    throw UnsupportedError("plugin " + plugin + ": the model offers no attention to put a prompt before");
  }
  const AttentionSite& first = *sites.front();
  for (const AttentionSite* site : sites) {
    if (site->kv_heads == first.kv_heads && site->head_width == first.head_width) continue;
    throw UnsupportedError("plugin " + plugin + ": the keys of " + site->name + " have another shape than those of " +
                           first.name);
  }
  return {tokens, static_cast<int64_t>(sites.size()), first.kv_heads, first.head_width};
}

DeepPrompt::DeepPrompt(torch::Tensor prompt) { become(std::move(prompt)); }

DeepPrompt::DeepPrompt(Compute compute, std::vector<torch::Tensor> parameters)
    : compute_(std::move(compute)), parameters_(std::move(parameters)) {}

void DeepPrompt::become(torch::Tensor prompt) {
  compute_ = [prompt] { return prompt; };
  parameters_.clear();
  kept_ = torch::Tensor();
}

// Under autograd the first layer begins a new graph; without, P is kept until a parameter changes.
torch::Tensor DeepPrompt::rows(int64_t layer) {
  if (parameters_.empty()) return compute_();
  const bool grad = torch::GradMode::is_enabled();
  const State now = state();
  if (!kept_.defined() || kept_state_ != now || (grad && layer == 0)) {
    kept_ = compute_();
    kept_state_ = now;
  }
  return kept_;
}

// What P depends on: each parameter's storage and version, and how it is computed.
DeepPrompt::State DeepPrompt::state() const {
  State now = {torch::GradMode::is_enabled(), at::autocast::is_autocast_enabled(parameters_.front().device().type())};
  for (const torch::Tensor& p : parameters_) {
    now.push_back(static_cast<int64_t>(p._version()));
    now.push_back(reinterpret_cast<int64_t>(p.data_ptr()));
  }
  return now;
}

void DeepPrompt::attach(const std::shared_ptr<DeepPrompt>& prompt, Model& model, const DeepPromptShape& shape,
                        std::function<torch::Tensor(const torch::Tensor&)> finish, std::optional<bool> take_positions) {
  const auto sites = model.attention_sites();
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const auto source = [prompt, layer, shape, finish] {
      const torch::Tensor p = prompt->rows(layer).view({shape.tokens, -1, shape.kv_heads, shape.head_width});
      const auto part = [&](int64_t index) { return finish ? finish(p.select(1, index)) : p.select(1, index); };
      return KeyValue{part(2 * layer), part(2 * layer + 1)};
    };
    sites[layer]->prepend(source, shape.tokens, take_positions.value_or(model.facts().prefix_takes_positions));
  }
}

}  // namespace peftlab
