/// AdaLoRA beside Hugging Face peft on tiny models (tests/oracle/methods/make_adalora.py): first values, configuration,
/// a pruned adapter, default targets, and trainings with what they keep at every step.

#include "../support/causal_models.h"

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"
#include "train/trainer.h"

#include <peftlab/testing/texts.h>

#include <unistd.h>
#include <filesystem>

namespace peftlab::causal {
namespace {

namespace fs = std::filesystem;

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

fs::path oracle(const std::string& name) { return folder("../methods/adalora" + name); }

Value read_json(const fs::path& path) { return parse_json(read_text(path, size_t{1} << 20), path.string()); }

/// A section of expected.json, by name.
const Table& kept(const std::string& section) {
  static const Value all = read_json(oracle("_training") / "expected.json");
  return *all.find(section)->get_if<Table>();
}

attach::Session open(const std::string& model, const std::string& type = "float32") {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  attach::ModelChoice choice;
  choice.folder = folder(model);
  choice.dtype = type;
  return attach::open_model(choice, plugins(), torch::kCPU);
}

Table options_of(const Table& adapter_config) { return testing::make_method("adalora")->options_from(adapter_config); }

void expect_equal(const TensorMap& found, const TensorMap& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(found.at(name), tensor)) << name << "\n" << found.at(name) << "\n" << tensor;
  }
}

TEST(AdaLoraOracle, FirstValuesAndConfigurationAreTheirs) {
  for (const auto& [suffix, type] : {std::pair{"", "float32"}, std::pair{"_bf16", "bfloat16"}}) {
    SCOPED_TRACE(type);
    const AdapterFiles theirs = checkpoint::read_adapter(oracle(suffix)).files;
    attach::Session session = open("gpt2", type);
    attach::attach_methods(session, {{"adalora", options_of(theirs.config)}}, /*seed=*/5, plugins());
    const AdapterFiles ours = session.methods[0].method->save(*session.model);
    expect_equal(ours.tensors, theirs.tensors);
    EXPECT_EQ(to_json(ours.config), to_json(theirs.config));
  }
}

TEST(AdaLoraOracle, APrunedAdapterGivesTheirLogitsAndIsWrittenAsItWas) {
  const fs::path theirs = oracle("_pruned");
  attach::Session session = open("gpt2");
  attach::attach_adapters(session, {{theirs}}, plugins());
  const Value expected = read_json(theirs / "logits.json");
  const torch::Tensor found = logits(*session.model, {ids(expected, "prompt")});
  const List& rows = list(expected, "logits");
  ASSERT_EQ(found.size(0), static_cast<int64_t>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    const List& row = *rows[i].get_if<List>();
    for (size_t j = 0; j < row.size(); ++j) {
      const double wanted = *row[j].get_if<double>();
      EXPECT_NEAR(found[i][j].item<double>(), wanted, 1e-5 * std::max(1.0, std::abs(wanted))) << i << ", " << j;
    }
  }
  const AdapterFiles read = checkpoint::read_adapter(theirs).files;
  const AdapterFiles ours = session.methods[0].method->save(*session.model);
  expect_equal(ours.tensors, read.tensors);
  EXPECT_EQ(to_json(ours.config), to_json(read.config));
}

TEST(AdaLoraOracle, DefaultTargetsAreTheirs) {
  for (const auto& [model, shapes] : kept("defaults")) {
    SCOPED_TRACE(model);
    attach::Session session = open("../" + model);
    attach::attach_methods(session, {{"adalora", {{"rank", 2}, {"target_rank", 1}}}}, 0, plugins());
    Table found;
    for (const auto& [name, tensor] : session.methods[0].method->save(*session.model).tensors) {
      found[name] = tensor.sizes().vec();
    }
    EXPECT_EQ(to_json(found), to_json(shapes));
  }
}

class AdaLoraTrainings : public ::testing::TestWithParam<std::string> {
 protected:
  const Value& expected() const { return kept("trainings").at(GetParam()); }
  int64_t steps() const { return static_cast<int64_t>(list(expected(), "losses").size()); }

