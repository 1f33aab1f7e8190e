#include "train/graphed_steps.h"

#include "api/random_state.h"

#include <peftlab/error.h>
#include <peftlab/nn/to_device.h>

#include <torch/torch.h>

#include <fmt/format.h>

#include <cmath>

namespace peftlab::train {
namespace {

/// Between the same work twice on a GPU, whose sums may be added up in another order.
constexpr double kSame = 1e-2;

/// What the kernels of a pass, and their arguments, depend on.
std::vector<int64_t> shape_of(const PassInputs& inputs, int64_t kind) {
  const Batch& batch = inputs.batch;
  std::vector<int64_t> numbers = {kind};
  const auto add = [&](const auto& list) {
    numbers.push_back(static_cast<int64_t>(list.size()));
    numbers.insert(numbers.end(), list.begin(), list.end());
  };
  add(batch.layout.offsets);
  add(batch.layout.context);
  add(batch.image_at);
  add(c10::IntArrayRef(inputs.at.const_data_ptr<int64_t>(), inputs.at.numel()));
  for (const torch::Tensor& pictures : {batch.images, batch.image_features}) {
    add(pictures.defined() ? pictures.sizes() : c10::IntArrayRef());
  }
  return numbers;
}

torch::Tensor scalar(double value, torch::Device device) {
  return to_device(torch::full({}, value, torch::kFloat32), device);
}

/// The tensors that are copied into a graph's memory.
std::vector<torch::Tensor*> moving(PassInputs& inputs) {
  std::vector<torch::Tensor*> found;
  for (torch::Tensor* tensor : {&inputs.batch.tokens, &inputs.batch.images, &inputs.batch.image_features,
                                &inputs.labels, &inputs.divisor, &inputs.scale}) {
    if (tensor->defined()) found.push_back(tensor);
  }
  return found;
}

void copy_into(PassInputs from, PassInputs& to) {
  const torch::NoGradGuard no_grad;
  const auto given = moving(from), wanted = moving(to);
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i]->copy_(*given[i], /*non_blocking=*/true);
}

void check_same(const PassOutputs& found, const PassOutputs& wanted) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (found[i].defined() != wanted[i].defined())
      throw TrainError("a step recorded as a CUDA graph gives other gradients");
    if (!wanted[i].defined()) continue;
    const double size = wanted[i].norm().item<double>(), difference = (found[i] - wanted[i]).norm().item<double>();
    if (!std::isfinite(size) || difference <= kSame * size + 1e-7) continue;
    throw TrainError(
        fmt::format("a step recorded as a CUDA graph differs from the step itself by {:g} of {:g}: the model or "
                    "a method decides something anew in each step; leave cuda_graphs out",
                    difference, size));
  }
}

}  // namespace

PassInputs pass_inputs(const Batch& batch, int64_t divisor, double scale) {
  const torch::Device device = batch.tokens.device();
  PassInputs inputs{.batch = batch, .at = torch::nonzero(batch.labels != kNoLabel).squeeze(1)};
  inputs.batch.labels = torch::Tensor();
  inputs.labels = to_device(batch.labels.index_select(0, inputs.at), device);
  inputs.divisor = scalar(static_cast<double>(divisor), device);
  inputs.scale = scalar(scale, device);
  return inputs;
}

PassOutputs GraphedSteps::run(const PassInputs& inputs, int64_t kind, const Pass& pass) {
  // Texts of any lengths hardly ever meet a shape again; what was counted of them is forgotten.
  if (static_cast<int64_t>(shapes_.size()) >= kMostShapes) {
    std::erase_if(shapes_, [](const auto& item) { return !item.second.recording; });
  }
  Shape& shape = shapes_[shape_of(inputs, kind)];
  if (!shape.recording) {
    if (++shape.seen <= kTimesBefore || recorded_ >= kMostGraphs) return pass(inputs);
    return record(shape, inputs, pass);
  }
  copy_into(inputs, shape.inputs);
  shape.recording->replay();
  ++replayed_;
  return shape.recording->outputs();
}

/// The pass itself, then its recording with the same random numbers: both must give the same.
PassOutputs GraphedSteps::record(Shape& shape, const PassInputs& inputs, const Pass& pass) {
  const RandomState random(device_);
  const PassOutputs wanted = pass(inputs);
  shape.inputs = inputs;
  for (torch::Tensor* tensor : moving(shape.inputs)) *tensor = tensor->clone();
  random.restore();
  std::unique_ptr<RecordedPass> recording;
  try {
    recording = recorder_([&shape, pass] { return pass(shape.inputs); });
  } catch (const std::exception& error) {
    throw TrainError(std::string("a step cannot be recorded as a CUDA graph, leave cuda_graphs out: ") + error.what());
  }
  random.restore();
  recording->replay();
  check_same(recording->outputs(), wanted);
  shape.recording = std::move(recording);
  ++recorded_;
  return shape.recording->outputs();
}

}  // namespace peftlab::train
