#pragma once

/// \file
/// The laws that plugins are held to, ours or a stranger's. A law is a function that is given ways to make what it needs
/// and returns what it found wrong, in words; an empty list means that the law holds. `peftlab plugins check` tries them
/// all; a test may try one.

#include <peftlab/dataset.h>
#include <peftlab/export.h>
#include <peftlab/method.h>
#include <peftlab/metric.h>
#include <peftlab/model.h>
#include <peftlab/params.h>
#include <peftlab/tokenizer.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::testing {

/// What a law found wrong, one sentence each, and what it measured on the way.
struct Violations : std::vector<std::string> {
  using std::vector<std::string>::vector;
  std::vector<std::string> measured;
};

template <typename Case>
struct LawOf {
  const char* name;
  const char* statement;  ///< what it asks, in a line
  const char* cause;      ///< what is usually the matter where it is broken
  Violations (*check)(const Case&);
};

// --- Methods --------------------------------------------------------------------------------------------------------

/// What the laws of methods are tried on. Factories make a fresh object at each call.
struct MethodCase {
  std::function<std::shared_ptr<Method>(Params&)> method;
  Table options;  ///< given to the method; the rest is at its default
  /// A model with the same float32 weights at each call.
  std::function<std::shared_ptr<Model>()> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<Encoded> examples;      ///< at least two, of different lengths, with labels
  std::vector<torch::Tensor> images;  ///< of the examples with image_at >= 0, in order
  Encoded shortest;                   ///< the least the model takes: one token where it can be, without a picture
  double learning_rate = 1e-2;        ///< of Adam, for the laws that train
  bool seeded = true;                 ///< false where these options leave nothing to chance
  /// Of the base, for the laws that do not go through types themselves: float32 or bfloat16.
  torch::ScalarType type = torch::kFloat32;
  bool keeps_cache = true;     ///< false for an encoder, which has no next token: law 11 then asks nothing
  bool exact_gradient = true;  ///< false where the method's backward pass leaves a term out on purpose (DoRA's norm)
  std::optional<int64_t> parameters;  ///< what the method's formula says is trained, for law 9
  std::optional<int64_t> max_rank;    ///< of the update it merges into a map, for law 15; absent: not bounded
  /// Set where the model lacks what the method needs (classes, for a method that trains their head): words that the
  /// error of attach() must hold. Laws 3 to 11 then ask for that refusal, and that it changes nothing.
  std::string refusal;
};

/// 1. Made from an empty table it constructs; every option has a meaning, and a default that passes its own checks.
PEFTLAB_API Violations law_defaults(const MethodCase& given);
/// 2. An unknown option is refused by name, with the nearest there is.
PEFTLAB_API Violations law_unknown_option(const MethodCase& given);
/// 3. Right after attach(), outputs equal the base's bit for bit if and only if starts_at_base().
PEFTLAB_API Violations law_start(const MethodCase& given);
/// 4. After backward, no frozen parameter of the base has a gradient, and none changes; after two steps everything
///    trained has had a gradient that is not zero (two, because LoRA's A has none while B is zero).
PEFTLAB_API Violations law_gradients(const MethodCase& given);
/// 5. Thirty steps on one batch lower the loss; where nothing is trained it stays.
PEFTLAB_API Violations law_learns(const MethodCase& given);
/// 6. Saved and loaded into a fresh model: the same outputs, bit for bit, with the same options and with those of the
///    saved configuration; a file with a tensor missing, too many or of another shape is refused and changes nothing.
PEFTLAB_API Violations law_round_trip(const MethodCase& given);
/// 7. merge() keeps outputs to 1e-5 of the largest (bfloat16: to its rounding), or throws UnsupportedError and changes
///    nothing. unmerge() after it restores weights and outputs bit for bit, or throws UnsupportedError.
PEFTLAB_API Violations law_merge(const MethodCase& given);
/// 8. The same seed, the same losses; another seed, others.
PEFTLAB_API Violations law_seeds(const MethodCase& given);
/// 9. As many parameters are trained as the formula says.
PEFTLAB_API Violations law_parameter_count(const MethodCase& given);
/// 10. It works in float32 and bfloat16, with one sequence and with the shortest: finite outputs and gradients, its own
///     parameters in float32, outputs in the base's type, and a sequence's outputs do not depend on its neighbours. In
///     mixed precision (bfloat16 autocast) loss and gradients are finite.
PEFTLAB_API Violations law_types_and_shapes(const MethodCase& given);
/// 11. Tokens fed one by one through a key/value cache give what one pass over all gives, to 1e-5 of the largest.
PEFTLAB_API Violations law_cache(const MethodCase& given);
/// 12. In float64 the gradient of the loss is its derivative: along two directions through all that is trained, central
///     differences agree with it to 1e-5 of the gradient's length.
PEFTLAB_API Violations law_gradient_check(const MethodCase& given);
/// 13. weigh(0) of a method that can be weighted gives the outputs of the base it prepared, weigh(1) its own again.
PEFTLAB_API Violations law_weight(const MethodCase& given);
/// 14. With gradient checkpointing: the same losses over some steps, the same gradients and the same random stream after
///     them, bit for bit.
PEFTLAB_API Violations law_checkpointing(const MethodCase& given);
/// 15. What merge() adds to a map after some steps of training has at most the rank it is said to have.
PEFTLAB_API Violations law_rank(const MethodCase& given);

