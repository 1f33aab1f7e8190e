#pragma once

/// \file
/// A model ready to be trained, judged or asked: loaded, frozen, on its device, with methods attached.

#include "plan/run_spec.h"
#include "registry/registry.h"

#include <peftlab/method.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::attach {

struct SavedAdapter;

/// A method on the model, and how it was made.
struct AttachedMethod {
  std::string plugin;
  Table options;  ///< in force, defaults included
  std::shared_ptr<Method> method;
  std::shared_ptr<const SavedAdapter> from = {};  ///< what it is to be given; null: a new one, or given already
};

struct Session {
  std::filesystem::path folder;  ///< of the model
  std::optional<Table> config;   ///< config.json as it is in force, where it is not the folder's own (a new head)
  std::shared_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<AttachedMethod> methods;  ///< in the order they were attached
  torch::Device device = torch::kCPU;
  bool is_pretrained = false;  ///< whether the weights are the folder's, not drawn at random
  int64_t base_parameters = 0;

  /// Of the base weights; empty if they were drawn at random. Computed at the first call: reading all of a large model
  /// for it takes longer than opening it.
  const std::string& base_sha256() const;

  /// Memory of the base's weights, quantized ones as they are kept.
  int64_t base_bytes() const;
  /// The same with the quantized ones in the type of the weights they were made of.
  int64_t base_bytes_in_full() const;

  /// What the trainer updates: the methods' parameters as "<plugin>/<name>", then the base's own that are trained.
  TensorMap trained() const;
  int64_t trainable_parameters() const;
  /// The same and the methods' buffers: what a resume point holds of them.
  TensorMap kept_for_resuming() const;
  /// The factors on the learning rate that are not 1, by the names in trained().
  std::map<std::string, double> rate_factors() const;
  /// Whether a freshly attached session computes what the base does.
  bool starts_at_base() const;
  void set_training(bool on);

 private:
  mutable std::string base_sha256_;
};

/// Positions that methods took of the model's length: virtual tokens, and keys that count as such.
int64_t taken_positions(Model& model);

/// "cpu", "cuda", "auto" (a GPU where there is one). Opens torch_cuda where it is needed.
/// Throws: ConfigError if a GPU is asked for and none can be used, with the reason.
torch::Device choose_device(const std::string& word);

/// Which model and how.
struct ModelChoice {
  std::filesystem::path folder;
  std::string init = "pretrained";  ///< or "random", drawn from `seed`
  std::string dtype = "float32";    ///< empty: each parameter keeps the type it is stored in
  int64_t seed = 0;
  std::vector<std::string> labels;  ///< classes of a new head, drawn from `seed`; empty: the model as it is
};

/// Methods that are on no model yet. Throws: ConfigError, PluginError.
std::vector<AttachedMethod> make_methods(const std::vector<plan::PluginUse>& uses, const registry::Registry& registry);

/// Makes the model its config.json describes, gives it its weights, freezes it and moves it to `device`. `methods`
/// prepare() it before its weights leave the mapped file.
/// Throws: FormatError, PluginError.
Session open_model(const ModelChoice& choice, const registry::Registry& registry, torch::Device device,
                   const std::vector<AttachedMethod>& methods = {});

/// Attaches methods that have prepared the model, torch's generator seeded with `seed` right before the first, as
/// Hugging Face's users do before get_peft_model. The head of a classifier is then trained whole beside whatever trains
/// anything.
/// Throws: ConfigError for options or targets that do not fit.
void attach_methods(Session& session, std::vector<AttachedMethod> methods, int64_t seed);

/// The same of methods that are made, and prepare the model as it is, now.
void attach_methods(Session& session, const std::vector<plan::PluginUse>& uses, int64_t seed,
                    const registry::Registry& registry);

/// A saved adapter folder (of one method, or of a mixture), and how much of what it adds is wanted.
struct AdapterUse {
  std::filesystem::path folder;
  double weight = 1.0;
};

/// The methods that adapter folders describe, on no model yet: open_model() lets them prepare it.
/// Throws: FormatError, PluginError.
std::vector<AttachedMethod> make_methods(const std::vector<AdapterUse>& adapters, const registry::Registry& registry);

/// Attaches what make_methods() made of adapter folders, one after the other, each with its values and those of the head
/// it was trained with. Several that add to the same maps are summed by weight: for LoRA exactly what their
/// concatenation along the rank computes.
/// Throws: FormatError if one was trained on another base, or does not fit this one; UnsupportedError for a weight other
/// than 1 of a method that is no summand, and where two bring values of the same base parameter (a head).
void attach_adapters(Session& session, const std::vector<AdapterUse>& adapters, std::vector<AttachedMethod> methods);

/// The same of methods that prepare the model as it is, now.
void attach_adapters(Session& session, const std::vector<AdapterUse>& adapters, const registry::Registry& registry);

/// The classes that a model needs a new head for, so that the adapters fit: those an adapter folder brings a head for,
/// where the model folder is no classifier itself; else none.
std::vector<std::string> new_head_labels(const std::filesystem::path& model, const std::vector<AdapterUse>& adapters);

/// What save_result() left.
struct SavedResult {
  std::filesystem::path folder;
  std::string
      sha256;  ///< of adapter_model.safetensors, or of a whole model's model.safetensors; empty: nothing trained
  bool is_model = false;
};

/// Writes what was trained into `folder`: an adapter folder (for a mixture, one folder a method inside it), or a whole
/// model. Nothing is written, and sha256 is empty, where nothing was trained.
SavedResult save_result(const Session& session, const std::filesystem::path& folder);

}  // namespace peftlab::attach
