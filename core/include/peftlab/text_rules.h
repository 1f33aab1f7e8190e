#pragma once

/// \file
/// How text examples become ids and labels: the rules that all models of text share.

#include <peftlab/batch.h>
#include <peftlab/dataset.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>

#include <optional>

namespace peftlab {

/// For a causal language model. With a prompt: encode(prompt) + encode(target) + [end], the labels on target and end;
/// without: encode(target) + [end], all labelled but for the first, which nothing predicts. Special tokens are added by
/// neither. What is longer than `max_length` is cut at its end. `with_target` false: encode(prompt) alone, or `begin`
/// where that is empty.
/// Throws: UnsupportedError for a picture or a class; ConfigError for an empty prompt to be answered and no `begin`.
PEFTLAB_API Encoded encode_causal(const Example& example, const Tokenizer& tokenizer, const ModelFacts& facts,
                                  std::optional<int64_t> begin, int64_t max_length, bool with_target);

/// For a classifier: the text (prompt and target, of which one is empty as a rule) with the tokenizer's special tokens.
/// `at_end`: the class is read at the last token (GPT-2, LLaMA), else at the first (BERT). Its label there is the number
/// of example.label, which is a name in facts.labels or a number.
/// Throws: UnsupportedError for a picture; FormatError for a label that is missing or none of the model's.
PEFTLAB_API Encoded encode_class(const Example& example, const Tokenizer& tokenizer, const ModelFacts& facts, bool at_end,
                                 int64_t max_length, bool with_target);

/// The number of a class: a name in `labels`, or a number below their count.
/// Throws: FormatError naming the nearest of them.
PEFTLAB_API int64_t class_number(const std::string& label, const std::vector<std::string>& labels);

/// Every id is one of the model's. Throws: FormatError, telling the tokenizer from config.json.
PEFTLAB_API void check_ids(const std::vector<int64_t>& ids, int64_t vocabulary);

}  // namespace peftlab
