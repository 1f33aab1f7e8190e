#include "tokenize/tokenize.h"

#include "command_line.h"

#include <peftlab/value.h>

namespace peftlab::cli {

int tokenize_command(const Words& words) {
  std::string model;
  std::vector<std::string> texts;
  CommandLine line("tokenize --model DIR -- TEXT...",
                   "Prints the token ids of each TEXT as a JSON array, one a line. No special tokens are added.",
                   "peftlab tokenize --model models/base -- \"a red heart\" \"smile\"");
  line.required_option("model", &model, "DIR", "the model folder").operands("TEXT", &texts);
  if (!line.parse(words)) return 0;

  const auto tokenizer = tokenize::load_tokenizer(model);
  std::string out;
  for (const std::string& text : texts) out += to_json(tokenizer->encode(text)) + "\n";
  print(out);
  return 0;
}

}  // namespace peftlab::cli
