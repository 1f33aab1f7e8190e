#include <peftlab/params.h>

#include <peftlab/error.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace peftlab {
namespace {

template <typename T>
struct IsVector : std::false_type {};
template <typename E>
struct IsVector<std::vector<E>> : std::true_type {};

template <typename T>
std::string type_text() {
  if constexpr (std::is_same_v<T, bool>) {
    return "boolean";
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return "integer";
  } else if constexpr (std::is_same_v<T, double>) {
    return "real";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "string";
  } else if constexpr (std::is_same_v<T, Table>) {
    return "table";
  } else {
    return "list of " + type_text<typename T::value_type>() + "s";
  }
}

std::string wanted_text(const std::string& type) {
  return type == "real" ? "a number" : type == "integer" ? "an integer" : "a " + type;
}

/// `the string "8"`, `the integer 8`, `true`, `a list`: a value as a message shows it.
std::string found_text(const Value& value) {
  if (const auto* s = value.get_if<std::string>()) {
    constexpr size_t kShown = 60;
    return s->size() > kShown ? "a string of " + std::to_string(s->size()) + " bytes" : "the string " + to_json(value);
  }
  if (value.get_if<int64_t>() != nullptr) {
    return "the integer " + to_json(value);
  }
  if (const auto* r = value.get_if<double>()) {
    return std::isfinite(*r) ? "the real number " + to_json(value) : std::isnan(*r) ? "nan" : *r > 0 ? "inf" : "-inf";
  }
  return value.get_if<bool>() != nullptr ? to_json(value) : std::string(type_name(value));
}

/// What is wrong with a value: "must be an integer, found ..." and how to put it right; both empty if nothing is.
struct Complaint {
  std::string message;
  std::string help;
};

template <typename T>
Complaint convert(const Value& value, T& out) {
  const std::string must = "must be " + wanted_text(type_text<T>()) + ", found " + found_text(value);
  if constexpr (std::is_same_v<T, double>) {
    if (const auto* i = value.get_if<int64_t>()) {
      out = static_cast<double>(*i);
      return {};
    }
    if (const auto* r = value.get_if<double>(); r != nullptr && !std::isfinite(*r)) {
      return {"must be finite, found " + found_text(value), ""};
    }
  }
  if constexpr (IsVector<T>::value) {
    const auto* list = value.get_if<List>();
    if (list == nullptr) {
      typename T::value_type one{};
      const bool fits = convert(value, one).message.empty();
      return {must, fits ? "write [" + to_json(value) + "]" : ""};
    }
    out.clear();
    for (size_t i = 0; i < list->size(); ++i) {
      typename T::value_type item{};
      if (const Complaint c = convert((*list)[i], item); !c.message.empty()) {
        return {"must be " + wanted_text(type_text<T>()) + ": item " + std::to_string(i + 1) + " " + c.message, c.help};
      }
      out.push_back(std::move(item));
    }
    return {};
  } else {
    if (const T* v = value.get_if<T>()) {
      out = *v;
      return {};
    }
    std::string help;
    if (const auto* s = value.get_if<std::string>(); s != nullptr && !s->empty()) {
      try {
        T unquoted{};
        help = convert(parse_json(*s, ""), unquoted).message.empty() ? "remove the quotes" : "";
      } catch (const FormatError&) {
        help.clear();  // no value in quotes, so there is nothing to advise
      }
    } else if (const auto* r = value.get_if<double>(); std::is_same_v<T, int64_t> && r != nullptr) {
      if (std::abs(*r) < 1e15 && *r == std::trunc(*r)) {
        help = "write " + std::to_string(static_cast<int64_t>(*r));
      }
    } else if (std::is_same_v<T, std::string> && !value.get_if<List>() && !value.get_if<Table>()) {
      help = "put it in quotes";
    }
    return {must, help};
  }
}

template <typename T>
Value as_value(const T& v) {
  if constexpr (IsVector<T>::value) {
    return List(v.begin(), v.end());
  } else {
    return Value(v);
  }
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : ", ") + word;
  }
  return out;
}

std::string folded(std::string s) {
  std::transform(s.begin(), s.end(), s.begin(), [](unsigned char c) { return c < 'A' || c > 'Z' ? c : c + 32; });
  return s;
}

/// Edits that turn `a` into `b`: insertions, deletions, replacements and swaps of neighbours.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

Params::Params(Table values, std::string owner) : values_(std::move(values)), owner_(std::move(owner)) {}

