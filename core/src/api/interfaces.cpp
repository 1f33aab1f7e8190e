// The few out-of-line members of the interfaces: destructors (so that each class has one home) and defaults.

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/metric.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>

namespace peftlab {

Tokenizer::~Tokenizer() = default;
Dataset::~Dataset() = default;
Judged::~Judged() = default;
Metric::~Metric() = default;
Model::~Model() = default;
Method::~Method() = default;

torch::Tensor Dataset::image(int64_t) const { return {}; }

torch::Tensor Model::front(const torch::Tensor&) {
  throw UnsupportedError("model type " + facts().model_type + " takes no pictures");
}

bool Model::ignores(const std::string&) const { return false; }

void Method::merge(Model&) {
  throw UnsupportedError("this method cannot be folded into the weights: it adds tokens or parts that are not linear");
}

}  // namespace peftlab
