#pragma once

/// \file
/// Tokenizers as Hugging Face's `tokenizers` describes them in tokenizer.json, with the same ids and texts.

#include <peftlab/tokenizer.h>
#include <peftlab/value.h>

#include <filesystem>
#include <memory>
#include <string>

namespace peftlab::tokenize {

/// The tokenizer in `file`, a tokenizer.json. Its `truncation` and `padding` are of the run it was trained in and not
/// used; texts are cut at their end. Throws: FormatError that names the file, the place in it and what is wrong.
std::unique_ptr<Tokenizer> load_tokenizer_json(const std::filesystem::path& file);

/// The same from the content of such a file; `origin` names it in messages.
std::unique_ptr<Tokenizer> make_json_tokenizer(const Value& content, const std::string& origin);

/// `before`, `text` cut so that all are at most `max_length` ids (0: not cut), and `behind`.
/// Throws: ConfigError if `before` and `behind` alone are longer.
std::vector<int64_t> framed(const std::vector<int64_t>& before, const std::vector<int64_t>& text,
                            const std::vector<int64_t>& behind, int64_t max_length);

}  // namespace peftlab::tokenize
