#include "api/pinned_copies.h"
#include "cuda/library.h"
#include "train/graphed_steps.h"

namespace peftlab::train {
namespace {

class CudaGraph final : public RecordedPass {
 public:
  CudaGraph(torch::Device device, const std::function<PassOutputs()>& pass) {
    struct Call {
      const std::function<PassOutputs()>& pass;
      PassOutputs outputs;
    } call{pass, {}};
    PinnedCopies copies;
    graph_ = cuda::functions().graph_record(
        device.index(), [](void* given) { static_cast<Call*>(given)->outputs = static_cast<Call*>(given)->pass(); },
        &call);
    outputs_ = std::move(call.outputs);
    copied_from_ = copies.take();
  }
  ~CudaGraph() override {
    // Its memory is given back when nothing of the graph's runs any more.
    outputs_.clear();
    cuda::functions().graph_free(graph_);
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void replay() override { cuda::functions().graph_replay(graph_); }
  const PassOutputs& outputs() const override { return outputs_; }

 private:
  void* graph_ = nullptr;
  PassOutputs outputs_;
  std::vector<torch::Tensor> copied_from_;
};

}  // namespace

Recorder cuda_graph_recorder(torch::Device device) {
  return [device](const std::function<PassOutputs()>& pass) { return std::make_unique<CudaGraph>(device, pass); };
}

}  // namespace peftlab::train
