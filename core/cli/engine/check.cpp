/// `peftlab plugins check`: a plugin held to all laws of its kind.

#include "engine/check.h"

#include "command_line.h"
#include "engine/commands.h"
#include "engine/model.h"

#include <peftlab/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace peftlab::cli {
namespace {

namespace fs = std::filesystem;
using registry::Plugin;
using registry::Registry;
using report::Format;
using store::Rows;

constexpr int kLawBroken = 4;

/// A folder that is gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "peftlab-check-XXXXXX").string();
    if (!mkdtemp(name.data())) throw Error("no folder can be made in " + fs::temp_directory_path().string());
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Told law by law, as they are tried.
class Teller {
 public:
  explicit Teller(Format format) : format_(format) {}

  void tell(const LawTrial& trial, const LawResult& result) {
    const bool holds = result.violations.empty();
    if (!holds) broken_.insert(trial.number);
    tried_.insert(trial.number);
    const std::string measured = fmt::format("{}", fmt::join(result.measured, "; "));
    if (format_ != Format::table) {
      const auto cell = [](const std::string& text) { return text.empty() ? store::Cell() : store::Cell(text); };
      rows_.rows.push_back({cell(trial.subject), int64_t{trial.number}, trial.name, holds ? "holds" : "broken",
                            cell(measured), cell(fmt::format("{}", fmt::join(result.violations, "; "))),
                            cell(holds ? "" : trial.cause)});
      return;
    }
    if (trial.subject != subject_) print(fmt::format("on {}\n", trial.subject.empty() ? "what it is" : trial.subject));
    subject_ = trial.subject;
    print(fmt::format("  {} {:>2} {:<16} {}{}\n", holds ? "ok    " : "BROKEN", trial.number, trial.name,
                      trial.statement, measured.empty() ? "" : " [" + measured + "]"));
    for (const std::string& violation : result.violations) print("            " + violation + "\n");
    if (!holds) print(fmt::format("            usually: {}\n", trial.cause));
  }

  int end(const Plugin& plugin) const {
    if (format_ != Format::table) {
      print(report::render_table(rows_, format_));
    } else if (broken_.empty()) {
      print(fmt::format("ok: {} {} keeps all {} laws, sha256 {}\n", registry::kind_name(plugin.kind), plugin.name,
                        tried_.size(), plugin.sha256));
    }
    if (!broken_.empty()) {
      note(fmt::format("peftlab: {} {} breaks {} of {} laws: {}", registry::kind_name(plugin.kind), plugin.name,
                       broken_.size(), tried_.size(), fmt::join(broken_, ", ")));
    }
    return broken_.empty() ? 0 : kLawBroken;
  }

 private:
  Format format_;
  std::string subject_ = "?";
  std::set<int> tried_, broken_;
  Rows rows_{{"model", "number", "law", "result", "measured", "violations", "usual_cause"}, {}};
};

/// Made from what the user gives, before any law is: what is wrong with that is the user's. Throws: ConfigError.
void check_settings(const Registry& registry, const Plugin& plugin, const Table& settings) {
  if (settings.empty()) return;
  LawTrial trial{.subject = "", .name = "settings", .statement = "", .cause = ""};
  trial.run = [&] {
    Params params(settings, "plugin " + plugin.name);
    testing::Violations found;
    switch (plugin.kind) {
      case Kind::method:
        registry.make_method(plugin.name, params);
        break;
      case Kind::dataset:
        registry.make_dataset(plugin.name, params);
        break;
      case Kind::metric:
        registry.make_metric(plugin.name, params);
        break;
      case Kind::model:
        found.push_back("--set: a model's options are its config.json: give one with --sample");
        return found;
    }
    try {
      params.finish();
    } catch (const ConfigError& error) {
      found.push_back(error.what());
    }
    return found;
  };
  const LawResult result = run_apart(trial, std::chrono::seconds(30));
  if (!result.violations.empty()) throw ConfigError(result.violations.front());
}

}  // namespace

int check_plugin(const Words& words) {
  std::string file;
  std::vector<std::string> settings;
  std::string sample;
  int64_t parameters = -1, rank = -1, seconds = 120;
  Format format = Format::table;
  CommandLine line(
      "plugins check FILE.so",
      "Holds a library to what plugins promise: its record is read from the file before anything of it runs; it is\n"
      "loaded where its crash costs nothing; then each law of its kind is tried in a process of its own. A method is\n"
      "tried on a toy model and a small one of every model plugin there is. Says what each law measured and, where it\n"
      "is broken, what usually causes that. Ends with exit code 4 where the library is refused or breaks a law.",
      "peftlab plugins check build/outer.so\npeftlab plugins check build/outer.so --set targets='[\"dense\"]'");
  line.operand("FILE.so", &file)
      .repeated_option("set", &settings, "KEY=VALUE", "an option of the plugin; VALUE is JSON, or a text as it stands")
      .plain_option("sample", &sample, "FILE",
                    "of a data set a file it reads, of a model a config.json; by default what its write_sample() makes")
      .plain_option("parameters", &parameters, "N", "what a method's formula says it trains on the toy model")
      .plain_option("rank", &rank, "N", "the most that a method's merged update may have on the toy model")
      .option("seconds", &seconds, "N", "how long one law may take")
      .format_option(&format);
  if (!line.parse(words)) return 0;
  check_at_least("seconds", seconds, 1);
  if (!fs::exists(file)) throw FormatError(file + ": there is no such file");

  Registry registry({});
  registry.load(fs::absolute(file));
  for (const registry::Refusal& refusal : registry.refusals()) {
    throw PluginError(fmt::format("{} is refused: {}", file, refusal.reason));
  }
  const Plugin& plugin = registry.plugins().at(0);
  const Registry others(Registry::default_folders());
  const TemporaryFolder folder;
  CheckOptions options;
  options.settings = plugin_settings(settings);
  options.sample = sample;
  if (line.given("parameters")) options.parameters = parameters;
  if (line.given("rank")) options.rank = rank;

  check_settings(registry, plugin, options.settings);

  if (format == Format::table) {
    print(fmt::format("{} {}: {} (ABI {}, LibTorch {})\n", registry::kind_name(plugin.kind), plugin.name,
                      plugin.summary, plugin.abi, plugin.torch_version));
  }
  Teller teller(format);
  for (const LawTrial& trial : law_trials(registry, plugin, others, options, folder.path())) {
    teller.tell(trial, run_apart(trial, std::chrono::seconds(seconds)));
  }
  return teller.end(plugin);
}

}  // namespace peftlab::cli
