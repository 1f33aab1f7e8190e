/// The program: finds the command, calls it, and turns what goes wrong into a message and an exit code.

#include "command.h"
#include "engine.h"
#include "output.h"
#include "store/care.h"
#include "support/interrupt.h"

#include <peftlab/error.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace peftlab::cli {
namespace {

/// As the contract with scripts has it.
enum ExitCode {
  kDone = 0,
  kFailed = 1,
  kWrongUse = 2,
  kBadFile = 3,
  kBadPlugin = 4,
  kBadStore = 5,
  kStoreVersion = 6,
  kMergeConflict = 7
};

const Command* find_command(const std::string& name) {
  const auto found =
      std::find_if(commands().begin(), commands().end(), [&](const Command& command) { return command.name == name; });
  return found == commands().end() ? nullptr : &*found;
}

const Command& command_named(const std::string& name) {
  if (const Command* command = find_command(name)) return *command;
  std::vector<std::string> known;
  for (const Command& command : commands()) {
    if (*command.summary) known.push_back(command.name);
  }
  throw ConfigError(fmt::format("there is no command \"{}\". {}", name, suggestion(name, known)));
}

int call(const Command& command, const Words& words) {
  return command.function ? command.function(words) : call_engine(command.name, words);
}

std::string overview() {
  std::string text =
      "peftlab compares parameter-efficient fine-tuning methods.\n\n"
      "Usage: peftlab COMMAND [ARGS]\n\nCommands:\n";
  for (const Command& command : commands()) {
    if (*command.summary) text += fmt::format("  {:<12}{}\n", command.name, command.summary);
  }
  return text +
         "\n`peftlab help COMMAND` or `peftlab COMMAND --help` says more; `peftlab --version` names versions.\n"
         "\nResults go to standard output, all else to standard error.\n"
         "Exit codes: 0 done; 1 a run failed; 2 wrong command line or experiment file; 3 an input file is missing,\n"
         "broken or another; 4 a plugin was refused; 5 the store is locked, full or failing; 6 the store's version;\n"
         "7 two stores contradict each other; 130, 143 stopped by a signal.\n"
         "\nExample:\n  peftlab run experiments/compare.toml\n";
}

int help(const Words& words) {
  if (words.empty() || words[0].starts_with("-")) {
    print(overview());
    return kDone;
  }
  // "help store gc" is "store gc --help".
  Words rest(words.begin() + 1, words.end());
  rest.push_back("--help");
  return call(command_named(words[0]), rest);
}

int dispatch(Words words) {
  // Options of all commands may stand before the command: they are given to it.
  Words common;
  while (words.size() >= 2 && (words[0] == "--store" || words[0] == "--format")) {
    common.insert(common.end(), words.begin(), words.begin() + 2);
    words.erase(words.begin(), words.begin() + 2);
  }
  while (!words.empty() && (words[0].starts_with("--store=") || words[0].starts_with("--format="))) {
    common.push_back(words[0]);
    words.erase(words.begin());
  }
  if (words.empty() || words[0] == "--help" || words[0] == "-h") return help({});
  if (words[0] == "help") return help({words.begin() + 1, words.end()});
  if (words[0] == "--version") {
    print(fmt::format("peftlab {} (LibTorch {}, plugin ABI {}, store schema {})\n", PEFTLAB_VERSION, TORCH_VERSION,
                      kAbi, store::kSchemaVersion));
    return kDone;
  }
  if (words[0].starts_with("-")) {
    throw ConfigError(fmt::format("unknown option {} before the command; see `peftlab help`", words[0]));
  }
  const Command& command = command_named(words[0]);
  Words rest(words.begin() + 1, words.end());
  // A command's own parts ("store gc") come first.
  const auto at = rest.begin() + (common.empty() || rest.empty() || rest[0].starts_with("-") ? 0 : 1);
  rest.insert(at, common.begin(), common.end());
  return call(command, rest);
}

int complain(int code, const std::string& message) {
  // The mistakes in an experiment file come with their source lines, ready to be read.
  note(message.starts_with("error: ") ? message : "peftlab: " + message);
  return code;
}

int guarded(const Words& words) {
  try {
    const int code = dispatch(words);
    flush_output();
    return code;
  } catch (const Interrupted& stopped) {
    return stopped.exit_code();
  } catch (const OutputError& error) {
    // What other programs in a pipe end with.
    return error.reader_is_gone() ? 128 + SIGPIPE : complain(kFailed, error.what());
  } catch (const ConfigError& error) {
    return complain(kWrongUse, error.what());
  } catch (const FormatError& error) {
    return complain(kBadFile, error.what());
  } catch (const PluginError& error) {
    return complain(kBadPlugin, error.what());
  } catch (const store::MergeConflictError& error) {
    return complain(kMergeConflict, error.what());
  } catch (const store::StoreVersionError& error) {
    return complain(kStoreVersion, error.what());
  } catch (const StoreError& error) {
    return complain(kBadStore, error.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailed, "out of memory");
  } catch (const std::exception& error) {
    return complain(kFailed, error.what());
  } catch (...) {
    return complain(kFailed, "something was thrown that is no exception");
  }
}

}  // namespace

}  // namespace peftlab::cli

int main(int argc, char** argv) {
  peftlab::cli::prepare_streams();
  const int code = peftlab::cli::guarded({argv + 1, argv + argc});
#if defined(__SANITIZE_ADDRESS__)
  return code;  // what has leaked is told at the end
#else
  // All is written and closed, but for what a plugin may have printed. What LibTorch would clear away the system takes back
  // at once, not in a fifth of a second.
  std::fflush(nullptr);
  std::_Exit(code);
#endif
}
