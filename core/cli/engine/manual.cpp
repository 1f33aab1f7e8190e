/// The manual pages, written from what the commands say of themselves.

#include "command_line.h"
#include "engine/commands.h"
#include "engine/describe_all.h"
#include "support/files.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace peftlab::cli {
namespace {

/// Text as roff takes it: nothing in it is a request or an escape.
std::string roff(const std::string& text) {
  std::string result;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
    at_start = c == '\n';
  }
  return result;
}

std::string page_name(const std::string& command) {
  std::string name = "peftlab-" + command;
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

std::string head(const std::string& name, const std::string& summary) {
  return fmt::format(".TH {} 1 \"\" \"peftlab {}\" \"peftlab\"\n.SH NAME\n{} \\- {}\n", upper(name), PEFTLAB_VERSION,
                     roff(name), roff(summary));
}

/// The first sentence, as a line.
std::string summary_of(const CommandText& command) {
  std::string text = command.about.substr(0, command.about.find(". "));
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.ends_with(".")) text.pop_back();
  return text;
}

std::string page(const CommandText& command) {
  std::string text = head(page_name(command.name), summary_of(command));
  text += fmt::format(".SH SYNOPSIS\n.B peftlab\n{}\n.SH DESCRIPTION\n{}\n.SH OPTIONS\n", roff(command.usage),
                      roff(command.about));
  for (const OptionText& option : command.options) {
    text += ".TP\n";
    if (!option.letter.empty()) text += fmt::format("\\fB\\-{}\\fR, ", option.letter);
    text += fmt::format("\\fB{}\\fR", roff("--" + option.name));
    if (!option.value.empty()) text += fmt::format(" \\fI{}\\fR", roff(option.value));
    text += "\n" + roff(option.meaning);
    if (!option.default_.empty()) text += fmt::format(" (default: {})", roff(option.default_));
    if (option.repeats) text += " (may be given several times)";
    text += "\n";
  }
  text += ".SH EXAMPLES\n.nf\n" + roff(command.example) + "\n.fi\n.SH SEE ALSO\n.BR peftlab (1)\n";
  return text;
}

std::string overview(const std::vector<CommandText>& commands) {
  std::string text = head("peftlab", "compares parameter-efficient fine-tuning methods");
  text += ".SH SYNOPSIS\n.B peftlab\n.I COMMAND\n[ARGS]\n.SH COMMANDS\n";
  for (const CommandText& command : commands) {
    text += fmt::format(".TP\n\\fBpeftlab {}\\fR\n{}\n", roff(command.name), roff(summary_of(command)));
  }
  text +=
      ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\na run failed\n.TP\n2\nwrong command line or experiment file\n.TP\n3\n"
      "an input file is missing, broken or another\n.TP\n4\na plugin was refused, or broke a law\n.TP\n5\n"
      "the store is locked, full or failing\n.TP\n6\nthe store's version\n.TP\n7\ntwo stores contradict each other\n"
      ".TP\n130, 143\nstopped by a signal\n.SH ENVIRONMENT\n.TP\nPEFTLAB_STORE\nthe experiment store, in place of "
      "./peftlab.store\n.TP\nPEFTLAB_PLUGIN_PATH\nfolders of plugins, separated by colons\n.SH SEE ALSO\n";
  for (size_t i = 0; i < commands.size(); ++i) {
    text += fmt::format(".BR {} (1){}\n", roff(page_name(commands[i].name)), i + 1 < commands.size() ? "," : "");
  }
  return text;
}

}  // namespace

int manual_command(const Words& words) {
  std::string folder;
  CommandLine line("manual DIR", "Writes the manual pages, one a command, into a folder. They say what --help says.",
                   "peftlab manual share/man/man1");
  line.operand("DIR", &folder);
  if (!line.parse(words)) return 0;
  const auto commands = all_commands();
  std::filesystem::create_directories(folder);
  const auto write = [&](const std::string& name, const std::string& text) {
    AtomicFile file(std::filesystem::path(folder) / (name + ".1"));
    file.write(text.data(), text.size());
    file.commit();
  };
  write("peftlab", overview(commands));
  for (const CommandText& command : commands) write(page_name(command.name), page(command));
  return 0;
}

}  // namespace peftlab::cli
