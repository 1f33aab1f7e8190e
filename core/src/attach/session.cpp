#include "attach/session.h"

#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_folder.h"
#include "support/sha256.h"
#include "tokenize/tokenize.h"

#include <peftlab/error.h>
#include <peftlab/transformers_config.h>

#include <algorithm>

namespace peftlab::attach {
namespace {

namespace fs = std::filesystem;

int64_t count(const std::vector<torch::Tensor>& tensors) {
  int64_t n = 0;
  for (const auto& t : tensors) n += t.numel();
  return n;
}

/// Deviation of a new head's weights, as transformers draws them.
double deviation_of(const Table& config) {
  const Value table(config);
  const Value* given = table.find("initializer_range");
  const double* deviation = given ? given->get_if<double>() : nullptr;
  return deviation ? *deviation : 0.02;
}

/// The parameters of the model's classification head, by name.
TensorMap head_of(const Model& model) {
  const std::string head = model.classification_head();
  TensorMap tensors;
  for (const auto& item : model.named_parameters()) {
    if (!head.empty() && item.key().starts_with(head + ".")) tensors[item.key()] = item.value();
  }
  return tensors;
}

std::vector<std::string> names_of(const TensorMap& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

}  // namespace

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

Session open_model(const ModelChoice& choice, const registry::Registry& registry, torch::Device device) {
  Session session;
  session.folder = choice.folder;
  session.device = device;
  Table config = checkpoint::read_config(choice.folder);
  if (!choice.labels.empty()) session.config = config = with_labels(config, choice.labels);
  const std::string type = *config.at("model_type").get_if<std::string>();
  const registry::Plugin* plugin = registry.find_if(Kind::model, type);
  if (!plugin) {
    std::vector<std::string> known;
    for (const auto& candidate : registry.plugins()) {
      if (candidate.kind != Kind::model) continue;
      known.insert(known.end(), candidate.aliases.begin(), candidate.aliases.end());
    }
    throw FormatError((choice.folder / "config.json").string() + ": no model plugin serves model_type `" + type + "`. " +
                      suggestion(type, known));
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
  const auto dtype = checkpoint::dtype_from(choice.dtype);
  if (choice.init == "pretrained") {
    std::optional<double> new_head;
    if (!choice.labels.empty()) {
      if (session.model->classification_head().empty()) {
        throw UnsupportedError(choice.folder.string() + ": model type `" + type + "` takes no head for `labels`");
      }
      new_head = deviation_of(config);
    }
    checkpoint::load_weights(*session.model, choice.folder, dtype, new_head);
    session.base_sha256 = checkpoint::weights_sha256(choice.folder);
  } else {
    session.model->to(dtype);
  }
  session.tokenizer = tokenize::load_tokenizer(choice.folder);
  session.model->to(device);
  session.model->freeze();
  session.base_parameters = count(session.model->parameters());
  session.set_training(false);
  return session;
}

void attach_methods(Session& session, const std::vector<plan::PluginUse>& uses, int64_t seed,
                    const registry::Registry& registry) {
  torch::manual_seed(static_cast<uint64_t>(seed));
  for (const plan::PluginUse& use : uses) {
    Params params(use.options, "plugin " + use.plugin);
    AttachedMethod attached;
    attached.plugin = use.plugin;
    attached.method = registry.make_method(use.plugin, params);
    params.finish();
    attached.options = params.effective();
    attached.method->attach(*session.model, *session.tokenizer);
    attached.method->to(session.device);
    session.methods.push_back(std::move(attached));
  }
  if (!session.trained().empty()) session.model->train_parameters(names_of(head_of(*session.model)));
}

void attach_adapter(Session& session, const fs::path& folder, const registry::Registry& registry) {
  const checkpoint::AdapterFolder adapter = checkpoint::read_adapter(folder);
  if (!adapter.base_sha256.empty() && adapter.base_sha256 != session.base_sha256) {
    throw FormatError(folder.string() + ": was trained on the base with sha256 " + adapter.base_sha256 + ", but " +
                      session.folder.string() + " has " + session.base_sha256);
  }
  const std::string kind = checkpoint::adapter_kind(adapter.files.config, folder.string());
  const registry::Plugin* plugin = registry.find_if(Kind::method, kind);
  if (!plugin) {
    throw FormatError(folder.string() + ": no method plugin reads adapters of type `" + kind + "`. " +
                      suggestion(kind, registry.names(Kind::method)));
  }
  Params none;
  try {
    const Table options = registry.make_method(plugin->name, none)->options_from(adapter.files.config);
    attach_methods(session, {{plugin->name, options}}, 0, registry);
    session.methods.back().method->load(*session.model, adapter.files);
    if (!adapter.files.head.empty()) copy_tensors(adapter.files.head, head_of(*session.model), "the adapter's head");
    const bool holds_any = !adapter.files.tensors.empty() || !adapter.files.extra.empty() || !adapter.files.head.empty();
    if (!holds_any && !session.trained().empty()) {
      throw FormatError("holds no tensors, but an adapter of type `" + kind + "` trains some");
    }
  } catch (const FormatError& error) {
    throw FormatError(folder.string() + ": " + error.what());
  } catch (const ConfigError& error) {
    throw FormatError(folder.string() + ": " + error.what());  // the folder is an input file, not the user's experiment
  }
  session.model->freeze();
  session.set_training(false);
}

std::vector<std::string> new_head_labels(const fs::path& model, const fs::path& adapter) {
  if (is_classifier(checkpoint::read_config(model))) return {};
  const AdapterFiles files = checkpoint::read_adapter(adapter).files;
  if (files.head.empty() || !files.labels.empty()) return files.labels;
  // Another library wrote it and named no classes: transformers' own names, as many as the head's last map has rows.
  int64_t classes = 0;
  for (const char* map : {"score.weight", "classifier.weight", "classifier.out_proj.weight"}) {
    if (const auto it = files.head.find(map); it != files.head.end()) classes = it->second.size(0);
  }
  std::vector<std::string> labels;
  for (int64_t i = 0; i < classes; ++i) labels.push_back("LABEL_" + std::to_string(i));
  return labels;
}

SavedResult save_result(const Session& session, const fs::path& folder) {
  SavedResult saved;
  saved.folder = folder;
  const bool whole = std::any_of(session.methods.begin(), session.methods.end(),
                                 [](const auto& m) { return m.method->saves_model(); });
  if (whole) {
    checkpoint::save_model(*session.model, session.folder, folder, session.config);
    saved.is_model = true;
    saved.sha256 = checkpoint::weights_sha256(folder);
    return saved;
  }
  if (session.trained().empty()) return saved;

  TensorMap head;
  for (const auto& [name, tensor] : head_of(*session.model)) {
    if (tensor.requires_grad()) head[name] = tensor.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  }
  std::string lines;
  for (const AttachedMethod& attached : session.methods) {
    const bool alone = session.methods.size() == 1;
    const fs::path place = alone ? folder : folder / attached.plugin;
    AdapterFiles files = attached.method->save(*session.model);
    if (files.tensors.empty() && files.extra.empty() && head.empty()) continue;
    files.head = head;
    if (!head.empty()) files.labels = session.model->facts().labels;
    const std::string sha256 = checkpoint::write_adapter(place, files, session.base_sha256);
    saved.sha256 = sha256;
    lines += sha256 + "  " + attached.plugin + "\n";
  }
  if (session.methods.size() > 1) saved.sha256 = sha256_hex(lines);
  return saved;
}

}  // namespace peftlab::attach
