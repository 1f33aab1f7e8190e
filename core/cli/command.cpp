#include "command.h"

#include "describe.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace peftlab::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> commands = {
      {"run", "run the comparison an experiment file describes, as far as it is missing", nullptr},
      {"list", "the runs in the store", list_command},
      {"show", "all that is known of one run", show_command},
      {"compare", "the methods of an experiment side by side", compare_command},
      {"diff", "in what two runs differ", diff_command},
      {"query", "one read-only SQL statement over the store", query_command},
      {"report", "an experiment as one HTML page", report_command},
      {"serve", "the store as live pages", serve_command},
      {"export", "an experiment as CSV, JSON, Markdown or LaTeX", export_command},
      {"eval", "score a model on a data file, with or without an adapter", nullptr},
      {"predict", "what a model answers to prompts and pictures", nullptr},
      {"score", "a metric over predictions and references", nullptr},
      {"tokenize", "the token ids of texts", tokenize_command},
      {"adapter", "export, merge and verify adapters", nullptr},
      {"plugins", "list, show and check plugins", nullptr},
      {"store", "check, clean up and back up the store", store_command},
      {"quantize", "write a model with its weights in few bits", nullptr},
      {"completion", "completion of commands and options for a shell", nullptr},
      {"manual", "the manual pages, as files", nullptr},
      {"worker", "", nullptr},
  };
  return commands;
}

int dispatch_part(const std::string& command, const Words& words, const std::vector<Command>& parts) {
  if (description()) {
    for (const Command& part : parts) part.function({"--help"});
    return 0;
  }
  std::vector<std::string> known;
  for (const Command& part : parts) known.push_back(part.name);
  if (words.empty()) throw ConfigError(fmt::format("peftlab {} needs one of: {}", command, fmt::join(known, ", ")));
  if (words[0] == "--help" || words[0] == "-h") {
    std::string text = fmt::format("Usage: peftlab {} PART [ARGS]\n\nParts:\n", command);
    for (const Command& part : parts) text += fmt::format("  {:<12}{}\n", part.name, part.summary);
    print(text + fmt::format("\n`peftlab {} PART --help` says more.\n\nExample:\n  peftlab {} {} --help\n", command,
                             command, parts.front().name));
    return 0;
  }
  for (const Command& part : parts) {
    if (part.name == words[0]) return part.function({words.begin() + 1, words.end()});
  }
  throw ConfigError(fmt::format("peftlab {} has no part \"{}\". {}", command, words[0], suggestion(words[0], known)));
}

}  // namespace peftlab::cli
