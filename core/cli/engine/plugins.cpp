#include "command_line.h"
#include "engine/commands.h"
#include "engine/model.h"
#include "registry/registry.h"
#include "rows.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace peftlab::cli {
namespace {

using report::Format;
using store::Rows;

int list(const Words& words) {
  Format format = table_or_json();
  CommandLine line(
      "plugins list",
      "Lists the plugins: those beside the program, then those in the folders of PEFTLAB_PLUGIN_PATH. Libraries\n"
      "that were refused are rows of the table with the reason; in the other formats they are told on\n"
      "standard error. A table on a terminal, a JSON list of objects elsewhere.",
      "peftlab plugins\npeftlab plugins --format json");
  line.format_option(&format);
  if (!line.parse(words)) return 0;

  const auto registry = open_registry();
  const bool eyes = format == Format::table;
  Rows rows{{"name", "kind", "file", eyes ? "summary" : "sha256"}, {}};
  for (const registry::Plugin& plugin : registry.plugins()) {
    rows.rows.push_back(
        {plugin.name, registry::kind_name(plugin.kind), plugin.file.string(), eyes ? plugin.summary : plugin.sha256});
  }
  for (const registry::Refusal& refusal : registry.refusals()) {
    if (eyes) {
      rows.rows.push_back({refusal.file.stem().string(), "refused", refusal.file.string(), refusal.reason});
    } else {
      note(fmt::format("refused: {}: {}", refusal.file.string(), refusal.reason));
    }
  }
  print(report::render_table(rows, format));
  return 0;
}

/// By its name, or an alias. Throws: PluginError that says what there is.
const registry::Plugin& find(const registry::Registry& registry, const std::string& name) {
  std::vector<std::string> known;
  for (const registry::Plugin& plugin : registry.plugins()) {
    if (plugin.name == name) return plugin;
    known.push_back(plugin.name);
  }
  for (const Kind kind : {Kind::method, Kind::model, Kind::metric, Kind::dataset}) {
    if (const registry::Plugin* plugin = registry.find_if(kind, name)) return *plugin;
  }
  std::string message = fmt::format("there is no plugin \"{}\". {}", name, suggestion(name, known));
  for (const registry::Refusal& refusal : registry.refusals()) {
    if (refusal.file.stem() == name) {
      message += fmt::format("\n{} was refused: {}", refusal.file.string(), refusal.reason);
    }
  }
  throw PluginError(message);
}

int show(const Words& words) {
  std::string name;
  Format format = Format::table;
  CommandLine line("plugins show NAME",
                   "Shows what a plugin is and the options it takes. A model's options are its config.json.",
                   "peftlab plugins show lora");
  line.operand("NAME", &name).format_option(&format);
  if (!line.parse(words)) return 0;

  const auto registry = open_registry();
  const registry::Plugin& plugin = find(registry, name);
  Rows options{{"name", "type", "default", "meaning"}, {}};
  for (const OptionSpec& option : registry.options(plugin)) {
    options.rows.push_back({option.name, option.type, option.default_, option.meaning});
  }
  if (format == Format::table) {
    print_facts({{"name", plugin.name},
                 {"kind", registry::kind_name(plugin.kind)},
                 {"summary", plugin.summary},
                 {"source", plugin.source},
                 {"aliases", fmt::format("{}", fmt::join(plugin.aliases, " "))},
                 {"file", plugin.file.string()},
                 {"sha256", plugin.sha256},
                 {"built for", fmt::format("ABI {}, LibTorch {}", plugin.abi, plugin.torch_version)}},
                format);
    print(options.rows.empty() ? "\nno options\n" : "\n");
  }
  if (format != Format::table || !options.rows.empty()) print(report::render_table(options, format));
  return 0;
}

}  // namespace

int plugins_command(const Words& words) {
  if (words.empty() || (words[0].starts_with("-") && words[0] != "--help" && words[0] != "-h")) return list(words);
  return dispatch_part("plugins", words,
                       {{"list", "the plugins there are (also without `list`)", list},
                        {"show", "what a plugin is and takes", show},
                        {"check", "hold one library to all laws of its kind", check_plugin},
                        {"new", "a plugin to start from, as a folder", new_plugin}});
}

}  // namespace peftlab::cli
