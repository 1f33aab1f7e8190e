#pragma once

/// \file
/// How masked text becomes ids and labels.

#include <peftlab/batch.h>
#include <peftlab/dataset.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>

namespace peftlab::bert {

/// The prompt with the tokenizer's special tokens; the target's ids are the labels of its masks ("[MASK]" or "<mask>"),
/// in order, and every token sees all others. What is longer than `max_length` is cut as the tokenizer cuts, and the
/// masks that are cut away are not asked for. `with_target` false: no labels.
/// Throws: UnsupportedError for a picture, a class, or a text without a prompt; FormatError for a tokenizer without a
/// mask, a target of another number of tokens than there are masks, and a cut that leaves no mask.
Encoded encode_masked(const Example& example, const Tokenizer& tokenizer, const ModelFacts& facts, int64_t max_length,
                      bool with_target);

}  // namespace peftlab::bert
