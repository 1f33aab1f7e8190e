#include <peftlab/testing/conformance.h>

namespace peftlab::testing {

const std::vector<Law>& method_laws() {
  static const std::vector<Law> laws = {
      {"defaults", law_defaults},
      {"unknown_option", law_unknown_option},
      {"start", law_start},
      {"gradients", law_gradients},
      {"learns", law_learns},
      {"round_trip", law_round_trip},
      {"merge", law_merge},
      {"seeds", law_seeds},
      {"count", law_parameter_count},
      {"types_and_shapes", law_types_and_shapes},
      {"cache", law_cache},
      {"gradient_check", law_gradient_check},
      {"weight", law_weight},
      {"checkpointing", law_checkpointing},
      {"rank", law_rank},
  };
  return laws;
}

}  // namespace peftlab::testing
