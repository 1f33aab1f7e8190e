#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/model.h>
#include <peftlab/params.h>

#include <algorithm>
#include <regex>
#include <set>

namespace peftlab {
namespace {

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

/// "a.b.c" -> {"c", "b.c", "a.b.c"}'s shortest: the part after the last dot.
std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

std::string shape_text(const torch::Tensor& t) {
  std::string text = "[";
  for (const int64_t size : t.sizes()) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

}  // namespace

void Model::collect() {
  if (collected_) return;
  collected_ = true;
  const std::string head = classification_head();
  for (const auto& item : named_modules("", /*include_self=*/false)) {
    // The head of a classifier is trained whole beside every method; none extends it.
    if (!head.empty() && (item.key() == head || starts_with(item.key(), head + "."))) continue;
    if (auto linear = std::dynamic_pointer_cast<Linear>(item.value())) {
      linear->name = item.key();
      linears_.push_back(linear.get());
    } else if (auto sublayer = std::dynamic_pointer_cast<Sublayer>(item.value())) {
      if (sublayer->name.empty()) sublayer->name = item.key();
      sublayers_.push_back(sublayer.get());
    }
  }
}

const std::vector<Linear*>& Model::linear_sites() {
  collect();
  return linears_;
}

std::vector<Linear*> Model::linear_sites(const std::vector<std::string>& targets) {
  std::vector<std::string> names;
  const bool all = std::find(targets.begin(), targets.end(), "all-linear") != targets.end();
  for (const Linear* site : linear_sites()) {
    if (!all || site->name != output_layer()) names.push_back(site->name);
  }
  const auto chosen = select_names(names, targets);
  const std::set<std::string> wanted(chosen.begin(), chosen.end());
  std::vector<Linear*> sites;
  for (Linear* site : linears_) {
    if (wanted.count(site->name)) sites.push_back(site);
  }
  return sites;
}

const std::vector<Sublayer*>& Model::sublayer_sites() {
  collect();
  return sublayers_;
}

std::vector<std::string> Model::norm_parameters() {
  std::vector<std::string> names;
  for (const auto& item : named_modules("", /*include_self=*/false)) {
    const bool is_norm =
        std::dynamic_pointer_cast<LayerNorm>(item.value()) || std::dynamic_pointer_cast<RmsNorm>(item.value());
    if (!is_norm) continue;
    for (const auto& parameter : item.value()->named_parameters(/*recurse=*/false)) {
      names.push_back(item.key() + "." + parameter.key());
    }
  }
  return names;
}

bool Model::front_is_frozen() const {
  const std::string prefix = front_prefix();
  if (prefix.empty()) return false;
  for (const auto& item : named_modules("", /*include_self=*/false)) {
    if (!starts_with(item.key(), prefix)) continue;
    if (auto linear = std::dynamic_pointer_cast<Linear>(item.value()); linear && linear->extended()) return false;
    if (auto sublayer = std::dynamic_pointer_cast<Sublayer>(item.value()); sublayer && sublayer->extended())
      return false;
    if (auto site = std::dynamic_pointer_cast<AttentionSite>(item.value()); site && site->prefix_tokens() > 0) {
      return false;
    }
  }
  for (const auto& item : named_parameters()) {
    if (starts_with(item.key(), prefix) && item.value().requires_grad()) return false;
  }
  return true;
}

void Model::freeze() {
  for (auto& parameter : parameters()) parameter.requires_grad_(false);
}

void Model::train_parameters(const std::vector<std::string>& names) {
  auto known = named_parameters();
  for (const std::string& name : names) {
    torch::Tensor* parameter = known.find(name);
    if (!parameter) throw ConfigError("the model has no parameter `" + name + "`. " + suggestion(name, known.keys()));
    parameter->requires_grad_(true);
  }
}

TensorMap Model::trained_parameters() const {
  TensorMap trained;
  for (const auto& item : named_parameters()) {
    if (item.value().requires_grad()) trained[item.key()] = item.value();
  }
  return trained;
}

std::vector<std::string> select_names(const std::vector<std::string>& names, const std::vector<std::string>& targets) {
  std::set<std::string> chosen;
  for (const std::string& target : targets) {
    size_t found = 0;
    const bool is_pattern = targets.size() == 1 && target.find_first_of("^$*+?()[]{}|\\") != std::string::npos;
    std::optional<std::regex> pattern;
    if (is_pattern) {
      try {
        pattern.emplace(target);
      } catch (const std::regex_error& error) {
        throw ConfigError("target `" + target + "` is no regular expression: " + error.what());
      }
    }
    for (const std::string& name : names) {
      const bool match = target == "all-linear" ||
                         (pattern ? std::regex_match(name, *pattern) : name == target || name.ends_with("." + target));
      if (!match) continue;
      chosen.insert(name);
      ++found;
    }
    if (found == 0) {
      std::vector<std::string> parts;
      for (const std::string& name : names) parts.push_back(last_part(name));
      std::sort(parts.begin(), parts.end());
      parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
      throw ConfigError("target `" + target + "` names no part of the model. " + suggestion(target, parts));
    }
  }
  std::vector<std::string> ordered;
  for (const std::string& name : names) {
    if (chosen.count(name)) ordered.push_back(name);
  }
  return ordered;
}

void copy_tensors(const TensorMap& found, const TensorMap& wanted, const std::string& what) {
  std::string problems;
  for (const auto& [name, tensor] : wanted) {
    const auto it = found.find(name);
    if (it == found.end()) {
      problems += "\n  missing: " + name + " " + shape_text(tensor);
    } else if (it->second.sizes() != tensor.sizes()) {
      problems += "\n  " + name + " is " + shape_text(it->second) + ", wanted " + shape_text(tensor);
    }
  }
  for (const auto& [name, tensor] : found) {
    if (!wanted.count(name)) problems += "\n  not known: " + name + " " + shape_text(tensor);
  }
  if (!problems.empty()) throw FormatError(what + " does not fit:" + problems);

  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : wanted) torch::Tensor(tensor).copy_(found.at(name));
}

void copy_tensors_if(const TensorMap& found, const TensorMap& wanted, const std::string& what,
                     const std::function<bool()>& fits, const std::string& refusal) {
  TensorMap before;
  for (const auto& [name, tensor] : wanted) before[name] = tensor.detach().clone();
  copy_tensors(found, wanted, what);
  if (fits()) return;
  copy_tensors(before, wanted, what);
  throw FormatError(refusal);
}

TensorMap saved_copies(const TensorMap& tensors, bool keep_type) {
  TensorMap copies;
  for (const auto& [name, tensor] : tensors) {
    const auto type = keep_type ? tensor.scalar_type() : torch::kFloat32;
    copies[name] = tensor.detach().to(torch::kCPU, type, /*non_blocking=*/false, /*copy=*/true).contiguous();
  }
  return copies;
}

std::string flat_name(const std::string& name) {
  std::string flat = name;
  std::replace(flat.begin(), flat.end(), '.', '/');
  return flat;
}

}  // namespace peftlab
