#pragma once

/// \file
/// What cases are made of.

#include <peftlab/testing/conformance.h>

namespace peftlab::testing {

/// Tokens of which those from `answer` on are to be predicted.
Encoded labelled(std::vector<int64_t> tokens, size_t answer, int64_t context);

/// A model of the file `config`, with weights drawn from `seed`, in evaluation mode. Throws: what its constructor throws;
/// ConfigError with all that is wrong with the file.
std::shared_ptr<Model> model_of(const std::function<std::shared_ptr<Model>(Params&)>& model,
                                const std::filesystem::path& config, uint64_t seed = 7);

/// Three short examples with answers (or classes) that suit the model, and pictures for those that name one.
std::vector<Example> short_examples(const ModelFacts& facts);
std::vector<torch::Tensor> pictures(const std::vector<Encoded>& examples, const ModelFacts& facts);

/// What the method says where it does not take the model; empty where it does. That a refusal changes nothing is judged.
std::string refusal_of(const MethodCase& given, Violations& found);

}  // namespace peftlab::testing
