/// Bottleneck adapters: small trained networks D [m, d], f, U [d, m] around the sublayers of every layer, where h is a
/// sublayer's output and r the residual stream that it is added to.
///
///     houlsby     h <- h + s (U f(D h + b_D) + b_U)      after attention and feed-forward part
///     pfeiffer    h <- h + s (U f(D z + b_D) + b_U)      after the feed-forward part; z = norm(h + r), or h + r where
///                                                        the layer's norm stands before the sublayer
///     parallel    h <- h + s (U f(D r + b_D) + b_U)      beside the feed-forward part
///
/// Then the layer adds r and normalizes as it does without a method; with pfeiffer that norm is thus used twice.
///
/// Sources: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, section 2.1, arXiv:1902.00751;
/// Pfeiffer et al., "AdapterFusion", EACL 2021, section 3.2.1, arXiv:2005.00247; He et al., "Towards a Unified View of
/// Parameter-Efficient Transfer Learning", ICLR 2022, section 4, arXiv:2110.04366. Wiring, first values, sizes and
/// files are those of the `adapters` library 1.3 (configurations double_seq_bn, seq_bn and par_bn).
///
/// Differences from the papers: Houlsby's with swish for GELU, and 0.02 for 0.001; parallel adapters read the residual
/// stream itself where its norm stands before the sublayer, not what the feed-forward part is given; `init = "zero"`
/// starts exactly at the base. Differences from the library: Houlsby's LayerNorms are trained unless `layer_norms =
/// false`, and models that the library does not know, such as ChatGLM, are named as it names GPT-2.

#include "bottleneck.h"
#include "library_files.h"
#include "norms.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <set>

namespace peftlab::adapter {
namespace {

class Adapter final : public Method {
 public:
  explicit Adapter(Params& p) : options_(p) {}

  void attach(Model& model, const Tokenizer&) override {
    std::vector<std::string> names, places;
    for (const Sublayer* site : model.sublayer_sites()) {
      names.push_back(site->name);
      if (options_.is_place(site->position)) places.push_back(site->name);
    }
    if (places.empty()) throw UnsupportedError("plugin adapter: the model offers no place for a bottleneck");
    const auto chosen = options_.targets ? select_names(places, *options_.targets) : places;
    const std::set<std::string> wanted(chosen.begin(), chosen.end());
    // Where names are not laid out as the library knows them, several sites may have one path in its file: they go by
    // their own names.
    std::map<std::string, int> sharing;
    for (const Sublayer* site : model.sublayer_sites()) ++sharing[library_path(*site)];
    for (Sublayer* site : model.sublayer_sites()) {
      if (!wanted.count(site->name)) continue;
      auto bottleneck = std::make_shared<Bottleneck>(*site, options_);
      bottleneck->to(model.embedding_table().device());
      register_module(flat_name(site->name), bottleneck);
      site->extend([bottleneck](const torch::Tensor& h, const SublayerContext& around) {
        return bottleneck->forward(h, around);
      });
      const std::string path = library_path(*site);
      adapted_.emplace_back(sharing[path] > 1 ? site->name : path, bottleneck);
      positions_.insert(site->position);
    }
    if (options_.layer_norms) {
      norms_ = norms_of(model.norm_parameters(), names, chosen);
      model.train_parameters(norms_);
    }
  }

  bool starts_at_base() const override { return options_.up_starts_at_zero(); }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = library_config(options_, model.facts(), positions_);
    files.tensors = saved_copies(named_tensors(kName));
    files.extra = saved_copies(named_norms(model));
    return files;
  }

  void load(Model& model, const AdapterFiles& files) override {
    // Keys hold the adapter's name, which whoever saved it chose.
    AdapterConfig config(files.config, "plugin adapter");
    const std::string name = config.get("name", kName);
    check_names(files.extra, named_norms(model));
    copy_tensors(files.tensors, named_tensors(name), "the adapter");
    copy_tensors(files.extra, named_norms(model), "the file of LayerNorms");
  }

  Table options_from(const Table& adapter_config) const override { return options_of_library(adapter_config); }

 private:
  TensorMap named_tensors(const std::string& adapter) const {
    TensorMap tensors;
    for (const auto& [path, bottleneck] : adapted_) {
      const std::string start = path + ".adapters." + adapter + ".";
      tensors[start + "adapter_down.0.weight"] = bottleneck->down->weight;
      tensors[start + "adapter_down.0.bias"] = bottleneck->down->bias;
      tensors[start + "adapter_up.weight"] = bottleneck->up->weight;
      tensors[start + "adapter_up.bias"] = bottleneck->up->bias;
    }
    return tensors;
  }

  TensorMap named_norms(Model& model) const {
    TensorMap tensors;
    const auto parameters = model.named_parameters();
    for (const std::string& name : norms_) tensors[name] = parameters[name];
    return tensors;
  }

  /// Refuses the LayerNorms of a file before anything is copied.
  static void check_names(const TensorMap& found, const TensorMap& wanted) {
    TensorMap shapes;
    for (const auto& [name, tensor] : wanted) shapes[name] = torch::empty_like(tensor);
    copy_tensors(found, shapes, "the file of LayerNorms");
  }

  Options options_;
  std::vector<std::pair<std::string, std::shared_ptr<Bottleneck>>> adapted_;  ///< path in the library's file
  std::set<Sublayer::Position> positions_;
  std::vector<std::string> norms_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Adapter, "adapter", "trained bottlenecks after or beside attention and feed-forward",
               "arXiv:1902.00751", "double_seq_bn houlsby seq_bn pfeiffer par_bn parallel")

}  // namespace peftlab::adapter