using Law = LawOf<MethodCase>;

/// All of them, in order.
PEFTLAB_API const std::vector<Law>& method_laws();

/// A case on the toy model (see toy.h), whose key and value heads are shared, with three texts.
PEFTLAB_API MethodCase toy_case(std::function<std::shared_ptr<Method>(Params&)> method, Table options = {});

/// A case on a model as its plugin makes it from the config.json `config`, with random weights: three texts encoded by
/// the model, with a picture where it takes pictures.
PEFTLAB_API MethodCase model_case(std::function<std::shared_ptr<Method>(Params&)> method, Table options,
                                  std::function<std::shared_ptr<Model>(Params&)> model,
                                  const std::filesystem::path& config);

// --- Models ---------------------------------------------------------------------------------------------------------

/// What the laws of models are tried on. A model's tensors are drawn from a seed at each call.
struct ModelCase {
  std::function<std::shared_ptr<Model>(Params&)> model;
  std::filesystem::path config;    ///< a config.json of a small model
  std::vector<std::string> names;  ///< the plugin's name and aliases: what model_type may say
  /// Methods to put on it, by name. Those it has no site for refuse it.
  std::vector<std::pair<std::string, std::function<std::shared_ptr<Method>(Params&)>>> methods;
};

/// 1. facts() says what config.json says; 2. encode() gives well-formed examples; 3. shapes and finite outputs; 4. the
/// same twice; 5. a sequence does not depend on its neighbours; 6. the cache gives what one pass gives; 7. every
/// parameter has a gradient; 8. thirty steps lower the loss; 9. sites are named after parameters; 10. methods work on it
/// or refuse it and change nothing; 11. bfloat16 works; 12. tensors written and read give the same outputs.
PEFTLAB_API const std::vector<LawOf<ModelCase>>& model_laws();

// --- Data sets ------------------------------------------------------------------------------------------------------

struct DatasetCase {
  std::function<std::unique_ptr<Dataset>(Params&)> dataset;
  Table options;
  std::filesystem::path sample;  ///< a file that it reads
  std::filesystem::path folder;  ///< where laws may write
};

/// 1. defaults; 2. unknown options; 3. the sample opens and has examples; 4. the same file gives the same examples, from
/// several threads too; 5. the fingerprint changes with the file's bytes; 6. a missing file is a FormatError that names
/// it; 7. broken files are read or refused with a FormatError; 8. pictures have the form that is asked for; 9. targets are
/// among the choices, where there are some.
PEFTLAB_API const std::vector<LawOf<DatasetCase>>& dataset_laws();

// --- Metrics --------------------------------------------------------------------------------------------------------

struct MetricCase {
  std::function<std::unique_ptr<Metric>(Params&)> metric;
  Table options;
  std::string name;  ///< of the plugin, which the first score has
};

/// 1. defaults; 2. unknown options; 3. scores are named, finite and counted; 4. the same split gives the same scores,
/// whatever was judged before; 5. items are as many as examples; 6. right answers score no worse than wrong ones; 7. empty
/// and strange texts give numbers or a clear error; 8. without a model it does without one, or says so.
PEFTLAB_API const std::vector<LawOf<MetricCase>>& metric_laws();

}  // namespace peftlab::testing
