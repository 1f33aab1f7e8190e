#pragma once

/// \file
/// Several methods on one model as one method, so that the laws can be tried on a mixture.

#include <peftlab/method.h>
#include <peftlab/params.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace peftlab::conformance {

/// The parts are attached in their order, as `use = [...]` does. Its options are a table for each part, by name; its files
/// are those of the parts, with the part's name before each tensor's.
class Mixture final : public Method {
 public:
  using Make = std::function<std::shared_ptr<Method>(const std::string& plugin, Params& params)>;

  Mixture(Params& params, const std::vector<std::string>& plugins, const Make& make);

  void prepare(Model& model) override;
  void attach(Model& model, const Tokenizer& tokenizer) override;
  bool starts_at_base() const override;
  /// Undone if a later part cannot.
  void merge(Model& model) override;
  /// Done again if an earlier part cannot.
  void unmerge(Model& model) override;
  double rate_factor(const std::string& parameter) const override;
  void begin_training(int64_t steps) override;
  torch::Tensor penalty() const override;
  void after_step(int64_t step) override;
  AdapterFiles save(Model& model) const override;
  void load(Model& model, const AdapterFiles& files) override;
  Table options_from(const Table& adapter_config) const override;

 private:
  std::vector<std::pair<std::string, std::shared_ptr<Method>>> parts_;
};

}  // namespace peftlab::conformance
