#include "testing/laws_options.h"

#include <peftlab/error.h>

#include <set>

namespace peftlab::testing {

using namespace bench;

Violations options_have_sound_defaults(const Constructor& make) {
  return guarded([&](Violations& found) {
    Params empty({}, "the plugin");
    make(empty);
    std::set<std::string> required;
    for (const OptionSpec& option : empty.declared()) {
      if (option.default_ == "(required)") required.insert(option.name);
    }
    for (const OptionProblem& problem : empty.problems()) {
      if (required.count(problem.name) == 0) {
        found.push_back(text("from an empty table: ", problem.name, " ", problem.message));
      }
    }
    found.measured.push_back(text(empty.declared().size(), " options"));
    for (const OptionSpec& option : empty.declared()) {
      if (option.meaning.empty()) found.push_back(text("option `", option.name, "` has no meaning"));
      if (option.default_.empty() || option.default_ == "(required)") continue;
      Params spelled({{option.name, parse_json(option.default_, option.name)}}, "the plugin");
      make(spelled);
      for (const OptionProblem& problem : spelled.problems()) {
        found.push_back(
            text("with `", option.name, "` spelled out as its default: ", problem.name, " ", problem.message));
      }
    }
  });
}

Violations unknown_options_are_refused(const Constructor& make) {
  return guarded([&](Violations& found) {
    Params empty({}, "the plugin");
    make(empty);
    const std::string known = empty.declared().empty() ? "" : empty.declared()[0].name;
    const std::string wrong = known.empty() ? "stranger" : known + "x";
    Params misspelled({{wrong, Value(1)}}, "the plugin");
    make(misspelled);
    try {
      misspelled.finish();
      found.push_back(text("option `", wrong, "` was taken"));
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      if (message.find(wrong) == std::string::npos)
        found.push_back(text("the refusal does not name `", wrong, "`: ", message));
      if (!known.empty() && message.find("\"" + known + "\"") == std::string::npos &&
          message.find("`" + known + "`") == std::string::npos) {
        found.push_back(text("the refusal of `", wrong, "` does not name `", known, "`: ", message));
      }
    }
  });
}

Violations law_defaults(const MethodCase& given) {
  return options_have_sound_defaults([&](Params& params) { given.method(params); });
}

Violations law_unknown_option(const MethodCase& given) {
  return unknown_options_are_refused([&](Params& params) { given.method(params); });
}

}  // namespace peftlab::testing
