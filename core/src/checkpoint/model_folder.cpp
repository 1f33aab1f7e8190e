#include "checkpoint/model_folder.h"

#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "support/files.h"
#include "support/sha256.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <set>

namespace peftlab::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::string shape_text(const torch::Tensor& t) {
  return to_json(std::vector<int64_t>(t.sizes().begin(), t.sizes().end()));
}

bool is_pickle(const fs::path& file) {
  static const std::set<std::string> kEndings = {".bin", ".pt", ".pth", ".ckpt", ".pkl"};
  return kEndings.count(file.extension().string()) > 0;
}

/// Which file of the folder holds which tensor, as the index says.
std::map<std::string, std::string> read_index(const fs::path& folder) {
  const fs::path index = folder / kIndex;
  const Value value = parse_json(read_text(index), index.string());
  const Value* map = value.find("weight_map");
  if (!map || !map->get_if<Table>()) throw FormatError(index.string() + ": has no `weight_map`");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : *map->get_if<Table>()) {
    const auto* name = file.get_if<std::string>();
    if (!name || name->empty() || name->find('/') != std::string::npos || *name == "..") {
      throw FormatError(index.string() + ": tensor `" + tensor + "` is said to be in " + to_json(file) +
                        ", wanted the name of a file in this folder");
    }
    files[tensor] = *name;
  }
  if (files.empty()) throw FormatError(index.string() + ": names no file");
  return files;
}

std::vector<fs::path> shards(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& [tensor, name] : read_index(folder)) names.insert(name);
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(folder / name);
  return files;
}

/// What the shards hold is what the index says, each tensor in its file.
void check_shards(const fs::path& folder, const std::map<std::string, std::string>& held) {
  const auto wanted = read_index(folder);
  std::string problems;
  for (const auto& [tensor, file] : wanted) {
    const auto found = held.find(tensor);
    if (found == held.end()) {
      problems += "\n  " + tensor + " is said to be in " + file + ", which does not hold it";
    } else if (found->second != file) {
      problems += "\n  " + tensor + " is said to be in " + file + ", but is in " + found->second;
    }
  }
  for (const auto& [tensor, file] : held) {
    if (!wanted.count(tensor)) problems += "\n  " + tensor + " is in " + file + ", but not in the index";
  }
  if (!problems.empty()) throw FormatError((folder / kIndex).string() + ": does not fit its files:" + problems);
}

/// Whether a parameter or tensor of this name belongs to the model's classification head.
bool of_head(const Model& model, const std::string& name) {
  const std::string head = model.classification_head();
  return !head.empty() && name.starts_with(head + ".");
}

torch::Tensor first_values(const torch::Tensor& like, double deviation) {
  const auto values = torch::zeros(like.sizes());
  return like.dim() == 1 ? values : torch::nn::init::normal_(values, 0.0, deviation);
}

}  // namespace

Table read_config(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw FormatError(folder.string() + ": is no model folder: there is no such folder");
  const fs::path file = folder / "config.json";
  const Value value = parse_json(read_text(file, size_t{4} << 20), file.string());
  const Table* config = value.get_if<Table>();
  if (!config) throw FormatError(file.string() + ": is no JSON object");
  const Value* type = value.find("model_type");
  if (!type || !type->get_if<std::string>()) throw FormatError(file.string() + ": has no `model_type`");
  return *config;
}

std::vector<fs::path> weight_files(const fs::path& folder) {
  if (fs::exists(folder / kSingle)) return {folder / kSingle};
  if (fs::exists(folder / kIndex)) return shards(folder);
  std::string pickles;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (is_pickle(entry.path())) pickles += " " + entry.path().filename().string();
    }
  }
  if (!pickles.empty()) {
    throw FormatError(folder.string() + ": holds" + pickles +
                      ", pickled files that can run code when read and are not read here. Convert them where you trust "
                      "them: python -c \"import sys, torch; from safetensors.torch import save_file; "
                      "save_file({k: v.clone().contiguous() for file in sys.argv[1:] for k, v in torch.load(file, "
                      "weights_only=True).items()}, 'model.safetensors', {'format': 'pt'})\" FILE...");
  }
  throw FormatError(folder.string() + ": has no weights: neither " + kSingle + " nor " + kIndex + " is there");
}

std::string weights_sha256(const fs::path& folder) {
  const auto files = weight_files(folder);
  if (files.size() == 1 && files[0].filename() == kSingle) return sha256_file(files[0]);
  std::string lines;
  for (const fs::path& file : files) lines += sha256_file(file) + "  " + file.filename().string() + "\n";
  return sha256_hex(lines);
}

