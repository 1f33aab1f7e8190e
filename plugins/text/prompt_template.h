#pragma once

/// \file
/// A prompt with places for the columns of a record: "{text}\nThe mood is". Braces themselves are written {{ and }}.

#include <functional>
#include <string>
#include <vector>

namespace peftlab::text {

class PromptTemplate {
 public:
  explicit PromptTemplate(const std::string& text);

  /// What is wrong with it, or empty.
  const std::string& problem() const { return problem_; }

  /// The columns it names, in the order of their first use.
  const std::vector<std::string>& columns() const { return columns_; }

  /// The prompt, with what `value` gives for each column.
  std::string fill(const std::function<std::string(const std::string& column)>& value) const;

 private:
  struct Piece {
    std::string text;
    bool is_column;
  };

  std::vector<Piece> pieces_;
  std::vector<std::string> columns_;
  std::string problem_;
};

}  // namespace peftlab::text
