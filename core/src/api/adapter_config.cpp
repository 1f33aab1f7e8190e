#include <peftlab/adapter_config.h>

#include <peftlab/error.h>

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

template <typename T>
const char* wanted() {
  if constexpr (std::is_same_v<T, bool>) return "a boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "an integer";
  if constexpr (std::is_same_v<T, double>) return "a number";
  return "a string";
}

}  // namespace

AdapterConfig::AdapterConfig(const Table& config, std::string reader, std::string prefix)
    : unread_(config), config_(config), reader_(std::move(reader)), prefix_(std::move(prefix)) {}

const Value* AdapterConfig::value(const std::string& key) {
  unread_.erase(key);
  const auto it = config_.find(key);
  return it == config_.end() || it->second.is_null() ? nullptr : &it->second;
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

}  // namespace peftlab
