#include "layers.h"

#include <peftlab/error.h>
#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/to_device.h>

namespace peftlab::bert {
namespace {

std::shared_ptr<torch::nn::Module> group(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

/// The layout in which every row sees its whole sequence.
Layout whole(const Layout& layout) {
  Layout seen;
  for (int64_t s = 0; s < layout.sequences(); ++s) seen.add(layout.length(s), layout.length(s));
  return seen;
}

}  // namespace

Output::Output(const Config& config, int64_t in, Sublayer::Position position, const std::string& path)
    : dropout(config.hidden_dropout) {
  dense = register_module("dense", std::make_shared<Linear>(in, config.hidden));
  sublayer = register_module("dense_sublayer", std::make_shared<Sublayer>(config.hidden, position));
  sublayer->name = path + ".dense";
  norm = register_module("LayerNorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
}

torch::Tensor Output::forward(const torch::Tensor& x, const torch::Tensor& residual) const {
  const auto h = torch::dropout(dense->forward(x), dropout, is_training());
  const auto normed = [this](const torch::Tensor& sum) { return norm->forward(sum); };
  return normed(sublayer->forward(h, {residual, residual, normed}) + residual);
}

Layer::Layer(const Config& config, const std::string& path)
    : activation(config.activation), attention_dropout(config.attention_dropout) {
  const auto attention = group(*this, "attention");
  const auto self = group(*attention, "self");
  query = self->register_module("query", std::make_shared<Linear>(config.hidden, config.hidden));
  key = self->register_module("key", std::make_shared<Linear>(config.hidden, config.hidden));
  value = self->register_module("value", std::make_shared<Linear>(config.hidden, config.hidden));
  site =
      self->register_module("site", std::make_shared<AttentionSite>(config.heads, config.heads, config.head_width()));
  site->name = path + ".attention.self";
  attention_output = attention->register_module(
      "output",
      std::make_shared<Output>(config, config.hidden, Sublayer::Position::attention, path + ".attention.output"));
  intermediate =
      group(*this, "intermediate")->register_module("dense", std::make_shared<Linear>(config.hidden, config.inner));
  output = register_module(
      "output", std::make_shared<Output>(config, config.inner, Sublayer::Position::feed_forward, path + ".output"));
}

torch::Tensor Layer::forward(const torch::Tensor& x, const AttentionPlan& plan) const {
  const auto heads = [&](const torch::Tensor& t) { return t.view({-1, site->heads, site->head_width}); };
  AttendOptions options;
  options.dropout = is_training() ? attention_dropout : 0.0;
  const torch::Tensor asking = plan.asked(x);
  const auto attended = plan.attend(heads(query->forward(asking)), heads(key->forward(x)), heads(value->forward(x)),
                                    *site, nullptr, options);
  const auto h = attention_output->forward(attended, asking);
  return output->forward(activation(intermediate->forward(h)), h);
}

Stack::Stack(const Config& config)
    : dropout(config.hidden_dropout), first_position_(config.first_position), skips_padding_(config.roberta) {
  const auto embeddings = group(*this, "embeddings");
  words = embeddings->register_module("word_embeddings", std::make_shared<Embedding>(config.vocabulary, config.hidden));
  positions =
      embeddings->register_module("position_embeddings", std::make_shared<Embedding>(config.positions, config.hidden));
  types =
      embeddings->register_module("token_type_embeddings", std::make_shared<Embedding>(config.types, config.hidden));
  norm = embeddings->register_module("LayerNorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
  embedding_site = std::make_shared<EmbeddingSite>(config.name() + ".embeddings.word_embeddings", config.hidden);
  const auto list = group(*group(*this, "encoder"), "layer");
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string number = std::to_string(i);
    const std::string path = config.name() + ".encoder.layer." + number;
    layers.push_back(list->register_module(number, std::make_shared<Layer>(config, path)));
  }
}

torch::Tensor Stack::forward(const torch::Tensor& tokens, const Layout& layout, const torch::Tensor& asked,
                             bool first_of_all) const {
  const auto extended = embedding_site->extend(words->forward(tokens), whole(layout));
  const AttentionPlan plan(extended.layout, tokens.device());
  const AttentionPlan last = plan.of_rows(read(extended, layout, asked, first_of_all));
  // transformers adds in this order, and sums of floats depend on it.
  auto x = extended.rows + types->weight[0] + positions->forward(to_device(places(tokens, plan), tokens.device()));
  x = torch::dropout(norm->forward(x), dropout, is_training());
  for (size_t i = 0; i < layers.size(); ++i) {
    x = checkpointed(x, [layer = layers[i], plan = i + 1 < layers.size() ? plan : last](const torch::Tensor& given) {
      return layer->forward(given, plan);
    });
  }
  return x;
}

// With virtual tokens in front, the first row that is read of a sequence is the first of those where `first_of_all`.
torch::Tensor Stack::read(const EmbeddingSite::Extended& extended, const Layout& layout, const torch::Tensor& asked,
                          bool first_of_all) const {
  if (!first_of_all || !extended.own_rows.defined()) return extended.places(asked);
  const auto rows = asked.defined() ? asked : torch::arange(layout.total());
  const std::vector<int64_t> begins(layout.offsets.begin(), layout.offsets.end() - 1);
  const auto is_first = torch::isin(rows, to_device(torch::tensor(begins, torch::kInt64), rows.device()));
  return extended.places(rows) - embedding_site->virtual_tokens() * is_first.to(torch::kInt64);
}

// Rows of the table of positions, int64 [total] on the CPU, virtual tokens counted.
torch::Tensor Stack::places(const torch::Tensor& tokens, const AttentionPlan& plan) const {
  const int64_t taken = layers.front()->site->first_position();
  const int64_t rows = positions->weight.size(0) - first_position_;
  const int64_t longest = plan.layout().max_length() + taken;
  if (longest > rows) {
    const int64_t of_method = taken + embedding_site->virtual_tokens();
    throw ConfigError("a sequence takes " + std::to_string(longest) + " positions" +
                      (of_method > 0 ? " (" + std::to_string(of_method) + " of them a method's)" : "") +
                      ", the model has " + std::to_string(rows) + ": give a smaller max_length");
  }
  const auto counted = plan.positions();
  const auto shifted = counted + (first_position_ + taken);
  // With virtual tokens transformers sees no ids and counts everything.
  if (!skips_padding_ || embedding_site->virtual_tokens() > 0) return shifted;
  const int64_t pad = first_position_ - 1;
  const auto is_pad = tokens.to(torch::kCPU) == pad;
  if (!is_pad.any().item<bool>()) return shifted;
  const auto begins = torch::arange(counted.numel()) - counted;  // the row each sequence begins at
  const auto pads_before = is_pad.cumsum(0) - is_pad.to(torch::kInt64);
  const auto in_sequence = pads_before - pads_before.index_select(0, begins);
  return torch::where(is_pad, torch::full_like(shifted, pad), shifted - in_sequence);
}

}  // namespace peftlab::bert
