#include <peftlab/transformers_config.h>

#include <algorithm>
#include <charconv>

namespace peftlab {
namespace {

constexpr const char* kClassification = "ForSequenceClassification";

struct Ending {
  const char* text;
  Task task;
};
constexpr Ending kEndings[] = {{kClassification, Task::classification}, {"LMHeadModel", Task::language},
                               {"ForCausalLM", Task::language},         {"ForMaskedLM", Task::masked},
                               {"ForPreTraining", Task::masked},        {"Model", Task::base}};

/// The ending of an architecture's name that tells its task, or nullptr.
const Ending* ending_of(const std::string& architecture) {
  for (const Ending& ending : kEndings) {
    if (architecture.ends_with(ending.text)) return &ending;
  }
  return nullptr;
}

/// The one class that `architectures` names, or nullptr.
const std::string* architecture_of(const Table& config) {
  const auto given = config.find("architectures");
  const List* names = given == config.end() ? nullptr : given->second.get_if<List>();
  return names && names->size() == 1 ? names->front().get_if<std::string>() : nullptr;
}

Task read_task(Params& p, Task otherwise) {
  const auto names = p.get<std::vector<std::string>>("architectures", {}, "the class the weights are of, one");
  p.check(names.size() <= 1, "architectures", "must name one class");
  if (names.size() != 1) return otherwise;
  const Ending* ending = ending_of(names[0]);
  p.check(ending != nullptr, "architectures",
          "must name a class that ends with Model, LMHeadModel, ForCausalLM, ForMaskedLM, ForPreTraining or "
          "ForSequenceClassification");
  return ending ? ending->task : otherwise;
}

std::vector<int64_t> read_end(Params& p) {
  const std::string meaning = "id that ends a text, or a list of them";
  const Value* given = p.value("eos_token_id");
  if (given && given->get_if<List>()) return p.get<std::vector<int64_t>>("eos_token_id", {}, meaning);
  const auto id = p.get_optional<int64_t>("eos_token_id", meaning);
  return id ? std::vector<int64_t>{*id} : std::vector<int64_t>{};
}

std::vector<std::string> read_labels(Params& p) {
  const auto names = p.get_optional<Table>("id2label", "the names of the classes by number");
  const auto count = p.get_optional<int64_t>("num_labels", "classes, where they have no names");
  p.ignore({"label2id"});
  p.check(!count || (2 <= *count && *count <= 1'000'000), "num_labels", "must be from 2 to 1000000");
  std::vector<std::string> labels;
  if (!names) {
    // transformers writes neither for its default of two.
    for (int64_t i = 0; i < count.value_or(2); ++i) labels.push_back("LABEL_" + std::to_string(i));
    return labels;
  }
  labels.resize(names->size());
  bool numbered = true;
  for (const auto& [key, value] : *names) {
    size_t number = labels.size();
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
    const auto* name = value.get_if<std::string>();
    numbered = numbered && error == std::errc() && end == key.data() + key.size() && number < labels.size() && name;
    if (numbered) labels[number] = *name;
  }
  p.check(numbered, "id2label", "must give each number from 0 on a name");
  auto sorted = labels;
  std::sort(sorted.begin(), sorted.end());
  p.check(!numbered || std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "id2label",
          "must not give two classes one name");
  p.check(labels.size() >= 2, "id2label", "must name at least two classes");
  p.check(!count || *count == static_cast<int64_t>(labels.size()), "num_labels",
          "must be the number of names in id2label (" + std::to_string(labels.size()) + ")");
  return labels;
}

}  // namespace

TransformersConfig read_transformers_config(Params& p, Task otherwise) {
  TransformersConfig config;
  config.task = read_task(p, otherwise);
  config.end_of_sequence = read_end(p);
  config.begin_of_sequence = p.get_optional<int64_t>("bos_token_id", "id that begins a text");
  config.pad = p.get_optional<int64_t>("pad_token_id", "id of padding, which is never computed here");
  config.initializer_range = p.get("initializer_range", 0.02, "deviation of first values, where they are drawn");
  p.check(config.initializer_range >= 0.0, "initializer_range", "must be at least 0");
  if (config.task == Task::classification) {
    config.labels = read_labels(p);
    const auto kind = p.get("problem_type", "single_label_classification", "must be single_label_classification");
    p.check(kind == "single_label_classification", "problem_type", "must be single_label_classification or null");
  } else {
    p.ignore({"id2label", "label2id", "num_labels", "problem_type"});
  }
  read_only_value(p, "is_encoder_decoder", false, "false");
  read_only_value(p, "add_cross_attention", false, "false");
  read_only_value(p, "pruned_heads", Table{}, "empty");
  p.ignore({"model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "_name_or_path", "auto_map",
            "tokenizer_class", "task_specific_params", "finetuning_task", "torchscript", "tf_legacy_loss",
            "use_bfloat16", "return_dict", "output_hidden_states", "output_attentions", "return_dict_in_generate",
            "chunk_size_feed_forward", "prefix", "sep_token_id", "decoder_start_token_id",
            "cross_attention_hidden_size", "tie_encoder_decoder", "_attn_implementation_autoset", "attn_implementation",
            "gradient_checkpointing",
            // Defaults of generation that old files carry; generation is told its own.
            "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
            "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty",
            "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
            "output_scores", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "suppress_tokens",
            "begin_suppress_tokens", "exponential_decay_length_penalty"});
  return config;
}

bool is_classifier(const Table& config) {
  const std::string* name = architecture_of(config);
  return name && name->ends_with(kClassification);
}

Table with_labels(Table config, const std::vector<std::string>& labels) {
  const std::string* name = architecture_of(config);
  const Ending* ending = name ? ending_of(*name) : nullptr;
  const std::string family = ending ? name->substr(0, name->size() - std::string(ending->text).size()) : "";
  config["architectures"] = std::vector<std::string>{family + kClassification};
  Table names, numbers;
  for (size_t i = 0; i < labels.size(); ++i) {
    names[std::to_string(i)] = labels[i];
    numbers[labels[i]] = static_cast<int64_t>(i);
  }
  config["id2label"] = names;
  config["label2id"] = numbers;
  config.erase("num_labels");
  config.erase("problem_type");
  return config;
}

}  // namespace peftlab
