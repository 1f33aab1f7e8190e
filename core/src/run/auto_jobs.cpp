#include "run/auto_jobs.h"

#include "base/free_memory.h"
#include "checkpoint/model_folder.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <thread>
#include <vector>

namespace peftlab::run {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kWarm = std::chrono::milliseconds(50);
constexpr auto kMeasured = std::chrono::milliseconds(250);
constexpr double kLeastGain = 1.05;
constexpr double kShareOfMemory = 0.5;  // of what can be had, for all runs at once
constexpr double kBytesByWeights = 6;   // a run's memory by its weights': gradients, moments, activations
constexpr double kBytesOfProgram = 4e8;

/// The width of the model's layers, from the names config.json files have for it; 0 where it has none of them.
int64_t width_of(const std::filesystem::path& model) {
  const Value config(checkpoint::read_config(model));
  for (const char* name : {"hidden_size", "n_embd", "d_model"}) {
    const Value* value = config.find(name);
    if (const int64_t* width = value ? value->get_if<int64_t>() : nullptr) return *width;
  }
  return 0;
}

double bytes_of_weights(const std::filesystem::path& model) {
  double bytes = 0.0;
  for (const auto& entry : std::filesystem::directory_iterator(model)) {
    if (entry.path().extension() == ".safetensors") bytes += static_cast<double>(entry.file_size());
  }
  return bytes;
}

/// Forward and backward pass of a feed-forward part, as a step makes it over and over.
class Layer {
 public:
  Layer(int64_t rows, int64_t width)
      : x_(torch::randn({rows, width}).set_requires_grad(true)),
        wide_(torch::randn({4 * width, width})),
        narrow_(torch::randn({width, 4 * width})) {}

  void pass() {
    const auto h = torch::layer_norm(x_, {x_.size(1)});
    const auto y = x_ + torch::linear(torch::gelu(torch::linear(h, wide_)), narrow_);
    torch::autograd::grad({y.sum()}, {x_});
  }

 private:
  torch::Tensor x_, wide_, narrow_;
};

/// Passes a second that `jobs` make together, each with its share of `cores`.
double passes_a_second(int jobs, int cores, int64_t rows, int64_t width) {
  std::atomic<int64_t> passes = 0;
  std::barrier together(jobs);
  const auto work = [&] {
    at::set_num_threads(std::max(1, cores / jobs));
    Layer layer(rows, width);
    for (const auto end = Clock::now() + kWarm; Clock::now() < end;) layer.pass();
    together.arrive_and_wait();
    for (const auto end = Clock::now() + kMeasured; Clock::now() < end; ++passes) layer.pass();
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < jobs; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  return static_cast<double>(passes.load()) / std::chrono::duration<double>(kMeasured).count();
}

}  // namespace

JobsChoice choose_jobs(const Workload& workload) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int64_t width = width_of(workload.model);
  JobsChoice best;
  if (width == 0 || cores == 1 || workload.runs < 2) return best;
  const double each = kBytesOfProgram + kBytesByWeights * bytes_of_weights(workload.model);
  const int threads = at::get_num_threads();
  const double alone = passes_a_second(1, cores, workload.rows, width);
  for (int jobs = 2; jobs <= cores && jobs <= workload.runs; jobs *= 2) {
    if (jobs * each > kShareOfMemory * static_cast<double>(free_memory().value_or(0))) break;
    const double gain = passes_a_second(jobs, cores, workload.rows, width) / alone;
    if (gain >= kLeastGain && gain > best.gain) best = {jobs, gain};
  }
  at::set_num_threads(threads);
  return best;
}

}  // namespace peftlab::run
