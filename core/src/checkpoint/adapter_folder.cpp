#include "checkpoint/adapter_folder.h"

#include "checkpoint/safetensors.h"
#include "support/files.h"
#include "support/sha256.h"

#include <peftlab/error.h>

namespace peftlab::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kPeft = "adapter_model.safetensors";
constexpr const char* kAdapters = "adapter.safetensors";
constexpr const char* kExtra = "peftlab_extra.safetensors";
constexpr const char* kBase = "peftlab.base_sha256";

constexpr const char* kMixture = "peftlab_mixture.json";

constexpr const char* kHead = "model_head.safetensors";
constexpr const char* kHeadConfig = "head_config.json";
constexpr const char* kLabels = "peftlab.labels";

/// What peft puts before the names of a head's tensors: its tuners wrap the model once more than its prompts do.
std::string head_prefix(const Table& config) {
  return config.count("num_virtual_tokens") > 0 ? "base_model." : "base_model.model.";
}

/// Moves the tensors of the modules that `modules_to_save` names from the adapter's to the head.
void take_head(AdapterFiles& files) {
  const auto saved = files.config.find("modules_to_save");
  const List* modules = saved == files.config.end() ? nullptr : saved->second.get_if<List>();
  if (!modules) return;
  List others;
  const std::string prefix = head_prefix(files.config);
  for (const Value& module : *modules) {
    const std::string* name = module.get_if<std::string>();
    if (!name || (*name != "classifier" && *name != "score")) {
      others.push_back(module);
      continue;
    }
    const std::string start = prefix + *name + ".";
    for (auto it = files.tensors.lower_bound(start); it != files.tensors.end() && it->first.starts_with(start);) {
      // With bias = "all" peft writes its wrappers' biases too: the head's once more, and what it was before.
      const std::string part = it->first.substr(start.size());
      const bool copied = part.starts_with("modules_to_save.") || part.starts_with("original_module.");
      if (!copied) files.head[it->first.substr(prefix.size())] = it->second;
      it = files.tensors.erase(it);
    }
  }
  // Anything else that was saved whole is left there for the method to refuse.
  saved->second = others.empty() ? Value() : Value(others);
}

std::vector<std::string> labels_of(const Value& value) {
  std::vector<std::string> labels;
  const List* list = value.get_if<List>();
  for (const Value& label : list ? *list : List()) {
    if (const auto* name = label.get_if<std::string>()) labels.push_back(*name);
  }
  return labels;
}

/// The names in the order of their numbers; empty where they are not numbered from 0.
std::vector<std::string> labels_of_head(const Value& head_config) {
  const Value* numbers = head_config.find("label2id");
  const Table* table = numbers ? numbers->get_if<Table>() : nullptr;
  std::vector<std::string> labels(table ? table->size() : 0);
  for (const auto& [name, value] : table ? *table : Table()) {
    const auto* number = value.get_if<int64_t>();
    if (!number || *number < 0 || *number >= static_cast<int64_t>(labels.size()) || !labels[*number].empty()) return {};
    labels[*number] = name;
  }
  return labels;
}

/// head_config.json as `adapters` 1.3 writes it for a class of transformers.
Table head_config(const AdapterFiles& files) {
  Table numbers, config;
  for (size_t i = 0; i < files.labels.size(); ++i) numbers[files.labels[i]] = static_cast<int64_t>(i);
  for (const char* key : {"hidden_size", "model_class", "model_name", "model_type", "version"}) {
    const auto it = files.config.find(key);
    config[key] = it == files.config.end() ? Value() : it->second;
  }
  config["config"] = Value();
  config["label2id"] = numbers;
  config["name"] = Value();
  config["num_labels"] = static_cast<int64_t>(files.labels.size());
  return config;
}

}  // namespace

