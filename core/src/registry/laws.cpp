#include "registry/laws.h"

#include <peftlab/error.h>

#include <algorithm>
#include <set>

namespace peftlab::registry {
namespace {

constexpr const char* kUnknown = "peftlab_no_such_option";

/// Makes one and forgets it; what its constructor read stays in `params`.
void make(const Registry& registry, const Plugin& plugin, Params& params) {
  switch (plugin.kind) {
    case Kind::dataset:
      registry.make_dataset(plugin.name, params);
      break;
    case Kind::method:
      registry.make_method(plugin.name, params);
      break;
    case Kind::metric:
      registry.make_metric(plugin.name, params);
      break;
    case Kind::model:
      break;
  }
}

}  // namespace

std::vector<std::string> broken_option_laws(const Registry& registry, const Plugin& plugin) {
  std::vector<std::string> broken;
  if (plugin.kind == Kind::model) return broken;

  Params empty({}, "plugin " + plugin.name);
  Params unknown(Table{{kUnknown, 1}}, "plugin " + plugin.name);
  try {
    make(registry, plugin, empty);
    make(registry, plugin, unknown);
  } catch (const Error& error) {
    return {std::string("it cannot be made from an empty table of options: ") + error.what()};
  }

  std::set<std::string> required, names;
  for (const OptionSpec& option : empty.declared()) {
    if (option.default_ == "(required)") required.insert(option.name);
    if (!names.insert(option.name).second) broken.push_back("option `" + option.name + "` is read twice");
    if (option.meaning.empty()) broken.push_back("option `" + option.name + "` has no meaning");
  }
  for (const OptionProblem& problem : empty.problems()) {
    if (required.count(problem.name) > 0) continue;
    broken.push_back("with every option left out, `" + problem.name + "`: " + problem.message);
  }
  const auto problems = unknown.problems();
  if (std::none_of(problems.begin(), problems.end(), [](const OptionProblem& problem) { return problem.unknown; })) {
    broken.push_back("an option it does not know is not refused");
  }
  return broken;
}

}  // namespace peftlab::registry
