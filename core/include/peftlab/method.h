#pragma once

/// \file
/// What a plugin of kind "method" implements.
///
/// A method is given a loaded, frozen model; it adds trainable parts at the model's sites and owns those parts. It never
/// sees the data set, the optimizer, the store, or another method.

#include <peftlab/export.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>
#include <peftlab/value.h>

#include <torch/nn/module.h>

#include <functional>
#include <string>
#include <vector>

namespace peftlab {

/// A trained method as files of the library that knows it.
struct AdapterFiles {
  Table config;       ///< adapter_config.json
  TensorMap tensors;  ///< adapter_model.safetensors
  /// What that library's format cannot hold (LayerNorms trained beside an adapter, the encoder of a prefix): kept in
  /// peftlab_extra.safetensors beside it.
  TensorMap extra;
  /// The head of a classifier that was trained beside the method, by parameter name, and the names of its classes. The
  /// host fills both in and reads them back; a method never sees them.
  TensorMap head;
  std::vector<std::string> labels;
};

/// A trainable addition to a frozen model.
///
/// A Method is a torch::nn::Module whose parameters() the trainer updates: registering a parameter is what makes it
/// trained, saved and counted. Parameters of the base that it asks for with Model::train_parameters() are trained too.
///
/// Lifetime: the registry creates it from a config table; it is attached to one model, once; the library its code lives
/// in is never unloaded, so the model may outlive it. Hooks it leaves at sites must own what they use (shared_ptr).
/// Threads: called from the trainer's thread only.
class PEFTLAB_API Method : public torch::nn::Module {
 public:
  ~Method() override;

  /// Called before attach(), while the base's parameters still lie on the mapped file in the type it holds them in: for
  /// a method that keeps them in another form (quantized). By default nothing.
  virtual void prepare(Model& model);

  /// Adds the trainable parts to `model`; `tokenizer` is there for methods that start from text.
  ///
  /// Requires: `model` has its final device and dtype, and all its own parameters are frozen. torch's generator was
  ///           seeded just before: draw first values in the order the reference library does.
  /// Ensures:  if starts_at_base(), outputs are what they were before the call, bit for bit.
  /// Throws:   ConfigError, naming the target and the nearest sites, if a target matches none.
  virtual void attach(Model& model, const Tokenizer& tokenizer) = 0;

  /// Whether a freshly attached model computes exactly what its base did. True of LoRA, false of prompt and prefix
  /// tuning. The conformance tests hold each method to its own answer.
  virtual bool starts_at_base() const = 0;

  /// Folds the trained update into the frozen weights, so that inference costs what the base costs. Once.
  ///
  /// Ensures: outputs agree with the unmerged model to the dtype's rounding (float32: 1e-5 rel.).
  /// Throws:  UnsupportedError unless overridden: virtual tokens and non-linear parts cannot fold.
  virtual void merge(Model& model);

  /// The inverse of merge(): the weights are again, to the bit, what they were before it (merge() sets them aside).
  /// Throws: UnsupportedError unless overridden, or where nothing was merged.
  virtual void unmerge(Model& model);

  /// What the method adds to the model counts `weight` times from now on, for several adapters on one model.
  /// Throws: UnsupportedError unless overridden, or `weight` is 1.
  virtual void weigh(double weight);

  // --- Training -----------------------------------------------------------------------------------------------------
  //
  // State of training beyond the parameters belongs into registered buffers: those are kept for resuming.

  /// The factor on the learning rate of one of its parameters, by the name in named_parameters() (LoRA+).
  virtual double rate_factor(const std::string& parameter) const;
  /// Told before the first step how many there will be in all.
  virtual void begin_training(int64_t steps);
  /// What is added to the loss of every batch, a scalar; undefined for nothing. Reported losses do not hold it.
  virtual torch::Tensor penalty() const;
  /// Called after the optimizer's step number `step`, counted from 1, while the gradients are still there.
  virtual void after_step(int64_t step);

  // --- Files --------------------------------------------------------------------------------------------------------

  /// Whether what is saved is the whole model (full fine-tuning) rather than an adapter; save() is then not called.
  virtual bool saves_model() const { return false; }

  /// The trained parts in the layout of Hugging Face peft, or of `adapters` for what that library knows. Contiguous
  /// tensors, float32 unless the method says otherwise.
  virtual AdapterFiles save(Model& model) const = 0;

  /// Takes the values of `files` in place of those attach() gave.
  /// Throws: FormatError with the list of tensors that are missing, too many, or of another shape.
  virtual void load(Model& model, const AdapterFiles& files) = 0;

  /// The options that make a method like the one an adapter_config.json describes.
  /// Throws: FormatError naming what it asks for and this method cannot compute.
  virtual Table options_from(const Table& adapter_config) const = 0;
};

/// Compares `found` with `wanted` (name -> tensor of the right shape) and copies the values over.
/// Throws: FormatError with the list of what is missing, unknown or of another shape, if there is any.
PEFTLAB_API void copy_tensors(const TensorMap& found, const TensorMap& wanted, const std::string& what);

/// copy_tensors(), undone unless `fits` then says yes: a file that is refused changes nothing.
/// Throws: FormatError as copy_tensors() does, or with `refusal`.
PEFTLAB_API void copy_tensors_if(const TensorMap& found, const TensorMap& wanted, const std::string& what,
                                 const std::function<bool()>& fits, const std::string& refusal);

/// Contiguous copies on the CPU, as AdapterFiles holds them; in float32, or in the type each has.
PEFTLAB_API TensorMap saved_copies(const TensorMap& tensors, bool keep_type = false);

/// A name for register_module, where LibTorch forbids dots: "layers.0.q_proj" -> "layers/0/q_proj".
PEFTLAB_API std::string flat_name(const std::string& name);

}  // namespace peftlab