AdapterFolder read_adapter(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw FormatError(folder.string() + ": there is no such adapter folder");
  const fs::path config = folder / kConfig;
  const Value value = parse_json(read_text(config, size_t{4} << 20), config.string());
  const Table* table = value.get_if<Table>();
  if (!table) throw FormatError(config.string() + ": is no JSON object");

  fs::path tensors = folder / kPeft;
  if (!fs::exists(tensors)) tensors = folder / kAdapters;
  if (!fs::exists(tensors)) {
    for (const char* pickle : {"adapter_model.bin", "pytorch_adapter.bin"}) {
      if (!fs::exists(folder / pickle)) continue;
      throw FormatError(folder.string() + ": holds " + pickle +
                        ", a pickle that can run code when read and is not read here. Save it again with "
                        "safe_serialization=True (peft) or use_safetensors=True (adapters)");
    }
    throw FormatError(folder.string() + ": has neither " + kPeft + " nor " + kAdapters);
  }
  AdapterFolder adapter;
  const SafetensorsFile file(tensors);
  for (const std::string& name : file.names()) adapter.files.tensors[name] = file.tensor(name);
  if (const auto base = file.metadata().find(kBase); base != file.metadata().end()) adapter.base_sha256 = base->second;
  adapter.files.config = *table;
  adapter.sha256 = sha256_file(tensors);
  if (fs::exists(folder / kExtra)) adapter.files.extra = read_tensors(folder / kExtra);
  take_head(adapter.files);
  if (fs::exists(folder / kHead)) {
    adapter.files.head = read_tensors(folder / kHead);
    const fs::path names = folder / kHeadConfig;
    if (fs::exists(names)) adapter.files.labels = labels_of_head(parse_json(read_text(names), names.string()));
  }
  if (const auto names = file.metadata().find(kLabels); names != file.metadata().end()) {
    adapter.files.labels = labels_of(parse_json(names->second, tensors.string()));
  }
  return adapter;
}

std::string write_adapter(const fs::path& folder, const AdapterFiles& files, const std::string& base_sha256) {
  fs::create_directories(folder);
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!base_sha256.empty()) metadata[kBase] = base_sha256;
  if (!files.labels.empty()) metadata[kLabels] = to_json(files.labels);
  const bool is_peft = files.config.count("peft_type") > 0;
  Table config = files.config;
  TensorMap tensors = files.tensors;
  if (!files.head.empty() && is_peft) {
    for (const auto& [name, tensor] : files.head) tensors[head_prefix(config) + name] = tensor;
    config["modules_to_save"] = std::vector<std::string>{"classifier", "score"};
    config["task_type"] = "SEQ_CLS";
  } else if (!files.head.empty()) {
    write_safetensors(folder / kHead, files.head);
    write_text(folder / kHeadConfig, to_json(head_config(files)) + "\n");
  }
  write_safetensors(folder / kPeft, tensors, metadata);
  // What the `adapters` library wrote is looked for under another name: the same bytes once more.
  if (!is_peft) write_safetensors(folder / kAdapters, tensors, metadata);
  if (!files.extra.empty()) write_safetensors(folder / kExtra, files.extra);
  write_text(folder / kConfig, to_json(config) + "\n");
  return sha256_file(folder / kPeft);
}

std::vector<fs::path> adapter_parts(const fs::path& folder) {
  const fs::path list = folder / kMixture;
  if (!fs::exists(list)) return {folder};
  const Value value = parse_json(read_text(list, size_t{1} << 20), list.string());
  const Value* methods = value.find("methods");
  const List* names = methods ? methods->get_if<List>() : nullptr;
  if (!names || names->empty()) throw FormatError(list.string() + ": holds no list `methods`");
  std::vector<fs::path> parts;
  for (const Value& name : *names) {
    const auto* text = name.get_if<std::string>();
    // A name, no path: nothing outside the folder is read.
    if (!text || text->empty() || *text == ".." || text->find('/') != std::string::npos) {
      throw FormatError(list.string() + ": `methods` holds " + to_json(name) +
                        ", wanted the name of a folder beside it");
    }
    parts.push_back(folder / *text);
  }
  return parts;
}

void write_adapter_parts(const fs::path& folder, const std::vector<std::string>& parts) {
  write_text(folder / kMixture, to_json(Table{{"methods", parts}}) + "\n");
}

std::string adapter_kind(const Table& config, const std::string& origin) {
  const Value value(config);
  // A method of ours that another library takes for one of its own says so.
  const Value* ours = value.find("peftlab");
  const Value* plugin = ours ? ours->find("plugin") : nullptr;
  if (plugin && plugin->get_if<std::string>()) return *plugin->get_if<std::string>();
  if (const Value* type = value.find("peft_type"); type && type->get_if<std::string>())
    return *type->get_if<std::string>();
  if (const Value* inner = value.find("config")) {
    if (const auto* name = inner->get_if<std::string>()) return *name;
    const Value* attention = inner->find("mh_adapter");
    const Value* output = inner->find("output_adapter");
    if (attention && output && attention->get_if<bool>() && output->get_if<bool>()) {
      if (*attention->get_if<bool>() && *output->get_if<bool>()) return "double_seq_bn";
      const Value* parallel = inner->find("is_parallel");
      if (*output->get_if<bool>() || *attention->get_if<bool>())
        return parallel && *parallel == Value(true) ? "par_bn" : "seq_bn";
    }
  }
  throw FormatError(origin + ": says neither `peft_type` nor a `config` of the adapters library that is known here");
}

}  // namespace peftlab::checkpoint
