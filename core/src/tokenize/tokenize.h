#pragma once

/// \file
/// Finds the tokenizer of a model folder and reads it.

#include <peftlab/tokenizer.h>

#include <filesystem>
#include <memory>

namespace peftlab::tokenize {

/// The tokenizer of `model_folder`:
///   ice_text.model                                 sentencepiece with ChatGLM's rules; tokenizer_config.json beside it
///                                                  says `num_image_tokens`
///   tokenizer.json                                 as Hugging Face's `tokenizers` reads it
///   tokenizer.model, spiece.model, or the one *.model there is    sentencepiece as it is
///   vocab.txt                                      BERT's WordPiece
///   vocab.json with merges.txt                     byte-level BPE of GPT-2, or of RoBERTa
/// The first of these that is there counts.
/// Throws: FormatError that names what was found and what can be read, or what is wrong with the file.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_folder);

}  // namespace peftlab::tokenize
