// The few out-of-line members of the interfaces that know no tensors.

#include <peftlab/metric.h>
#include <peftlab/tokenizer.h>

namespace peftlab {

Tokenizer::~Tokenizer() = default;
Judged::~Judged() = default;
Metric::~Metric() = default;

std::vector<int64_t> Tokenizer::encode_with_special_tokens(const std::string& text, int64_t max_length) const {
  auto ids = encode(text);
  if (max_length > 0 && static_cast<int64_t>(ids.size()) > max_length) ids.resize(max_length);
  return ids;
}

}  // namespace peftlab
