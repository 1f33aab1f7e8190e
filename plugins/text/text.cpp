/// Texts: what most fine-tuning of language models needs.
///
/// A data file is JSON lines, a JSON array or CSV, and all its examples are of one form: a prompt with its completion, a
/// text with its label, or a text. The file is gone through once, when it is opened, so that everything that is wrong
/// with it is heard of before training starts; after that only the places of its examples are kept, and each is read
/// when it is asked for.
///
/// A classification can be put to a model that answers in words (Schick and Schuetze, arXiv:2001.07676, section 3.1): a
/// template makes the prompt and a verbalizer the answers. Some training examples may be shown before each prompt
/// (Brown et al., arXiv:2005.14165, section 2).

#include "forms.h"
#include "shots.h"

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>
#include <peftlab/records.h>

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <set>

namespace peftlab {
namespace {

constexpr int64_t kMaxShots = 1000;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string hex() {
    unsigned char digest[32];
    EVP_DigestFinal_ex(context_.get(), digest, nullptr);
    std::string text;
    constexpr char kDigits[] = "0123456789abcdef";
    for (const unsigned char byte : digest) text += {kDigits[byte >> 4], kDigits[byte & 15]};
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

class Text final : public Dataset {
 public:
  explicit Text(Params& p) {
    names_.prompt = p.get("prompt", "prompt", "the column of prompts (content, with summary, is known too)");
    names_.completion = p.get("completion", "completion", "the column of what is to be answered to them");
    names_.text = p.get("text", "text", "the column of texts that have no prompt");
    names_.label = p.get("label", "label", "the column of the texts' classes: names or integers");
    const auto prompt = p.get_optional<std::string>(
        "template", "makes a prompt of each text with a label: {text}, or any {column}, stands for what is there");
    const auto words = p.get_optional<Table>(
        "verbalizer",
        "the words that answer the template, for each label: { negative = \" bad\", positive = \" good\" }");
    shots_ = p.get<int64_t>("shots", 0, "training examples shown before each prompt, 0 to 1000, classes in turn");
    shots_seed_ = p.get<int64_t>("shots_seed", 0, "draws the shots, the same for every seed of a run; at least 0");
    shots_separator_ = p.get("shots_separator", "\n\n", "stands behind each shot");
    packed_ = p.get("pack", false, "whether plain texts are joined and cut into rows of max_length tokens to train on");

    names_.pair_given = p.given("prompt") || p.given("completion");
    names_.text_given = p.given("text");
    names_.label_given = p.given("label");
    p.check(!names_.pair_given || (!names_.text_given && !names_.label_given), names_.text_given ? "text" : "label",
            "cannot be given beside `prompt` or `completion`: the examples of a file are of one form");
    read_template(p, prompt, words);
    p.check(0 <= shots_ && shots_ <= kMaxShots, "shots", "must be in [0, 1000]");
    p.check(shots_seed_ >= 0, "shots_seed", "must be at least 0");
    p.check(!packed_ || (!template_ && shots_ == 0 && !names_.pair_given && !names_.label_given), "pack",
            "is for plain texts: no prompts, templates, labels or shots");
    reader_ = text::RowReader(names_, template_);
  }

  void open(const std::filesystem::path& file, const std::optional<ImageSpec>&) override {
    Sha256 sum;
    Records::Watch watch;
    const auto placed = [&](int64_t line, const auto& read) {
      try {
        read();
      } catch (const FormatError& error) {
        throw FormatError(file.string() + ":" + std::to_string(line) + ": " + error.what());
      }
    };
    watch.bytes = [&](std::string_view bytes) { sum.add(bytes); };
    watch.header = [&](const auto& columns, int64_t line) {
      placed(line, [&] { reader_->see_columns(columns, line); });
    };
    watch.record = [&](const Table& fields, int64_t line) {
      placed(line, [&] {
        const text::Row row = reader_->see(fields, line);
        const size_t choice = template_ ? choice_of(row.label) : 0;
        if (shots_ > 0) groups_.push_back(static_cast<uint32_t>(choice));
      });
    };
    records_.emplace(file, watch);
    fingerprint_ = sum.hex();
    check_form(file.string());
  }

  int64_t size() const override { return records_->size(); }
  std::string place(int64_t index) const override { return records_->place(index); }
  std::vector<Choice> choices() const override { return choices_; }
  bool packed() const override { return packed_; }
  std::string fingerprint() const override { return fingerprint_; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "sample.jsonl", R"({"prompt": "3+4=", "completion": "7"}
{"prompt": "5+1=", "completion": "6"}
{"prompt": "2+2=", "completion": "4"}
)");
  }

  Example example(int64_t index) const override {
    Example example = alone(index);
    if (shots_ > 0) example.prompt = shown_before(index, example) + example.prompt;
    return example;
  }

  void demonstrate_with(const Dataset& train) override {
    if (shots_ == 0) return;
    const auto* source = dynamic_cast<const Text*>(&train);
    if (!source) throw UnsupportedError("`shots` can be taken from a training split of the same plugin only");
    is_train_ = source == this;
    const int64_t needed = shots_ + (is_train_ ? 1 : 0);
    if (source->size() < needed) {
      throw ConfigError("`shots` = " + std::to_string(shots_) + " needs a training split of at least " +
                        std::to_string(needed) + " examples, this has " + std::to_string(source->size()));
    }
    // Behind those that are shown come some to stand in for a shot that is the example itself: one of each class, and
    // a few more for texts that are in the file twice.
    constexpr int64_t kSpare = 8;
    const int64_t drawn = shots_ + static_cast<int64_t>(choices_.size()) + kSpare;
    drawn_.clear();
    for (const int64_t index : text::draw_balanced(source->groups_, drawn, static_cast<uint64_t>(shots_seed_))) {
      const Example example = source->alone(index);
      drawn_.push_back({index, source->groups_[static_cast<size_t>(index)], example.prompt + example.target});
    }
  }

 private:
  void read_template(Params& p, const std::optional<std::string>& prompt, const std::optional<Table>& words) {
    p.check(!prompt || words, "template", "needs a `verbalizer`, the words that answer it");
    p.check(!words || prompt, "verbalizer", "needs a `template`, the prompt that its words answer");
    if (prompt) {
      template_.emplace(*prompt);
      p.check(template_->problem().empty(), "template", template_->problem());
      const auto& columns = template_->columns();
      p.check(std::find(columns.begin(), columns.end(), names_.label) == columns.end(), "template",
              "shows the column " + names_.label + ", which is what is to be answered");
      p.check(!names_.pair_given, "template",
              "is for texts with labels: `prompt` and `completion` have no meaning beside it");
    }
    if (!words) return;
    p.check(words->size() >= 2, "verbalizer", "needs at least two labels to choose from");
    std::set<std::string> known;
    for (const auto& [label, value] : *words) {
      const auto* text = value.get_if<std::string>();
      p.check(text && !text->empty(), "verbalizer", "has no words for label \"" + label + "\": write a string");
      if (!text) continue;
      p.check(known.insert(*text).second, "verbalizer", "has the words \"" + *text + "\" for two labels");
      choices_.push_back({label, *text});
    }
  }

  size_t choice_of(const std::string& label) const {
    const auto found =
        std::find_if(choices_.begin(), choices_.end(), [&](const Choice& choice) { return choice.label == label; });
    if (found != choices_.end()) return static_cast<size_t>(found - choices_.begin());
    std::vector<std::string> labels;
    for (const Choice& choice : choices_) labels.push_back(choice.label);
    throw FormatError("`verbalizer` has no words for label \"" + label + "\". " + suggestion(label, labels));
  }

  void check_form(const std::string& file) const {
    const text::Form& form = reader_->form();
    const std::string found = ", and " + file + ":" + std::to_string(reader_->form_line()) + " has " + describe(form);
    if (packed_ && form.kind != text::Form::plain) throw ConfigError("`pack` is for plain texts" + found);
    if (shots_ == 0 || form.kind == text::Form::pair || template_) return;
    throw ConfigError("`shots` needs prompts, or texts with labels under a `template`" + found);
  }

  /// Example `index` without any shots.
  Example alone(int64_t index) const {
    text::Row row = reader_->read(records_->fields(index));
    Example example;
    example.prompt = std::move(row.prompt);
    example.target = template_ ? choices_[choice_of(row.label)].text : std::move(row.text);
    example.label = std::move(row.label);
    return example;
  }

  std::string shown_before(int64_t index, const Example& example) const {
    if (drawn_.empty()) {
      throw ConfigError("`shots` = " + std::to_string(shots_) + ": there is no training split to take them from");
    }
    const auto chosen = text::choose(drawn_, shots_, is_train_ ? index : -1, example.prompt + example.target);
    if (static_cast<int64_t>(chosen.size()) < shots_) {
      throw ConfigError(place(index) + ": `shots` = " + std::to_string(shots_) +
                        ", but of the training examples drawn " + "for it too many read just like this one");
    }
    std::string text;
    for (const text::Shot* shot : chosen) text += shot->text + shots_separator_;
    return text;
  }

  text::Names names_;
  std::optional<text::PromptTemplate> template_;
  std::vector<Choice> choices_;
  int64_t shots_ = 0;
  int64_t shots_seed_ = 0;
  std::string shots_separator_;
  bool packed_ = false;

  std::optional<text::RowReader> reader_;
  std::optional<Records> records_;
  std::string fingerprint_;
  std::vector<uint32_t> groups_;   // example -> its choice; kept where shots may be drawn
  std::vector<text::Shot> drawn_;  // the shots, and behind them those that stand in
  bool is_train_ = false;
};

}  // namespace

PEFTLAB_PLUGIN(Dataset, Text, "text", "prompts with answers, texts, or texts with labels, from JSON lines or CSV",
               "peftlab; templates and verbalizers: arXiv:2001.07676; shots: arXiv:2005.14165", "")

}  // namespace peftlab
