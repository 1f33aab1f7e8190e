#include "attach/session.h"
#include "attach/prepare.h"

#include "checkpoint/model_folder.h"
#include "checkpoint/quantization.h"
#include "tokenize/tokenize.h"

#include <peftlab/error.h>
#include <peftlab/transformers_config.h>

#include <algorithm>

namespace peftlab::attach {
namespace {

namespace fs = std::filesystem;

/// All numbers of the model, those of quantized weights among them.
int64_t count_parameters(Model& model) {
  int64_t n = 0;
  for (const auto& t : model.parameters()) n += t.numel();
  for (const Linear* site : model.linear_sites()) n += site->quantized() ? site->in * site->out : 0;
  return n;
}

/// Deviation of a new head's weights, as transformers draws them.
double deviation_of(const Table& config) {
  const Value table(config);
  const Value* given = table.find("initializer_range");
  const double* deviation = given ? given->get_if<double>() : nullptr;
  return deviation ? *deviation : 0.02;
}

}  // namespace

const std::string& Session::base_sha256() const {
  if (is_pretrained && base_sha256_.empty()) base_sha256_ = checkpoint::weights_sha256(folder);
  return base_sha256_;
}

int64_t Session::base_bytes() const {
  int64_t bytes = 0;
  for (const torch::Tensor& tensor : model->parameters()) bytes += static_cast<int64_t>(tensor.nbytes());
  for (const Linear* site : model->linear_sites()) bytes += site->quantized() ? site->quantized()->bytes() : 0;
  return bytes;
}

int64_t Session::base_bytes_in_full() const {
  int64_t bytes = base_bytes();
  for (const Linear* site : model->linear_sites()) {
    const auto& weight = site->quantized();
    if (weight == nullptr) continue;
    bytes += weight->in() * weight->out() * static_cast<int64_t>(elementSize(weight->dtype())) - weight->bytes();
  }
  return bytes;
}

TensorMap Session::trained() const {
  TensorMap trained;
  for (const AttachedMethod& attached : methods) {
    for (const auto& item : attached.method->named_parameters()) {
      if (item.value().requires_grad()) trained[attached.plugin + "/" + item.key()] = item.value();
    }
  }
  for (const auto& [name, tensor] : model->trained_parameters()) trained["base/" + name] = tensor;
  return trained;
}

TensorMap Session::kept_for_resuming() const {
  TensorMap kept = trained();
  for (const AttachedMethod& attached : methods) {
    for (const auto& item : attached.method->named_buffers()) kept[attached.plugin + "/" + item.key()] = item.value();
  }
  return kept;
}

std::map<std::string, double> Session::rate_factors() const {
  std::map<std::string, double> factors;
  for (const AttachedMethod& attached : methods) {
    for (const auto& item : attached.method->named_parameters()) {
      const double factor = attached.method->rate_factor(item.key());
      if (factor != 1.0) factors[attached.plugin + "/" + item.key()] = factor;
    }
  }
  return factors;
}

int64_t Session::trainable_parameters() const {
  int64_t n = 0;
  for (const auto& [name, tensor] : trained()) n += tensor.numel();
  return n;
}

bool Session::starts_at_base() const {
  return std::all_of(methods.begin(), methods.end(), [](const auto& m) { return m.method->starts_at_base(); });
}

void Session::set_training(bool on) {
  model->train(on);
  for (const AttachedMethod& attached : methods) attached.method->train(on);
}

Session open_model(const ModelChoice& choice, const registry::Registry& registry, torch::Device device,
                   const std::vector<AttachedMethod>& methods) {
  Session session;
  session.folder = choice.folder;
  session.device = device;
  Table config = checkpoint::read_config(choice.folder);
  if (!choice.labels.empty()) session.config = config = with_labels(config, choice.labels);
  const bool is_quantized = checkpoint::take_quantization(config, (choice.folder / "config.json").string());
  const std::string type = *config.at("model_type").get_if<std::string>();
  const registry::Plugin* plugin = registry.find_if(Kind::model, type);
  if (!plugin) {
    std::vector<std::string> known;
    for (const auto& candidate : registry.plugins()) {
      if (candidate.kind != Kind::model) continue;
      known.insert(known.end(), candidate.aliases.begin(), candidate.aliases.end());
    }
    throw FormatError((choice.folder / "config.json").string() + ": no model plugin serves model_type `" + type +
                      "`. " + suggestion(type, known));
  }
  Params params(config, (choice.folder / "config.json").string());
  params.ignore({"model_type"});
  torch::manual_seed(static_cast<uint64_t>(choice.seed));
  {
    std::optional<Blueprint> blueprint;
    if (choice.init == "pretrained") blueprint.emplace();
    session.model = registry.make_model(plugin->name, params);
  }
  try {
    params.finish();
  } catch (const ConfigError& error) {
    throw FormatError(error.what());  // the model folder is an input file, not the user's experiment
  }
  std::optional<torch::ScalarType> dtype;
  if (!choice.dtype.empty()) dtype = checkpoint::dtype_from(choice.dtype);
  const auto prepare = [&] {
    for (const AttachedMethod& made : methods) prepare_for(made, *session.model);
  };
  if (choice.init == "pretrained") {
    std::optional<double> new_head;
    if (!choice.labels.empty()) {
      if (session.model->classification_head().empty()) {
        throw UnsupportedError(choice.folder.string() + ": model type `" + type + "` takes no head for `labels`");
      }
      new_head = deviation_of(config);
    }
    checkpoint::load_weights(*session.model, choice.folder, dtype, new_head, is_quantized, prepare);
    session.is_pretrained = true;
  } else {
    if (dtype) session.model->to(*dtype);
    prepare();
  }
  session.tokenizer = tokenize::load_tokenizer(choice.folder);
  session.model->to(device);
  session.model->freeze();
  session.base_parameters = count_parameters(*session.model);
  session.set_training(false);
  return session;
}

int64_t taken_positions(Model& model) {
  const auto sites = model.attention_sites();
  return model.embedding_site().virtual_tokens() + (sites.empty() ? 0 : sites.front()->first_position());
}

}  // namespace peftlab::attach
