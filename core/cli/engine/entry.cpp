/// The door of the library: a command's name to its function.

#include "engine.h"
#include "engine/commands.h"
#include "engine/describe_all.h"
#include "output.h"
#include "run/tensor_memory.h"

#include <peftlab/error.h>
#include <peftlab/export.h>

#include <c10/util/Exception.h>

#include <map>

namespace peftlab::cli {
namespace {

using Function = int (*)(const Words&);

const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> functions = {
      {"run", run_command},         {"worker", worker_command},     {"eval", eval_command},
      {"predict", predict_command}, {"score", score_command},       {"adapter", adapter_command},
      {"plugins", plugins_command}, {"quantize", quantize_command}, {"completion", completion_command},
      {"manual", manual_command}};
  return functions;
}

}  // namespace

std::vector<CommandText> all_commands() {
  return described([] {
    for (const Command& command : commands()) {
      if (!*command.summary) continue;
      (command.function ? command.function : functions().at(command.name))({"--help"});
    }
  });
}

}  // namespace peftlab::cli

extern "C" PEFTLAB_API int peftlab_engine(const std::string& command, const peftlab::cli::Words& words) {
  peftlab::run::keep_tensor_memory();
  try {
    const int code = peftlab::cli::functions().at(command)(words);
    peftlab::cli::flush_output();
    return code;
  } catch (const c10::Error& error) {  // a type that the program does not know
    throw peftlab::Error(error.what_without_backtrace());
  }
}
