/// Methods on a model: put there by an experiment or read from an adapter folder, and written to one.

#include "attach/prepare.h"
#include "attach/session.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_folder.h"
#include "support/sha256.h"

#include <peftlab/error.h>
#include <peftlab/transformers_config.h>

#include <algorithm>
#include <set>
#include <utility>

namespace peftlab::attach {
namespace {

namespace fs = std::filesystem;

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

AttachedMethod make_one(const plan::PluginUse& use, const registry::Registry& registry) {
  Params params(use.options, "plugin " + use.plugin);
  AttachedMethod made;
  made.plugin = use.plugin;
  made.method = registry.make_method(use.plugin, params);
  params.finish();
  made.options = params.effective();
  return made;
}

void attach_one(Session& session, AttachedMethod made) {
  made.method->attach(*session.model, *session.tokenizer);
  made.method->to(session.device);
  session.methods.push_back(std::move(made));
}

/// Calls `work`; its errors are told with the folder's name, and are the folder's: it is an input file, not the user's
/// experiment.
template <typename Work>
auto blaming(const fs::path& folder, const Work& work) {
  try {
    return work();
  } catch (const FormatError& error) {
    throw FormatError(folder.string() + ": " + error.what());
  } catch (const ConfigError& error) {
    throw FormatError(folder.string() + ": " + error.what());
  } catch (const UnsupportedError& error) {
    throw UnsupportedError(folder.string() + ": " + error.what());
  }
}

AttachedMethod make_from(const fs::path& folder, const registry::Registry& registry) {
  const auto saved = std::make_shared<SavedAdapter>(SavedAdapter{folder, checkpoint::read_adapter(folder)});
  const Table& config = saved->content.files.config;
  const std::string kind = checkpoint::adapter_kind(config, folder.string());
  const registry::Plugin* plugin = registry.find_if(Kind::method, kind);
  if (!plugin) {
    throw FormatError(folder.string() + ": no method plugin reads adapters of type `" + kind + "`. " +
                      suggestion(kind, registry.names(Kind::method)));
  }
  return blaming(folder, [&] {
    Params none;
    AttachedMethod made =
        make_one({plugin->name, registry.make_method(plugin->name, none)->options_from(config)}, registry);
    made.from = saved;
    return made;
  });
}

/// Puts one adapter on the model; the base's parameters that it brings keep their gradients' mark.
void attach_folder(Session& session, AttachedMethod made, double weight) {
  const auto saved = std::exchange(made.from, nullptr);
  const fs::path& folder = saved->folder;
  const checkpoint::AdapterFolder& adapter = saved->content;
  if (!adapter.base_sha256.empty() && adapter.base_sha256 != session.base_sha256()) {
    throw FormatError(folder.string() + ": was trained on the base with sha256 " + adapter.base_sha256 + ", but " +
                      session.folder.string() + " has " + session.base_sha256());
  }
  blaming(folder, [&] {
    const size_t trained_before = session.trained().size();
    attach_one(session, std::move(made));
    if (!adapter.files.head.empty()) session.model->train_parameters(names_of(head_of(*session.model)));
    session.methods.back().method->load(*session.model, adapter.files);
    if (!adapter.files.head.empty()) copy_tensors(adapter.files.head, head_of(*session.model), "the adapter's head");
    const bool holds_any =
        !adapter.files.tensors.empty() || !adapter.files.extra.empty() || !adapter.files.head.empty();
    if (!holds_any && session.trained().size() > trained_before) {
      throw FormatError("holds no tensors, but an adapter of type `" +
                        checkpoint::adapter_kind(adapter.files.config, folder.string()) + "` trains some");
    }
    session.methods.back().method->weigh(weight);
  });
}

/// The names and shapes that tell the classes of a head another library wrote without naming them.
std::vector<std::string> unnamed_classes(const TensorMap& head) {
  int64_t classes = 0;
  for (const char* map : {"score.weight", "classifier.weight", "classifier.out_proj.weight"}) {
    if (const auto it = head.find(map); it != head.end()) classes = it->second.size(0);
  }
  std::vector<std::string> labels;
  for (int64_t i = 0; i < classes; ++i) labels.push_back("LABEL_" + std::to_string(i));
  return labels;
}

/// What the adapters change of the base itself, and which of them: two may not both give a parameter its value.
class Claims {
 public:
  /// Throws: UnsupportedError if one of them was claimed by another adapter.
  void add(const TensorMap& parameters, const fs::path& folder) {
    for (const auto& [name, tensor] : parameters) {
      const auto [owner, is_new] = owners_.emplace(name, folder);
      if (is_new || owner->second == folder) continue;
      throw UnsupportedError(folder.string() + " and " + owner->second.string() + " both bring the base's parameter `" +
                             name + "`: only one of them can be used at a time");
    }
  }

