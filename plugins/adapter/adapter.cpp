/// Houlsby's adapters: a bottleneck after the attention projection and after the second feed-forward map of each layer,
/// before what they give is added to the residual stream; and the LayerNorms are trained.
///
///     h <- h + U f(D h + b_D) + b_U        D: [width, d]    U: [d, width]    f: the nonlinearity
///
/// Source: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, section 2.1, arXiv:1902.00751.
/// First values, sizes and file are those of the `adapters` library 1.3 (configuration double_seq_bn): weights from
/// N(0, 0.02) and biases zero, so the start is near the base but not at it.
///
/// Differences from the paper: swish for GELU, and 0.02 for 0.001; `init = "zero"` starts exactly at the base.
/// Differences from the library: LayerNorms are trained unless `layer_norms = false`, and models that the library does
/// not know, such as ChatGLM, are named as it names GPT-2.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <cmath>
#include <set>
#include <sstream>

namespace peftlab {
namespace {

using Activation = torch::Tensor (*)(const torch::Tensor&);

const std::map<std::string, Activation>& activations() {
  static const std::map<std::string, Activation> known = {
      {"swish", [](const torch::Tensor& x) { return torch::silu(x); }},
      {"relu", [](const torch::Tensor& x) { return torch::relu(x); }},
      {"gelu", [](const torch::Tensor& x) { return torch::gelu(x); }},
      {"tanh", [](const torch::Tensor& x) { return torch::tanh(x); }},
  };
  return known;
}

/// Normal values of deviation `sd`, none further than 2 sd from zero, drawn as torch.nn.init.trunc_normal_ does.
void truncated_normal_(torch::Tensor weight, double sd) {
  const torch::NoGradGuard no_grad;
  const double below = (1.0 + std::erf(-2.0 / std::sqrt(2.0))) / 2.0,
               above = (1.0 + std::erf(2.0 / std::sqrt(2.0))) / 2.0;
  weight.uniform_(2 * below - 1, 2 * above - 1).erfinv_().mul_(sd * std::sqrt(2.0)).clamp_(-2 * sd, 2 * sd);
}

/// The bottleneck at one site. Its numbers are float32 whatever the base's type.
struct Bottleneck : torch::nn::Module {
  Bottleneck(const Sublayer& site, int64_t width, Activation activation, const std::string& init)
      : activation(activation) {
    // Making the maps draws torch.nn.Linear's values, as it does in `adapters`, which then draws anew.
    down = register_module("down", std::make_shared<Linear>(site.width, width));
    up = register_module("up", std::make_shared<Linear>(width, site.width));
    const torch::NoGradGuard no_grad;
    if (init == "houlsby") {
      truncated_normal_(down->weight, 0.01);
      truncated_normal_(up->weight, 0.01);
    } else {
      down->weight.normal_(0.0, 0.02);
      if (init == "zero") {
        up->weight.zero_();
      } else {
        up->weight.normal_(0.0, 0.02);
      }
    }
    down->bias.zero_();
    up->bias.zero_();
  }

  /// h [..., d] -> [..., d], in h's type.
  torch::Tensor forward(const torch::Tensor& h) const {
    const torch::Tensor x = h.to(down->weight.scalar_type());
    return (x + up->forward(activation(down->forward(x)))).to(h.scalar_type());
  }

