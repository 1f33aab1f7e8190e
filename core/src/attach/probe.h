#pragma once

/// \file
/// How far a change of a model moves what it says.

#include "attach/session.h"

namespace peftlab::attach {

/// Logits after each of 32 tokens, the same at every call, [32, vocabulary or classes] in float32.
torch::Tensor probe_logits(Model& model);

/// The largest absolute difference of two of them.
double largest_difference(const torch::Tensor& a, const torch::Tensor& b);

/// Folds what is attached into the weights. Throws: UnsupportedError naming the method that cannot.
void merge(Session& session);

}  // namespace peftlab::attach
