/// The completion of shells, written from what the commands say of themselves.

#include "command_line.h"
#include "engine/commands.h"
#include "engine/describe_all.h"

#include <peftlab/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace peftlab::cli {
namespace {

/// "table|json" as words; empty where the value is not one of a few.
std::vector<std::string> choices(const OptionText& option) {
  std::vector<std::string> words;
  if (option.value.find('|') == std::string::npos) return words;
  std::string word;
  for (const char c : option.value + "|") {
    if (c == '|') {
      words.push_back(word);
      word.clear();
    } else {
      word += c;
    }
  }
  return words;
}

std::string in_quotes(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c == '\n' ? ' ' : c);
  return result + "'";
}

std::string first_sentence(const std::string& text) { return text.substr(0, text.find_first_of(".;\n")); }

bool takes_experiment(const CommandText& command) {
  return std::find(command.operands.begin(), command.operands.end(), "EXPERIMENT") != command.operands.end();
}

/// The names of the store's experiments, asked when they are wanted.
constexpr const char* kExperiments =
    "peftlab query 'SELECT DISTINCT name FROM experiments' --format csv 2>/dev/null | tail -n +2";

struct Tree {
  std::vector<std::string> first;                         // words that may stand first
  std::map<std::string, std::vector<std::string>> parts;  // of those that have parts
};

Tree tree(const std::vector<CommandText>& commands) {
  Tree tree;
  for (const CommandText& command : commands) {
    const size_t space = command.name.find(' ');
    const std::string head = command.name.substr(0, space);
    if (std::find(tree.first.begin(), tree.first.end(), head) == tree.first.end()) tree.first.push_back(head);
    if (space != std::string::npos) tree.parts[head].push_back(command.name.substr(space + 1));
  }
  return tree;
}

std::string bash(const std::vector<CommandText>& commands) {
  const Tree words = tree(commands);
  std::string script =
      "# bash completion of peftlab: eval \"$(peftlab completion bash)\"\n"
      "_peftlab() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]-}\n"
      "  local part=${COMP_WORDS[2]-}\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n";
  script += fmt::format("    COMPREPLY=($(compgen -W '{} help --help --version' -- \"$word\"))\n    return\n  fi\n",
                        fmt::join(words.first, " "));
  script += "  case $command in\n";
  for (const auto& [head, parts] : words.parts) {
    script += fmt::format(
        "    {}) if [ \"$COMP_CWORD\" -eq 2 ]; then COMPREPLY=($(compgen -W '{}' -- \"$word\")); return; fi\n"
        "      command=\"$command $part\" ;;\n",
        head, fmt::join(parts, " "));
  }
  script += "  esac\n  case $command in\n";
  for (const CommandText& command : commands) {
    script += fmt::format("    '{}')\n", command.name);
    std::vector<std::string> options, valued;
    std::string cases;
    for (const OptionText& option : command.options) {
      options.push_back("--" + option.name);
      if (option.value.empty()) continue;
      if (const auto all = choices(option); !all.empty()) {
        cases += fmt::format("        --{}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n", option.name,
                             fmt::join(all, " "));
      } else {
        valued.push_back("--" + option.name);
      }
    }
    if (!valued.empty()) {
      cases += fmt::format("        {}) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", fmt::join(valued, "|"));
    }
    if (!cases.empty()) script += "      case $before in\n" + cases + "      esac\n";
    const std::string others = takes_experiment(command)
                                   ? fmt::format("COMPREPLY=($(compgen -W \"$({})\" -- \"$word\"))", kExperiments)
                                   : std::string("COMPREPLY=($(compgen -f -- \"$word\"))");
    script += fmt::format(
        "      case $word in\n        -*) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n        *) {} ;;\n      esac "
        ";;\n",
        fmt::join(options, " "), others);
  }
  return script + "  esac\n}\ncomplete -o filenames -F _peftlab peftlab\n";
}

std::string zsh_meaning(const OptionText& option) {
  std::string text;
  for (const char c : first_sentence(option.meaning)) {
    if (c == '[' || c == ']' || c == ':') text += '\\';
    text += c;
  }
  return text;
}

