/// The laws of models, data sets and metrics, on ones that keep them and on ones that break them: a law that cannot fail says
/// nothing.

#include "registry/registry.h"

#include <peftlab/error.h>
#include <peftlab/testing/conformance.h>
#include <peftlab/testing/plugins.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <limits>
#include <sstream>

namespace peftlab::conformance {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A folder of the running test.
fs::path folder() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string(test->test_suite_name()) + "_" + test->name();
  std::replace(name.begin(), name.end(), '/', '_');
  const fs::path path = fs::path(::testing::TempDir()) / name;
  fs::create_directories(path);
  return path;
}

template <typename Case>
testing::Violations check(const std::vector<testing::LawOf<Case>>& laws, const std::string& name, const Case& given) {
  for (const auto& law : laws) {
    if (law.name == name) return law.check(given);
  }
  return {"there is no law " + name};
}

/// What breaks, the law that must say so, and how it says it.
struct Breach {
  const char* defect;
  const char* law;
  const char* says;
};

std::ostream& operator<<(std::ostream& out, const Breach& breach) { return out << breach.defect; }

// --- Metrics --------------------------------------------------------------------------------------------------------

/// The share of exact answers, but for its defect.
class SuspectMetric final : public Metric {
 public:
  SuspectMetric(Params& p, std::string defect) : defect_(std::move(defect)) {
    p.get<int64_t>("size", 1, defect_ == "no meaning" ? "" : "nothing");
    if (defect_ == "takes any option") p.ignore({"sizex"});
  }

  std::vector<Score> compute(Judged& judged) override {
    Score score{.name = defect_ == "another name" ? "other" : "suspect", .n_items = judged.size()};
    if (defect_ == "needs a model") {
      try {
        judged.mean_loss();
      } catch (const Error&) {
        throw std::runtime_error("no model");
      }
    }
    for (int64_t i = 0; i < judged.size(); ++i) {
      const std::string& answer = judged.predictions()[i];
      const bool right = answer == *judged.references()[i].front();
      score.per_item.push_back(right ? 1.0 : 0.0);
      score.value += score.per_item.back() / static_cast<double>(judged.size());
      if (defect_ == "divides by nothing" && answer.empty()) score.value = std::nan("");
    }
    if (defect_ == "keeps counting") score.value += static_cast<double>(calls_++);
    if (defect_ == "loses an item") score.per_item.pop_back();
    if (defect_ == "is no mean") score.value = std::sqrt(score.value) + 0.5;
    if (defect_ == "wrong way") score.higher_is_better = false;
    return {score};
  }

 private:
  std::string defect_;
  int calls_ = 0;
};

testing::MetricCase metric(const std::string& defect) {
  return {.metric = [defect](Params& p) { return std::make_unique<SuspectMetric>(p, defect); }, .name = "suspect"};
}

TEST(MetricLaws, HoldForASoundMetric) {
  for (const auto& law : testing::metric_laws()) EXPECT_THAT(law.check(metric("")), IsEmpty()) << law.name;
}

class MetricBreaches : public ::testing::TestWithParam<Breach> {};

