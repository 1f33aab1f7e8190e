#pragma once

/// \file
/// What a plugin of kind "model" implements, and the sites at which methods extend it.
///
/// A model does not know the methods, and a method does not know the model's type: a model is built from the blocks in
/// peftlab/nn, and those that a method may extend are sites. Parameters are named as in the checkpoint, so that
/// named_parameters() is the list of tensors a model folder must hold.

#include <peftlab/batch.h>
#include <peftlab/dataset.h>
#include <peftlab/export.h>
#include <peftlab/nn/attention.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/first_values.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>
#include <peftlab/nn/sublayer.h>
#include <peftlab/tokenizer.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// Tensors by name, sorted.
using TensorMap = std::map<std::string, torch::Tensor>;

/// What methods and generation need to know of a model.
struct ModelFacts {
  std::string model_type;  ///< of config.json, "chatglm"
  int64_t vocabulary = 0;  ///< tokens there are: rows of the embedding table
  int64_t hidden = 0;      ///< width of the stack that answers
  int64_t layers = 0;      ///< of that stack
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_width = 0;
  int64_t max_length = 0;                ///< tokens of a sequence
  std::vector<int64_t> end_of_sequence;  ///< ids that end a generated answer
  std::vector<std::string> labels;       ///< of a classifier: the names of its classes by number; else empty
  /// Whether the released code counts keys and values put before the sequence as positions (GPT-2, LLaMA, BERT), so that
  /// the first token's position is their number; ChatGLM's does not.
  bool prefix_takes_positions = false;
  std::optional<ImageSpec> images;  ///< how pictures are wanted, if they are
  int64_t image_tokens = 0;         ///< vectors one picture becomes
};

/// A pretrained model. Made from its config.json as Params, with random first values; the host then loads its tensors,
/// moves it, and freezes it.
///
/// Used by one thread at a time.
class PEFTLAB_API Model : public torch::nn::Module {
 public:
  ~Model() override;

  virtual const ModelFacts& facts() const = 0;

  // --- Data ---------------------------------------------------------------------------------------------------------

  /// Turns an example into ids, labels and positions. `with_target` false: the prompt alone, ready to be answered.
  /// What is longer than `max_length` is cut by the model's own rule, so that at least one label is left.
  virtual Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                         bool with_target) const = 0;

  // --- Computation --------------------------------------------------------------------------------------------------

  /// The last hidden states of the batch's own tokens, [total, hidden] (virtual tokens that methods added are not among
  /// them). With a cache: filled by the first call, grown by the batch's rows at each further one (which then continue
  /// the cached sequences: no pictures, no virtual tokens).
  virtual torch::Tensor hidden(const Batch& batch, KeyValueCache* cache = nullptr) = 0;

  /// Those of some rows, int64 [n] in ascending order, on the model's device or on the CPU: [n, hidden]. By default
  /// hidden()'s; a model overrides it to compute its last layer for these rows alone (AttentionPlan::of_rows()). With a
  /// cache: the first call.
  virtual torch::Tensor hidden_at(const Batch& batch, const torch::Tensor& rows, KeyValueCache* cache = nullptr);

  /// Logits of some of those rows: [rows, hidden] -> [rows, vocabulary], or [rows, labels] of a classifier. Called only
  /// where there is a label or a next token to choose.
  virtual torch::Tensor head(const torch::Tensor& rows) = 0;

  /// The part before the first layer that depends on the picture alone: [pictures, 3, height, width] -> [pictures,
  /// image tokens, hidden]. Its result may be given to hidden() as Batch::image_features.
  /// Throws: UnsupportedError for a model without pictures.
  virtual torch::Tensor front(const torch::Tensor& images);

  /// The prefix that all names of the front's parameters and sites share ("image_encoder."), empty if it has none.
  virtual std::string front_prefix() const { return ""; }

  /// Whether front() is a pure function of the picture now: nothing in it is trained or extended, nothing dropped out.
  bool front_is_frozen() const;

  // --- Checkpoints --------------------------------------------------------------------------------------------------

  /// Whether a tensor of a checkpoint is known to mean nothing (buffers that are computed anew, heads of other tasks).
  /// Asked with the checkpoint's name as it is, and as parameter_name() gives it.
  virtual bool ignores(const std::string& tensor) const;

  /// The parameter that a checkpoint's tensor of this name fills: for old names and left-out prefixes. By default the
  /// name itself.
  virtual std::string parameter_name(const std::string& tensor) const { return tensor; }

  /// Whether checkpoints hold this parameter transposed ([in, out], GPT-2's Conv1D). It then lies on the mapped file as a
  /// transposed view, and is written as it was read.
  virtual bool is_stored_transposed(const std::string& parameter) const;

  /// Parameters that share one tensor: name -> the name whose tensor it is. A checkpoint may leave the first out, or
  /// must hold equal values.
  virtual std::map<std::string, std::string> tied() const { return {}; }

  // --- Sites --------------------------------------------------------------------------------------------------------

  /// All linear maps, in the order of the module tree. The head is not among them where it is no module of its own, nor
  /// is the head of a classifier.
  const std::vector<Linear*>& linear_sites();
  /// Those that `targets` name: see select_names(); "all-linear" leaves the output layer out, as peft does.
  /// Throws: ConfigError if a target names none.
  std::vector<Linear*> linear_sites(const std::vector<std::string>& targets);
  /// The linear map from hidden states to logits, where it is a module of its own ("lm_head"); else empty.
  virtual std::string output_layer() const { return ""; }
  /// Outputs of sublayers, in order.
  const std::vector<Sublayer*>& sublayer_sites();
  /// The attention layers of the stack that answers, first layer first.
  virtual std::vector<AttentionSite*> attention_sites() = 0;
  /// The input embeddings of the stack that answers.
  virtual EmbeddingSite& embedding_site() = 0;
  /// The table of input embeddings, [vocabulary, hidden], to start virtual tokens from.
  virtual torch::Tensor embedding_table() = 0;
  /// Names of the norms' parameters ("...input_layernorm.weight"), in order.
  std::vector<std::string> norm_parameters();
  /// The module of a classifier that every method trains with its own parts, as peft's modules_to_save ("classifier",
  /// "score"); empty for a model without classes.
  virtual std::string classification_head() const { return ""; }
  /// The linear maps that Hugging Face peft's LORA adapts for this model type when told none.
  virtual std::vector<std::string> default_lora_targets() const = 0;

  // --- What is trained ----------------------------------------------------------------------------------------------

  /// No parameter takes a gradient any more.
  void freeze();
  /// These parameters are trained although they are the base's. Throws: ConfigError for a name that is none.
  void train_parameters(const std::vector<std::string>& names);
  /// The base's parameters that take a gradient, by name.
  TensorMap trained_parameters() const;

 private:
  void collect();

  bool collected_ = false;
  std::vector<Linear*> linears_;
  std::vector<Sublayer*> sublayers_;
};

/// The members of `names` that are meant by `targets`, in the order of `names`, by Hugging Face peft's rule for
/// target_modules: a target means the name that equals it, or ends with "." + it. "all-linear" means all; a single
/// target that holds one of the characters ^$*+?()[]{}|\ is a regular expression for the whole name.
/// Throws: ConfigError naming the target that means none and the nearest last parts of names there are.
PEFTLAB_API std::vector<std::string> select_names(const std::vector<std::string>& names,
                                                  const std::vector<std::string>& targets);

}  // namespace peftlab
