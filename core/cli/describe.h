#pragma once

/// \file
/// What commands say of themselves, as data: `--help`, the manual pages and the completion of shells have one source.

#include "command.h"

#include <functional>
#include <string>
#include <vector>

namespace peftlab::cli {

struct OptionText {
  std::string name;      ///< "store", without dashes
  std::string letter;    ///< "n" of "-n"; mostly empty
  std::string value;     ///< "DIR", "table|json"; empty: it takes none
  std::string default_;  ///< as it would be written; empty: none
  std::string meaning;
  bool repeats = false;
};

struct CommandText {
  std::string name;   ///< "list", "store gc"
  std::string usage;  ///< "store gc [options]", without "peftlab"
  std::string about, example;
  std::vector<OptionText> options;
  std::vector<std::string> operands;  ///< as the usage names them, in order
};

/// Calls `ask`, during which command lines and parts describe themselves instead of being read.
std::vector<CommandText> described(const std::function<void()>& ask);

/// Where they do so now; else null.
std::vector<CommandText>* description();

}  // namespace peftlab::cli
