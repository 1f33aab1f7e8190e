#pragma once

/// \file
/// What the laws are tried on: every method plugin there is, with several options, on a model of every family.

#include <peftlab/testing/conformance.h>

#include <ostream>
#include <string>
#include <vector>

namespace peftlab::conformance {

/// A method plugin with some of its options; or several, "lora+prefix", on one model, with a table of options for each.
struct Variation {
  std::string plugin;
  std::string label;  ///< letters, digits and underscores
  Table options;
  bool seeded = true;
};

/// Every method plugin that was built, once with its defaults and then with the options that change what it computes.
std::vector<Variation> variations();

/// "toy", the same with every map in 4 bits, "toy_nf4", and the tiny models of tests/oracle: "visualglm", "gpt2", "llama", and "bert" (a classifier).
std::vector<std::string> models();

/// Whether `model` can be made here: its plugin and its files are there.
bool available(const std::string& model);

/// The plugins of a variation, in the order they are attached.
std::vector<std::string> parts_of(const std::string& plugin);

/// What the plugin's README says is trained; nullopt where that is not known here.
std::optional<int64_t> formula(const Variation& variation, Model& model);

testing::MethodCase make_case(const Variation& variation, const std::string& model,
                              torch::ScalarType type = torch::kFloat32);

}  // namespace peftlab::conformance
