#include "attach/session.h"

#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_folder.h"
#include "support/sha256.h"
#include "tokenize/tokenize.h"

#include <peftlab/error.h>

#include <algorithm>

namespace peftlab::attach {
namespace {

namespace fs = std::filesystem;

int64_t count(const std::vector<torch::Tensor>& tensors) {
  int64_t n = 0;
  for (const auto& t : tensors) n += t.numel();
  return n;
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
  const Table config = checkpoint::read_config(choice.folder);
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
  session.model = registry.make_model(plugin->name, params);
  try {
    params.finish();
  } catch (const ConfigError& error) {
    throw FormatError(error.what());  // the model folder is an input file, not the user's experiment
  }
  const auto dtype = checkpoint::dtype_from(choice.dtype);
  if (choice.init == "pretrained") {
    checkpoint::load_weights(*session.model, choice.folder, dtype);
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
  } catch (const FormatError& error) {
    throw FormatError(folder.string() + ": " + error.what());
  } catch (const ConfigError& error) {
    throw FormatError(folder.string() + ": " + error.what());  // the folder is an input file, not the user's experiment
  }
  session.model->freeze();
  session.set_training(false);
}

SavedResult save_result(const Session& session, const fs::path& folder) {
  SavedResult saved;
  saved.folder = folder;
  const bool whole = std::any_of(session.methods.begin(), session.methods.end(),
                                 [](const auto& m) { return m.method->saves_model(); });
  if (whole) {
    checkpoint::save_model(*session.model, session.folder, folder);
    saved.is_model = true;
    saved.sha256 = checkpoint::weights_sha256(folder);
    return saved;
  }
  if (session.trained().empty()) return saved;

  std::string lines;
  for (const AttachedMethod& attached : session.methods) {
    const bool alone = session.methods.size() == 1;
    const fs::path place = alone ? folder : folder / attached.plugin;
    const AdapterFiles files = attached.method->save(*session.model);
    if (files.tensors.empty()) continue;
    const std::string sha256 = checkpoint::write_adapter(place, files, session.base_sha256);
    saved.sha256 = sha256;
    lines += sha256 + "  " + attached.plugin + "\n";
  }
  if (session.methods.size() > 1) saved.sha256 = sha256_hex(lines);
  return saved;
}

}  // namespace peftlab::attach
