#pragma once

/// \file
/// What one command takes: its options and operands, their help, and their reading. The only header with
/// Boost.Program_options.

#include "command.h"
#include "describe.h"
#include "report/table.h"

#include <boost/program_options.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace peftlab::cli {

/// A table for eyes, JSON for programs: what is written where no --format is given and standard output is a terminal, or
/// is not.
report::Format table_or_json();

/// A command line being described, then read. Targets keep what they hold where an option is not given; what they hold
/// is shown as the default. Long options only (and those declared as "name,n"), never abbreviated; `--` ends options.
class CommandLine {
 public:
  /// `usage`: the command and its operands, "show RUN"; `about`: what it does; `example`: lines to type.
  CommandLine(std::string usage, std::string about, std::string example);

  template <typename T>
  CommandLine& option(const char* name, T* target, const char* value_name, const char* meaning) {
    describe(name, boost::program_options::value<T>(target)->default_value(*target)->value_name(value_name), meaning);
    return *this;
  }
  /// An option without a default.
  template <typename T>
  CommandLine& plain_option(const char* name, T* target, const char* value_name, const char* meaning) {
    describe(name, boost::program_options::value<T>(target)->value_name(value_name), meaning);
    return *this;
  }
  template <typename T>
  CommandLine& required_option(const char* name, T* target, const char* value_name, const char* meaning) {
    describe(name, boost::program_options::value<T>(target)->required()->value_name(value_name), meaning);
    return *this;
  }
  CommandLine& repeated_option(const char* name, std::vector<std::string>* target, const char* value_name,
                               const char* meaning);
  CommandLine& flag(const char* name, bool* target, const char* meaning);

  CommandLine& operand(const char* name, std::string* target);
  CommandLine& optional_operand(const char* name, std::string* target);
  /// All operands that are left, at least one.
  CommandLine& operands(const char* name, std::vector<std::string>* target);

  /// --store, by default what PEFTLAB_STORE says, or ./peftlab.store.
  CommandLine& store_option(std::filesystem::path* target);
  /// --format; `target` holds the default.
  CommandLine& format_option(report::Format* target);

  /// Reads `words`. False: help was asked for and is printed, there is nothing else to do.
  /// Throws: ConfigError naming what is wrong and what was perhaps meant.
  bool parse(const Words& words);

  /// Throws: ConfigError unless the option was given.
  void require(const std::string& name) const;

  /// Whether the option was given (and did not merely keep its default).
  bool given(const std::string& name) const;

 private:
  struct Operand {
    std::string name;
    std::string* one = nullptr;
    std::vector<std::string>* many = nullptr;
    bool required = true;
  };

  void describe(const char* name, const boost::program_options::value_semantic* value, const char* meaning);
  std::string help() const;
  CommandText text() const;
  std::string command() const;  // "peftlab store gc"
  void read_options(const Words& words);
  void take_operands();

  std::string usage_, about_, example_;
  boost::program_options::options_description options_;
  boost::program_options::variables_map values_;
  std::vector<Operand> operands_;
  std::vector<std::string> found_operands_;
  std::filesystem::path* store_ = nullptr;
  report::Format* format_ = nullptr;
  std::string store_text_, format_text_;
};

/// Throws: ConfigError unless value >= least. `option` is its name without dashes.
void check_at_least(const char* option, int64_t value, int64_t least);

}  // namespace peftlab::cli
