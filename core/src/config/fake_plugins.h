#pragma once

/// \file
/// For the tests of config and plan: a few plugins' options without plugins.

#include "config/read.h"

#include <peftlab/error.h>

namespace peftlab::config {

/// Knows the methods lora, full, prefix and throwing, the metric bleu and the dataset image_text.
inline OptionCheck fake_plugins(const std::string& kind, const std::string& plugin, const Table& options) {
  Params p(options, "plugin " + plugin);
  const std::string name = kind + " " + plugin;
  if (name == "method lora") {
    const auto rank = p.get<int64_t>("rank", 8, "rank");
    p.check(rank >= 1, "rank", "must be at least 1");
    p.get("alpha", 8.0, "scale");
    p.get("dropout", 0.0, "probability");
    p.get_optional<std::vector<std::string>>("targets", "sites");
  } else if (name == "method prefix") {
    p.require<int64_t>("tokens", "virtual tokens");
  } else if (name == "metric bleu") {
    p.get("tokenize", "13a", "tokenizer");
  } else if (name == "dataset image_text") {
    p.get<int64_t>("workers", 1, "threads that decode");
  } else if (name == "method throwing") {
    throw ConfigError("plugin throwing: 3 is no good");
  } else if (name != "method full") {
    const std::vector<std::string> none;
    return {false, kind == "method" ? std::vector<std::string>{"full", "lora", "prefix"} : none, {}, {}};
  }
  return {true, {}, p.declared(), p.problems(), /*stands_alone=*/name == "method full"};
}

/// A file with nothing wrong and nothing but what must be there; `methods` is the text from [[method]] on.
inline std::string minimal_file(const std::string& methods = "[[method]]\nplugin = \"full\"\n") {
  return "schema = 1\n[experiment]\nname = \"x\"\n[model]\npath = \"base\"\n[data]\nplugin = \"image_text\"\n"
         "train = \"train.csv\"\n" +
         methods;
}

}  // namespace peftlab::config
