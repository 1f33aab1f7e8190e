#include "train/trainer.h"

#include "api/table_gradients.h"
#include "train/frozen_rows.h"
#include "train/gradients.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/resume_point.h"
#include "train/sampler.h"
#include "train/schedule.h"

#include <peftlab/error.h>
#include <peftlab/nn/checkpointing.h>

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace peftlab::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The micro-batches of one optimizer step.
using Accumulated = std::vector<std::vector<int64_t>>;

/// One epoch cut into optimizer steps; the last batch and the last step may be smaller.
std::vector<Accumulated> epoch_steps(const std::vector<int64_t>& order, int64_t batch_size, int64_t accumulation) {
  std::vector<Accumulated> steps;
  int64_t batches = 0;
  for (size_t at = 0; at < order.size(); at += batch_size, ++batches) {
    if (batches % accumulation == 0) steps.emplace_back();
    const size_t end = std::min(order.size(), at + static_cast<size_t>(batch_size));
    steps.back().emplace_back(order.begin() + at, order.begin() + end);
  }
  return steps;
}

int64_t steps_in_epoch(const config::TrainSection& section, int64_t examples) {
  const int64_t batches = (examples + section.batch_size - 1) / section.batch_size;
  return (batches + section.gradient_accumulation - 1) / section.gradient_accumulation;
}

/// Where an optimizer may keep a file while it lives: beside the resume point, else where temporary files go.
std::filesystem::path paging_folder(const Watch& watch) {
  return watch.resume_file.has_parent_path() ? watch.resume_file.parent_path() : std::filesystem::temp_directory_path();
}

/// Where the section asks for CUDA graphs and there is something that can record them.
std::unique_ptr<GraphedSteps> graphs_of(const attach::Session& session, const config::TrainSection& section,
                                        const Watch& watch) {
  if (!section.cuda_graphs || (!watch.recorder && !session.device.is_cuda())) return nullptr;
  return std::make_unique<GraphedSteps>(session.device,
                                        watch.recorder ? watch.recorder : cuda_graph_recorder(session.device));
}

/// One run of the loop; a class so that a step reads without a dozen arguments.
class Loop {
 public:
  Loop(attach::Session& session, Feed& feed, const config::TrainSection& section, int64_t seed, const Watch& watch)
      : session_(session),
        feed_(feed),
        section_(section),
        seed_(seed),
        watch_(watch),
        trained_(session.trained()),
        kept_(session.kept_for_resuming()),
        optimizer_(make_optimizer(section.optimizer, trained_,
                                  {.weight_decay = section.weight_decay, .rate_factors = session.rate_factors()},
                                  paging_folder(watch))),
        scaler_(section.precision == "fp16"),
        graphs_(graphs_of(session, section, watch)),
        total_(planned_steps(section, feed.size())),
        in_epoch_(steps_in_epoch(section, feed.size())),
        every_(section.eval_every_steps.value_or(in_epoch_)) {}

  TrainResult run() {
    result_.optimizer_bytes = optimizer_->state_bytes();
    for (const auto& attached : session_.methods) attached.method->begin_training(total_);
    if (!watch_.resume_file.empty() && std::filesystem::exists(watch_.resume_file)) {
      const int64_t bytes = result_.optimizer_bytes;
      result_ = read_resume_point(watch_.resume_file, kept_, *optimizer_, scaler_);
      result_.optimizer_bytes = bytes;
      result_.seconds_before = result_.seconds;
      result_.tokens_before = result_.tokens;
      result_.examples_before = result_.examples;
    }
    session_.set_training(true);
    prepare();
    while (result_.steps < total_ && !result_.interrupted) epoch(result_.steps / in_epoch_);
    session_.set_training(false);
    return result_;
  }

 private:
  /// Where every example is wanted, what frozen parts make of them is made now; else as it is asked for.
  void prepare() {
    if (total_ < in_epoch_ && !watch_.stands_for_longer) {
      feed_.group_pictures(epoch_order(feed_.size(), seed_, 0, section_.shuffle), section_.batch_size);
      return;
    }
    if (result_.steps == total_) return;
    const auto compute = [this] {
      const Autocast autocast(section_.precision, session_.device);
      const bool has_features = feed_.make_features(watch_.stop);
      if (!section_.gradient_checkpointing) {
        frozen_ = FrozenRows::where_possible(*session_.model, feed_, section_.batch_size, watch_.stop);
      }
      return has_features || frozen_;
    };
    try {
      watch_.features ? watch_.features(compute) : void(compute());
    } catch (const Stopped&) {
      result_.interrupted = true;
    }
  }

