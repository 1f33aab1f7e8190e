/// A recurrent language model: gated recurrent units between a table of words and a head.
///
///     x = embeddings[token]
///     x <- GRU(x)                                  for every layer, the state h zero before each sequence
///     logits = lm_head x
///
///     r = sigmoid(W_r x + b_r + U_r h + c_r)       z = sigmoid(W_z x + b_z + U_z h + c_z)
///     n = tanh(W_n x + b_n + r (U_n h + c_n))      h <- (1 - z) n + z h, which is also the output
///
/// Of each layer the rows of r, z and n lie one below the other in two linear maps, `input` (W, b) and `recurrent`
/// (U, c), in the order of torch.nn.GRU, whose numbers these are. Both are sites; `recurrent` is called at every step.
/// There are no attention sites, for nothing attends, and no sublayer sites, for nothing is added to a residual stream.
///
/// config.json: model_type "gru_lm", vocab_size, hidden_size, num_layers, max_length, eos_token_id.
///
/// Source: Elman, "Finding Structure in Time", Cognitive Science 14, 1990, for such language models; Cho et al., EMNLP
/// 2014, arXiv:1406.1078, for the unit, with c_n inside of r's product, as torch.nn.GRU has it.

#include <peftlab/error.h>
#include <peftlab/model.h>
#include <peftlab/nn/checkpointing.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>
#include <peftlab/text_rules.h>

#include <algorithm>
#include <numeric>

namespace peftlab {
namespace {

/// Which rows of a packed batch are computed together: first all sequences' first rows, then their second ones, and so
/// on. The longest sequence comes first, so that those that still go on are always the first ones.
struct Steps {
  Steps(const Layout& layout, torch::Device device) {
    std::vector<int64_t> longest_first(layout.sequences());
    std::iota(longest_first.begin(), longest_first.end(), int64_t{0});
    std::stable_sort(longest_first.begin(), longest_first.end(),
                     [&](int64_t one, int64_t other) { return layout.length(one) > layout.length(other); });
    std::vector<int64_t> by_step;
    for (int64_t step = 0; step < layout.max_length(); ++step) {
      int64_t count = 0;
      for (const int64_t s : longest_first) {
        if (layout.length(s) <= step) break;
        by_step.push_back(layout.offsets[s] + step);
        ++count;
      }
      running.push_back(count);
    }
    const torch::Tensor sequences_here = torch::tensor(longest_first, torch::kInt64);
    const torch::Tensor rows_here = torch::tensor(by_step, torch::kInt64);
    sequences = sequences_here.to(device);
    sequences_back = torch::argsort(sequences_here).to(device);
    rows = rows_here.to(device);
    rows_back = torch::argsort(rows_here).to(device);
  }

  std::vector<int64_t> running;  ///< how many sequences have a row at each step
  torch::Tensor sequences;       ///< int64 [sequences]: the longest first
  torch::Tensor sequences_back;  ///< from that order to the batch's
  torch::Tensor rows;            ///< int64 [total]: packed rows, step by step
  torch::Tensor rows_back;       ///< from that order to the packed one
};

struct Layer : torch::nn::Module {
  explicit Layer(int64_t width) {
    input = register_module("input", std::make_shared<Linear>(width, 3 * width));
    recurrent = register_module("recurrent", std::make_shared<Linear>(width, 3 * width));
  }

  /// One step: what `input` gave [n, 3 width] and the state h [n, width] -> the next state.
  torch::Tensor step(const torch::Tensor& given, const torch::Tensor& h) const {
    const auto from_input = given.chunk(3, -1), from_state = recurrent->forward(h).chunk(3, -1);
    const torch::Tensor r = torch::sigmoid(from_input[0] + from_state[0]);
    const torch::Tensor z = torch::sigmoid(from_input[1] + from_state[1]);
    const torch::Tensor n = torch::tanh(from_input[2] + r * from_state[2]);
    return (1 - z) * n + z * h;
  }

  /// x [total, width] -> the same shape. `state`, if there is one: [sequences, width], from which the sequences go on,
  /// or undefined where they begin; left as it is behind their last rows.
  torch::Tensor forward(const torch::Tensor& x, const Steps& steps, torch::Tensor* state) const {
    const bool goes_on = state && state->defined();
    torch::Tensor h = goes_on ? state->index_select(0, steps.sequences).to(x.scalar_type())
                              : x.new_zeros({steps.sequences.size(0), x.size(1)});
    const auto given = input->forward(x).index_select(0, steps.rows).split_with_sizes(steps.running);
    std::vector<torch::Tensor> outputs;
    for (const torch::Tensor& rows : given) {
      const int64_t running = rows.size(0), ended = h.size(0) - running;
      outputs.push_back(step(rows, h.narrow(0, 0, running)));
      h = ended == 0 ? outputs.back() : torch::cat({outputs.back(), h.narrow(0, running, ended)});
    }
    if (state) *state = h.index_select(0, steps.sequences_back);
    return torch::cat(outputs).index_select(0, steps.rows_back);
  }