TEST_P(MetricBreaches, AreFound) {
  EXPECT_THAT(check(testing::metric_laws(), GetParam().law, metric(GetParam().defect)),
              Contains(HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(Laws, MetricBreaches,
                         ::testing::Values(Breach{"no meaning", "defaults", "has no meaning"},
                                           Breach{"takes any option", "unknown_option", "`sizex` was taken"},
                                           Breach{"another name", "scores", "called `other`, not `suspect`"},
                                           Breach{"keeps counting", "repeatable", "gives other scores"},
                                           Breach{"loses an item", "items", "has 3 items of 4 examples"},
                                           Breach{"is no mean", "items", "the mean of the items"},
                                           Breach{"wrong way", "direction", "lower is said to be better"},
                                           Breach{"divides by nothing", "strange_texts", "is nan"},
                                           Breach{"needs a model", "without_model", "threw: no model"}));

// --- Data sets ------------------------------------------------------------------------------------------------------

/// Lines "prompt=target", of which one may name a picture; but for its defect.
class SuspectDataset final : public Dataset {
 public:
  SuspectDataset(Params&, std::string defect) : defect_(std::move(defect)) {}

  void open(const fs::path& file, const std::optional<ImageSpec>& images) override {
    if (!fs::is_regular_file(file)) {
      throw FormatError(defect_ == "a nameless error" ? "no file" : file.string() + " is not there");
    }
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    if (images) spec_ = *images;
    size_t hash = std::hash<std::string>()(defect_ == "a fingerprint of the start" ? bytes.substr(0, 4) : bytes);
    std::ostringstream text;
    for (int i = 0; i < 4; ++i) text << std::hex << std::setw(16) << std::setfill('0') << hash;
    fingerprint_ = defect_ == "no sha256" ? "abc" : text.str();
    std::istringstream lines(bytes);
    for (std::string line; std::getline(lines, line);) {
      const size_t at = line.find('=');
      if (at == std::string::npos || at + 1 == line.size()) {
        if (defect_ == "another exception") throw std::out_of_range("line");
        throw FormatError("a line has no target");
      }
      rows_.push_back({.prompt = line.substr(0, at),
                       .target = defect_ == "no target" ? "" : line.substr(at + 1),
                       .has_image = line.starts_with("picture")});
    }
  }

  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  Example example(int64_t index) const override {
    Example example = rows_.at(index);
    if (defect_ == "another each time") example.prompt += std::to_string(++asked_);
    return example;
  }
  std::string place(int64_t index) const override { return defect_ == "one place" ? "here" : Dataset::place(index); }
  torch::Tensor image(int64_t index) const override {
    if (!rows_.at(index).has_image) return {};
    if (defect_ == "channels last") return torch::zeros({spec_.height, spec_.width, 3});
    if (defect_ == "not normalized") return torch::full({3, spec_.height, spec_.width}, 255.0);
    return torch::zeros({3, spec_.height, spec_.width});
  }
  std::vector<Choice> choices() const override {
    if (defect_ == "a target that is no choice") return {{"a", "4"}};
    return {};
  }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  std::string defect_, fingerprint_;
  ImageSpec spec_;
  std::vector<Example> rows_;
  mutable std::atomic<int> asked_ = 0;
};

testing::DatasetCase dataset(const std::string& defect) {
  const fs::path file = folder() / "sample.txt";
  std::ofstream(file) << "2+2=4\npicture=red\n3+3=6\n";
  return {.dataset = [defect](Params& p) { return std::make_unique<SuspectDataset>(p, defect); },
          .sample = file,
          .folder = folder()};
}

TEST(DatasetLaws, HoldForASoundDataSet) {
  for (const auto& law : testing::dataset_laws()) {
    if (law.name == std::string("unknown_option")) continue;  // it has no options
    EXPECT_THAT(law.check(dataset("")), IsEmpty()) << law.name;
  }
}

class DatasetBreaches : public ::testing::TestWithParam<Breach> {};

TEST_P(DatasetBreaches, AreFound) {
  EXPECT_THAT(check(testing::dataset_laws(), GetParam().law, dataset(GetParam().defect)),
              Contains(HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    Laws, DatasetBreaches,
    ::testing::Values(Breach{"no target", "opens", "has no target"},
                      Breach{"one place", "opens", "two examples have one place"},
                      Breach{"another each time", "same_examples", "an example is another"},
                      Breach{"a fingerprint of the start", "fingerprint", "changed the fingerprint is the same"},
                      Breach{"no sha256", "fingerprint", "`abc` is no sha256"},
                      Breach{"a nameless error", "missing_file", "does not name the file"},
                      Breach{"another exception", "broken_files", "is no FormatError, but: line"},
                      Breach{"channels last", "pictures", "wanted float [3, 24, 32]"},
                      Breach{"not normalized", "pictures", "is outside of (0..1 - mean) / deviation"},
                      Breach{"a target that is no choice", "choices", "is none of the choices"}));

// --- Models ---------------------------------------------------------------------------------------------------------

/// The toy model as a plugin would make it, but for its defect.
class SuspectModel final : public Model {
 public:
  SuspectModel(Params& p, std::string defect)
      : defect_(std::move(defect)), toy_(std::make_shared<testing::ToyModel>()) {
    p.get<int64_t>("vocab_size", 32, "tokens");
    register_module("toy", toy_);
    facts_ = toy_->facts();
    facts_.model_type = defect_ == "another type" ? "other" : "suspect";
    if (defect_ == "no layers") facts_.layers = 0;
    idle_ = defect_ == "an idle parameter" ? register_parameter("idle", torch::zeros({2})) : torch::Tensor();
    if (defect_ == "no first value") register_parameter("toy_extra", added_ = torch::empty({16}));
    if (defect_ == "a hidden number") secret_ = torch::rand({16});
    if (defect_ == "a stale name") linear_sites().front()->name = "gone";
  }

  const ModelFacts& facts() const override { return facts_; }
  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    Encoded encoded = toy_->encode(example, tokenizer, max_length, with_target);
    if (defect_ == "ids beyond the vocabulary") encoded.tokens[0] = 99;
    if (defect_ == "no labels") encoded.labels.assign(encoded.tokens.size(), kNoLabel);
    return encoded;
  }
  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    torch::Tensor h = toy_->hidden(batch, defect_ == "no cache" ? nullptr : cache);
    if (secret_.defined()) h = h + secret_;
    if (added_.defined()) h = h + added_;
    if (defect_ == "sees its neighbours") h = h - h.mean(0, true);
    if (defect_ == "drops out") h = torch::dropout(h, 0.5, true);
    if (defect_ == "a batch dimension") h = h.unsqueeze(0);
    if (defect_ == "detached") h = h.detach();
    if (defect_ == "float32 for ever") h = h.to(torch::kFloat32);
    return h;
  }
  torch::Tensor hidden_at(const Batch& batch, const torch::Tensor& rows, KeyValueCache* cache) override {
    return Model::hidden_at(batch, defect_ == "other rows" ? (rows - 1).clamp_min(0) : rows, cache);
  }
  torch::Tensor head(const torch::Tensor& rows) override {
    return defect_ == "learns nothing" ? toy_->head(rows.detach()).detach() + 0 * toy_->head(rows) : toy_->head(rows);
  }
  std::vector<AttentionSite*> attention_sites() override { return toy_->attention_sites(); }
  EmbeddingSite& embedding_site() override { return toy_->embedding_site(); }
  torch::Tensor embedding_table() override { return toy_->embedding_table(); }
  std::vector<std::string> default_lora_targets() const override { return {"query_key_value"}; }

 private:
  std::string defect_;
  std::shared_ptr<testing::ToyModel> toy_;
  ModelFacts facts_;
  torch::Tensor idle_, added_, secret_;
};

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

testing::ModelCase model(const std::string& defect) {
  const fs::path config = folder() / "config.json";
  std::ofstream(config) << R"({"model_type": "suspect", "vocab_size": 32})";
  return {.model = [defect](Params& p) { return std::make_shared<SuspectModel>(p, defect); },
          .config = config,
          .names = {"suspect"},
          .methods = {{"lora", [](Params& p) { return plugins().make_method("lora", p); }}}};
}

TEST(ModelLaws, HoldForASoundModel) {
  for (const auto& law : testing::model_laws()) {
    EXPECT_THAT(law.check(model("")), IsEmpty()) << law.name;
  }
}

class ModelBreaches : public ::testing::TestWithParam<Breach> {};

TEST_P(ModelBreaches, AreFound) {
  EXPECT_THAT(check(testing::model_laws(), GetParam().law, model(GetParam().defect)),
              Contains(HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    Laws, ModelBreaches,
    ::testing::Values(Breach{"another type", "facts", "is neither its name nor one of its aliases"},
                      Breach{"no layers", "facts", "layers is 0"},
                      Breach{"ids beyond the vocabulary", "encode", "has the id 99"},
                      Breach{"no labels", "encode", "has a target but no label"},
                      Breach{"a batch dimension", "shapes", "hidden() gives"},
                      Breach{"no first value", "shapes", "outputs are not finite"},
                      Breach{"drops out", "repeats", "the same batch gives other outputs"},
                      Breach{"sees its neighbours", "neighbours", "from itself in a batch"},
                      Breach{"other rows", "rows", "hidden_at() differs by"}, Breach{"no cache", "cache", ""},
                      Breach{"an idle parameter", "gradients", "idle has no gradient"},
                      Breach{"learns nothing", "learns", "thirty steps took the loss"},
                      Breach{"a stale name", "sites", "the linear site gone has no parameter"},
                      Breach{"detached", "methods", "lora: "},
                      Breach{"float32 for ever", "bfloat16", "outputs are float"},
                      Breach{"a hidden number", "tensors", "it keeps something beside them"}));

}  // namespace
}  // namespace peftlab::conformance
