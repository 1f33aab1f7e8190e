/// QLoRA: LoRA beside frozen linear maps whose weights are kept in 4 bits.
///
///     y = dequantize(W_q) x + b + s B A dropout(x)        A: [r, in]    B: [out, r]
///
/// The weights are quantized block by block: with c_i the 16 values of NF4 and a the largest magnitude of a block, each
/// weight becomes the i for which c_i is nearest to w / a, and reads back as a c_i. With double quantization the a of 256
/// blocks, less their mean, become 8-bit codes in the same way. A product dequantizes some rows at a time, forward and
/// backward alike, so the whole of W is never there, and no gradient of it is ever computed.
///
/// What is quantized is the base, one map after the other straight from the mapped file. Every option of `lora` is there,
/// with its formulas; DoRA takes its lengths from the dequantized weight, and PiSSA its directions. merge() leaves
/// tensors of real numbers, the dequantized weight with the update added; unmerge() gives the codes back.
///
/// Source: Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", NeurIPS 2023, section 3, arXiv:2305.14314.
/// Codes and their layout are those of bitsandbytes. Differences: the paper adapts all linear maps, which is `targets` =
/// ["all-linear"] here, where the default is peft's for the model type; the nearest 8-bit code is searched exactly, as
/// bitsandbytes does on a GPU, where its CPU path looks it up in a table that lacks seven codes.

#include <peftlab/nn/low_rank.h>
#include <peftlab/nn/quantized_maps.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

constexpr const char* kOwn = "peftlab";  // the table of an adapter_config.json that peft passes over

class Qlora final : public LowRank {
 public:
  explicit Qlora(Params& p) : LowRank(p), maps_(p) {}

  void prepare(Model& model) override { maps_.apply(model); }

  bool starts_at_base() const override { return maps_.is_exact(); }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files = LowRank::save(model);
    Table own = maps_.to_table();
    own["plugin"] = "qlora";
    if (const auto given = files.config.find(kOwn); given != files.config.end()) {
      for (const auto& [key, value] : *given->second.get_if<Table>()) own[key] = value;
    }
    files.config[kOwn] = own;
    return files;
  }

  Table options_from(const Table& adapter_config) const override {
    Table config = adapter_config, options;
    if (const auto own = config.find(kOwn); own != config.end() && own->second.get_if<Table>()) {
      Table rest = *own->second.get_if<Table>();
      options = QuantizedMaps::take_from(rest);
      rest.erase("plugin");
      config.erase(own);
      if (!rest.empty()) config[kOwn] = rest;
    }
    options.merge(LowRank::options_from(config));
    return options;
  }

 private:
  QuantizedMaps maps_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Qlora, "qlora", "LoRA beside a base in 4 bits", "arXiv:2305.14314", "")

}  // namespace peftlab
