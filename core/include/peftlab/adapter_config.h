#pragma once

/// \file
/// The adapter_config.json of Hugging Face peft and of `adapters`, read strictly and written whole.

#include <peftlab/value.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace peftlab {

/// Reads a configuration key by key. What a file asks for and nobody read is refused, never overlooked.
class PEFTLAB_API AdapterConfig {
 public:
  /// `reader` names who reads it in messages: "plugin lora". `prefix` goes before the keys of a nested table; without one
  /// it is the whole file, in which what peft writes of itself (peft_version, ...) counts as read.
  AdapterConfig(const Table& config, std::string reader, std::string prefix = "");

  /// The value of `key`, or `fallback` where it is absent or null.
  /// T: bool, int64_t, double (takes integers), std::string.
  /// Throws: FormatError if it is of another type.
  template <typename T>
  T get(const std::string& key, const T& fallback);
  std::string get(const std::string& key, const char* fallback) { return get<std::string>(key, fallback); }

  /// The value as it is, or nullptr where it is absent or null. It counts as read.
  const Value* value(const std::string& key);

  /// The table under `key`, or nullptr where it is absent or null. It counts as read.
  /// Throws: FormatError if it is something else.
  const Table* table(const std::string& key);

  /// Throws: FormatError naming the key, what it asks for and `accepted`, unless it is absent, null or `accepted`.
  void expect(const std::string& key, const Value& accepted);

  /// Keys that change nothing in what is computed.
  void ignore(std::initializer_list<const char*> keys);

  /// Throws: FormatError naming every key that nobody read and that is not null, false or empty.
  void finish() const;

 private:
  Table unread_;
  Table config_;
  std::string reader_;
  std::string prefix_;
};

/// The fields that every adapter_config.json of peft 0.21 begins with, for an adapter of a causal language model.
PEFTLAB_API Table peft_config(const std::string& peft_type);

/// Targets of select_names() as peft writes `target_modules`: a pattern as a string; otherwise the names, sorted and
/// each once. "all-linear" becomes `chosen`, the names it meant, as peft leaves out heads.
PEFTLAB_API Value names_for_peft(const std::vector<std::string>& targets, const std::vector<std::string>& chosen);

/// The other way: the targets that mean what peft means by `names`, what `key` of an adapter_config.json holds.
/// Throws: FormatError unless it is a string or a list of strings.
PEFTLAB_API std::vector<std::string> names_from_peft(const Value& names, const std::string& key);

}  // namespace peftlab