  Activation activation;
  std::shared_ptr<Linear> down, up;
};

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  std::istringstream in(name);
  for (std::string part; std::getline(in, part, '.');) parts.push_back(part);
  return parts;
}

std::string join(const std::vector<std::string>& parts, size_t count) {
  std::string name;
  for (size_t i = 0; i < count; ++i) name += (i ? "." : "") + parts[i];
  return name;
}

/// Where `adapters` keeps the bottleneck of a site named after its linear map: in BERT's output modules
/// ("...attention.output.dense" -> "...attention.output"), else in the layer ("transformer.h.0.attn.c_proj" ->
/// "transformer.h.0.attention_adapters").
std::string library_path(const Sublayer& site) {
  const std::vector<std::string> parts = split(site.name);
  const size_t n = parts.size();
  if (n >= 2 && parts[n - 1] == "dense" && parts[n - 2] == "output") return join(parts, n - 1);
  const bool attention = site.position == Sublayer::Position::attention;
  return join(parts, n < 2 ? n : n - 2) + (attention ? ".attention_adapters" : ".output_adapters");
}

/// The stack of layers a site stands in: its name up to the list of layers ("transformer.layers.0.mlp.x" ->
/// {"transformer"}).
std::vector<std::string> stack_of(const std::string& site) {
  std::vector<std::string> parts = split(site);
  const auto is_number = [](const std::string& part) {
    return part.find_first_not_of("0123456789") == std::string::npos;
  };
  const auto number = std::find_if(parts.begin(), parts.end(), is_number);
  const auto count = static_cast<size_t>(number - parts.begin());
  parts.resize(number == parts.end() || count == 0 ? 0 : count - 1);
  return parts;
}

/// The norms of the stacks that `adapted` sites stand in. A norm belongs to the stack whose name has the most leading
/// parts in common with its own, so that one outside the layers (the vision tower's last) goes with its tower.
std::vector<std::string> norms_of(const std::vector<std::string>& norms, const std::vector<std::string>& sites,
                                  const std::vector<std::string>& adapted) {
  std::set<std::vector<std::string>> stacks, chosen_stacks;
  for (const std::string& site : sites) stacks.insert(stack_of(site));
  for (const std::string& site : adapted) chosen_stacks.insert(stack_of(site));
  const auto common = [](const std::vector<std::string>& stack, const std::vector<std::string>& norm) {
    size_t n = 0;
    while (n < stack.size() && n < norm.size() && stack[n] == norm[n]) ++n;
    return n;
  };
  std::vector<std::string> chosen;
  for (const std::string& norm : norms) {
    const std::vector<std::string> parts = split(norm);
    size_t best = 0;
    bool taken = false;
    for (const auto& stack : stacks) {
      const size_t n = common(stack, parts);
      if (n > best) taken = false;
      if (n >= best) taken = taken || chosen_stacks.count(stack);
      best = std::max(best, n);
    }
    if (taken) chosen.push_back(norm);
  }
  return chosen;
}

class Adapter final : public Method {
 public:
  explicit Adapter(Params& p)
      : width_(p.get_optional<int64_t>("width", "width m of the bottleneck, at least 1; in place of `reduction`")),
        reduction_(p.get("reduction", 16.0, "width = d / reduction, rounded down, at least 1; above 0")),
        nonlinearity_(p.get("nonlinearity", "swish", "swish, relu, gelu or tanh")),
        layer_norms_(p.get("layer_norms", true, "train the LayerNorms of the adapted stacks too")),
        init_(p.get("init", "bert",
                    "bert: N(0, 0.02); houlsby: N(0, 0.01) cut at 2 deviations; zero: the up map is zero")),
        targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the linear maps to put a bottleneck after, or one regular expression for "
            "whole names; every attention and feed-forward output of every stack if left out")) {
    p.check(!width_ || *width_ >= 1, "width", "must be at least 1");
    p.check(!(p.given("width") && p.given("reduction")), "reduction", "cannot be given together with `width`");
    p.check(std::isfinite(reduction_) && reduction_ > 0, "reduction", "must be above 0");
    p.check(activations().count(nonlinearity_) > 0, "nonlinearity", "must be swish, relu, gelu or tanh");
    p.check(init_ == "bert" || init_ == "houlsby" || init_ == "zero", "init", "must be bert, houlsby or zero");
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one part of the model");
  }

  void attach(Model& model, const Tokenizer&) override {
    std::vector<std::string> names;
    for (const Sublayer* site : model.sublayer_sites()) names.push_back(site->name);
    const auto chosen = targets_ ? select_names(names, *targets_) : names;
    if (chosen.empty()) throw UnsupportedError("plugin adapter: the model offers no place for a bottleneck");
    const std::set<std::string> wanted(chosen.begin(), chosen.end());
    for (Sublayer* site : model.sublayer_sites()) {
      if (!wanted.count(site->name)) continue;
      auto bottleneck = std::make_shared<Bottleneck>(*site, width_of(*site), activations().at(nonlinearity_), init_);
      bottleneck->to(model.embedding_table().device());
      register_module(flat_name(site->name), bottleneck);
      site->extend([bottleneck](const torch::Tensor& h, const SublayerContext&) { return bottleneck->forward(h); });
      adapted_.emplace_back(library_path(*site), bottleneck);
    }
    if (layer_norms_) {
      norms_ = norms_of(model.norm_parameters(), names, chosen);
      model.train_parameters(norms_);
    }
  }

  bool starts_at_base() const override { return init_ == "zero"; }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = config(model);
    const auto keep = [](const torch::Tensor& t) {
      return t.detach().to(torch::kCPU, torch::kFloat32, false, /*copy=*/true).contiguous();
    };
    for (const auto& [name, tensor] : named_tensors(kName)) files.tensors[name] = keep(tensor);
    for (const auto& [name, tensor] : named_norms(model)) files.extra[name] = keep(tensor);
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

  Table options_from(const Table& adapter_config) const override;

 private:
  static constexpr const char* kName = "peftlab";

  int64_t width_of(const Sublayer& site) const {
    if (width_) return *width_;
    return std::max<int64_t>(1, static_cast<int64_t>(std::floor(static_cast<double>(site.width) / reduction_)));
  }

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

  /// As `adapters` 1.3 writes it, and under `peftlab` what it has no field for.
  Table config(Model& model) const {
    const double hidden = static_cast<double>(model.facts().hidden);
    // The library takes d // reduction: half a step above the width is safe from rounding.
    Value reduction = width_ ? hidden / (static_cast<double>(*width_) + 0.5) : reduction_;
    if (width_ && model.facts().hidden % *width_ == 0) reduction = model.facts().hidden / *width_;
    Table inner = {{"mh_adapter", true},
                   {"output_adapter", true},
                   {"reduction_factor", reduction},
                   {"non_linearity", nonlinearity_},
                   {"init_weights", init_ == "zero" ? "bert" : init_},
                   {"original_ln_after", true},
                   {"residual_before_ln", true},
                   {"scaling", 1.0},
                   {"dropout", 0.0},
                   {"stochastic_depth", 0.0},
                   {"leave_out", List()},
                   {"phm_dim", 4},
                   {"phm_rank", 1},
                   {"phm_init_range", 0.0001},
                   {"phm_c_init", "normal"},
                   {"hypercomplex_nonlinearity", "glorot-uniform"}};
    for (const char* key : {"original_ln_before", "ln_before", "ln_after", "is_parallel", "use_gating", "cross_adapter",
                            "adapter_residual_before_ln", "phm_layer", "shared_W_phm", "factorized_phm_rule"}) {
      inner[key] = false;
    }
    for (const char* key : {"factorized_phm_W", "shared_phm_rule", "learn_phm", "phm_bias"}) inner[key] = true;
    for (const char* key : {"inv_adapter", "inv_adapter_reduction_factor", "init_weights_seed"}) inner[key] = Value();

    Table own = {{"layer_norms", layer_norms_}, {"nonlinearity", nonlinearity_}, {"init", init_}};
    if (width_) {
      own["width"] = *width_;
    } else {
      own["reduction"] = reduction_;
    }
    if (targets_) own["targets"] = *targets_;
    return {{"config", inner},
            {"hidden_size", model.facts().hidden},
            {"model_type", model.facts().model_type},
            {"model_class", Value()},
            {"model_name", Value()},
            {"name", kName},
            {"peftlab", own},
            {"version", "adapters.1.3.0"}};
  }

  std::optional<int64_t> width_;
  double reduction_;
  std::string nonlinearity_;
  bool layer_norms_;
  std::string init_;
  std::optional<std::vector<std::string>> targets_;
  std::vector<std::pair<std::string, std::shared_ptr<Bottleneck>>> adapted_;  ///< path in the library's file
  std::vector<std::string> norms_;
};

