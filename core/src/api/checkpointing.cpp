// Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv:1604.06174: only the inputs of blocks are
// kept, and a block is computed again when the backward pass comes to it.
//
// The graph of the first run stays as it is, edges and all; only the tensors its nodes save are left out. Each is a
// promise, by number, and the first that is called in runs the block again and keeps what that run saves, in the same
// order. So captured tensors, shared parameters and their order of accumulation need no care: it is the same graph.

#include "api/random_state.h"

#include <peftlab/error.h>
#include <peftlab/nn/checkpointing.h>

#include <ATen/Context.h>
#include <ATen/SavedTensorHooks.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace peftlab {
namespace {

using Block = std::function<torch::Tensor(const torch::Tensor&)>;
using Hooks = torch::autograd::SavedVariableHooks;
using MakeHooks = std::function<std::unique_ptr<Hooks>()>;

thread_local int64_t guards = 0;
thread_local int64_t blocks_run = 0;
thread_local const MakeHooks* make_hooks = nullptr;  // what autograd saves on this thread goes through these

/// LibTorch asks its engine for the hooks that saved tensors pass through; its own has none to give outside Python.
class Engine final : public torch::autograd::Engine {
  std::unique_ptr<Hooks> get_default_saved_variable_hooks() override { return make_hooks ? (*make_hooks)() : nullptr; }
};

/// From the first call on. The engine is never destroyed: threads of it may wait until the process ends.
void install_engine() {
  [[maybe_unused]] static const bool once = [] {
    at::SavedTensorDefaultHooks::lazy_initialize();
    torch::autograd::set_default_engine_stub([]() -> torch::autograd::Engine& {
      static Engine* const engine = new Engine;
      return *engine;
    });
    return true;
  }();
}

/// While it lives, `make` gives the hooks of what this thread saves.
class Saving {
 public:
  explicit Saving(const MakeHooks& make) : before_(make_hooks) { make_hooks = &make; }
  ~Saving() { make_hooks = before_; }
  Saving(const Saving&) = delete;
  Saving& operator=(const Saving&) = delete;

 private:
  const MakeHooks* before_;
};

/// The mixed precision of operations on one kind of device.
struct Precision {
  torch::DeviceType device;
  bool on;
  torch::ScalarType type;
  bool cached;  ///< whether parameters that were cast are kept until the outermost region ends

  static Precision now(torch::DeviceType device) {
    return {device, at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device),
            at::autocast::is_autocast_cache_enabled()};
  }
  void set() const {
    at::autocast::set_autocast_enabled(device, on);
    at::autocast::set_autocast_dtype(device, type);
    at::autocast::set_autocast_cache_enabled(cached);
  }
};

/// The circumstances of the first run, while it lives; then again what was.
class AsBefore {
 public:
  AsBefore(const RandomState& random, Precision precision, torch::Device device)
      : random_(device), precision_(Precision::now(precision.device)) {
    random.restore();
    // Nobody would empty the cache: no region of mixed precision ends here. Casting again gives the same numbers.
    precision.cached = false;
    precision.set();
  }
  ~AsBefore() {
    precision_.set();
    random_.restore();
  }
  AsBefore(const AsBefore&) = delete;
  AsBefore& operator=(const AsBefore&) = delete;

 private:
  const RandomState random_;
  const Precision precision_;
  const at::AutoGradMode recording_{true};
};

/// Hands what a second run saves to a list. The graph of that run is walked by nobody.
class Keep final : public Hooks {
 public:
  explicit Keep(std::vector<torch::Tensor>& kept) : kept_(&kept) {}
  void call_pack_hook(const torch::Tensor& tensor) override { kept_->push_back(tensor.detach()); }
  torch::Tensor call_unpack_hook() override {
    throw Error("the graph of a block that was run again has no tensors: its gradients are the first run's");
  }

 private:
  std::vector<torch::Tensor>* kept_;
};

/// One block in one forward pass: its input, and the tensors it saved, by number.
class Frame {
 public:
  Frame(const Block& block, const torch::Tensor& x)
      : block_(block),
        x_(x),
        device_(x.device()),
        random_(std::in_place, x.device()),
        precision_(Precision::now(x.device().type())) {}

  /// In the first run: there is one more. Gives its number.
  size_t promise(const torch::Tensor& tensor) {
    saved_.push_back({tensor.sizes().vec(), tensor.scalar_type(), /*wanted=*/true, {}});
    return saved_.size() - 1;
  }

  torch::Tensor tensor(size_t number) {
    const std::lock_guard lock(mutex_);
    if (block_) run_again();
    return saved_[number].tensor;
  }

  void drop(size_t number) {
    const std::lock_guard lock(mutex_);
    saved_[number].wanted = false;
    saved_[number].tensor = torch::Tensor();
  }

 private:
  struct Saved {
    std::vector<int64_t> sizes;
    torch::ScalarType type;
    bool wanted;
    torch::Tensor tensor;
  };

  void run_again() {
    std::vector<torch::Tensor> kept;
    {
      const AsBefore as_before(*random_, precision_, device_);
      const MakeHooks keep = [&] { return std::make_unique<Keep>(kept); };
      const Saving saving(keep);
      block_(x_);
    }
    if (kept.size() != saved_.size()) {
      throw Error("a block computes something else when it is run again for its gradient: it saved " +
                  std::to_string(saved_.size()) + " tensors at first, then " + std::to_string(kept.size()));
    }
    for (size_t i = 0; i < kept.size(); ++i) {
      if (kept[i].sizes() != saved_[i].sizes || kept[i].scalar_type() != saved_[i].type) {
        throw Error("a block computes something else when it is run again for its gradient: tensor " +
                    std::to_string(i) + " that it saved has another shape or type");
      }
      if (saved_[i].wanted) saved_[i].tensor = std::move(kept[i]);
    }
    block_ = nullptr;
    x_ = torch::Tensor();
    random_.reset();
  }

  std::mutex mutex_;  // a block's nodes may run on the threads of several devices
  Block block_;       // until it was run again
  torch::Tensor x_;
  torch::Device device_;
  std::optional<RandomState> random_;
  Precision precision_;
  std::vector<Saved> saved_;
};

/// Stands in a node of the first run's graph for a tensor that the frame gives when asked.
class Promise final : public Hooks {
 public:
  explicit Promise(std::shared_ptr<Frame> frame) : frame_(std::move(frame)) {}
  // A node lets go of what it saved as soon as it has run: so does the frame.
  ~Promise() override {
    if (number_) frame_->drop(*number_);
  }
  void call_pack_hook(const torch::Tensor& tensor) override { number_ = frame_->promise(tensor); }
  torch::Tensor call_unpack_hook() override { return frame_->tensor(number_.value()); }

 private:
  std::shared_ptr<Frame> frame_;
  std::optional<size_t> number_;
};

}  // namespace

Checkpointing::Checkpointing() : before_(blocks_run) {
  install_engine();
  ++guards;
}
Checkpointing::~Checkpointing() { --guards; }
bool Checkpointing::is_on() { return guards > 0; }
int64_t Checkpointing::blocks() const { return blocks_run - before_; }

torch::Tensor checkpointed(const torch::Tensor& x, const Block& block) {
  if (!Checkpointing::is_on() || make_hooks) return block(x);
  ++blocks_run;
  if (!torch::GradMode::is_enabled()) return block(x);
  // Only the nodes of the graph own it: where nothing takes a gradient it ends here.
  const auto frame = std::make_shared<Frame>(block, x);
  const MakeHooks promise = [&] { return std::make_unique<Promise>(frame); };
  const Saving saving(promise);
  return block(x);
}

}  // namespace peftlab
