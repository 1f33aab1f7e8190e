#include "checkpoint/adapter_folder.h"

#include "support/files.h"
#include "checkpoint/safetensors.h"
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
  return adapter;
}

std::string write_adapter(const fs::path& folder, const AdapterFiles& files, const std::string& base_sha256) {
  fs::create_directories(folder);
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!base_sha256.empty()) metadata[kBase] = base_sha256;
  write_safetensors(folder / kPeft, files.tensors, metadata);
  // What the `adapters` library wrote is looked for under another name: the same bytes once more.
  if (!files.config.count("peft_type")) write_safetensors(folder / kAdapters, files.tensors, metadata);
  if (!files.extra.empty()) write_safetensors(folder / kExtra, files.extra);
  write_text(folder / kConfig, to_json(files.config) + "\n");
  return sha256_file(folder / kPeft);
}

std::string adapter_kind(const Table& config, const std::string& origin) {
  const Value value(config);
  if (const Value* type = value.find("peft_type"); type && type->get_if<std::string>()) return *type->get_if<std::string>();
  if (const Value* inner = value.find("config")) {
    if (const auto* name = inner->get_if<std::string>()) return *name;
    const Value* attention = inner->find("mh_adapter");
    const Value* output = inner->find("output_adapter");
    if (attention && output && attention->get_if<bool>() && output->get_if<bool>()) {
      if (*attention->get_if<bool>() && *output->get_if<bool>()) return "double_seq_bn";
      if (*output->get_if<bool>()) return "seq_bn";
    }
  }
  throw FormatError(origin + ": says neither `peft_type` nor a `config` of the adapters library that is known here");
}

}  // namespace peftlab::checkpoint
