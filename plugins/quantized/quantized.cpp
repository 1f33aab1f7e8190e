/// The base with its linear maps in few bits, and nothing trained: alone, it shows what quantizing costs; in a mixture,
/// `use = [ { plugin = "quantized" }, { plugin = "adapter" } ]`, any method stands on it. Formats are those of `qlora`.

#include <peftlab/adapter_config.h>
#include <peftlab/method.h>
#include <peftlab/nn/quantized_maps.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

class Quantized final : public Method {
 public:
  explicit Quantized(Params& p) : maps_(p) {}

  void prepare(Model& model) override { maps_.apply(model); }

  void attach(Model&, const Tokenizer&) override {}

  bool starts_at_base() const override { return maps_.is_exact(); }

  /// There is nothing to fold.
  void merge(Model&) override {}

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    files.config = {{"peft_type", "QUANTIZED"}, {"peftlab", maps_.to_table()}};
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.tensors, {}, "an adapter of plugin quantized");
    copy_tensors(files.extra, {}, "the extra file of plugin quantized");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin quantized");
    config.expect("peft_type", "QUANTIZED");
    const Table* own = config.table("peftlab");
    config.finish();
    if (!own) return {};
    Table rest = *own;
    const Table options = QuantizedMaps::take_from(rest);
    AdapterConfig(rest, "plugin quantized", "peftlab.").finish();
    return options;
  }

 private:
  QuantizedMaps maps_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Quantized, "quantized", "the base in few bits, nothing trained", "arXiv:2305.14314", "QUANTIZED")

}  // namespace peftlab
