/// Prompt tuning: trained vectors before the input embeddings, and nothing else.
///
///     E(x) <- [P; E(x)]        P: [tokens, d]
///
/// Source: Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, section 3,
/// arXiv:2104.08691. First values and file are Hugging Face peft's: N(0, 1) for `random`, which is far from where word
/// embeddings lie; rows of the embedding table for `vocabulary` (at random) and `text` (repeated or cut to length).

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
        text_(p.get_optional<std::string>("text", "what `init = \"text\"` starts from")) {
    p.check(tokens_ >= 1, "tokens", "must be at least 1");
    p.check(init_ == "random" || init_ == "vocabulary" || init_ == "text", "init",
            "must be random, vocabulary or text");
    p.check(init_ != "text" || (text_ && !text_->empty()), "text", "must be given with `init = \"text\"`");
    p.check(init_ == "text" || !text_, "text", "has a meaning only with `init = \"text\"`");
  }

  void attach(Model& model, const Tokenizer& tokenizer) override {
    EmbeddingSite& site = model.embedding_site();
    const torch::Tensor table = model.embedding_table().detach();
    const torch::NoGradGuard no_grad;
    // peft makes its torch.nn.Embedding, and so draws these, whatever it then starts from.
    torch::Tensor first = torch::randn({tokens_, site.width}, torch::kFloat32);
    if (init_ != "random") {
      const torch::Tensor ids =
          init_ == "text" ? text_ids(tokenizer) : torch::randint(table.size(0), {tokens_}, torch::kInt64);
      first = table.index_select(0, ids.to(table.device())).to(torch::kFloat32);
    }
    vectors_ = register_parameter("prompt_embeddings", first.to(table.device()));
    site.prepend([vectors = vectors_] { return vectors; }, tokens_);
  }

  bool starts_at_base() const override { return false; }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.tensors["prompt_embeddings"] =
        vectors_.detach().to(torch::kCPU, torch::kFloat32, false, /*copy=*/true).contiguous();
    files.config = peft_config("PROMPT_TUNING");
    files.config["num_virtual_tokens"] = tokens_;
    files.config["token_dim"] = vectors_.size(1);
    files.config["num_transformer_submodules"] = 1;
    files.config["num_attention_heads"] = model.facts().heads;
    files.config["num_layers"] = model.facts().layers;
    // What it started from no longer matters; for "TEXT" peft would want the tokenizer's path.
    files.config["prompt_tuning_init"] = "RANDOM";
    for (const char* key :
         {"prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs", "modules_to_save"}) {
      files.config[key] = Value();
    }
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the prompt");
    copy_tensors(files.tensors, {{"prompt_embeddings", vectors_}}, "the prompt");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin prompt");
    config.expect("peft_type", "PROMPT_TUNING");
    config.expect("num_transformer_submodules", 1);
    const Table options = {{"tokens", config.get<int64_t>("num_virtual_tokens", 20)}};
    // The sizes follow from the model; the values come from the file, however they started.
    config.ignore({"token_dim", "num_attention_heads", "num_layers", "prompt_tuning_init", "prompt_tuning_init_text",
                   "tokenizer_name_or_path", "tokenizer_kwargs", "task_type", "auto_mapping", "peft_version",
                   "base_model_name_or_path", "revision", "inference_mode"});
    config.finish();
    return options;
  }

 private:
  torch::Tensor text_ids(const Tokenizer& tokenizer) const {
    const std::vector<int64_t> ids = tokenizer.encode(*text_);
    if (ids.empty()) throw ConfigError("plugin prompt: `text` = \"" + *text_ + "\" has no tokens");
    std::vector<int64_t> repeated;
    for (int64_t i = 0; i < tokens_; ++i) repeated.push_back(ids[i % ids.size()]);
    return torch::tensor(repeated, torch::kInt64);
  }

  int64_t tokens_;
  std::string init_;
  std::optional<std::string> text_;
  torch::Tensor vectors_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Prompt, "prompt", "trained vectors before the input embeddings", "arXiv:2104.08691",
               "PROMPT_TUNING")

}  // namespace peftlab