template <typename T>
std::optional<T> Params::read(const std::string& name, const std::string& default_text, const std::string& meaning) {
  if (std::none_of(declared_.begin(), declared_.end(), [&](const OptionSpec& o) { return o.name == name; })) {
    declared_.push_back({name, type_text<T>(), default_text, meaning});
  }
  known_.insert(name);
  if (!given(name)) {
    return std::nullopt;
  }
  T out{};
  if (const Complaint c = convert(values_.at(name), out); !c.message.empty()) {
    problems_.push_back({name, "`" + name + "` " + c.message, c.help});
    return std::nullopt;
  }
  effective_[name] = as_value(out);
  return out;
}

template <typename T>
T Params::get(const std::string& name, const T& default_value, const std::string& meaning) {
  const Value as_default = as_value(default_value);
  if (auto v = read<T>(name, to_json(as_default), meaning)) {
    return *v;
  }
  effective_[name] = as_default;
  return default_value;
}

template <typename T>
std::optional<T> Params::get_optional(const std::string& name, const std::string& meaning) {
  return read<T>(name, "", meaning);
}

template <typename T>
T Params::require(const std::string& name, const std::string& meaning) {
  if (auto v = read<T>(name, "(required)", meaning)) {
    return *v;
  }
  if (!given(name)) {
    problems_.push_back({name, "`" + name + "` is missing", wanted_text(type_text<T>()) + ": " + meaning});
  }
  return T{};
}

bool Params::given(const std::string& name) const { return value(name) != nullptr; }

const Value* Params::value(const std::string& name) const {
  const auto entry = values_.find(name);
  return entry == values_.end() || entry->second.is_null() ? nullptr : &entry->second;
}

void Params::check(bool ok, const std::string& name, const std::string& message) {
  // One complaint an option is enough: what failed to read has its own, and stands here as its default.
  if (ok || (!name.empty() &&
             std::any_of(problems_.begin(), problems_.end(), [&](const OptionProblem& p) { return p.name == name; }))) {
    return;
  }
  const auto value = effective_.find(name);
  const bool shown = value != effective_.end() && message.starts_with("must ");
  const std::string found = shown ? ", found " + found_text(value->second) : "";
  problems_.push_back({name, (name.empty() ? "" : "`" + name + "` ") + message + found, ""});
}

void Params::ignore(const std::vector<std::string>& names) { known_.insert(names.begin(), names.end()); }

std::vector<OptionProblem> Params::problems() const {
  std::vector<std::string> names;
  for (const OptionSpec& option : declared_) {
    names.push_back(option.name);
  }
  std::vector<OptionProblem> all = problems_;
  for (const auto& [name, value] : values_) {
    if (!known_.contains(name)) {
      all.push_back({name, "unknown key `" + name + "`", suggestion(name, names), true});
    }
  }
  return all;
}

void Params::finish() const {
  std::string text;
  for (const OptionProblem& p : problems()) {
    text += (text.empty() ? "" : "\n") + owner_ + ": " + p.message + (p.help.empty() ? "" : " (" + p.help + ")");
  }
  if (!text.empty()) {
    throw ConfigError(text);
  }
}

#define PEFTLAB_OPTION_TYPE(...)                                                                                \
  template PEFTLAB_API __VA_ARGS__ Params::get(const std::string&, const __VA_ARGS__&, const std::string&);     \
  template PEFTLAB_API std::optional<__VA_ARGS__> Params::get_optional(const std::string&, const std::string&); \
  template PEFTLAB_API __VA_ARGS__ Params::require(const std::string&, const std::string&);

PEFTLAB_OPTION_TYPE(bool)
PEFTLAB_OPTION_TYPE(int64_t)
PEFTLAB_OPTION_TYPE(double)
PEFTLAB_OPTION_TYPE(std::string)
PEFTLAB_OPTION_TYPE(std::vector<bool>)
PEFTLAB_OPTION_TYPE(std::vector<int64_t>)
PEFTLAB_OPTION_TYPE(std::vector<double>)
PEFTLAB_OPTION_TYPE(std::vector<std::string>)
PEFTLAB_OPTION_TYPE(Table)
#undef PEFTLAB_OPTION_TYPE

std::string nearest(const std::string& name, const std::vector<std::string>& known) {
  constexpr size_t kTooFar = 4;
  std::string best;
  size_t best_distance = kTooFar;
  for (const std::string& candidate : known) {
    if (std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size()) >= kTooFar) {
      continue;
    }
    const size_t distance = edit_distance(folded(name), folded(candidate));
    if (distance < best_distance && 2 * distance <= name.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  if (known.empty()) {
    return "There are none.";
  }
  const std::string guess = nearest(name, known);
  return (guess.empty() ? "" : "Did you mean \"" + guess + "\"? ") + "There is: " + join(known) + ".";
}

}  // namespace peftlab
