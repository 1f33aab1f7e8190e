#include <peftlab/adapter_config.h>

#include <peftlab/error.h>

#include <algorithm>

namespace peftlab {
namespace {

/// Null, false and what is empty ask for nothing.
bool asks_for_nothing(const Value& value) {
  if (value.is_null()) return true;
  if (const bool* b = value.get_if<bool>()) return !*b;
  if (const auto* s = value.get_if<std::string>()) return s->empty();
  if (const auto* l = value.get_if<List>()) return l->empty();
  if (const auto* t = value.get_if<Table>()) return t->empty();
  return false;
}

/// Whether select_names() takes the targets as a regular expression.
bool is_pattern(const std::vector<std::string>& targets) {
  return targets.size() == 1 && targets[0].find_first_of("^$*+?()[]{}|\\") != std::string::npos;
}

template <typename T>
const char* wanted() {
  if constexpr (std::is_same_v<T, bool>) return "a boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "an integer";
  if constexpr (std::is_same_v<T, double>) return "a number";
  return "a string";
}

}  // namespace

AdapterConfig::AdapterConfig(const Table& config, std::string reader, std::string prefix)
    : unread_(config), config_(config), reader_(std::move(reader)), prefix_(std::move(prefix)) {
  if (!prefix_.empty()) return;
  for (const auto& [key, value] : peft_config("")) {
    if (key != "peft_type") unread_.erase(key);
  }
}

const Value* AdapterConfig::value(const std::string& key) {
  unread_.erase(key);
  const auto it = config_.find(key);
  return it == config_.end() || it->second.is_null() ? nullptr : &it->second;
}

const Table* AdapterConfig::table(const std::string& key) {
  const Value* found = value(key);
  if (!found) return nullptr;
  const Table* table = found->get_if<Table>();
  if (!table) {
    throw FormatError("adapter_config.json: `" + prefix_ + key + "` is " + to_json(*found) + ", wanted a table");
  }
  return table;
}

template <typename T>
T AdapterConfig::get(const std::string& key, const T& fallback) {
  const Value* found = value(key);
  if (!found) return fallback;
  if (const T* exact = found->get_if<T>()) return *exact;
  if constexpr (std::is_same_v<T, double>) {
    if (const int64_t* whole = found->get_if<int64_t>()) return static_cast<double>(*whole);
  }
  throw FormatError("adapter_config.json: `" + prefix_ + key + "` is " + to_json(*found) + ", wanted " + wanted<T>());
}

template PEFTLAB_API bool AdapterConfig::get(const std::string&, const bool&);
template PEFTLAB_API int64_t AdapterConfig::get(const std::string&, const int64_t&);
template PEFTLAB_API double AdapterConfig::get(const std::string&, const double&);
template PEFTLAB_API std::string AdapterConfig::get(const std::string&, const std::string&);

void AdapterConfig::expect(const std::string& key, const Value& accepted) {
  const Value* found = value(key);
  if (!found || *found == accepted) return;
  const int64_t* whole = found->get_if<int64_t>();
  const double* real = accepted.get_if<double>();
  if (whole && real && static_cast<double>(*whole) == *real) return;
  throw FormatError("adapter_config.json asks for `" + prefix_ + key + "` = " + to_json(*found) + "; " + reader_ +
                    " computes only " + to_json(accepted));
}

void AdapterConfig::ignore(std::initializer_list<const char*> keys) {
  for (const char* key : keys) unread_.erase(key);
}

void AdapterConfig::finish() const {
  std::string asked;
  for (const auto& [key, value] : unread_) {
    if (!asks_for_nothing(value)) asked += "\n  `" + prefix_ + key + "` = " + to_json(value);
  }
  if (!asked.empty()) throw FormatError("adapter_config.json asks for what " + reader_ + " cannot compute:" + asked);
}

Table peft_config(const std::string& peft_type) {
  return {{"peft_type", peft_type},
          {"task_type", "CAUSAL_LM"},
          {"peft_version", "0.21.2"},
          {"auto_mapping", Value()},
          {"revision", Value()},
          {"inference_mode", true},
          {"base_model_name_or_path", Value()}};
}

Value names_for_peft(const std::vector<std::string>& targets, const std::vector<std::string>& chosen) {
  if (is_pattern(targets)) return targets.front();
  const bool all = std::find(targets.begin(), targets.end(), "all-linear") != targets.end();
  std::vector<std::string> names = all ? chosen : targets;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> names_from_peft(const Value& names, const std::string& key) {
  if (const auto* one = names.get_if<std::string>()) {
    // peft takes a string as a pattern for the whole name even where it holds no special character.
    return {*one == "all-linear" || is_pattern({*one}) ? *one : "(" + *one + ")"};
  }
  const auto* several = names.get_if<List>();
  if (!several) {
    throw FormatError("adapter_config.json: `" + key + "` is " + to_json(names) + ", wanted a list of names");
  }
  std::vector<std::string> targets;
  for (const Value& name : *several) {
    const auto* text = name.get_if<std::string>();
    if (!text) throw FormatError("adapter_config.json: `" + key + "` holds " + to_json(name) + ", wanted names");
    targets.push_back(*text);
  }
  // A list is never a pattern in peft. The same name twice is one target here, and no pattern either.
  if (is_pattern(targets)) targets.push_back(targets[0]);
  return targets;
}

}  // namespace peftlab
