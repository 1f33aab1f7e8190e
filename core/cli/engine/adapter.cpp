#include "attach/probe.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_folder.h"
#include "engine/commands.h"
#include "engine/model.h"
#include "new_folder.h"
#include "rows.h"
#include "store/store.h"
#include "support/sha256.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::cli {
namespace {

namespace fs = std::filesystem;

/// The run's files that make its adapter or model. Throws: ConfigError if it left none.
std::vector<store::Artifact> result_files(const store::RunDetail& run) {
  std::vector<store::Artifact> files;
  for (const store::Artifact& artifact : run.artifacts) {
    if (artifact.kind == "adapter" || artifact.kind == "model") files.push_back(artifact);
  }
  if (!files.empty()) return files;
  throw ConfigError(fmt::format("run {} ({}, seed {}) left no adapter: {}", run.run.uuid, run.run.label, run.run.seed,
                                run.run.state == "finished" ? "it trained nothing" : "it is " + run.run.state));
}

int export_adapter(const Words& words) {
  fs::path folder;
  std::string prefix, to;
  CommandLine line(
      "adapter export RUN --to DIR",
      "Writes what a run trained as an adapter folder that peft or adapters reads (a run of method full: a\n"
      "model folder). Each file is checked, and printed with its sha256 as sha256sum does.",
      "peftlab adapter export 0194f3 --to lora-r8");
  line.operand("RUN", &prefix).required_option("to", &to, "DIR", "the folder to write").store_option(&folder);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  const auto files = result_files(store.run(prefix));
  const NewFolder target_folder(to);
  std::string lines;
  for (const store::Artifact& file : files) {
    std::string name = file.name;  // "lora:adapter_config.json" of a mixture
    std::replace(name.begin(), name.end(), ':', '/');
    const fs::path target = target_folder.partial() / name;
    fs::create_directories(target.parent_path());
    const fs::path object = store.object_path(file.sha256);
    std::error_code error;
    fs::copy_file(object, target, error);
    if (error) throw StoreError(fmt::format("{} cannot be copied to {}: {}", object.string(), to, error.message()));
    if (const std::string found = sha256_file(target); found != file.sha256) {
      throw StoreError(fmt::format("{} is damaged: its sha256 is {}", object.string(), found));
    }
    lines += fmt::format("{}  {}\n", file.sha256, (fs::path(to) / name).string());
  }
  target_folder.give_name();
  print(lines);
  return 0;
}

int merge_adapter(const Words& words) {
  ModelOptions model;
  std::string to, quantization = "none";
  CommandLine line(
      "adapter merge --model DIR --adapter DIR --to DIR",
      "Folds an adapter into the weights and writes a model folder in float32 that needs no adapter. Virtual\n"
      "tokens and parts that are not linear cannot be folded. Says how far the logits of a fixed row of tokens\n"
      "moved by it. Weights in few bits become float32, or are quantized again where --quantization asks for it.",
      "peftlab adapter merge --model models/base --adapter lora-r8 --to models/merged");
  model.declare(line);
  line.required_option("to", &to, "DIR", "the folder to write")
      .option("quantization", &quantization, "none|nf4|fp4|int8", "how the merged weights are kept");
  if (!line.parse(words)) return 0;
  line.require("adapter");
  const NewFolder target_folder(to);

  const auto registry = open_registry();
  auto session = model.open(registry);
  const auto again = attach::make_methods({{"quantized", {{"quantization", quantization}}}}, registry);
  const torch::Tensor before = attach::probe_logits(*session.model);
  attach::merge(session);
  for (Linear* site : session.model->linear_sites()) {
    if (site->quantized()) site->set_weight({site->weight_as(site->dtype()), nullptr});
  }
  again.front().method->prepare(*session.model);
  note(fmt::format("logits moved by at most {:.3g}; the largest is {:.3g}",
                   attach::largest_difference(attach::probe_logits(*session.model), before),
                   before.abs().max().item<double>()));
  session.model->to(torch::kCPU);
  checkpoint::save_model(*session.model, session.folder, target_folder.partial(), session.config);
  target_folder.give_name();
  print(fmt::format("{}  {}\n", checkpoint::weights_sha256(to), (fs::path(to) / "model.safetensors").string()));
  return 0;
}

int verify_adapter(const Words& words) {
  std::string folder;
  ModelOptions model;
  auto format = report::Format::table;
  CommandLine line(
      "adapter verify DIR",
      "Reads an adapter folder strictly: its settings, every tensor's header, what they mean to the method\n"
      "plugin. With --model it is attached to that model, so that names and shapes and the base's sha256 are\n"
      "checked as well. Ends with exit code 3 where something is wrong.",
      "peftlab adapter verify lora-r8 --model models/base");
  line.operand("DIR", &folder).plain_option("model", &model.model, "DIR", "the model it is for").format_option(&format);
  if (!line.parse(words)) return 0;

  const auto registry = open_registry();
  std::string sums, kinds, plugins;
  int64_t tensors = 0, numbers = 0, extra = 0;
  store::Cell base;
  const auto parts = checkpoint::adapter_parts(folder);
  for (const fs::path& part : parts) {
    const auto adapter = checkpoint::read_adapter(part);
    const std::string kind = checkpoint::adapter_kind(adapter.files.config, part.string());
    const registry::Plugin& plugin = registry.find(Kind::method, kind);
    Params none;
    registry.make_method(plugin.name, none)->options_from(adapter.files.config);
    for (const auto& [name, tensor] : adapter.files.tensors) numbers += tensor.numel();
    tensors += static_cast<int64_t>(adapter.files.tensors.size());
    extra += static_cast<int64_t>(adapter.files.extra.size());
    if (!adapter.base_sha256.empty()) base = adapter.base_sha256;
    sums += parts.size() == 1 ? adapter.sha256 : adapter.sha256 + "  " + part.filename().string() + "\n";
    kinds += (kinds.empty() ? "" : "+") + kind;
    plugins += (plugins.empty() ? "" : "+") + plugin.name;
  }
  if (line.given("model")) {
    model.adapters = {folder};
    model.device = "cpu";
    model.open(registry);
  }
  const store::Cell fits = line.given("model") ? store::Cell(model.model) : store::Cell();
  print_facts({{"sha256", parts.size() == 1 ? sums : sha256_hex(sums)},
               {"type", kinds},
               {"plugin", plugins},
               {"tensors", tensors},
               {"numbers", numbers},
               {"extra_tensors", extra},
               {"base_sha256", base},
               {"fits", fits}},
              format);
  return 0;
}

}  // namespace

int adapter_command(const Words& words) {
  return dispatch_part("adapter", words,
                       {{"export", "write what a run trained as files", export_adapter},
                        {"merge", "fold an adapter into the weights", merge_adapter},
                        {"verify", "read an adapter strictly", verify_adapter}});
}

}  // namespace peftlab::cli
