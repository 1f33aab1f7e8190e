#pragma once

/// \file
/// Tokenizers that sentencepiece computes.

#include <peftlab/tokenizer.h>

#include <filesystem>
#include <memory>

namespace peftlab::tokenize {

/// The sentencepiece model in `file` as it is: ids are the pieces' places in it.
///
/// Which special tokens stand around a text, tokenizer_config.json beside it says: `add_bos_token` and `add_eos_token`,
/// and where they are not given `tokenizer_class`. LLaMA's tokenizer puts bos in front, T5's eos behind; without a class,
/// spiece.model is taken for T5's and any other name for LLaMA's. For other classes encode_with_special_tokens() throws
/// UnsupportedError.
/// Throws: FormatError if it is none, or a setting is of a wrong type.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file);

/// ChatGLM's tokenizer: `file` is its ice_text.model, `config` its tokenizer_config.json with `num_image_tokens`.
///
/// Before sentencepiece sees a text, a line break becomes the piece <n>, a tab <|tab|>, and k = 2..80 spaces in a row
/// <|blank_k|>; every id is raised by num_image_tokens. decode() undoes both. Source: tokenization_chatglm.py of
/// ChatGLM-6B.
/// Throws: FormatError if a file is missing or broken, or the model lacks one of these pieces.
std::unique_ptr<Tokenizer> load_chatglm(const std::filesystem::path& file, const std::filesystem::path& config);

}  // namespace peftlab::tokenize
