#pragma once

/// \file
/// What a ChatGLM or VisualGLM config.json says, checked.

#include <peftlab/params.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::visualglm {

/// The language model.
struct LanguageConfig {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t inner = 0;       ///< width between the two maps of the feed-forward network
  int64_t vocabulary = 0;  ///< rows of the embedding table and of the head
  int64_t max_length = 0;
  double eps = 0.0;
  bool tied = true;          ///< the head's weight is the embedding table
  bool per_head = true;      ///< rows of query_key_value: [head][q, k, v] (Hugging Face), else [q, k, v][head] (SAT)
  int64_t alpha_layers = 0;  ///< N of alpha = sqrt(2 N)

  int64_t head_width() const { return hidden / heads; }
};

/// The vision transformer.
struct VisionConfig {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t inner = 0;
  double eps = 0.0;
  int64_t height = 0, width = 0, patch = 0;  ///< pixels

  int64_t patches() const { return (height / patch) * (width / patch); }
};

/// The Q-Former between picture and language.
struct QFormerConfig {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t inner = 0;
  int64_t queries = 0;  ///< vectors that a picture becomes
  double eps = 0.0;
  std::vector<bool> crosses;  ///< per layer: has it attention to the picture?
};

struct ImageConfig {
  VisionConfig vision;
  QFormerConfig qformer;
};

struct Config {
  std::string model_type;
  LanguageConfig language;
  std::optional<ImageConfig> image;  ///< absent: text only
  int64_t sop = 0, eop = 0, gmask = 0;
  int64_t placeholder = 0;  ///< stands where the picture's vectors go; its own vector is never seen
};

/// Reads all keys. What is wrong is kept in `params` (a key of a nested table as "eva_config.hidden_size"); then the
/// result must not be built.
Config read_config(Params& params);

}  // namespace peftlab::visualglm