  /// -log p of every labelled position of these examples. `ahead`: the batch that comes next, if one does.
  torch::Tensor losses(const std::vector<int64_t>& examples, const std::vector<int64_t>* ahead) {
    const Autocast autocast(section_.precision, session_.device);
    const TableGradientsAsRows as_rows;
    if (frozen_) return losses_of(*session_.model, frozen_->of(examples));
    const Batch batch = feed_.batch(examples);
    if (ahead) feed_.prefetch(*ahead);
    std::optional<Checkpointing> checkpointing;
    if (section_.gradient_checkpointing) checkpointing.emplace();
    const LabelledRows labelled = labelled_rows(*session_.model, batch);
    if (checkpointing && checkpointing->blocks() == 0) {
      throw UnsupportedError("model type " + session_.model->facts().model_type +
                             " has no blocks that could be run again: leave gradient_checkpointing out");
    }
    return losses_of(*session_.model, labelled);
  }

  /// Adds the gradients of a micro-batch, one of `batches` in a step whose loss is a mean over `labelled` positions, to
  /// those that are there. Gives its part of the loss.
  torch::Tensor accumulate(const std::vector<int64_t>& examples, const std::vector<int64_t>* ahead, int64_t labelled,
                           size_t batches) {
    if (graphs_ && !frozen_) return accumulate_by_graph(examples, ahead, labelled, batches);
    const torch::Tensor loss = losses(examples, ahead).sum() / static_cast<double>(labelled);
    (with_penalties(loss, batches) * scaler_.scale()).backward();
    make_dense(trained_);
    return loss;
  }

  torch::Tensor accumulate_by_graph(const std::vector<int64_t>& examples, const std::vector<int64_t>* ahead,
                                    int64_t labelled, size_t batches) {
    const PassInputs inputs = pass_inputs(feed_.batch(examples), labelled, scaler_.scale());
    if (ahead) feed_.prefetch(*ahead);
    const auto found = graphs_->run(inputs, static_cast<int64_t>(batches),
                                    [this, batches](const PassInputs& in) { return pass(in, batches); });
    result_.graphed_batches = graphs_->replayed();
    const torch::NoGradGuard no_grad;
    auto gradient = found.begin();
    for (const auto& [name, parameter] : trained_) {
      if (!(++gradient)->defined()) continue;
      torch::Tensor& sum = parameter.mutable_grad();
      // What a graph gave lies where its next run writes.
      sum = sum.defined() ? sum + *gradient : batches > 1 ? gradient->clone() : *gradient;
    }
    return found.front();
  }

  /// The loss and the gradient of each trained tensor, which are left as they are.
  PassOutputs pass(const PassInputs& in, size_t batches) {
    torch::Tensor loss;
    {
      const Autocast autocast(section_.precision, session_.device);
      loss = losses_of(*session_.model, {session_.model->hidden_at(in.batch, in.at), in.labels}).sum() / in.divisor;
    }
    std::vector<torch::Tensor> before;
    for (const auto& [name, parameter] : trained_) before.push_back(std::exchange(parameter.mutable_grad(), {}));
    (with_penalties(loss, batches) * in.scale).backward();
    PassOutputs found = {loss.detach()};
    auto kept = before.begin();
    for (const auto& [name, parameter] : trained_) found.push_back(std::exchange(parameter.mutable_grad(), *kept++));
    return found;
  }

  /// What is minimized: a batch's share of the step's penalties, as its loss is.
  torch::Tensor with_penalties(torch::Tensor loss, size_t batches) const {
    for (const auto& attached : session_.methods) {
      if (const auto penalty = attached.method->penalty(); penalty.defined()) {
        loss = loss + penalty / static_cast<double>(batches);
      }
    }
    return loss;
  }

