#include "describe.h"

namespace peftlab::cli {
namespace {

std::vector<CommandText>* sink = nullptr;

}  // namespace

std::vector<CommandText> described(const std::function<void()>& ask) {
  std::vector<CommandText> texts;
  sink = &texts;
  ask();
  sink = nullptr;
  return texts;
}

std::vector<CommandText>* description() { return sink; }

}  // namespace peftlab::cli
