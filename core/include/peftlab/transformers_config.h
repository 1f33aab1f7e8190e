#pragma once

/// \file
/// What every config.json of Hugging Face transformers may hold, read alike by all models that open such folders.

#include <peftlab/export.h>
#include <peftlab/params.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// What a checkpoint was made for, by the class that `architectures` names.
enum class Task {
  base,            ///< the stack alone: BertModel, LlamaModel
  language,        ///< the next token: GPT2LMHeadModel, LlamaForCausalLM
  masked,          ///< tokens that were masked: BertForMaskedLM
  classification,  ///< one class a text: BertForSequenceClassification
};

struct TransformersConfig {
  Task task = Task::base;
  std::vector<int64_t> end_of_sequence;      ///< eos_token_id, one or a list; the first ends what is trained
  std::optional<int64_t> begin_of_sequence;  ///< bos_token_id
  std::optional<int64_t> pad;                ///< pad_token_id
  std::vector<std::string> labels;           ///< of a classification: the names of id2label in order of their numbers
  double initializer_range = 0.02;           ///< deviation of a new head's weights
};

/// Reads the common keys of a config.json and passes over those that change nothing in what is computed here. The task
/// is that of `architectures`; where that is absent, `otherwise`.
/// Problems are kept in `p`: an architecture of another task, more than one, labels that are not numbered from 0, a
/// problem_type other than single_label_classification, an encoder-decoder, pruned heads.
PEFTLAB_API TransformersConfig read_transformers_config(Params& p, Task otherwise);

/// Whether this config.json is that of a classifier.
PEFTLAB_API bool is_classifier(const Table& config);

/// `config` as that of a classifier of `labels`, whatever it was made for: architectures, id2label and label2id.
PEFTLAB_API Table with_labels(Table config, const std::vector<std::string>& labels);

/// A key that may be there with the one value that can be computed. Any other is a problem that names both.
template <typename T>
void read_only_value(Params& p, const std::string& name, const T& only, const std::string& wanted) {
  const T found = p.get<T>(name, only, "must be " + wanted);
  p.check(found == only, name, "must be " + wanted + ": nothing else can be computed");
}

}  // namespace peftlab
