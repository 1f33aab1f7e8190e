#pragma once

/// \file
/// Tokenizers that sentencepiece computes.

#include <peftlab/tokenizer.h>

#include <filesystem>
#include <memory>

namespace peftlab::tokenize {

/// The sentencepiece model in `file` as it is: ids are the pieces' places in it.
/// Throws: FormatError if it is none.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file);

/// ChatGLM's tokenizer: `file` is its ice_text.model, `config` its tokenizer_config.json with `num_image_tokens`.
///
/// Before sentencepiece sees a text, a line break becomes the piece <n>, a tab <|tab|>, and k = 2..80 spaces in a row
/// <|blank_k|>; every id is raised by num_image_tokens. decode() undoes both. Source: tokenization_chatglm.py of
/// ChatGLM-6B.
/// Throws: FormatError if a file is missing or broken, or the model lacks one of these pieces.
std::unique_ptr<Tokenizer> load_chatglm(const std::filesystem::path& file, const std::filesystem::path& config);

}  // namespace peftlab::tokenize