 private:
  std::map<std::string, fs::path> owners_;
};

}  // namespace

std::vector<AttachedMethod> make_methods(const std::vector<plan::PluginUse>& uses, const registry::Registry& registry) {
  std::vector<AttachedMethod> methods;
  for (const plan::PluginUse& use : uses) methods.push_back(make_one(use, registry));
  return methods;
}

void attach_methods(Session& session, std::vector<AttachedMethod> methods, int64_t seed) {
  torch::manual_seed(static_cast<uint64_t>(seed));
  for (AttachedMethod& made : methods) attach_one(session, std::move(made));
  if (session.methods.size() > 1) {
    for (const AttachedMethod& attached : session.methods) {
      if (!attached.method->saves_model()) continue;
      throw ConfigError("method " + attached.plugin + " trains and saves the whole model: nothing can stand beside it");
    }
  }
  if (!session.trained().empty()) session.model->train_parameters(names_of(head_of(*session.model)));
}

void attach_methods(Session& session, const std::vector<plan::PluginUse>& uses, int64_t seed,
                    const registry::Registry& registry) {
  std::vector<AttachedMethod> methods = make_methods(uses, registry);
  for (const AttachedMethod& made : methods) prepare_for(made, *session.model);
  attach_methods(session, std::move(methods), seed);
}

void prepare_for(const AttachedMethod& made, Model& model) {
  if (!made.from) return made.method->prepare(model);
  blaming(made.from->folder, [&] { made.method->prepare(model); });
}

std::vector<AttachedMethod> make_methods(const std::vector<AdapterUse>& adapters, const registry::Registry& registry) {
  std::vector<AttachedMethod> methods;
  for (const AdapterUse& use : adapters) {
    for (const fs::path& part : checkpoint::adapter_parts(use.folder)) methods.push_back(make_from(part, registry));
  }
  return methods;
}

void attach_adapters(Session& session, const std::vector<AdapterUse>& adapters, std::vector<AttachedMethod> methods) {
  Claims claims;
  size_t next = 0;
  for (const AdapterUse& use : adapters) {
    const size_t parts = checkpoint::adapter_parts(use.folder).size();
    for (size_t i = 0; i < parts; ++i) {
      attach_folder(session, std::move(methods.at(next++)), use.weight);
      claims.add(session.model->trained_parameters(), use.folder);
      session.model->freeze();
    }
  }
  session.set_training(false);
}

void attach_adapters(Session& session, const std::vector<AdapterUse>& adapters, const registry::Registry& registry) {
  std::vector<AttachedMethod> methods = make_methods(adapters, registry);
  for (const AttachedMethod& made : methods) prepare_for(made, *session.model);
  attach_adapters(session, adapters, std::move(methods));
}

std::vector<std::string> new_head_labels(const fs::path& model, const std::vector<AdapterUse>& adapters) {
  if (is_classifier(checkpoint::read_config(model))) return {};
  for (const AdapterUse& use : adapters) {
    for (const fs::path& part : checkpoint::adapter_parts(use.folder)) {
      const AdapterFiles files = checkpoint::read_adapter(part).files;
      if (!files.labels.empty()) return files.labels;
      if (!files.head.empty()) return unnamed_classes(files.head);
    }
  }
  return {};
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
  const bool alone = session.methods.size() == 1;
  std::vector<std::string> parts;
  std::string lines;
  for (const AttachedMethod& attached : session.methods) {
    AdapterFiles files = attached.method->save(*session.model);
    // A method that trains nothing may still say how the base is to be taken (quantized).
    if (alone && files.tensors.empty() && files.extra.empty() && head.empty()) continue;
    files.head = head;
    if (!head.empty()) files.labels = session.model->facts().labels;
    saved.sha256 = checkpoint::write_adapter(alone ? folder : folder / attached.plugin, files, session.base_sha256());
    parts.push_back(attached.plugin);
    lines += saved.sha256 + "  " + attached.plugin + "\n";
  }
  if (!alone) {
    checkpoint::write_adapter_parts(folder, parts);
    saved.sha256 = sha256_hex(lines);
  }
  return saved;
}

}  // namespace peftlab::attach
