/// The base as it is: nothing is added and nothing is trained, so that its scores stand beside the methods'.

#include <peftlab/adapter_config.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

class None final : public Method {
 public:
  explicit None(Params&) {}

  void attach(Model&, const Tokenizer&) override {}

  bool starts_at_base() const override { return true; }

  /// There is nothing to fold.
  void merge(Model&) override {}

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    files.config = {{"peft_type", "NONE"}};
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.tensors, {}, "an adapter of plugin none");
    copy_tensors(files.extra, {}, "the extra file of plugin none");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin none");
    config.expect("peft_type", "NONE");
    config.finish();
    return {};
  }
};

}  // namespace

PEFTLAB_PLUGIN(Method, None, "none", "the base as it is, nothing trained", "the base", "NONE")

}  // namespace peftlab