Table Adapter::options_from(const Table& adapter_config) const {
  AdapterConfig config(adapter_config, "plugin adapter");
  config.ignore({"hidden_size", "model_class", "model_name", "model_type", "name", "version"});
  const Value* own = config.value("peftlab");
  const Value* inner = config.value("config");
  config.finish();
  if (own) {
    if (!own->get_if<Table>())
      throw FormatError("adapter_config.json: `peftlab` is " + to_json(*own) + ", wanted a table");
    return *own->get_if<Table>();
  }

  // The library trains no LayerNorm.
  Table options = {{"layer_norms", false}};
  if (!inner || inner->get_if<std::string>()) {
    const std::string name = inner ? *inner->get_if<std::string>() : "";
    if (name == "double_seq_bn" || name == "houlsby") return options;
    throw FormatError("adapter_config.json: `config` is \"" + name +
                      "\"; plugin adapter computes only \"double_seq_bn\"");
  }
  if (!inner->get_if<Table>())
    throw FormatError("adapter_config.json: `config` is " + to_json(*inner) + ", wanted a table");
  AdapterConfig fields(*inner->get_if<Table>(), "plugin adapter", "config.");
  for (const char* key : {"mh_adapter", "output_adapter", "original_ln_after", "residual_before_ln"}) {
    fields.expect(key, true);
  }
  fields.expect("scaling", 1.0);
  fields.expect("dropout", 0.0);
  fields.expect("stochastic_depth", 0.0);
  options["reduction"] = fields.get("reduction_factor", 16.0);
  options["nonlinearity"] = fields.get("non_linearity", "swish");
  if (!activations().count(*options["nonlinearity"].get_if<std::string>())) {
    throw FormatError("adapter_config.json asks for `config.non_linearity` = " + to_json(options["nonlinearity"]) +
                      "; plugin adapter computes swish, relu, gelu and tanh");
  }
  // How the weights started, and the shape of hypercomplex maps that `phm_layer` = false leaves unused.
  fields.ignore({"init_weights", "init_weights_seed", "phm_dim", "phm_rank", "phm_init_range", "phm_c_init", "phm_bias",
                 "hypercomplex_nonlinearity", "factorized_phm_W", "shared_phm_rule", "learn_phm", "shared_W_phm",
                 "factorized_phm_rule", "inv_adapter_reduction_factor", "architecture"});
  fields.finish();
  return options;
}

}  // namespace

PEFTLAB_PLUGIN(Method, Adapter, "adapter", "trained bottlenecks after attention and feed-forward", "arXiv:1902.00751",
               "double_seq_bn houlsby")

}  // namespace peftlab
