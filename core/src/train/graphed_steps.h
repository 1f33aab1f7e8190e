#pragma once

/// \file
/// Forward and backward passes of shapes that come again, launched as one CUDA graph each.
///
/// A pass of a small model is a few hundred kernels that take less time than launching them. A graph launches them at once,
/// but always the same ones on the same memory: so there is one for each shape of batch, whose inputs are copied in.

#include <peftlab/batch.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace peftlab::train {

/// What a pass reads and a graph must be given anew. What follows from the layout is made when the graph is recorded.
struct PassInputs {
  Batch batch;            ///< without labels
  torch::Tensor at;       ///< int64 [n] on the CPU: the positions that have a label
  torch::Tensor labels;   ///< int64 [n] on the device
  torch::Tensor divisor;  ///< float32 []: of the sum of the losses
  torch::Tensor scale;    ///< float32 []: of the loss, for the gradients of fp16
};

/// The inputs of a micro-batch whose losses are parts of a mean over `divisor` positions.
PassInputs pass_inputs(const Batch& batch, int64_t divisor, double scale);

/// What a pass gives: any tensors, some of them undefined, always the same ones.
using PassOutputs = std::vector<torch::Tensor>;
/// May be called later, for other inputs of the same shape: holds nothing by reference that may be gone then.
using Pass = std::function<PassOutputs(const PassInputs&)>;

/// A pass that was recorded with its inputs in one place.
class RecordedPass {
 public:
  virtual ~RecordedPass() = default;
  /// Launches it again with what stands in its inputs now.
  virtual void replay() = 0;
  /// Where its outputs lie.
  virtual const PassOutputs& outputs() const = 0;
};

using Recorder = std::function<std::unique_ptr<RecordedPass>(const std::function<PassOutputs()>& pass)>;

/// That of a GPU, by stream capture. Its recordings throw what CUDA refuses: waiting for the GPU, above all.
Recorder cuda_graph_recorder(torch::Device device);

class GraphedSteps {
 public:
  GraphedSteps(torch::Device device, Recorder recorder) : device_(device), recorder_(std::move(recorder)) {}

  /// What `pass` gives of these inputs; lies in the graph's memory until the next run. A shape is computed as ever at its
  /// first two times, recorded at its third, and launched from then on; at most kMostGraphs shapes are recorded. `kind`
  /// stands for what else a pass depends on.
  /// Throws: TrainError if a recording cannot be made, or gives other numbers than the pass itself did.
  PassOutputs run(const PassInputs& inputs, int64_t kind, const Pass& pass);

  int64_t recorded() const { return recorded_; }
  /// How many passes were launched as a graph.
  int64_t replayed() const { return replayed_; }

  static constexpr int64_t kTimesBefore = 2, kMostGraphs = 16, kMostShapes = 4096;

 private:
  struct Shape {
    int64_t seen = 0;
    PassInputs inputs;
    std::unique_ptr<RecordedPass> recording;
  };

  PassOutputs record(Shape& shape, const PassInputs& inputs, const Pass& pass);

  torch::Device device_;
  Recorder recorder_;
  std::map<std::vector<int64_t>, Shape> shapes_;
  int64_t recorded_ = 0, replayed_ = 0;
};

}  // namespace peftlab::train
