#include "command_line.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include <unistd.h>

namespace peftlab::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kOperands = "what is no option";  // the hidden option that takes the operands
constexpr unsigned kHelpWidth = 100;

// Abbreviations are left out: an option added later would change what they mean.
constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;

std::string format_name(report::Format format) {
  switch (format) {
    case report::Format::table:
      return "table";
    case report::Format::json:
      return "json";
    case report::Format::csv:
      return "csv";
    case report::Format::md:
      return "md";
  }
  return "table";
}

std::string default_store() {
  const char* given = std::getenv("PEFTLAB_STORE");
  return given && *given ? given : "./peftlab.store";
}

}  // namespace

CommandLine::CommandLine(std::string usage, std::string about, std::string example)
    : usage_(std::move(usage)),
      about_(std::move(about)),
      example_(std::move(example)),
      options_("Options", kHelpWidth, kHelpWidth / 2) {}

void CommandLine::describe(const char* name, const po::value_semantic* value, const char* meaning) {
  options_.add_options()(name, value, meaning);
}

CommandLine& CommandLine::repeated_option(const char* name, std::vector<std::string>* target, const char* value_name,
                                          const char* meaning) {
  describe(name, po::value<std::vector<std::string>>(target)->composing()->value_name(value_name), meaning);
  return *this;
}

CommandLine& CommandLine::flag(const char* name, bool* target, const char* meaning) {
  describe(name, po::bool_switch(target), meaning);
  return *this;
}

CommandLine& CommandLine::operand(const char* name, std::string* target) {
  operands_.push_back({name, target, nullptr, true});
  return *this;
}

CommandLine& CommandLine::optional_operand(const char* name, std::string* target) {
  operands_.push_back({name, target, nullptr, false});
  return *this;
}

CommandLine& CommandLine::operands(const char* name, std::vector<std::string>* target) {
  operands_.push_back({name, nullptr, target, true});
  return *this;
}

CommandLine& CommandLine::store_option(std::filesystem::path* target) {
  store_ = target;
  return plain_option("store", &store_text_, "DIR",
                      "the experiment store; by default what PEFTLAB_STORE says, or ./peftlab.store");
}

report::Format table_or_json() { return isatty(STDOUT_FILENO) ? report::Format::table : report::Format::json; }

CommandLine& CommandLine::format_option(report::Format* target) {
  format_ = target;
  format_text_ = format_name(*target);
  return option("format", &format_text_, "table|json|csv|md", "how the result is written");
}

std::string CommandLine::command() const {
  // The words of the usage up to the first operand or option.
  std::string name = "peftlab";
  std::istringstream words(usage_);
  for (std::string word; words >> word;) {
    if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyz") != std::string::npos) break;
    name += " " + word;
  }
  return name;
}

std::string CommandLine::help() const {
  std::ostringstream out;
  out << "Usage: peftlab " << usage_ << " [options]\n\n" << about_ << "\n\n" << options_ << "\nExample:\n";
  std::istringstream lines(example_);
  for (std::string line; std::getline(lines, line);) out << "  " << line << "\n";
  return out.str();
}

CommandText CommandLine::text() const {
  CommandText text{.name = command().substr(std::string("peftlab ").size()),
                   .usage = usage_ + " [options]",
                   .about = about_,
                   .example = example_};
  for (const auto& option : options_.options()) {
    OptionText one{.name = option->long_name(), .meaning = option->description()};
    const std::string shown = option->canonical_display_name(po::command_line_style::allow_dash_for_short);
    if (shown.size() == 2 && shown[0] == '-') one.letter = shown.substr(1);
    if (option->semantic()->max_tokens() > 0) {
      one.value = option->semantic()->name();  // "N (=4)"
      if (const size_t at = one.value.find(" (="); at != std::string::npos) {
        one.default_ = one.value.substr(at + 3, one.value.size() - at - 4);
        one.value.resize(at);
      }
    }
    one.repeats = option->semantic()->is_composing();
    text.options.push_back(std::move(one));
  }
  for (const Operand& operand : operands_) text.operands.push_back(operand.name);
  return text;
}

bool CommandLine::parse(const Words& words) {
  options_.add_options()("help,h", "show this");
  if (auto* texts = description()) {
    texts->push_back(text());
    return false;
  }
  // Help wins over whatever is missing or wrong, as long as it stands before `--`.
  const auto end = std::find(words.begin(), words.end(), "--");
  if (std::any_of(words.begin(), end, [](const std::string& word) { return word == "--help" || word == "-h"; })) {
    print(help());
    return false;
  }
  read_options(words);
  take_operands();
  if (store_) *store_ = given("store") ? store_text_ : default_store();
  if (format_) *format_ = report::parse_format(format_text_);
  return true;
}

void CommandLine::read_options(const Words& words) {
  po::options_description all;
  all.add(options_);
  all.add_options()(kOperands, po::value<std::vector<std::string>>(&found_operands_));
  po::positional_options_description positions;
  positions.add(kOperands, -1);
  try {
    po::store(po::command_line_parser(words).options(all).positional(positions).style(kStyle).run(), values_);
    po::notify(values_);
  } catch (const po::unknown_option& error) {
    std::vector<std::string> known;
    for (const auto& option : options_.options()) known.push_back("--" + option->long_name());
    throw ConfigError(fmt::format("{} has no option {}. {}", command(), error.get_option_name(),
                                  suggestion(error.get_option_name(), known)));
  } catch (const po::error& error) {
    throw ConfigError(fmt::format("{}: {}; see `{} --help`", command(), error.what(), command()));
  }
}

void CommandLine::take_operands() {
  size_t next = 0;
  for (const Operand& operand : operands_) {
    if (next >= found_operands_.size()) {
      if (!operand.required) continue;
      throw ConfigError(fmt::format("{} needs {}: peftlab {}", command(), operand.name, usage_));
    }
    if (operand.many) {
      operand.many->assign(found_operands_.begin() + static_cast<std::ptrdiff_t>(next), found_operands_.end());
      next = found_operands_.size();
    } else {
      *operand.one = found_operands_[next++];
    }
  }
  if (next < found_operands_.size()) {
    throw ConfigError(
        fmt::format("{} does not know what to do with \"{}\": peftlab {}", command(), found_operands_[next], usage_));
  }
}

bool CommandLine::given(const std::string& name) const { return values_.count(name) > 0 && !values_[name].defaulted(); }

void CommandLine::require(const std::string& name) const {
  if (!given(name)) throw ConfigError(fmt::format("{0} needs --{1}; see `{0} --help`", command(), name));
}

void check_at_least(const char* option, int64_t value, int64_t least) {
  if (value < least) throw ConfigError(fmt::format("--{} is {}, must be at least {}", option, value, least));
}

}  // namespace peftlab::cli
