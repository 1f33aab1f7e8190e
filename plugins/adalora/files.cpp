#include "files.h"

#include <peftlab/error.h>

#include <algorithm>
#include <array>

namespace peftlab::adalora {
namespace {

std::string pattern_key(const Branch& branch) { return branch.site.name + ".lora_E"; }

TensorMap named(const Branch& branch, const torch::Tensor& a, const torch::Tensor& e, const torch::Tensor& b) {
  const std::string site = "base_model.model." + branch.site.name;
  return {{site + ".lora_A", a}, {site + ".lora_E", e}, {site + ".lora_B", b}};
}

/// The numbers of the triplets where `chosen` [r] is true.
torch::Tensor numbers(const torch::Tensor& chosen) { return chosen.nonzero().flatten(); }

bool is_pruned(const Branches& branches) {
  return std::any_of(branches.begin(), branches.end(),
                     [](const auto& branch) { return !branch->alive().all().template item<bool>(); });
}

/// One entry of `rank_pattern`, [r] of booleans. Throws: FormatError unless it is as many truth values.
torch::Tensor choice_of(const Value& entry, const Branch& branch) {
  const List* list = entry.get_if<List>();
  torch::Tensor chosen = torch::zeros({branch.kept.size(0)}, torch::kBool);
  bool fits = list && static_cast<int64_t>(list->size()) == chosen.size(0);
  for (size_t i = 0; fits && i < list->size(); ++i) {
    const bool* one = (*list)[i].get_if<bool>();
    fits = one != nullptr;
    if (fits) chosen[static_cast<int64_t>(i)] = *one;
  }
  if (!fits) {
    throw FormatError("adapter_config.json: `rank_pattern` has " + to_json(entry) + " for `" + pattern_key(branch) +
                      "`, wanted " + std::to_string(chosen.size(0)) + " times true or false");
  }
  return chosen;
}

/// Which triplets of each map the file holds. Throws: FormatError if the pattern is not one of these maps.
std::vector<torch::Tensor> choices_of(const Branches& branches, const Table& config) {
  std::vector<torch::Tensor> choices;
  const auto found = config.find("rank_pattern");
  if (found == config.end() || found->second.is_null()) {
    for (const auto& branch : branches) choices.push_back(torch::ones_like(branch->kept, torch::kCPU));
    return choices;
  }
  const Table* pattern = found->second.get_if<Table>();
  if (!pattern) {
    throw FormatError("adapter_config.json: `rank_pattern` is " + to_json(found->second) + ", wanted a table");
  }
  for (const auto& branch : branches) {
    const auto entry = pattern->find(pattern_key(*branch));
    if (entry == pattern->end()) {
      throw FormatError("adapter_config.json: `rank_pattern` has nothing for `" + pattern_key(*branch) + "`");
    }
    choices.push_back(choice_of(entry->second, *branch));
  }
  for (const auto& [key, value] : *pattern) {
    const auto is_meant = [&](const auto& branch) { return pattern_key(*branch) == key; };
    if (std::none_of(branches.begin(), branches.end(), is_meant)) {
      throw FormatError("adapter_config.json: `rank_pattern` has `" + key + "`, which is no map that is adapted");
    }
  }
  return choices;
}

}  // namespace

TensorMap tensors_of(const Branches& branches) {
  TensorMap tensors;
  for (const auto& branch : branches) {
    const torch::Tensor alive = numbers(branch->alive());
    const auto part = [&](const Weight& weight, int64_t dim) { return weight.value.detach().index_select(dim, alive); };
    for (const auto& [name, tensor] : named(*branch, part(branch->a, 0), part(branch->e, 0), part(branch->b, 1))) {
      tensors[name] = tensor.to(torch::kCPU).contiguous();
    }
  }
  return tensors;
}

Value pattern_of(const Branches& branches) {
  if (!is_pruned(branches)) return {};
  Table pattern;
  for (const auto& branch : branches) {
    const torch::Tensor alive = branch->alive().to(torch::kCPU);
    List entries;
    for (int64_t i = 0; i < alive.size(0); ++i) entries.emplace_back(alive[i].item<bool>());
    pattern[pattern_key(*branch)] = entries;
  }
  return pattern;
}

void read(const Branches& branches, const AdapterFiles& files) {
  copy_tensors(files.extra, {}, "the extra file of the AdaLoRA adapter");
  const std::vector<torch::Tensor> choices = choices_of(branches, files.config);
  TensorMap wanted;
  std::vector<std::array<torch::Tensor, 3>> parts;
  for (size_t i = 0; i < branches.size(); ++i) {
    const Branch& branch = *branches[i];
    const int64_t rank = choices[i].sum().item<int64_t>();
    const auto options = branch.a.value.options().requires_grad(false);
    const auto empty = [&](int64_t rows, int64_t columns) { return torch::empty({rows, columns}, options); };
    parts.push_back({empty(rank, branch.site.in), empty(rank, 1), empty(branch.site.out, rank)});
    wanted.merge(named(branch, parts.back()[0], parts.back()[1], parts.back()[2]));
  }
  copy_tensors(files.tensors, wanted, "the AdaLoRA adapter");

  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < branches.size(); ++i) {
    Branch& branch = *branches[i];
    branch.kept.copy_(choices[i]);
    const torch::Tensor alive = numbers(branch.kept);
    branch.a.value.zero_().index_copy_(0, alive, parts[i][0]);
    branch.e.value.zero_().index_copy_(0, alive, parts[i][1]);
    branch.b.value.zero_().index_copy_(1, alive, parts[i][2]);
  }
}

}  // namespace peftlab::adalora
