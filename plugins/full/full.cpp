/// Full fine-tuning: every parameter of the model is trained, in the type it has.
///
/// The baseline the other methods are measured against. With AdamW in float32 it holds 16 bytes a parameter: weight,
/// gradient and two moments.

#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

class Full final : public Method {
 public:
  explicit Full(Params&) {}

  void attach(Model& model, const Tokenizer&) override { model.train_parameters(model.named_parameters().keys()); }

  bool starts_at_base() const override { return true; }
  bool saves_model() const override { return true; }

  AdapterFiles save(Model&) const override {
    throw UnsupportedError("full fine-tuning leaves a model folder, not an adapter");
  }

  void load(Model&, const AdapterFiles&) override {
    throw UnsupportedError("full fine-tuning leaves a model folder, not an adapter: open that folder as the model");
  }

  Table options_from(const Table&) const override {
    throw FormatError("plugin full reads no adapter: full fine-tuning leaves a model folder");
  }
};

}  // namespace

PEFTLAB_PLUGIN(Method, Full, "full", "every parameter of the model is trained", "the baseline", "")

}  // namespace peftlab
