/// Prompt tuning: trained vectors before the input embeddings, and nothing else.
///
///     E(x) <- [P; E(x)]        P: [tokens, d]
///
/// With a `template`, P has the frozen embeddings of its words too, around the trained vectors.
///
/// Source: Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, section 3,
/// arXiv:2104.08691. First values and file are Hugging Face peft's: N(0, 1) for `random`, which is far from where word
/// embeddings lie; rows of the embedding table for `vocabulary` (at random) and `text` (with the tokenizer's special
/// tokens, repeated or cut to length). Words between trained vectors: Liu et al., 2021, section 3.2, arXiv:2103.10385.

#include "template.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

class Prompt final : public Method {
 public:
  explicit Prompt(Params& p)
      : tokens_(p.get<int64_t>("tokens", 20, "number of vectors, at least 1")),
        init_(p.get("init", "random", "random: N(0, 1); vocabulary: embeddings of random ids; text: those of `text`")),
        text_(p.get_optional<std::string>("text", "what `init = \"text\"` starts from")),
        template_(p.get_optional<std::string>(
            "template", "words around the vectors: {soft} stands for `tokens` of them, {soft:N} for N")) {
    p.check(tokens_ >= 1, "tokens", "must be at least 1");
    p.check(init_ == "random" || init_ == "vocabulary" || init_ == "text", "init",
            "must be random, vocabulary or text");
    p.check(init_ != "text" || (text_ && !text_->empty()), "text", "must be given with `init = \"text\"`");
    p.check(init_ == "text" || !text_, "text", "has a meaning only with `init = \"text\"`");
    if (!template_) return;
    p.check(prompt::uses_tokens(*template_) || !p.given("tokens"), "tokens",
            "has no meaning where `template` has no {soft}");
    try {
      pieces_ = prompt::parse_template(*template_, tokens_);
    } catch (const ConfigError& error) {
      p.check(false, "template", error.what());
    }
  }

  void attach(Model& model, const Tokenizer& tokenizer) override;

  bool starts_at_base() const override { return false; }

  AdapterFiles save(Model& model) const override;

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the prompt");
    const torch::NoGradGuard no_grad;
    // The words' rows are taken from the file too: they are what the vectors were trained beside.
    const torch::Tensor all = torch::empty_like(rows_());
    copy_tensors(files.tensors, {{"prompt_embeddings", all}}, "the prompt");
    vectors_.copy_(all.index_select(0, soft_));
    words_.copy_(all.index_select(0, hard_));
  }

  Table options_from(const Table& adapter_config) const override;

 private:
  torch::Tensor first_values(Model& model, const Tokenizer& tokenizer, int64_t count) const;
  torch::Tensor text_ids(const Tokenizer& tokenizer, int64_t count) const;

  int64_t tokens_;
  std::string init_;
  std::optional<std::string> text_, template_;
  std::vector<prompt::Piece> pieces_;    ///< empty without a template
  torch::Tensor vectors_;                ///< [trained vectors, d]
  torch::Tensor words_;                  ///< [words' tokens, d], frozen
  torch::Tensor soft_, hard_;            ///< int64: where the rows of each lie in P
  std::function<torch::Tensor()> rows_;  ///< P
};

void Prompt::attach(Model& model, const Tokenizer& tokenizer) {
  const torch::Tensor table = model.embedding_table().detach();
  std::vector<int64_t> soft, hard, ids;
  for (const prompt::Piece& piece : pieces_.empty() ? std::vector<prompt::Piece>{{"", tokens_}} : pieces_) {
    for (int64_t i = 0; i < piece.soft; ++i) soft.push_back(static_cast<int64_t>(soft.size() + hard.size()));
    for (const int64_t id : piece.words.empty() ? std::vector<int64_t>() : tokenizer.encode(piece.words)) {
      hard.push_back(static_cast<int64_t>(soft.size() + hard.size()));
      ids.push_back(id);
    }
  }
  const auto count = static_cast<int64_t>(soft.size()), all = count + static_cast<int64_t>(hard.size());
  const auto on_device = [&](const std::vector<int64_t>& numbers) {
    return torch::tensor(numbers, torch::kInt64).to(table.device());
  };
  soft_ = on_device(soft);
  hard_ = on_device(hard);
  const torch::NoGradGuard no_grad;
  vectors_ = register_parameter("prompt_embeddings", first_values(model, tokenizer, count).to(table.device()));
  words_ = table.index_select(0, on_device(ids)).to(torch::kFloat32);
  if (hard.empty()) {
    rows_ = [vectors = vectors_] { return vectors; };
  } else {
    register_buffer("template_embeddings", words_);
    // Row i of P is row order[i] of the vectors followed by the words.
    const torch::Tensor order = torch::argsort(torch::cat({soft_, hard_}));
    rows_ = [vectors = vectors_, words = words_, order] { return torch::cat({vectors, words}).index_select(0, order); };
  }
  model.embedding_site().prepend(rows_, all);
}

