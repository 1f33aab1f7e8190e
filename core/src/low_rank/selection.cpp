#include "low_rank/selection.h"

#include <peftlab/error.h>

#include <algorithm>
#include <set>

namespace peftlab::low_rank {
namespace {

std::regex compiled(const std::string& pattern, const std::string& option, const std::string& written) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw ConfigError("`" + option + "` holds `" + written + "`, which is no regular expression: " + error.what());
  }
}

/// All that a name may mean: peft takes modules that no method here extends (embeddings, a tied head) in its stride.
std::vector<std::string> module_names(const Model& model) {
  std::vector<std::string> names;
  for (const auto& item : model.named_modules("", /*include_self=*/false)) names.push_back(item.key());
  for (const char* head : {"lm_head", "score", "classifier"}) {
    if (std::find(names.begin(), names.end(), head) == names.end()) names.push_back(head);
  }
  return names;
}

std::set<std::string> excluded_names(const Model& model, const std::vector<std::string>& exclude) {
  try {
    const auto names = select_names(module_names(model), exclude);
    return {names.begin(), names.end()};
  } catch (const ConfigError& error) {
    throw ConfigError(std::string("`exclude`: ") + error.what());
  }
}

/// The numbers of the layers that maps lie in.
class Layers {
 public:
  explicit Layers(const std::optional<std::vector<std::string>>& lists) {
    constexpr const char* kNumber = R"(\.(\d+)\..*)";
    if (!lists || lists->empty()) {
      // The first number between dots that something stands before.
      patterns_.push_back(compiled(std::string(R"(.*?\.[^.]*)") + kNumber, "layers_pattern", ""));
    } else {
      for (const std::string& list : *lists) {
        patterns_.push_back(compiled(R"((?:^|.*?\.))" + list + kNumber, "layers_pattern", list));
      }
    }
  }

  std::optional<int64_t> number(const std::string& name) const {
    constexpr size_t kDigits = 18;  // what an int64_t holds
    for (const std::regex& pattern : patterns_) {
      std::smatch match;
      if (!std::regex_match(name, match, pattern)) continue;
      const std::string digits = match[pattern.mark_count()].str();
      if (digits.empty() || digits.size() > kDigits) return std::nullopt;
      return std::stoll(digits);
    }
    return std::nullopt;
  }

 private:
  std::vector<std::regex> patterns_;
};

std::string listed(const std::set<int64_t>& numbers) {
  std::string text;
  for (const int64_t number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text.empty() ? "none" : text;
}

/// Leaves the maps of the wanted layers, and those that a target names in full, as peft does.
void keep_layers(std::vector<Linear*>& sites, const Options& options, const std::vector<std::string>& targets) {
  const Layers layers(options.layers_pattern);
  const std::set<int64_t> wanted(options.layers->begin(), options.layers->end());
  std::set<int64_t> found;
  std::vector<Linear*> kept;
  for (Linear* site : sites) {
    const auto number = layers.number(site->name);
    if (number) found.insert(*number);
    const bool in_full = std::find(targets.begin(), targets.end(), site->name) != targets.end();
    if (in_full || (number && wanted.count(*number))) kept.push_back(site);
  }
  for (const int64_t number : wanted) {
    if (found.count(number)) continue;
    throw ConfigError("layer " + std::to_string(number) + " of `layers` holds no linear map that `targets` name; " +
                      "layers that do: " + listed(found));
  }
  sites = kept;
}

}  // namespace

Selection select(Model& model, const Options& options, const std::vector<std::string>& targets) {
  Selection selection;
  selection.adapted = model.linear_sites(targets);
  for (const Linear* site : selection.adapted) selection.named.push_back(site->name);
  if (options.exclude && !options.exclude->empty()) {
    const auto excluded = excluded_names(model, *options.exclude);
    std::erase_if(selection.adapted, [&](const Linear* site) { return excluded.count(site->name) > 0; });
  }
  if (options.layers) keep_layers(selection.adapted, options, targets);
  if (selection.adapted.empty()) {
    throw ConfigError("`exclude` leaves none of the " + std::to_string(selection.named.size()) +
                      " linear maps that `targets` name");
  }
  return selection;
}

Patterns::Patterns(const Table& table, const std::string& option, const Model& model) {
  const std::vector<std::string> names = table.empty() ? std::vector<std::string>() : module_names(model);
  for (const auto& [key, value] : table) {
    patterns_.emplace_back(compiled(R"((?:.*\.)?(?:)" + key + ")", option, key), value);
    const std::regex& pattern = patterns_.back().first;
    const bool means_any = std::any_of(names.begin(), names.end(),
                                       [&](const std::string& name) { return std::regex_match(name, pattern); });
    if (means_any) continue;
    std::vector<std::string> ends;
    for (const std::string& name : names) ends.push_back(name.substr(name.rfind('.') + 1));
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    throw ConfigError("`" + option + "` holds `" + key + "`, which means no part of the model. " +
                      suggestion(key, ends));
  }
}

const Value* Patterns::find(const std::string& name) const {
  for (const auto& [pattern, value] : patterns_) {
    if (std::regex_match(name, pattern)) return &value;
  }
  return nullptr;
}

}  // namespace peftlab::low_rank
