#include <peftlab/testing/conformance.h>

namespace peftlab::testing {

const std::vector<Law>& method_laws() {
  static const std::vector<Law> laws = {
      {"defaults", "it is made from an empty table; options have meanings and sound defaults",
       "a default that its own check() refuses, or p.get() without a meaning", law_defaults},
      {"unknown_option", "an option it does not know is refused by name, with the nearest there is",
       "the constructor reads all keys it is given, or calls ignore()", law_unknown_option},
      {"start", "right after attach() outputs are the base's if and only if starts_at_base()",
       "a factor that should start at zero does not, or starts_at_base() is wrong", law_start},
      {"gradients", "nothing frozen has a gradient or changes; all that is trained has had one",
       "a tensor of its own is no registered parameter, is not used, or is detached; or a parameter of the base is "
       "changed in place",
       law_gradients},
      {"learns", "thirty steps on one batch lower the loss",
       "the hook returns what does not depend on the parameters, or a sign is wrong", law_learns},
      {"round_trip", "saved and loaded it gives the same outputs; wrong files are refused and change nothing",
       "a tensor or an option is missing in save(), or load() copies before it has checked all names and shapes",
       law_round_trip},
      {"merge", "merge() keeps the outputs, or is refused; unmerge() restores the weights to the bit",
       "the scaling is left out of the merged update, or the update stays active after it was merged", law_merge},
      {"seeds", "the same seed gives the same losses, another seed others",
       "first values are drawn from a generator that is not LibTorch's, or outside attach()", law_seeds},
      {"count", "as many numbers are trained as the formula says",
       "a frozen tensor is a parameter that takes a gradient, or the formula leaves biases out", law_parameter_count},
      {"types_and_shapes",
       "float32 and bfloat16, one sequence, the shortest, autocast: finite, and no sequence depends on "
       "its neighbours",
       "parameters follow the base's type instead of float32, or a hook mixes the rows of a batch",
       law_types_and_shapes},
      {"cache", "tokens fed one by one through a cache give what one pass gives",
       "what is prepended is put before every chunk instead of the first, or positions are counted from zero again",
       law_cache},
      {"gradient_check", "in float64 the gradient is the derivative of the loss",
       "a custom backward pass is wrong, or a tensor is cast to float32 on the way", law_gradient_check},
      {"weight", "weigh(0) gives the base, weigh(1) its own outputs, or weights are refused",
       "weigh() scales the parameters instead of what is added", law_weight},
      {"checkpointing", "with gradient checkpointing: the same losses, gradients and random stream",
       "a hook counts its calls, or draws from a generator that is not LibTorch's", law_checkpointing},
      {"rank", "what merge() adds has at most the rank it is said to have",
       "a mask or nonlinearity is merged that makes the update full-rank", law_rank},
  };
  return laws;
}

}  // namespace peftlab::testing
