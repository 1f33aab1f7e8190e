#include "train/resume_point.h"

#include "checkpoint/safetensors.h"

#include <peftlab/error.h>
#include <peftlab/method.h>

namespace peftlab::train {
namespace {

constexpr const char* kTrained = "trained/";
constexpr const char* kOptimizer = "optimizer/";

std::string text(double value) { return to_json(Value(value)); }

}  // namespace

void write_resume_point(const std::filesystem::path& file, const TensorMap& trained, const Optimizer& optimizer,
                        const LossScaler& scaler, const TrainResult& so_far) {
  TensorMap tensors;
  for (const auto& [name, tensor] : trained) tensors[kTrained + name] = tensor;
  for (const auto& [name, tensor] : optimizer.state()) tensors[kOptimizer + name] = tensor;
  checkpoint::write_safetensors(file, tensors,
                                {{"steps", std::to_string(so_far.steps)},
                                 {"seconds", text(so_far.seconds)},
                                 {"tokens", std::to_string(so_far.tokens)},
                                 {"examples", std::to_string(so_far.examples)},
                                 {"skipped_steps", std::to_string(so_far.skipped_steps)},
                                 {"loss_scale", text(scaler.scale())},
                                 {"good_steps", std::to_string(scaler.good_steps())}});
}

TrainResult read_resume_point(const std::filesystem::path& file, const TensorMap& trained, Optimizer& optimizer,
                              LossScaler& scaler) {
  const checkpoint::SafetensorsFile saved(file);
  TensorMap found_trained, found_state;
  for (const std::string& name : saved.names()) {
    if (name.starts_with(kTrained)) {
      found_trained[name.substr(std::string(kTrained).size())] = saved.tensor(name);
    } else if (name.starts_with(kOptimizer)) {
      found_state[name.substr(std::string(kOptimizer).size())] = saved.tensor(name);
    } else {
      throw FormatError(file.string() + ": holds `" + name + "`, which belongs to no resume point");
    }
  }
  TrainResult so_far;
  try {
    const auto& facts = saved.metadata();
    so_far.steps = std::stoll(facts.at("steps"));
    so_far.seconds = std::stod(facts.at("seconds"));
    so_far.tokens = std::stoll(facts.at("tokens"));
    so_far.examples = std::stoll(facts.at("examples"));
    so_far.skipped_steps = std::stoll(facts.at("skipped_steps"));
    scaler.restore(std::stod(facts.at("loss_scale")), std::stoll(facts.at("good_steps")));
  } catch (const std::exception&) {
    throw FormatError(file.string() + ": lacks what a resume point says of itself");
  }
  copy_tensors(found_trained, trained, file.string());
  optimizer.load_state(found_state);
  return so_far;
}

}  // namespace peftlab::train
