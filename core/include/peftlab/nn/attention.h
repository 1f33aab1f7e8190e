#pragma once

/// \file
/// Attention over packed sequences: the one place that knows of sequences, masks, prefixes and the key/value cache.

#include <peftlab/batch.h>
#include <peftlab/export.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// Keys and values that every row of every sequence may see: [tokens, key/value heads, head width] each.
struct KeyValue {
  torch::Tensor keys;
  torch::Tensor values;
};

/// The attention of one layer as a site: a method may put keys and values before the model's own.
class PEFTLAB_API AttentionSite : public torch::nn::Module {
 public:
  using Source = std::function<KeyValue()>;

  AttentionSite(int64_t heads, int64_t kv_heads, int64_t head_width)
      : heads(heads), kv_heads(kv_heads), head_width(head_width) {}

  /// Puts `tokens` keys and values before the others. They are used as they are: not rotated. `take_positions`: the
  /// sequence's own positions begin after them.
  void prepend(Source source, int64_t tokens, bool take_positions = false);
  int64_t prefix_tokens() const { return tokens_; }
  /// The position of a sequence's first token: how many of those keys take positions.
  int64_t first_position() const { return first_position_; }
  /// All of them, undefined tensors if there are none.
  KeyValue prefix() const;

  std::string name;  ///< its path in the model, set by the model
  int64_t heads, kv_heads, head_width;

 private:
  std::vector<Source> sources_;
  int64_t tokens_ = 0;
  int64_t first_position_ = 0;
};

/// How one layer weighs what it sees.
struct AttendOptions {
  double dropout = 0.0;         ///< probability on the weights; 0 outside training
  std::optional<double> scale;  ///< of q k^T; absent: 1 / sqrt(head width)
  int64_t window = 0;           ///< a row sees itself and the window - 1 positions before it; 0: all before it
};

/// Keys and values of the tokens seen so far, so that generating costs one row a token.
///
/// A model's hidden() fills it at the first call (the prompts) and grows it at each further one: any number of rows a
/// sequence, each of which sees what came before it.
struct PEFTLAB_API KeyValueCache {
  struct Layer {
    torch::Tensor keys;    ///< [sequences, kv_heads, capacity, head_width]; keys after rotation
    torch::Tensor values;  ///< the same shape
  };

  /// `room`: how many tokens may follow the prompt.
  explicit KeyValueCache(int64_t room) : room(room) {}

  /// Keeps sequences `rows` (int64 [n], repeats allowed), in that order: for beams, and to drop what has ended.
  void select(const torch::Tensor& rows);
  bool empty() const { return seen.empty(); }
  /// Counts the rows of a pass, once its layers have filled or grown the cache. `layout`: with virtual tokens.
  void advance(const Layout& layout);

  int64_t room;
  std::vector<Layer> layers;
  std::vector<int64_t> seen;     ///< per sequence: rows fed so far (virtual tokens at the input included)
  std::vector<int64_t> context;  ///< per sequence: the visible context of its prompt
};

/// Where the rows of one forward pass lie, made once and used by every layer. Cheap to copy.
///
/// On a CPU in float32 and bfloat16, and on a GPU where LibTorch can, sequences are computed where they lie; elsewhere they
/// are padded to one length inside attend() only.
class PEFTLAB_API AttentionPlan {
 public:
  /// Without a cache, or while it is empty: whole sequences. Else: the next rows of each cached sequence.
  /// Throws: Error if there are not as many sequences as in the cache.
  AttentionPlan(Layout layout, torch::Device device, const KeyValueCache* cache = nullptr);

  /// The plan of a last layer of which only these rows are read, int64 [n] ascending, on the plan's device or on the CPU:
  /// all rows are seen, but only these see, so that what follows attention is computed for them alone. Undefined: this
  /// plan.
  AttentionPlan of_rows(const torch::Tensor& rows) const;

  const Layout& layout() const;

  /// x [total, ...] at the rows that are read: x itself, or [n, ...] in a plan that of_rows() gave.
  torch::Tensor asked(const torch::Tensor& x) const;

  /// Scaled dot-product attention, softmax(scale q k^T) v, with the mask: a row sees the prefix, its sequence's context,
  /// and what comes before it, as far as a window reaches (which counts the prefix where that takes positions).
  ///
  /// q [asked rows, heads, head_width], k and v [total, kv_heads, head_width], rotated already; gives [asked rows, heads *
  /// head_width]. `cache`: this layer's, filled or grown. While it grows nothing has gradients.
  torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                       const AttentionSite& site, KeyValueCache::Layer* cache = nullptr,
                       const AttendOptions& options = {}) const;

  /// The place of each row in its sequence (virtual tokens counted, keys before the sequence not): int64 [total], CPU.
  torch::Tensor positions() const;

  struct Places;  ///< within the host

 private:
  explicit AttentionPlan(std::shared_ptr<const Places> places);

  std::shared_ptr<const Places> places_;
};

/// Full attention between rows of one length: q [n, rows, heads * width], k, v [n, columns, heads * width] ->
/// [n, rows, heads * width]. For vision towers and cross-attention. With `site`, its prefix is seen too.
PEFTLAB_API torch::Tensor attend_all(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                     int64_t heads, const AttentionSite* site = nullptr, double dropout = 0.0);

}  // namespace peftlab
