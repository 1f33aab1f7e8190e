#pragma once

/// \file
/// LoRA and its variants as a method to derive from: what the plugins `lora` and `qlora` share.

#include <peftlab/export.h>
#include <peftlab/method.h>
#include <peftlab/params.h>

#include <memory>

namespace peftlab {

/// y = W x + b + s B A dropout(x) at chosen linear maps, with the formulas, variants and sources that plugins/lora/lora.cpp
/// tells. Files are those of Hugging Face peft's LORA.
class PEFTLAB_API LowRank : public Method {
 public:
  /// Reads the options of `lora`. Throws: ConfigError.
  explicit LowRank(Params& params);
  ~LowRank() override;

  void attach(Model& model, const Tokenizer& tokenizer) override;
  bool starts_at_base() const override { return true; }
  void merge(Model& model) override;
  void unmerge(Model& model) override;
  void weigh(double weight) override;
  double rate_factor(const std::string& parameter) const override;
  AdapterFiles save(Model& model) const override;
  void load(Model& model, const AdapterFiles& files) override;
  Table options_from(const Table& adapter_config) const override;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace peftlab
