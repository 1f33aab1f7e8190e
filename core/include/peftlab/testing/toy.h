#pragma once

/// \file
/// A model small enough for numbers by hand, with every kind of site, and methods as the program makes them.

#include <peftlab/export.h>
#include <peftlab/method.h>
#include <peftlab/model.h>
#include <peftlab/params.h>
#include <peftlab/testing/plugins.h>
#include <peftlab/tokenizer.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::testing {

struct ToySizes {
  int64_t vocabulary = 32;
  int64_t hidden = 16;
  int64_t layers = 2;
  int64_t heads = 2;     ///< divides `hidden`
  int64_t kv_heads = 2;  ///< divides `heads`
  int64_t inner = 24;    ///< width of the feed-forward part
  int64_t max_length = 64;
};

/// A causal transformer with learned positions, norms before the sublayers and a head tied to the embeddings. Its
/// weights are random and the same for the same sizes; torch's own generator does not matter.
///
/// Linear maps: transformer.layers.I.attention.{query_key_value,dense} and transformer.layers.I.mlp.{dense_h_to_4h,
/// dense_4h_to_h}; sublayer sites after `dense` and `dense_4h_to_h`; an attention site in every layer. Parameters are
/// not frozen.
class PEFTLAB_API ToyModel final : public Model {
 public:
  explicit ToyModel(const ToySizes& sizes = {});

  const ModelFacts& facts() const override { return facts_; }
  /// encode(prompt) + encode(target) + [end], all of it causal; labels on target and end.
  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override;
  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache = nullptr) override;
  torch::Tensor hidden_at(const Batch& batch, const torch::Tensor& rows, KeyValueCache* cache = nullptr) override;
  torch::Tensor head(const torch::Tensor& rows) override;
  std::vector<AttentionSite*> attention_sites() override;
  EmbeddingSite& embedding_site() override { return *site_; }
  torch::Tensor embedding_table() override { return words_->weight; }
  std::vector<std::string> default_lora_targets() const override { return {"query_key_value"}; }

 private:
  struct Layer;

  ModelFacts facts_;
  std::shared_ptr<Embedding> words_, positions_;
  std::shared_ptr<EmbeddingSite> site_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<LayerNorm> last_norm_;
};

/// One id for each letter: a = 0 ... z = 25, space = 26, all else 27; "<end>" is 28.
class PEFTLAB_API ToyTokenizer final : public Tokenizer {
 public:
  static constexpr int64_t kEnd = 28;

  std::vector<int64_t> encode(const std::string& text) const override;
  std::string decode(const std::vector<int64_t>& ids) const override;
  std::optional<int64_t> id_of(const std::string& piece) const override;
  int64_t size() const override { return kEnd + 1; }
};

/// Gives the parameter `name` of a module (`layers/0/q_proj.lora_A`) new values of its shape.
/// Throws: Error naming the parameters there are.
PEFTLAB_API void set(torch::nn::Module& module, const std::string& name, const torch::Tensor& values);

}  // namespace peftlab::testing
