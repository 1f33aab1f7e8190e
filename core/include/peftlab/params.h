#pragma once

/// \file
/// Options are read once, with name, type, default, range and meaning in one place: the checks, the help of
/// `peftlab plugins show`, the stored configuration and the README's table all come from that one reading.

#include <peftlab/value.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace peftlab {

/// One option a plugin declared by reading it.
struct OptionSpec {
  std::string name;
  std::string type;     ///< "integer", "real", "boolean", "string", "list of strings", ...
  std::string default_; ///< as JSON; empty if the option has none and may be left out, "(required)" if it must be given
  std::string meaning;

  bool operator==(const OptionSpec&) const = default;
};

/// One thing wrong with an option; `name` is the option's key (dotted inside a table), empty if it concerns none.
struct OptionProblem {
  std::string name;
  std::string message;
  std::string help;      ///< such as the nearest known name; may be empty
  bool unknown = false;  ///< nobody reads an option of this name

  bool operator==(const OptionProblem&) const = default;
};

/// The options given to a plugin. Its constructor reads each with get() and states ranges with check().
///
/// Nothing is thrown while reading: every problem is kept, so that the user hears of all of them at once, and a bad
/// value reads as its default. After construction the host calls finish(), which throws if anything was wrong.
class PEFTLAB_API Params {
 public:
  /// `owner` names the reader in messages: "plugin lora", "models/base/config.json".
  explicit Params(Table values = {}, std::string owner = "options");

  /// Reads option `name`, or its default where it was not given.
  /// T: bool, int64_t, double (an integer is taken too), std::string, std::vector<std::string>,
  ///    std::vector<int64_t>, std::vector<double>, std::vector<bool>, Table.
  template <typename T>
  T get(const std::string& name, const T& default_value, const std::string& meaning);
  std::string get(const std::string& name, const char* default_value, const std::string& meaning) {
    return get<std::string>(name, default_value, meaning);
  }

  /// Reads an option that may be left out and then has no value (JSON null counts as left out).
  template <typename T>
  std::optional<T> get_optional(const std::string& name, const std::string& meaning);

  /// Reads an option that must be given; T() and a problem if it is not.
  template <typename T>
  T require(const std::string& name, const std::string& meaning);

  /// Was `name` given (and not null)?
  bool given(const std::string& name) const;

  /// The value of `name` as given, whatever its type, or nullptr: for options that may be of more than one type.
  const Value* value(const std::string& name) const;

  /// Keeps a problem with option `name` unless `ok`. To a message such as "must be at least 1" the value is added.
  void check(bool ok, const std::string& name, const std::string& message);

  /// Takes note of keys that may be there and mean nothing here.
  void ignore(const std::vector<std::string>& names);

  /// The options read so far, in the order of reading.
  const std::vector<OptionSpec>& declared() const { return declared_; }
  /// The values that are in force, defaults included: what the store keeps.
  const Table& effective() const { return effective_; }
  /// What is wrong so far; with unknown keys (those given but never read) once all is read.
  std::vector<OptionProblem> problems() const;
  /// Throws: ConfigError with all problems, one a line, if there are any.
  void finish() const;

 private:
  template <typename T>
  std::optional<T> read(const std::string& name, const std::string& default_text, const std::string& meaning);

  Table values_;
  std::string owner_;
  std::vector<OptionSpec> declared_;
  Table effective_;
  std::set<std::string> known_;
  std::vector<OptionProblem> problems_;
};

/// The member of `known` that is nearest to `name` by Damerau-Levenshtein distance, case folded, if within 3 edits and
/// half the length of `name`; empty otherwise.
PEFTLAB_API std::string nearest(const std::string& name, const std::vector<std::string>& known);

/// `Did you mean "x"? ` where nearest() finds one, and the list of what there is.
PEFTLAB_API std::string suggestion(const std::string& name, const std::vector<std::string>& known);

}  // namespace peftlab