  std::shared_ptr<Linear> input, recurrent;
};

class GruLm final : public Model {
 public:
  explicit GruLm(Params& p) {
    const auto size = [&](const char* name, int64_t default_value, const char* meaning) {
      constexpr int64_t kLargest = int64_t{1} << 30;  // products of two stay far from overflow
      const auto value = p.get<int64_t>(name, default_value, meaning);
      p.check(1 <= value && value <= kLargest, name, "must lie between 1 and " + std::to_string(kLargest));
      return value;
    };
    facts_.model_type = "gru_lm";
    facts_.vocabulary = size("vocab_size", 256, "tokens of the vocabulary");
    facts_.hidden = size("hidden_size", 64, "width of the embeddings and of every layer's state");
    facts_.layers = size("num_layers", 1, "layers");
    facts_.max_length = size("max_length", 1024, "tokens of a sequence; no parameter depends on it");
    const auto end = p.get<int64_t>("eos_token_id", 0, "id that ends an answer, and begins a text that has no prompt");
    p.check(0 <= end && end < facts_.vocabulary, "eos_token_id", "must lie between 0 and vocab_size - 1");
    if (!p.problems().empty()) return;  // the host refuses the object; sizes may be anything
    facts_.end_of_sequence = {end};

    embeddings_ = register_module("embeddings", std::make_shared<Embedding>(facts_.vocabulary, facts_.hidden));
    site_ = std::make_shared<EmbeddingSite>("embeddings", facts_.hidden);
    const auto layers = register_module("layers", std::make_shared<torch::nn::Module>());
    for (int64_t i = 0; i < facts_.layers; ++i) {
      layers_.push_back(layers->register_module(std::to_string(i), std::make_shared<Layer>(facts_.hidden)));
    }
    lm_head_ = register_module("lm_head", std::make_shared<Linear>(facts_.hidden, facts_.vocabulary, false));
  }

  const ModelFacts& facts() const override { return facts_; }

  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    return encode_causal(example, tokenizer, facts_, facts_.end_of_sequence.front(), max_length, with_target);
  }

  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    const bool decoding = cache && !cache->empty();
    if (decoding && static_cast<int64_t>(cache->seen.size()) != batch.layout.sequences()) {
      throw Error("the cache holds " + std::to_string(cache->seen.size()) + " sequences, the batch has " +
                  std::to_string(batch.layout.sequences()));
    }
    const torch::Tensor rows = embeddings_->forward(batch.tokens);
    const auto extended =
        decoding ? EmbeddingSite::Extended{rows, batch.layout, {}} : site_->extend(rows, batch.layout);
    const auto steps = std::make_shared<const Steps>(extended.layout, rows.device());
    torch::Tensor x = extended.rows;
    if (cache) cache->layers.resize(layers_.size());
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (cache) {
        x = layers_[i]->forward(x, *steps, &cache->layers[i].keys);
        // select() picks rows of both: what a sequence has been read to is its state alone.
        cache->layers[i].values = x.new_empty({batch.layout.sequences(), 0});
      } else {
        x = checkpointed(x, [layer = layers_[i], steps](const torch::Tensor& given) {
          return layer->forward(given, *steps, nullptr);
        });
      }
    }
    if (cache) cache->advance(extended.layout);
    return extended.own_rows.defined() ? x.index_select(0, extended.own_rows) : x;
  }

  torch::Tensor head(const torch::Tensor& rows) override { return lm_head_->forward(rows); }

  std::vector<AttentionSite*> attention_sites() override { return {}; }
  EmbeddingSite& embedding_site() override { return *site_; }
  torch::Tensor embedding_table() override { return embeddings_->weight; }
  std::string output_layer() const override { return "lm_head"; }
  std::vector<std::string> default_lora_targets() const override { return {"recurrent"}; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "config.json", R"({"model_type": "gru_lm", "vocab_size": 40, "hidden_size": 16,
 "num_layers": 2, "max_length": 64, "eos_token_id": 28})");
  }

 private:
  ModelFacts facts_;
  std::shared_ptr<Embedding> embeddings_;
  std::shared_ptr<EmbeddingSite> site_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<Linear> lm_head_;
};

}  // namespace

PEFTLAB_PLUGIN(Model, GruLm, "gru_lm", "a recurrent language model of gated units", "arXiv:1406.1078", "")

}  // namespace peftlab