void load_weights(Model& model, const fs::path& folder, std::optional<torch::ScalarType> dtype,
                  std::optional<double> new_head, bool is_quantized, const std::function<void()>& prepare) {
  const auto tied = model.tied();
  TensorMap found;
  std::string problems;
  const auto files = weight_files(folder);
  std::map<std::string, std::string> held;  // tensor -> file
  for (const fs::path& file : files) {
    const SafetensorsFile tensors(file);
    for (const std::string& stored : tensors.names()) {
      const auto [first, is_first] = held.emplace(stored, file.filename().string());
      if (!is_first) problems += "\n  twice: " + stored + ", in " + first->second + " and " + file.filename().string();
      if (model.ignores(stored)) continue;
      const std::string name = model.parameter_name(stored);
      if (model.ignores(name) || (new_head && of_head(model, name))) continue;
      auto tensor = tensors.tensor(stored);
      // Codes of quantized weights lie as they are computed with, [out, in], whatever the kind of model.
      const bool is_matrix = tensor.dim() == 2 && tensor.is_floating_point();
      if (is_matrix && model.is_stored_transposed(name)) tensor = tensor.t();
      if (!found.emplace(name, tensor).second && is_first) problems += "\n  twice, under two names: " + name;
    }
  }
  if (problems.empty() && files.front().filename() != kSingle) check_shards(folder, held);
  for (const auto& [copy, original] : tied) {
    const auto extra = found.find(copy);
    if (extra == found.end()) continue;
    const auto kept = found.find(original);
    if (kept == found.end()) {
      found.emplace(original, extra->second);
    } else if (!torch::equal(kept->second, extra->second)) {
      problems += "\n  " + copy + " is tied to " + original + " but differs from it";
    }
    found.erase(copy);
  }
  const torch::NoGradGuard no_grad;
  if (is_quantized && take_quantized_weights(model, found) == 0) {
    problems += "\n  no linear map is quantized, as quantization_config says they are";
  }
  auto parameters = model.named_parameters();
  for (auto& item : parameters) {
    if (new_head && of_head(model, item.key())) {
      item.value().set_data(first_values(item.value(), *new_head));
      continue;
    }
    const auto it = found.find(item.key());
    if (it == found.end()) {
      problems += "\n  missing: " + item.key() + " " + shape_text(item.value());
    } else if (it->second.sizes() != item.value().sizes()) {
      problems += "\n  " + item.key() + " is " + shape_text(it->second) + ", wanted " + shape_text(item.value());
    } else if (!it->second.is_floating_point()) {
      problems +=
          "\n  " + item.key() + " is of type " + c10::toString(it->second.scalar_type()) + ", wanted real numbers";
    } else {
      item.value().set_data(it->second);
    }
  }
  std::vector<std::string> unknown;
  for (const auto& [name, tensor] : found) {
    if (!parameters.contains(name)) problems += "\n  not known: " + name + " " + shape_text(tensor);
  }
  if (!problems.empty()) {
    throw FormatError(folder.string() + ": the weights do not fit " + (folder / "config.json").string() + ":" +
                      problems);
  }
  found.clear();
  prepare();
  if (!dtype) return;
  for (auto& item : model.named_parameters()) item.value().set_data(item.value().to(*dtype));
  for (Linear* site : model.linear_sites()) site->to(*dtype);  // quantized ones are no parameters
}

void save_model(Model& model, const fs::path& source, const fs::path& folder, const std::optional<Table>& config,
                const TensorMap& others) {
  fs::create_directories(folder);
  for (const auto& entry : fs::directory_iterator(source)) {
    const fs::path& file = entry.path();
    const std::string name = file.filename().string();
    if (!entry.is_regular_file() || is_pickle(file) || file.extension() == ".safetensors" || name == kIndex) continue;
    fs::copy_file(file, folder / name, fs::copy_options::overwrite_existing);
  }
  TensorMap tensors = others;
  tensors.merge(quantized_tensors(model));
  Table written = config ? *config : read_config(source);
  const bool was_quantized = written.erase("quantization_config") > 0;
  for (const Linear* site : model.linear_sites()) {
    if (site->quantized()) written["quantization_config"] = quantization_config(site->quantized()->format());
  }
  if (config || was_quantized || written.count("quantization_config") > 0) {
    write_text(folder / "config.json", to_json(written) + "\n");
  }
  for (const auto& item : model.named_parameters()) {
    const bool transposed = item.value().dim() == 2 && model.is_stored_transposed(item.key());
    tensors[item.key()] = transposed ? item.value().t() : item.value();
  }
  write_safetensors(folder / kSingle, tensors);
}

torch::ScalarType dtype_from(const std::string& word) {
  if (word == "float32") return torch::kFloat32;
  if (word == "bfloat16") return torch::kBFloat16;
  if (word == "float16") return torch::kFloat16;
  throw ConfigError("dtype `" + word + "` is not known. " + suggestion(word, {"float32", "bfloat16", "float16"}));
}

}  // namespace peftlab::checkpoint
