// The few out-of-line members of the interfaces: destructors (so that each class has one home) and defaults. Those of
// tokenizers and metrics, which know no tensors, are in base/.

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/model.h>
#include <peftlab/nn/to_device.h>

namespace peftlab {

Dataset::~Dataset() = default;
Model::~Model() = default;
Method::~Method() = default;

torch::Tensor Dataset::image(int64_t) const { return {}; }
std::string Dataset::place(int64_t index) const { return "example " + std::to_string(index + 1); }
void Dataset::demonstrate_with(const Dataset&) {}

torch::Tensor Model::hidden_at(const Batch& batch, const torch::Tensor& rows, KeyValueCache* cache) {
  const auto all = hidden(batch, cache);
  return all.index_select(0, to_device(rows, all.device()));
}

torch::Tensor Model::front(const torch::Tensor&) {
  throw UnsupportedError("model type " + facts().model_type + " takes no pictures");
}

bool Model::ignores(const std::string&) const { return false; }
bool Model::is_stored_transposed(const std::string&) const { return false; }

void Method::prepare(Model&) {}

void Method::merge(Model&) {
  throw UnsupportedError("this method cannot be folded into the weights: it adds tokens or parts that are not linear");
}

void Method::unmerge(Model&) { throw UnsupportedError("this method cannot be taken out of the weights again"); }

void Method::weigh(double weight) {
  if (weight != 1.0) throw UnsupportedError("this method cannot be weighted: what it adds is no part of a sum");
}

double Method::rate_factor(const std::string&) const { return 1.0; }
void Method::begin_training(int64_t) {}
torch::Tensor Method::penalty() const { return {}; }
void Method::after_step(int64_t) {}

}  // namespace peftlab
