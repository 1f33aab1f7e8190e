#include "testing/bench.h"

#include <peftlab/error.h>

namespace peftlab::testing {

using namespace bench;

namespace {

/// load() of `files` must throw FormatError naming `name`, and leave the outputs as they are.
void expect_refusal(const MethodCase& given, Bench& bench, const AdapterFiles& files, const std::string& what,
                    const std::string& name, Violations& found) {
  const Batch batch = batch_of(given);
  const torch::Tensor before = outputs(*bench.model, batch);
  try {
    bench.method->load(*bench.model, files);
    found.push_back(text("load() took a file with ", what));
  } catch (const FormatError& error) {
    if (std::string(error.what()).find(name) == std::string::npos) {
      found.push_back(text("the refusal of a file with ", what, " does not name it: ", error.what()));
    }
  }
  if (!same(outputs(*bench.model, batch), before))
    found.push_back(text("a refused file with ", what, " changed the outputs"));
}

/// After merge(): unmerge() gives `weights` and the outputs `before` again, or refuses.
void check_unmerge(Bench& bench, const Batch& batch, const TensorMap& weights, const torch::Tensor& before,
                   Violations& found) {
  const torch::Tensor merged = outputs(*bench.model, batch);
  try {
    bench.method->unmerge(*bench.model);
  } catch (const UnsupportedError&) {
    if (!same(outputs(*bench.model, batch), merged)) found.push_back("unmerge() refused, but changed the outputs");
    return;
  }
  for (const auto& [name, tensor] : all_parameters(*bench.model)) {
    if (!same(tensor, weights.at(name))) found.push_back(text("unmerge() does not restore ", name));
  }
  if (!same(outputs(*bench.model, batch), before)) found.push_back("unmerge() does not restore the outputs");
}

}  // namespace

Violations law_round_trip(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench trained(given, given.options, 1);
    train(trained, given, 3);
    const Batch batch = batch_of(given);
    const torch::Tensor wanted = outputs(*trained.model, batch);

    if (trained.method->saves_model()) {
      // The host writes the model: its parameters must be all there is.
      Bench fresh(given, given.options, 2);
      copy_tensors(all_parameters(*trained.model), all_parameters(*fresh.model), "the model");
      if (!same(outputs(*fresh.model, batch), wanted))
        found.push_back("the model's parameters alone do not give its outputs");
      return;
    }

    const AdapterFiles files = trained.method->save(*trained.model);
    for (const auto& [name, tensor] : files.tensors) {
      if (!tensor.is_contiguous() || !tensor.is_cpu())
        found.push_back(text("`", name, "` is not contiguous on the CPU"));
    }
    Bench fresh(given, given.options, 2);
    fresh.method->load(*fresh.model, files);
    if (!same(outputs(*fresh.model, batch), wanted))
      found.push_back("loaded with the same options, the outputs differ");
    const Table options = fresh.method->options_from(files.config);
    Bench described(given, options, 3);
    described.method->load(*described.model, files);
    if (!same(outputs(*described.model, batch), wanted)) {
      found.push_back(text("loaded with the options of its configuration, ", to_json(options), ", the outputs differ"));
    }

    for (const auto member : {&AdapterFiles::tensors, &AdapterFiles::extra}) {
      Bench other(given, given.options, 4);
      AdapterFiles more = files;
      (more.*member)["stranger"] = torch::zeros({1});
      expect_refusal(given, other, more, "a tensor too many", "stranger", found);
      if ((files.*member).empty()) continue;
      const auto& [name, tensor] = *(files.*member).rbegin();
      AdapterFiles reshaped = files;
      (reshaped.*member)[name] = torch::zeros({tensor.numel() + 1});
      expect_refusal(given, other, reshaped, "a tensor of another shape", name, found);
      AdapterFiles fewer = files;
      (fewer.*member).erase(name);
      // A part of the extra file that is left out whole may be a choice of the method's; half of it is not.
      if (member == &AdapterFiles::extra && (fewer.*member).empty()) continue;
      expect_refusal(given, other, fewer, "a tensor missing", name, found);
    }
  });
}

Violations law_merge(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    train(bench, given, 3);
    const Batch batch = batch_of(given);
    const torch::Tensor before = outputs(*bench.model, batch);
    const TensorMap weights = copies(all_parameters(*bench.model));
    try {
      bench.method->merge(*bench.model);
      const double off = difference(outputs(*bench.model, batch), before);
      if (!(off <= rounding(given.type))) {
        found.push_back(
            text("merge() moved the outputs by ", off, " of the largest, more than ", rounding(given.type)));
      }
      check_unmerge(bench, batch, weights, before, found);
    } catch (const UnsupportedError&) {
      for (const auto& [name, tensor] : all_parameters(*bench.model)) {
        if (!same(tensor, weights.at(name))) found.push_back(text("merge() refused, but changed ", name));
      }
      if (!same(outputs(*bench.model, batch), before)) found.push_back("merge() refused, but changed the outputs");
    }
  });
}

}  // namespace peftlab::testing
