#pragma once

/// \file
/// Model folders from before tokenizer.json: their files as the content of one.

#include <peftlab/value.h>

#include <filesystem>

namespace peftlab::tokenize {

/// BERT's: `vocab.txt`, one piece a line, and of tokenizer_config.json `do_lower_case` (true), `strip_accents` (as
/// do_lower_case), `tokenize_chinese_chars` (true) and the names of the special tokens.
/// Throws: FormatError that names the file and what is wrong.
Value read_vocab_txt(const std::filesystem::path& model_folder);

/// GPT-2's, or RoBERTa's and BART's: `vocab.json` and `merges.txt`. Which one, `tokenizer_class` of
/// tokenizer_config.json says, else `model_type` of config.json, else whether the vocabulary holds "<s>" and "</s>".
/// Throws: FormatError that names the file and what is wrong, or another class.
Value read_vocab_and_merges(const std::filesystem::path& model_folder);

/// The table in `file`, or an empty one if there is no such file. Throws: FormatError.
Value read_settings(const std::filesystem::path& file);

}  // namespace peftlab::tokenize
