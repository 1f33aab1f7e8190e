#include "testing/cases.h"

#include "testing/bench.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <fstream>
#include <iterator>

namespace peftlab::testing {

Encoded labelled(std::vector<int64_t> tokens, size_t answer, int64_t context) {
  Encoded encoded{std::move(tokens), {}, context, -1};
  encoded.labels.assign(encoded.tokens.size(), kNoLabel);
  for (size_t i = answer - 1; i + 1 < encoded.tokens.size(); ++i) encoded.labels[i] = encoded.tokens[i + 1];
  return encoded;
}

MethodCase toy_case(std::function<std::shared_ptr<Method>(Params&)> method, Table options) {
  MethodCase made;
  made.method = std::move(method);
  made.options = std::move(options);
  made.model = [] {
    ToySizes sizes;
    sizes.kv_heads = 1;  // shared, as in grouped-query attention
    return std::make_shared<ToyModel>(sizes);
  };
  made.tokenizer = std::make_shared<ToyTokenizer>();
  made.examples = {labelled({3, 9, 1, 4, 27, 8, 28}, 4, 0), labelled({5, 2, 6, 17, 12, 28}, 2, 2),
                   labelled({20, 11, 4, 7, 13, 19, 2, 1, 28}, 5, 0)};
  made.shortest = {{7}, {kNoLabel}, 0, -1};
  return made;
}

namespace {

/// While one lives, LibTorch fills memory that nobody has written with NaN, so that a parameter without a first value shows.
struct FilledMemory {
  FilledMemory() : deterministic(at::globalContext().deterministicAlgorithms()) {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
    at::globalContext().setDeterministicFillUninitializedMemory(true);
  }
  ~FilledMemory() { at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/true); }
  FilledMemory(const FilledMemory&) = delete;
  FilledMemory& operator=(const FilledMemory&) = delete;
  bool deterministic;
};

}  // namespace

std::shared_ptr<Model> model_of(const std::function<std::shared_ptr<Model>(Params&)>& model,
                                const std::filesystem::path& config, uint64_t seed) {
  std::ifstream file(config);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const Value parsed = parse_json(text, config.string());
  const Table* table = parsed.get_if<Table>();
  if (!table) throw FormatError(config.string() + " is no table of settings");
  Params params(*table, config.string());
  params.ignore({"model_type"});
  torch::manual_seed(seed);
  const FilledMemory filled;
  auto made = model(params);
  params.finish();
  made->eval();
  return made;
}

std::vector<Example> short_examples(const ModelFacts& facts) {
  std::vector<Example> examples = {
      {.prompt = "ab c", .target = "de"}, {.prompt = "fg", .target = "hij k"}, {.prompt = "lmnop", .target = "q"}};
  for (size_t i = 0; i < examples.size(); ++i) {
    if (!facts.labels.empty()) examples[i].label = examples[i].target = facts.labels[i % facts.labels.size()];
  }
  examples[0].has_image = facts.images.has_value();
  return examples;
}

std::vector<torch::Tensor> pictures(const std::vector<Encoded>& examples, const ModelFacts& facts) {
  std::vector<torch::Tensor> images;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{3});
  for (const Encoded& example : examples) {
    if (example.image_at >= 0)
      images.push_back(torch::randn({3, facts.images->height, facts.images->width}, generator));
  }
  return images;
}

MethodCase model_case(std::function<std::shared_ptr<Method>(Params&)> method, Table options,
                      std::function<std::shared_ptr<Model>(Params&)> model, const std::filesystem::path& config) {
  MethodCase made;
  made.method = std::move(method);
  made.options = std::move(options);
  made.model = [model, config] { return model_of(model, config); };
  const auto one = made.model();
  const ModelFacts& facts = one->facts();
  made.tokenizer = std::make_shared<ToyTokenizer>();
  for (const Example& example : short_examples(facts)) {
    made.examples.push_back(one->encode(example, *made.tokenizer, facts.max_length, true));
  }
  made.images = pictures(made.examples, facts);
  made.shortest = one->encode({.prompt = "a"}, *made.tokenizer, facts.max_length, false);
  made.keeps_cache = facts.labels.empty();
  return made;
}

std::string refusal_of(const MethodCase& given, Violations& found) {
  const auto model = given.model();
  const Batch batch = bench::batch_of(given);
  const torch::Tensor before = bench::outputs(*model, batch);
  model->freeze();
  Params params(given.options, "the method");
  const auto method = given.method(params);
  params.finish();
  try {
    method->prepare(*model);
    method->attach(*model, *given.tokenizer);
    return "";
  } catch (const Error& error) {
    if (!bench::same(bench::outputs(*model, batch), before)) found.push_back("it refuses the model, but changes it");
    const std::string message = error.what();
    return message.empty() ? "without a word" : message;
  }
}

}  // namespace peftlab::testing
