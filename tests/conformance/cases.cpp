#include "cases.h"

#include "checkpoint/model_folder.h"
#include "mixture.h"
#include "registry/registry.h"

#include <peftlab/nn/quantized_maps.h>
#include <peftlab/testing/toy.h>

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

namespace peftlab::conformance {
namespace {

namespace fs = std::filesystem;

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

/// A model folder of the oracles.
struct Family {
  std::string plugin, folder;
  Table changes;  ///< to its config.json
};

/// Dropout is off where a folder has it on: the laws that train compare losses.
const std::map<std::string, Family>& families() {
  static const std::map<std::string, Family> known = {
      {"visualglm", {"visualglm", "visualglm/model", {}}},
      {"gpt2", {"gpt2", "causal_models/gpt2", {{"attn_pdrop", 0.0}, {"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}}}},
      {"llama", {"llama", "causal_models/llama", {}}},
      {"bert", {"bert", "bert/bert_class", {{"attention_probs_dropout_prob", 0.0}, {"hidden_dropout_prob", 0.0}}}},
  };
  return known;
}

fs::path folder_of(const Family& family) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  return fs::path(source ? source : ".") / "tests/oracle" / family.folder;
}

std::shared_ptr<Model> make_model(const Family& family) {
  const fs::path folder = folder_of(family);
  Table table = checkpoint::read_config(folder);
  for (const auto& [key, value] : family.changes) table[key] = value;
  Params config(table, "config.json");
  config.ignore({"model_type"});
  auto model = plugins().make_model(family.plugin, config);
  config.finish();
  checkpoint::load_weights(*model, folder, torch::kFloat32);
  return model;
}

/// Key and value heads are shared, as in grouped-query attention.
std::shared_ptr<Model> make_toy() {
  testing::ToySizes sizes;
  sizes.kv_heads = 1;
  return std::make_shared<testing::ToyModel>(sizes);
}

/// The same with every linear map in 4 bits.
std::shared_ptr<Model> make_quantized_toy() {
  const auto model = make_toy();
  Params defaults;
  QuantizedMaps(defaults).apply(*model);
  return model;
}

/// Tokens of which those from `answer` on are to be predicted.
Encoded labelled(std::vector<int64_t> tokens, size_t answer, int64_t context, int64_t image_at = -1) {
  Encoded encoded{std::move(tokens), {}, context, image_at};
  encoded.labels.assign(encoded.tokens.size(), kNoLabel);
  for (size_t i = answer - 1; i + 1 < encoded.tokens.size(); ++i) encoded.labels[i] = encoded.tokens[i + 1];
  return encoded;
}

void give_toy(testing::MethodCase& made) {
  made.examples = {labelled({3, 9, 1, 4, 27, 8, 28}, 4, 0), labelled({5, 2, 6, 17, 12, 28}, 2, 2),
                   labelled({20, 11, 4, 7, 13, 19, 2, 1, 28}, 5, 0)};
  made.shortest = {{7}, {kNoLabel}, 0, -1};
}

/// Texts whose next tokens are asked for.
void give_causal(testing::MethodCase& made) {
  made.examples = {labelled({3, 9, 1, 4, 27, 8, 28}, 4, 0), labelled({5, 2, 6, 17, 12, 28}, 2, 0),
                   labelled({20, 11, 4, 7, 13, 19, 2, 1, 28}, 5, 0)};
  made.shortest = {{7}, {kNoLabel}, 0, -1};
}

/// Texts whose first output names a class of three.
void give_classes(testing::MethodCase& made) {
  const auto classified = [](std::vector<int64_t> tokens, int64_t label) {
    Encoded encoded{std::move(tokens), {}, 0, -1, 0};
    encoded.labels.assign(encoded.tokens.size(), kNoLabel);
    encoded.labels[0] = label;
    return encoded;
  };
  made.examples = {classified({3, 9, 1, 4, 27, 8, 28}, 2), classified({5, 2, 6, 17, 12, 28}, 0),
                   classified({20, 11, 4, 7, 13, 19, 2, 1, 28}, 1)};
  made.shortest = {{7}, {kNoLabel}, 0, -1, 0};
  made.keeps_cache = false;
}

/// What a method says of a model that lacks what it trains; empty where it works.
std::string refusal_of(const Variation& variation, const std::string& model) {
  const std::string& plugin = variation.plugin;
  if (plugin == "head" && model != "bert") return "`labels` under [model]";
  if (plugin == "bitfit" && model == "llama") return "has none";
  if (plugin == "full" && model == "toy_nf4") return "is quantized (nf4)";
  if (plugin == "prefix" && variation.label == "text" && model == "bert") return "needs keys and values of a text";
  return "";
}

/// As VisualGLM lays it out: picture, question, [gMASK, sop], answer, eop. Ids are those of the tiny model.
void give_visualglm(testing::MethodCase& made) {
  made.examples = {labelled({46, 26, 33, 0, 0, 0, 47, 26, 33, 21, 12, 59, 60, 17, 40, 22, 61}, 12, 12, 3),
                   labelled({14, 9, 30, 59, 60, 51, 8, 40, 61}, 4, 4),
                   labelled({46, 26, 33, 0, 0, 0, 47, 26, 33, 5, 59, 60, 8, 13, 61}, 11, 11, 3)};
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{3});
  for (int i = 0; i < 2; ++i) made.images.push_back(torch::randn({3, 28, 42}, generator));
  made.shortest = {{59, 60}, {kNoLabel, kNoLabel}, 1, -1};
}

}  // namespace

std::vector<Variation> variations() {
  // What a plugin's defaults still need on the models here, and the first values that no seed decides.
  const Table ia3 = {{"targets", std::vector<std::string>{"query_key_value", "mlp.dense_4h_to_h"}},
                     {"feedforward", std::vector<std::string>{"mlp.dense_4h_to_h"}}};
  static const std::map<std::string, Variation> defaults = {
      {"ia3", {"ia3", "default", ia3, /*seeded=*/false}},
      {"vera", {"vera", "default", {}, /*seeded=*/false}},
      {"head", {"head", "default", {}, /*seeded=*/false}},
      {"quantized", {"quantized", "default", {}, /*seeded=*/false}},
  };
  static const std::vector<Variation> more = {
      {"lora",
       "all_linear_dropout",
       {{"targets", std::vector<std::string>{"all-linear"}}, {"dropout", 0.1}, {"rank", 2}}},
      {"lora", "pattern", {{"targets", std::vector<std::string>{R"(.*\.0\..*dense)"}}, {"alpha", 32}}},
      {"lora", "rslora", {{"rslora", true}}},
      {"lora", "dora", {{"dora", true}}},
      {"lora", "dora_dropout", {{"dora", true}, {"dropout", 0.2}}},
      {"lora",
       "excluded",
       {{"targets", std::vector<std::string>{"query_key_value", "dense"}},
        {"exclude", std::vector<std::string>{"dense"}}}},
      {"lora", "layers", {{"layers", std::vector<int64_t>{1}}, {"layers_pattern", std::vector<std::string>{"layers"}}}},
      {"lora",
       "patterns",
       {{"targets", std::vector<std::string>{"query_key_value", "dense"}},
        {"rank_pattern", Table{{"dense", 3}}},
        {"alpha_pattern", Table{{"dense", 2.5}}}}},
      {"lora", "bias_all", {{"bias", "all"}}},
      {"lora", "bias_lora_only", {{"bias", "lora_only"}}},
      {"lora", "gaussian", {{"init", "gaussian"}, {"rank", 4}}},
      {"lora", "pissa", {{"init", "pissa"}, {"rank", 4}}, /*seeded=*/false},
      {"lora", "pissa_rslora_dropout", {{"init", "pissa"}, {"rslora", true}, {"rank", 3}, {"dropout", 0.1}}},
      {"lora", "frozen_half", {{"frozen_half", true}, {"rank", 6}}},
      {"lora", "loraplus", {{"loraplus_ratio", 16}}},
      {"adalora",
       "all_linear_dropout",
       {{"targets", std::vector<std::string>{"all-linear"}}, {"rank", 3}, {"target_rank", 1}, {"dropout", 0.1}}},
      {"adalora",
       "pattern",
       {{"targets", std::vector<std::string>{R"(.*\.0\..*dense)"}}, {"alpha", 32}, {"orthogonality", 0.0}}},
      {"adapter", "zero", {{"init", "zero"}}},
      {"adapter",
       "houlsby_width",
       {{"init", "houlsby"}, {"width", 5}, {"nonlinearity", "gelu"}, {"layer_norms", false}}},
      {"adapter",
       "one_stack",
       {{"targets", std::vector<std::string>{R"(transformer\..*)"}}, {"reduction", 3.5}, {"nonlinearity", "relu"}}},
      {"adapter", "tanh", {{"reduction", 4}, {"nonlinearity", "tanh"}}},
      // Of a single ReLU, which the reduction gives in the Q-Former, nothing may be left to learn.
      {"adapter", "pfeiffer", {{"kind", "pfeiffer"}, {"width", 6}}},
      {"adapter",
       "pfeiffer_both_norms",
       {{"kind", "pfeiffer"}, {"places", "both"}, {"width", 3}, {"layer_norms", true}, {"nonlinearity", "gelu_new"}}},
      {"adapter", "pfeiffer_zero", {{"kind", "pfeiffer"}, {"init", "zero"}, {"nonlinearity", "leakyrelu"}}},
      {"adapter", "parallel", {{"kind", "parallel"}}},
      {"adapter",
       "parallel_attention_scale",
       {{"kind", "parallel"}, {"places", "attention"}, {"scale", 0.5}, {"init", "bert"}, {"width", 4}}},
      {"prefix", "flat", {{"projection", false}, {"tokens", 3}}},
      {"prefix", "narrow", {{"hidden", 5}, {"tokens", 1}}},
      {"ptuning_v2", "mlp", {{"encoder", "mlp"}, {"tokens", 3}, {"hidden", 5}}},
      {"ptuning_v2", "lstm", {{"encoder", "lstm"}, {"tokens", 3}, {"hidden", 6}}},
      {"ptuning_v2", "transformer", {{"encoder", "transformer"}, {"tokens", 4}}},
      {"ptuning_v2", "dropout", {{"dropout", 0.2}, {"tokens", 3}}},
      {"prefix",
       "text",
       {{"projection", false}, {"init", "text"}, {"text", "abc"}, {"tokens", 4}},
       /*seeded=*/false},
      {"ptuning", "narrow", {{"hidden", 5}, {"tokens", 1}}},
      {"ptuning", "lstm", {{"encoder", "lstm"}, {"tokens", 3}, {"hidden", 6}}},
      {"ptuning", "lstm_dropout", {{"encoder", "lstm"}, {"tokens", 3}, {"hidden", 5}, {"layers", 3}, {"dropout", 0.2}}},
      {"prompt", "template", {{"template", "ab{soft}c"}, {"tokens", 3}}},
      {"prompt", "vocabulary", {{"init", "vocabulary"}, {"tokens", 3}}},
      {"prompt", "text", {{"init", "text"}, {"text", "abc"}, {"tokens", 4}}, /*seeded=*/false},
      {"ia3",
       "pattern",
       {{"targets", std::vector<std::string>{R"(transformer\..*)"}},
        {"feedforward", std::vector<std::string>{R"(.*dense)"}}},
       /*seeded=*/false},
      {"ia3",
       "outputs",
       {{"targets", std::vector<std::string>{"all-linear"}}, {"feedforward", List()}},
       /*seeded=*/false},
      {"bitfit", "queries", {{"targets", std::vector<std::string>{"query_key_value", "dense_h_to_4h"}}}},
      {"layernorm", "some", {{"targets", std::vector<std::string>{"input_layernorm", "transformer.final_layernorm"}}}},
      {"vera",
       "all_linear_dropout",
       {{"targets", std::vector<std::string>{"all-linear"}}, {"rank", 5}, {"dropout", 0.2}, {"d_initial", -1.0}}},
      {"qlora", "fp4_dora_dropout", {{"quantization", "fp4"}, {"block_size", 32}, {"dora", true}, {"dropout", 0.2}}},
      {"qlora",
       "plain_scales_pissa",
       {{"double_quantization", false}, {"init", "pissa"}, {"rank", 4}},
       /*seeded=*/false},
      {"qlora", "int8", {{"quantization", "int8"}, {"targets", std::vector<std::string>{"all-linear"}}}},
      {"qlora", "bfloat16", {{"quantization", "bfloat16"}}},
      {"qlora", "none", {{"quantization", "none"}, {"rank", 2}}},
      {"vera", "unsaved", {{"projection_seed", 3}, {"save_projection", false}, {"rank", 300}}, /*seeded=*/false},
  };
  std::vector<Variation> all;
  for (const std::string& name : plugins().names(Kind::method)) {
    const auto own = defaults.find(name);
    all.push_back(own == defaults.end() ? Variation{name, "default", {}} : own->second);
  }
  for (const Variation& variation : more) {
    if (plugins().find_if(Kind::method, variation.plugin)) all.push_back(variation);
  }
  const Table dense = {{"targets", std::vector<std::string>{"dense"}}, {"rank", 2}};
  const Table flat = {{"tokens", 3}, {"projection", false}};
  const Table bottleneck = {{"width", 6}, {"layer_norms", false}};
  const std::vector<std::pair<std::string, Table>> mixtures = {
      {"lora+prefix", {{"lora", dense}, {"prefix", flat}}},
      {"adapter+lora", {{"adapter", bottleneck}, {"lora", dense}}},
      // MAM of He et al., 2022, arXiv:2110.04366.
      {"prefix+adapter", {{"prefix", flat}, {"adapter", Table{{"kind", "parallel"}, {"width", 6}}}}},
      {"lora+prompt", {{"lora", dense}, {"prompt", Table{{"tokens", 3}}}}},
      {"ia3+lora", {{"ia3", ia3}, {"lora", dense}}},
      {"bitfit+adapter", {{"bitfit", Table()}, {"adapter", bottleneck}}},
      {"adalora+ptuning_v2",
       {{"adalora", Table{{"targets", std::vector<std::string>{"dense"}}, {"rank", 3}, {"target_rank", 1}}},
        {"ptuning_v2", Table{{"tokens", 3}, {"encoder", "mlp"}}}}},
      {"quantized+adapter+prompt", {{"quantized", Table()}, {"adapter", bottleneck}, {"prompt", Table{{"tokens", 3}}}}},
  };
  for (const auto& [names, options] : mixtures) all.push_back({names, "mixture", options});
  return all;
}

std::vector<std::string> models() { return {"toy", "toy_nf4", "visualglm", "gpt2", "llama", "bert"}; }

bool available(const std::string& model) {
  if (model.starts_with("toy")) return true;
  const Family& family = families().at(model);
  return plugins().find_if(Kind::model, family.plugin) && fs::exists(folder_of(family) / "config.json");
}

std::vector<std::string> parts_of(const std::string& plugin) {
  std::vector<std::string> parts;
  std::istringstream names(plugin);
  for (std::string name; std::getline(names, name, '+');) parts.push_back(name);
  return parts;
}

std::optional<int64_t> formula(const Variation& variation, Model& model) {
  const auto parts = parts_of(variation.plugin);
  if (parts.size() > 1) {
    int64_t sum = 0;
    for (const std::string& part : parts) {
      const auto own = formula({part, "default", *variation.options.at(part).get_if<Table>()}, model);
      if (!own) return std::nullopt;
      sum += *own;
    }
    return sum;
  }
  Params params(variation.options, variation.plugin);
  const auto integer = [&](const char* name, int64_t fallback) { return params.get<int64_t>(name, fallback, ""); };
  const ModelFacts& facts = model.facts();
  int64_t count = 0;
  if (variation.plugin == "none" || variation.plugin == "quantized") return 0;
  if (variation.plugin == "full") {
    for (const auto& parameter : model.parameters()) count += parameter.numel();
    return count;
  }
  if (variation.plugin == "lora" || variation.plugin == "qlora") {
    const int64_t halves = params.get("frozen_half", false, "") ? 2 : 1;
    const bool dora = params.get("dora", false, "");
    const std::string bias = params.get("bias", "none", "");
    for (const Linear* site : model.linear_sites(params.get("targets", model.default_lora_targets(), ""))) {
      const bool is_dense = site->name.ends_with(".dense");
      if (params.given("exclude") && is_dense) continue;
      if (params.given("layers") && site->name.find("layers.1.") == std::string::npos) continue;
      const int64_t rank = params.given("rank_pattern") && is_dense ? 3 : integer("rank", 8) / halves;
      count += rank * (site->in + site->out) + (dora ? site->out : 0);
      if (bias == "lora_only" && site->bias.defined()) count += site->out;
    }
    const std::string head = model.classification_head();
    for (const auto& parameter : model.named_parameters()) {
      const std::string& name = parameter.key();
      const bool is_bias = name.ends_with(".bias") && (head.empty() || !name.starts_with(head + "."));
      if (bias == "all" && is_bias) count += parameter.value().numel();
    }
    return count;
  }
  if (variation.plugin == "adalora") {
    for (const Linear* site : model.linear_sites(params.get("targets", model.default_lora_targets(), ""))) {
      count += integer("rank", 12) * (site->in + site->out + 1);
    }
    return count;
  }
  if (variation.plugin == "adapter") {
    const auto width = params.get_optional<int64_t>("width", "");
    const std::string kind = params.get("kind", "houlsby", "");
    const std::string places = params.get("places", kind == "houlsby" ? "both" : "feed_forward", "");
    const double reduction = params.get("reduction", kind == "parallel" ? 2.0 : 16.0, "");
    const bool one_stack = params.given("targets");
    const auto in_stack = [&](const std::string& name) { return !one_stack || name.starts_with("transformer."); };
    for (const Sublayer* site : model.sublayer_sites()) {
      if (!in_stack(site->name)) continue;
      const bool is_attention = site->position == Sublayer::Position::attention;
      if (places != "both" && places != (is_attention ? "attention" : "feed_forward")) continue;
      const int64_t d = site->width;
      const int64_t m = width ? *width : std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(d) / reduction));
      count += 2 * d * m + m + d;
    }
    if (!params.get("layer_norms", kind == "houlsby", "")) return count;
    const auto parameters = model.named_parameters();
    for (const std::string& norm : model.norm_parameters()) count += in_stack(norm) ? parameters[norm].numel() : 0;
    return count;
  }
  if (variation.plugin == "prefix") {
    const int64_t p = integer("tokens", 20), w = facts.kv_heads * facts.head_width, out = 2 * facts.layers * w;
    if (!params.get("projection", true, "")) return p * out;
    const int64_t h = integer("hidden", facts.hidden);
    return p * w + (w * h + h) + (h * out + out);
  }
  if (variation.plugin == "ptuning_v2") {
    const int64_t p = integer("tokens", 20), w = facts.kv_heads * facts.head_width, c = 2 * facts.layers * w;
    const int64_t h = integer("hidden", facts.hidden);
    const std::string encoder = params.get("encoder", "none", "");
    if (encoder == "none") return p * c;
    if (encoder == "mlp") return p * w + (w * h + h) + (h * c + c);
    if (encoder == "transformer") return p * w + 4 * (w * w + w) + (w * h + h) + (h * w + w) + 4 * w + (w * c + c);
    const int64_t first = 2 * (4 * h * w + 4 * h * h + 8 * h), second = 2 * (8 * h * h + 4 * h * h + 8 * h);
    return p * w + first + second + (2 * h * h + h) + (h * c + c);
  }
  if (variation.plugin == "ptuning") {
    const int64_t p = integer("tokens", 20), d = facts.hidden, h = integer("hidden", d), layers = integer("layers", 2);
    if (params.get("encoder", "mlp", "") == "mlp") return p * d + (d * h + h) + (h * h + h) + (h * d + d);
    const int64_t first = 2 * (4 * h * d + 4 * h * h + 8 * h), further = 2 * (12 * h * h + 8 * h);
    return p * d + first + (layers - 1) * further + (4 * h * h + 2 * h) + (2 * h * d + d);
  }
  if (variation.plugin == "prompt") return integer("tokens", 20) * facts.hidden;
  if (variation.plugin == "ia3") {
    // Elsewhere the targets are the plugin's own: tests/oracle/methods/defaults.json has their shapes.
    if (facts.model_type != "toy" && facts.model_type != "chatglm") return std::nullopt;
    const auto targets = params.get("targets", std::vector<std::string>(), "");
    for (const Linear* site : model.linear_sites(targets)) {
      // At their input: the second feed-forward maps by default, the maps after the attentions by the pattern.
      const bool at_input = (variation.label == "default" && site->name.ends_with(".dense_4h_to_h")) ||
                            (variation.label == "pattern" && site->name.ends_with(".dense"));
      count += at_input ? site->in : site->out;
    }
    return count;
  }
  if (variation.plugin == "head") {
    for (const auto& item : model.named_parameters()) {
      const std::string head = model.classification_head();
      if (!head.empty() && item.key().starts_with(head + ".")) count += item.value().numel();
    }
    return count;
  }
  if (variation.plugin == "bitfit" || variation.plugin == "layernorm") {
    const auto norms = model.norm_parameters();
    const std::string head = model.classification_head();  // the host's to train
    const auto targets = params.get("targets", std::vector<std::string>(), "");
    for (const auto& item : model.named_parameters()) {
      const std::string& name = item.key();
      if (!head.empty() && name.starts_with(head + ".")) continue;
      const std::string module = "." + name.substr(0, name.rfind('.'));
      const bool chosen = targets.empty() || std::any_of(targets.begin(), targets.end(), [&](const std::string& end) {
                            return module.ends_with("." + end);
                          });
      const bool norm = std::find(norms.begin(), norms.end(), name) != norms.end();
      const bool kind = variation.plugin == "bitfit" ? name.ends_with(".bias") : norm;
      if (chosen && kind) count += item.value().numel();
    }
    return count;
  }
  if (variation.plugin == "vera") {
    for (const Linear* site : model.linear_sites(params.get("targets", model.default_lora_targets(), ""))) {
      count += integer("rank", 256) + site->out;
    }
    return count;
  }
  return std::nullopt;
}

/// What bounds the rank of what is merged into a map; nullopt where nothing does.
std::optional<int64_t> rank_bound(const Variation& variation) {
  Params params(variation.options, variation.plugin);
  const bool is_lora = variation.plugin == "lora" || variation.plugin == "qlora";
  if (is_lora && !params.get("dora", false, "")) {
    const int64_t rank = std::max<int64_t>(params.get<int64_t>("rank", 8, ""), params.given("rank_pattern") ? 3 : 0);
    return params.get("init", "", "") == "pissa" ? 2 * rank : rank;
  }
  if (variation.plugin == "adalora") return params.get<int64_t>("rank", 12, "");
  if (variation.plugin == "vera") return params.get<int64_t>("rank", 256, "");
  return std::nullopt;
}

testing::MethodCase make_case(const Variation& variation, const std::string& model, torch::ScalarType type) {
  testing::MethodCase made;
  made.method = [names = parts_of(variation.plugin)](Params& params) -> std::shared_ptr<Method> {
    const auto make = [](const std::string& name, Params& own) { return plugins().make_method(name, own); };
    if (names.size() == 1) return make(names.front(), params);
    return std::make_shared<Mixture>(params, names, make);
  };
  made.options = variation.options;
  made.seeded = variation.seeded;
  made.refusal = refusal_of(variation, model);
  made.type = type;
  made.tokenizer = std::make_shared<testing::ToyTokenizer>();
  // peft's backward pass takes DoRA's norm as a constant, see plugins/lora.
  if (const auto dora = variation.options.find("dora"); dora != variation.options.end()) {
    made.exact_gradient = dora->second != Value(true);
  }
  if (model.starts_with("toy")) {
    made.model = model == "toy" ? make_toy : make_quantized_toy;
    give_toy(made);
  } else {
    made.model = [&family = families().at(model)] { return make_model(family); };
    // The toy and VisualGLM share names that no other model has.
    if (model != "visualglm" && variation.plugin == "ia3") made.options = {};
    if (model == "visualglm") give_visualglm(made);
    if (model == "gpt2" || model == "llama") give_causal(made);
    if (model == "bert") give_classes(made);
    // The tiny BERT has 24 positions.
    const std::set<std::string> prompts = {"prefix", "prompt", "ptuning", "ptuning_v2"};
    if (model == "bert" && prompts.count(variation.plugin)) made.options["tokens"] = 4;
  }
  made.parameters = formula({variation.plugin, variation.label, made.options}, *made.model());
  made.max_rank = rank_bound(variation);
  return made;
}

}  // namespace peftlab::conformance
