#pragma once

/// \file
/// The laws every method is held to, ours or a stranger's. A law is a function that is given ways to make what it needs
/// and returns what it found wrong, in words; an empty list means that the law holds.

#include <peftlab/method.h>
#include <peftlab/model.h>
#include <peftlab/params.h>
#include <peftlab/tokenizer.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::testing {

/// What laws are tried on. Factories make a fresh object at each call.
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
  bool keeps_cache = true;      ///< false for an encoder, which has no next token: law 11 then asks nothing
  bool exact_gradient = true;   ///< false where the method's backward pass leaves a term out on purpose (DoRA's norm)
  std::optional<int64_t> parameters;  ///< what the method's formula says is trained, for law 9
  std::optional<int64_t> max_rank;    ///< of the update it merges into a map, for law 15; absent: not bounded
  /// Set where the model lacks what the method needs (classes, for a method that trains their head): words that the
  /// UnsupportedError of attach() must hold. Laws 3 to 11 then ask for that refusal, and that it changes nothing.
  std::string refusal;
};

using Violations = std::vector<std::string>;

/// 1. Made from an empty table it constructs; every option has a meaning, and a default that passes its own checks.
Violations law_defaults(const MethodCase& given);
/// 2. An unknown option is refused by name, with the nearest there is.
Violations law_unknown_option(const MethodCase& given);
/// 3. Right after attach(), outputs equal the base's bit for bit if and only if starts_at_base().
Violations law_start(const MethodCase& given);
/// 4. After backward, no frozen parameter of the base has a gradient, and none changes; after two steps everything
///    trained has had a gradient that is not zero (two, because LoRA's A has none while B is zero).
Violations law_gradients(const MethodCase& given);
/// 5. Thirty steps on one batch lower the loss; where nothing is trained it stays.
Violations law_learns(const MethodCase& given);
/// 6. Saved and loaded into a fresh model: the same outputs, bit for bit, with the same options and with those of the
///    saved configuration; a file with a tensor missing, too many or of another shape is refused and changes nothing.
Violations law_round_trip(const MethodCase& given);
/// 7. merge() keeps outputs to 1e-5 of the largest (bfloat16: to its rounding), or throws UnsupportedError and changes
///    nothing. unmerge() after it restores weights and outputs bit for bit, or throws UnsupportedError.
Violations law_merge(const MethodCase& given);
/// 8. The same seed, the same losses; another seed, others.
Violations law_seeds(const MethodCase& given);
/// 9. As many parameters are trained as the formula says.
Violations law_parameter_count(const MethodCase& given);
/// 10. It works in float32 and bfloat16, with one sequence and with the shortest: finite outputs and gradients, its own
///     parameters in float32, outputs in the base's type, and a sequence's outputs do not depend on its neighbours. In
///     mixed precision (bfloat16 autocast) loss and gradients are finite.
Violations law_types_and_shapes(const MethodCase& given);
/// 11. Tokens fed one by one through a key/value cache give what one pass over all gives, to 1e-5 of the largest.
Violations law_cache(const MethodCase& given);
/// 12. In float64 the gradient of the loss is its derivative: along two directions through all that is trained, central
///     differences agree with it to 1e-5 of the gradient's length.
Violations law_gradient_check(const MethodCase& given);
/// 13. weigh(0) of a method that can be weighted gives the outputs of the base it prepared, weigh(1) its own again.
Violations law_weight(const MethodCase& given);
/// 14. With gradient checkpointing: the same losses over some steps, the same gradients and the same random stream after
///     them, bit for bit.
Violations law_checkpointing(const MethodCase& given);
/// 15. What merge() adds to a map after some steps of training has at most the rank it is said to have.
Violations law_rank(const MethodCase& given);

struct Law {
  const char* name;
  Violations (*check)(const MethodCase&);
};

/// All of them, in order.
const std::vector<Law>& method_laws();

}  // namespace peftlab::testing