std::string zsh(const std::vector<CommandText>& commands) {
  const Tree words = tree(commands);
  std::string script =
      "#compdef peftlab\n# zsh completion of peftlab: peftlab completion zsh > a folder of $fpath/_peftlab\n";
  script += "_peftlab() {\n  local command=$words[2]\n";
  script += fmt::format("  if (( CURRENT == 2 )); then compadd -- {} help --help --version; return; fi\n",
                        fmt::join(words.first, " "));
  script += "  case $command in\n";
  for (const auto& [head, parts] : words.parts) {
    script += fmt::format(
        "    {}) if (( CURRENT == 3 )); then compadd -- {}; return; fi\n"
        "      command=\"$command $words[3]\"; shift words; (( CURRENT-- )) ;;\n",
        head, fmt::join(parts, " "));
  }
  script += "  esac\n  shift words; (( CURRENT-- ))\n  case $command in\n";
  for (const CommandText& command : commands) {
    script += fmt::format("    '{}') _arguments", command.name);
    for (const OptionText& option : command.options) {
      std::string spec = fmt::format("{}--{}[{}]", option.repeats ? "*" : "", option.name, zsh_meaning(option));
      if (!option.value.empty()) {
        const auto all = choices(option);
        spec += all.empty() ? ":value:_files" : fmt::format(":value:({})", fmt::join(all, " "));
      }
      script += " \\\n      " + in_quotes(spec);
    }
    script += takes_experiment(command) ? fmt::format(" \\\n      \"*:experiment:($({}))\" ;;\n", kExperiments)
                                        : " \\\n      '*:file:_files' ;;\n";
  }
  return script + "  esac\n}\n_peftlab \"$@\"\n";
}

std::string fish(const std::vector<CommandText>& commands) {
  const Tree words = tree(commands);
  std::string script = "# fish completion of peftlab: peftlab completion fish | source\n";
  script += fmt::format("complete -c peftlab -n __fish_use_subcommand -f -a '{} help'\n", fmt::join(words.first, " "));
  for (const auto& [head, parts] : words.parts) {
    script += fmt::format(
        "complete -c peftlab -n '__fish_seen_subcommand_from {0}; and not __fish_seen_subcommand_from {1}' -f -a "
        "'{1}'\n",
        head, fmt::join(parts, " "));
  }
  for (const CommandText& command : commands) {
    const size_t space = command.name.find(' ');
    std::string condition = "__fish_seen_subcommand_from " + command.name.substr(0, space);
    if (space != std::string::npos) condition += "; and __fish_seen_subcommand_from " + command.name.substr(space + 1);
    for (const OptionText& option : command.options) {
      script += fmt::format("complete -c peftlab -n '{}' -l {} -d {}", condition, option.name,
                            in_quotes(first_sentence(option.meaning)));
      if (!option.value.empty()) script += " -r";
      if (const auto all = choices(option); !all.empty()) script += fmt::format(" -f -a '{}'", fmt::join(all, " "));
      script += "\n";
    }
    if (takes_experiment(command)) {
      script += fmt::format("complete -c peftlab -n '{}' -f -a \"({})\"\n", condition, kExperiments);
    }
  }
  return script;
}

}  // namespace

int completion_command(const Words& words) {
  std::string shell;
  CommandLine line("completion bash|zsh|fish",
                   "Prints the script with which a shell completes peftlab's commands, options and their values, and\n"
                   "the names of the store's experiments.",
                   "eval \"$(peftlab completion bash)\"");
  line.operand("SHELL", &shell);
  if (!line.parse(words)) return 0;
  const std::map<std::string, std::string (*)(const std::vector<CommandText>&)> shells = {
      {"bash", bash}, {"zsh", zsh}, {"fish", fish}};
  const auto found = shells.find(shell);
  if (found == shells.end()) {
    throw ConfigError(fmt::format("there is no completion for \"{}\"; there is one for bash, fish and zsh", shell));
  }
  print(found->second(all_commands()));
  return 0;
}

}  // namespace peftlab::cli
