#pragma once

/// \file
/// How far a change of a model moves what it says.

#include "attach/session.h"

namespace peftlab::attach {

/// Logits after each of n tokens, the same at every call, [n, vocabulary or classes] in float32; n is 32, or what the model
/// holds.
torch::Tensor probe_logits(Model& model);

/// The largest absolute difference of two of them.
double largest_difference(const torch::Tensor& a, const torch::Tensor& b);

/// Folds what is attached into the weights. Throws: UnsupportedError naming the method that cannot.
void merge(Session& session);

}  // namespace peftlab::attach
