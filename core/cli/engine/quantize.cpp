#include "checkpoint/model_folder.h"
#include "checkpoint/quantization.h"
#include "engine/commands.h"
#include "engine/model.h"
#include "new_folder.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>

namespace peftlab::cli {
int quantize_command(const Words& words) {
  std::string model, to, type = "nf4", twice = "yes";
  int64_t block_size = 64;
  std::vector<std::string> targets;
  CommandLine line(
      "quantize --model DIR --to DIR",
      "Writes a model folder whose linear maps are kept in 4 or 8 bits, as transformers with bitsandbytes\n"
      "reads it. The rest keeps its type; the output layer and embeddings are left as they are.",
      "peftlab quantize --model models/base --to models/base-nf4");
  line.required_option("model", &model, "DIR", "the model folder")
      .required_option("to", &to, "DIR", "the folder to write")
      .option("quantization", &type, "nf4|fp4|int8", "which codes")
      .option("double-quantization", &twice, "yes|no", "of nf4 and fp4: the scales of the blocks as 8-bit codes too")
      .option("block-size", &block_size, "N", "of nf4 and fp4: weights that share a scale")
      .repeated_option("target", &targets, "NAME", "ends of the names of the maps to quantize; all if left out");
  if (!line.parse(words)) return 0;
  const std::vector<std::string> formats = {"nf4", "fp4", "int8"};
  if (std::find(formats.begin(), formats.end(), type) == formats.end()) {
    throw ConfigError(fmt::format("--quantization {} is not known. {}", type, suggestion(type, formats)));
  }
  if (twice != "yes" && twice != "no") throw ConfigError("--double-quantization " + twice + ": takes yes or no");
  const NewFolder target_folder(to);

  const auto registry = open_registry();
  Table options = {{"quantization", type}, {"double_quantization", twice == "yes"}, {"block_size", block_size}};
  if (!targets.empty()) options["quantized_targets"] = targets;
  const auto session = attach::open_model({.folder = model, .dtype = ""}, registry, torch::kCPU,
                                          attach::make_methods({{"quantized", options}}, registry));
  checkpoint::save_model(*session.model, model, target_folder.partial(), std::nullopt,
                         checkpoint::passed_over(*session.model, model));
  target_folder.give_name();
  note(fmt::format("{} numbers in {} bytes", session.base_parameters, session.base_bytes()));
  print(fmt::format("{}  {}\n", checkpoint::weights_sha256(to),
                    (std::filesystem::path(to) / "model.safetensors").string()));
  return 0;
}

}  // namespace peftlab::cli