  attach::Session session() const {
    const std::string name = text(expected(), "model");
    attach::Session session = open(name);
    if (name == "gpt2")
      session.model = open_model(name, {{"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}, {"attn_pdrop", 0.0}});
    session.model->freeze();
    session.tokenizer = std::make_unique<testing::ToyTokenizer>();
    Table config = *expected().find("options")->get_if<Table>();
    config["peft_type"] = "ADALORA";
    attach::attach_methods(session, {{"adalora", options_of(config)}}, /*seed=*/5, plugins());
    return session;
  }

  train::TrainResult train(attach::Session& session, const train::Watch& watch) const {
    static const Value examples = read_json(folder("curves.json"));
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const Value& one : list(examples, "examples")) pairs.emplace_back(text(one, "prompt"), text(one, "target"));
    const testing::Texts texts(pairs);
    train::Feed feed(texts, *session.model, *session.tokenizer, 0, torch::kCPU);
    config::TrainSection section;
    section.steps = steps();
    section.batch_size = 2;
    section.learning_rate = 1e-2;
    section.warmup_ratio = 0.1;
    section.shuffle = false;
    return train::train(session, feed, section, /*seed=*/5, watch);
  }

  /// For each map in order, which singular values are not zero: "101 110".
  static std::string alive(const Method& method) {
    std::string maps;
    for (const auto& item : method.named_parameters()) {
      if (!item.key().ends_with("lora_E")) continue;
      if (!maps.empty()) maps += " ";
      for (int64_t i = 0; i < item.value().size(0); ++i) maps += item.value()[i].item<float>() != 0 ? "1" : "0";
    }
    return maps;
  }
};

TEST_P(AdaLoraTrainings, HaveTheirLossesAndKeepWhatTheirsKeep) {
  auto own = session();
  const Method& method = *own.methods[0].method;
  const auto penalty = [&] {
    const torch::Tensor value = method.penalty();
    return value.defined() ? value.item<double>() : 0.0;
  };
  std::vector<double> losses, penalties = {penalty()};
  std::vector<std::string> maps;
  train::Watch watch;
  watch.step = [&](const train::StepReport& step) {
    losses.push_back(step.loss);
    penalties.push_back(penalty());
    maps.push_back(alive(method));
  };
  train(own, watch);
  ASSERT_EQ(static_cast<int64_t>(losses.size()), steps());
  for (size_t i = 0; i < losses.size(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i + 1));
    EXPECT_NEAR(losses[i], *list(expected(), "losses")[i].get_if<double>(), 2e-5);
    EXPECT_NEAR(penalties[i], *list(expected(), "penalties")[i].get_if<double>(), 2e-5);
    // Theirs may hold more after the last step than their file does.
    if (i + 1 == losses.size()) continue;
    EXPECT_EQ(maps[i], *list(expected(), "kept")[i].get_if<std::string>());
  }
  const AdapterFiles files = method.save(*own.model);
  std::vector<int64_t> ranks;
  for (const Linear* site : own.model->linear_sites()) {
    const auto e = files.tensors.find("base_model.model." + site->name + ".lora_E");
    if (e != files.tensors.end()) ranks.push_back(e->second.size(0));
  }
  EXPECT_EQ(ranks, ids(expected(), "ranks"));
}

TEST_P(AdaLoraTrainings, GoOnBitForBitWhereTheyWereStopped) {
  const fs::path file = fs::temp_directory_path() / ("peftlab_adalora_" + std::to_string(getpid()) + ".safetensors");
  auto whole = session();
  train(whole, {});
  for (const int64_t stop : {int64_t{1}, steps() / 2, steps() - 7, steps() - 1}) {
    SCOPED_TRACE("stopped after step " + std::to_string(stop));
    fs::remove(file);
    auto first = session(), second = session();
    train::Watch watch;
    watch.resume_file = file;
    int64_t made = 0;
    watch.stop = [&] { return ++made == stop; };
    ASSERT_TRUE(train(first, watch).interrupted);
    watch.stop = nullptr;
    EXPECT_EQ(train(second, watch).steps, steps());
    expect_equal(second.kept_for_resuming(), whole.kept_for_resuming());
    const auto saved = [](attach::Session& of) { return of.methods[0].method->save(*of.model); };
    EXPECT_EQ(to_json(saved(second).config), to_json(saved(whole).config));
  }
  fs::remove(file);
}

TEST_P(AdaLoraTrainings, AreInTheFolderAndMergedWhatTheyAreInMemory) {
  const fs::path saved = fs::temp_directory_path() / ("peftlab_adalora_" + std::to_string(getpid()));
  fs::remove_all(saved);
  auto own = session();
  train(own, {});
  const std::vector<std::vector<int64_t>> prompts = {{5, 7, 3, 8}, {6, 2}};
  const torch::Tensor trained = logits(*own.model, prompts);
  attach::save_result(own, saved);
  attach::Session read = open(text(expected(), "model"));
  attach::attach_adapters(read, {{saved}}, plugins());
  EXPECT_TRUE(torch::equal(logits(*read.model, prompts), trained));
  read.methods[0].method->merge(*read.model);
  EXPECT_LE(difference(logits(*read.model, prompts), trained),
            1e-5 * std::max(1.0, trained.abs().max().item<double>()));
  fs::remove_all(saved);
}

std::vector<std::string> training_names() {
  std::vector<std::string> names;
  for (const auto& [name, training] : kept("trainings")) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Peft, AdaLoraTrainings, ::testing::ValuesIn(training_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace peftlab::causal
