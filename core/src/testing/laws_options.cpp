#include "testing/bench.h"

#include <peftlab/error.h>

namespace peftlab::testing {

using namespace bench;

Violations law_defaults(const MethodCase& given) {
  return guarded([&](Violations& found) {
    Params empty({}, "the method");
    given.method(empty);
    for (const OptionProblem& problem : empty.problems()) {
      found.push_back(text("from an empty table: ", problem.name, " ", problem.message));
    }
    for (const OptionSpec& option : empty.declared()) {
      if (option.meaning.empty()) found.push_back(text("option `", option.name, "` has no meaning"));
      if (option.default_.empty() || option.default_ == "(required)") continue;
      Params spelled({{option.name, parse_json(option.default_, option.name)}}, "the method");
      given.method(spelled);
      for (const OptionProblem& problem : spelled.problems()) {
        found.push_back(
            text("with `", option.name, "` spelled out as its default: ", problem.name, " ", problem.message));
      }
    }
  });
}

Violations law_unknown_option(const MethodCase& given) {
  return guarded([&](Violations& found) {
    Params empty({}, "the method");
    given.method(empty);
    const std::string known = empty.declared().empty() ? "" : empty.declared()[0].name;
    const std::string wrong = known.empty() ? "stranger" : known + "x";
    Params misspelled({{wrong, Value(1)}}, "the method");
    given.method(misspelled);
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

}  // namespace peftlab::testing
