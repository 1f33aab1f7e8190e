#include "tokenize/tokenize.h"

#include "command_line.h"

#include <peftlab/value.h>

namespace peftlab::cli {

int tokenize_command(const Words& words) {
  std::string model;
  std::vector<std::string> texts;
  bool special = false;
  CommandLine line("tokenize --model DIR -- TEXT...",
                   "Prints the token ids of each TEXT as a JSON array, one a line. No special tokens are added\n"
                   "unless --special-tokens asks for them.",
                   "peftlab tokenize --model models/base -- \"a red heart\" \"smile\"");
  line.required_option("model", &model, "DIR", "the model folder")
      .flag("special-tokens", &special, "with the special tokens that the tokenizer puts around a text")
      .operands("TEXT", &texts);
  if (!line.parse(words)) return 0;

  const auto tokenizer = tokenize::load_tokenizer(model);
  std::string out;
  for (const std::string& text : texts) {
    out += to_json(special ? tokenizer->encode_with_special_tokens(text) : tokenizer->encode(text)) + "\n";
  }
  print(out);
  return 0;
}

}  // namespace peftlab::cli
