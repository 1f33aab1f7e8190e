#include "norms.h"

#include <algorithm>
#include <set>
#include <sstream>

namespace peftlab::adapter {
namespace {

/// The stack of layers a site stands in: its name up to the list of layers ("transformer.layers.0.mlp.x" ->
/// {"transformer"}).
std::vector<std::string> stack_of(const std::string& site) {
  std::vector<std::string> parts = split(site);
  const auto is_number = [](const std::string& part) {
    return part.find_first_not_of("0123456789") == std::string::npos;
  };
  const auto number = std::find_if(parts.begin(), parts.end(), is_number);
  const auto count = static_cast<size_t>(number - parts.begin());
  parts.resize(number == parts.end() || count == 0 ? 0 : count - 1);
  return parts;
}

}  // namespace

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  std::istringstream in(name);
  for (std::string part; std::getline(in, part, '.');) parts.push_back(part);
  return parts;
}

std::vector<std::string> norms_of(const std::vector<std::string>& norms, const std::vector<std::string>& sites,
                                  const std::vector<std::string>& adapted) {
  std::set<std::vector<std::string>> stacks, chosen_stacks;
  for (const std::string& site : sites) stacks.insert(stack_of(site));
  for (const std::string& site : adapted) chosen_stacks.insert(stack_of(site));
  const auto common = [](const std::vector<std::string>& stack, const std::vector<std::string>& norm) {
    size_t n = 0;
    while (n < stack.size() && n < norm.size() && stack[n] == norm[n]) ++n;
    return n;
  };
  std::vector<std::string> chosen;
  for (const std::string& norm : norms) {
    const std::vector<std::string> parts = split(norm);
    size_t best = 0;
    bool taken = false;
    for (const auto& stack : stacks) {
      const size_t n = common(stack, parts);
      if (n > best) taken = false;
      if (n >= best) taken = taken || chosen_stacks.count(stack);
      best = std::max(best, n);
    }
    if (taken) chosen.push_back(norm);
  }
  return chosen;
}

}  // namespace peftlab::adapter