  void epoch(int64_t number) {
    const auto steps = epoch_steps(epoch_order(feed_.size(), seed_, number, section_.shuffle), section_.batch_size,
                                   section_.gradient_accumulation);
    for (int64_t i = result_.steps % in_epoch_; i < in_epoch_ && result_.steps < total_; ++i) {
      const auto* next = i + 1 < in_epoch_ ? &steps[i + 1].front() : nullptr;
      step(steps[i], next);
      const bool done = result_.steps == total_, at_milestone = done || result_.steps % every_ == 0;
      if (at_milestone) milestone(done);
      if (!done && watch_.stop && watch_.stop()) {
        if (!at_milestone) save();
        result_.interrupted = true;
        return;
      }
    }
  }

  void step(const Accumulated& batches, const std::vector<int64_t>* next) {
    const auto start = Clock::now();
    const double rate = section_.learning_rate * schedule_factor(section_.lr_scheduler, result_.steps, total_,
                                                                 warmup_steps(section_.warmup_ratio, total_));
    torch::manual_seed(stream(seed_, "dropout", result_.steps));
    int64_t labelled = 0;
    for (const auto& batch : batches) {
      for (const int64_t index : batch) labelled += feed_.labelled(index);
    }
    if (labelled == 0)
      throw TrainError(fmt::format("step {}: no position of the batch has a label", result_.steps + 1));

    StepReport report{.step = result_.steps + 1, .steps = total_, .learning_rate = rate};
    for (size_t i = 0; i < batches.size(); ++i) {
      const auto* ahead = i + 1 < batches.size() ? &batches[i + 1] : next;
      // Asked for when the backward pass is under way: on a GPU it is waited for here.
      report.loss += accumulate(batches[i], ahead, labelled, batches.size()).item<double>();
      if (!std::isfinite(report.loss)) {
        throw TrainError(fmt::format("the loss of step {} is {} (learning rate {:g}): training diverged", report.step,
                                     report.loss, rate));
      }
      for (const int64_t index : batches[i]) report.tokens += static_cast<int64_t>(feed_.encoded(index).tokens.size());
      result_.examples += static_cast<int64_t>(batches[i].size());
    }

    const bool finite = scaler_.unscale(trained_);
    if (finite) {
      const Clipping clipped = clipping(trained_, section_.max_grad_norm);
      report.gradient_norm = clipped.norm;
      if (!std::isfinite(report.gradient_norm)) {
        throw TrainError(
            fmt::format("the gradient of step {} is not finite (loss {:g}, learning rate {:g}): training "
                        "diverged",
                        report.step, report.loss, rate));
      }
      optimizer_->step(rate, clipped.factor);
      for (const auto& attached : session_.methods) attached.method->after_step(report.step);
    } else {
      report.gradient_norm = std::numeric_limits<double>::quiet_NaN();
      ++result_.skipped_steps;
    }
    if (!scaler_.update(finite)) {
      throw TrainError(fmt::format("step {}: gradients overflow fp16 even with a loss scale below 1", report.step));
    }
    optimizer_->zero_gradients();

    ++result_.steps;
    result_.tokens += report.tokens;
    report.seconds = seconds_since(start);
    result_.seconds += report.seconds;
    if (watch_.step) watch_.step(report);
  }

  void milestone(bool done) {
    if (watch_.milestone) {
      session_.set_training(false);
      watch_.milestone(result_);
      session_.set_training(true);
    }
    if (!done) save();
  }

  void save() const {
    if (!watch_.resume_file.empty()) write_resume_point(watch_.resume_file, kept_, *optimizer_, scaler_, result_);
  }

  attach::Session& session_;
  Feed& feed_;
  const config::TrainSection& section_;
  const int64_t seed_;
  const Watch& watch_;
  const TensorMap trained_, kept_;
  const std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<FrozenRows> frozen_;
  LossScaler scaler_;
  const std::unique_ptr<GraphedSteps> graphs_;
  const int64_t total_, in_epoch_, every_;
  TrainResult result_;
};

}  // namespace

int64_t planned_steps(const config::TrainSection& section, int64_t examples) {
  if (section.steps) return *section.steps;
  return section.epochs.value_or(3) * steps_in_epoch(section, examples);
}

TrainResult train(attach::Session& session, Feed& feed, const config::TrainSection& section, int64_t seed,
                  const Watch& watch) {
  if (feed.size() == 0) throw TrainError("there is no example to train on");
  if (session.trained().empty()) return {};
  return Loop(session, feed, section, seed, watch).run();
}

}  // namespace peftlab::train