/// [count, d], on the CPU or the table's device, in float32.
torch::Tensor Prompt::first_values(Model& model, const Tokenizer& tokenizer, int64_t count) const {
  const torch::Tensor table = model.embedding_table().detach();
  // peft makes its torch.nn.Embedding, and so draws these, whatever it then starts from.
  const torch::Tensor drawn = torch::randn({count, model.embedding_site().width}, torch::kFloat32);
  if (init_ == "random") return drawn;
  const torch::Tensor ids =
      init_ == "text" ? text_ids(tokenizer, count) : torch::randint(table.size(0), {count}, torch::kInt64);
  return table.index_select(0, ids.to(table.device())).to(torch::kFloat32);
}

torch::Tensor Prompt::text_ids(const Tokenizer& tokenizer, int64_t count) const {
  const std::vector<int64_t> ids = tokenizer.encode_with_special_tokens(*text_);
  if (ids.empty()) throw ConfigError("plugin prompt: `text` = \"" + *text_ + "\" has no tokens");
  std::vector<int64_t> repeated;
  for (int64_t i = 0; i < count; ++i) repeated.push_back(ids[i % ids.size()]);
  return torch::tensor(repeated, torch::kInt64);
}

AdapterFiles Prompt::save(Model& model) const {
  const torch::NoGradGuard no_grad;
  AdapterFiles files;
  const torch::Tensor rows = rows_();
  files.tensors = saved_copies({{"prompt_embeddings", rows}});
  files.config = peft_config("PROMPT_TUNING");
  files.config["num_virtual_tokens"] = rows.size(0);
  files.config["token_dim"] = rows.size(1);
  files.config["num_transformer_submodules"] = 1;
  files.config["num_attention_heads"] = model.facts().heads;
  files.config["num_layers"] = model.facts().layers;
  // What it started from no longer matters; for "TEXT" peft would want the tokenizer's path.
  files.config["prompt_tuning_init"] = "RANDOM";
  for (const char* key : {"prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs", "modules_to_save"}) {
    files.config[key] = Value();
  }
  if (template_) {
    Table own = {{"template", *template_}};
    if (prompt::uses_tokens(*template_)) own["tokens"] = tokens_;
    files.config["peftlab"] = own;
  }
  return files;
}

Table Prompt::options_from(const Table& adapter_config) const {
  AdapterConfig config(adapter_config, "plugin prompt");
  config.expect("peft_type", "PROMPT_TUNING");
  config.expect("num_transformer_submodules", 1);
  Table options = {{"tokens", config.get<int64_t>("num_virtual_tokens", 20)}};
  const Table* own = config.table("peftlab");
  // The sizes follow from the model; the values come from the file, however they started.
  config.ignore({"token_dim", "num_attention_heads", "num_layers", "prompt_tuning_init", "prompt_tuning_init_text",
                 "tokenizer_name_or_path", "tokenizer_kwargs"});
  config.finish();
  if (!own) return options;
  AdapterConfig ours(*own, "plugin prompt", "peftlab.");
  if (const std::string words = ours.get("template", ""); !words.empty()) {
    options = {{"template", words}};
    if (const Value* tokens = ours.value("tokens")) options["tokens"] = *tokens;
  }
  ours.finish();
  return options;
}

}  // namespace

PEFTLAB_PLUGIN(Method, Prompt, "prompt", "trained vectors before the input embeddings", "arXiv:2104.08691",
               "PROMPT_TUNING")

}  // namespace peftlab
