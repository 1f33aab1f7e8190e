#include <peftlab/testing/conformance.h>

#include <peftlab/error.h>

#include <ATen/autocast_mode.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>

#include <set>
#include <sstream>

namespace peftlab::testing {
namespace {

/// A model with the method on it. `seed` is torch's, right before attach().
struct Bench {
  std::shared_ptr<Model> model;
  std::shared_ptr<Method> method;
  torch::ScalarType type;

  Bench(const MethodCase& given, const Table& options, uint64_t seed, torch::ScalarType type = torch::kFloat32)
      : type(type) {
    model = given.model();
    model->to(type);
    model->freeze();
    Params params(options, "the method");
    torch::manual_seed(seed);
    method = given.method(params);
    params.finish();
    torch::manual_seed(seed);
    method->attach(*model, *given.tokenizer);
    training(false);
  }

  void training(bool on) {
    model->train(on);
    method->train(on);
  }

  /// What is trained, the method's and the base's.
  TensorMap trained() const {
    TensorMap tensors;
    for (const auto& item : method->named_parameters()) {
      if (item.value().requires_grad()) tensors["method: " + item.key()] = item.value();
    }
    for (const auto& [name, tensor] : model->trained_parameters()) tensors["base: " + name] = tensor;
    return tensors;
  }
};

Batch batch_of(const MethodCase& given, torch::ScalarType type = torch::kFloat32) {
  Batch batch = pack(given.examples, given.images);
  if (batch.images.defined()) batch.images = batch.images.to(type);
  return batch;
}

/// The last hidden states, without a gradient.
torch::Tensor outputs(Model& model, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  return model.hidden(batch);
}

/// Mean cross-entropy over the labelled rows.
torch::Tensor loss_of(Model& model, const Batch& batch) {
  const torch::Tensor hidden = model.hidden(batch);
  const torch::Tensor rows = torch::nonzero(batch.labels != kNoLabel).flatten();
  const torch::Tensor logits = model.head(hidden.index_select(0, rows)).to(torch::kFloat32);
  return torch::nn::functional::cross_entropy(logits, batch.labels.index_select(0, rows));
}

/// Trains with Adam and returns the loss before each step; `after_backward` may look at the gradients.
std::vector<double> train(
    Bench& bench, const MethodCase& given, int steps, const std::function<void()>& after_backward = [] {}) {
  std::vector<double> losses;
  std::vector<torch::Tensor> parameters;
  for (const auto& [name, tensor] : bench.trained()) parameters.push_back(tensor);
  std::optional<torch::optim::Adam> adam;
  if (!parameters.empty()) adam.emplace(parameters, torch::optim::AdamOptions(given.learning_rate));
  const Batch batch = batch_of(given, bench.type);
  bench.training(true);
  for (int step = 0; step < steps; ++step) {
    const torch::Tensor loss = loss_of(*bench.model, batch);
    losses.push_back(loss.item<double>());
    if (!adam) continue;
    adam->zero_grad();
    loss.backward();
    after_backward();
    adam->step();
  }
  bench.training(false);
  return losses;
}

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(9);
  (out << ... << parts);
  return out.str();
}

bool same(const torch::Tensor& a, const torch::Tensor& b) { return torch::equal(a, b); }

/// The largest difference as a share of the largest value (of 1 if that is smaller).
double difference(const torch::Tensor& a, const torch::Tensor& b) {
  const double scale = std::max(1.0, b.abs().max().item<double>());
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>() / scale;
}

bool finite(const torch::Tensor& t) { return torch::isfinite(t).all().item<bool>(); }

/// Mixed precision on the CPU, in bfloat16, as long as it lives.
struct Autocast {
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

TensorMap copies(const TensorMap& tensors) {
  TensorMap copy;
  for (const auto& [name, tensor] : tensors) copy[name] = tensor.detach().clone();
  return copy;
}

TensorMap all_parameters(const Model& model) {
  TensorMap tensors;
  for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
  return tensors;
}

/// Runs a law's body; what it throws is a violation.
template <typename Body>
Violations guarded(Body body) {
  Violations found;
  try {
    body(found);
  } catch (const std::exception& error) {
    found.push_back(text("threw: ", error.what()));
  }
  return found;
}

/// attach() must throw UnsupportedError with the words of `refusal`, and leave the model as it was.
void check_refusal(const MethodCase& given, Violations& found) {
  const auto model = given.model();
  model->freeze();
  model->eval();
  const torch::Tensor before = outputs(*model, batch_of(given));
  Params params(given.options, "the method");
  const auto method = given.method(params);
  params.finish();
  try {
    method->attach(*model, *given.tokenizer);
    found.push_back(text("attach() took a model that it is said to refuse for `", given.refusal, "`"));
  } catch (const UnsupportedError& error) {
    if (std::string(error.what()).find(given.refusal) == std::string::npos) {
      found.push_back(text("the refusal of attach() does not say `", given.refusal, "`: ", error.what()));
    }
  }
  if (!model->trained_parameters().empty() || !same(outputs(*model, batch_of(given)), before)) {
    found.push_back("attach() refused the model, but changed it");
  }
}

/// guarded(), for a law that needs the method on the model: where the method cannot work on it, its refusal is judged.
template <typename Body>
Violations on_model(const MethodCase& given, Body body) {
  return guarded([&](Violations& found) {
    if (given.refusal.empty()) {
      body(found);
    } else {
      check_refusal(given, found);
    }
  });
}

/// load() of `files` must throw FormatError naming `name`, and leave the outputs as they are.
void expect_refusal(const MethodCase& given, Bench& bench, const AdapterFiles& files, const std::string& what,
                    const std::string& name, Violations& found) {
  const Batch batch = batch_of(given);
  const torch::Tensor before = outputs(*bench.model, batch);
  try {
    bench.method->load(*bench.model, files);
    found.push_back(text("load() took a file with ", what));
  } catch (const FormatError& error) {
    if (std::string(error.what()).find(name) == std::string::npos) {
      found.push_back(text("the refusal of a file with ", what, " does not name it: ", error.what()));
    }
  }
  if (!same(outputs(*bench.model, batch), before))
    found.push_back(text("a refused file with ", what, " changed the outputs"));
}

}  // namespace

Violations law_defaults(const MethodCase& given) {
  return guarded([&](Violations& found) {
    Params empty({}, "the method");
    given.method(empty);
    for (const OptionProblem& problem : empty.problems()) {
      found.push_back(text("from an empty table: ", problem.name, " ", problem.message));
    }
    for (const OptionSpec& option : empty.declared()) {
      if (option.meaning.empty()) found.push_back(text("option `", option.name, "` has no meaning"));
      if (option.default_.empty() || option.default_ == "(required)") continue;
      Params spelled({{option.name, parse_json(option.default_, option.name)}}, "the method");
      given.method(spelled);
      for (const OptionProblem& problem : spelled.problems()) {
        found.push_back(
            text("with `", option.name, "` spelled out as its default: ", problem.name, " ", problem.message));
      }
    }
  });
}

Violations law_unknown_option(const MethodCase& given) {
  return guarded([&](Violations& found) {
    Params empty({}, "the method");
    given.method(empty);
    const std::string known = empty.declared().empty() ? "" : empty.declared()[0].name;
    const std::string wrong = known.empty() ? "stranger" : known + "x";
    Params misspelled({{wrong, Value(1)}}, "the method");
    given.method(misspelled);
    try {
      misspelled.finish();
      found.push_back(text("option `", wrong, "` was taken"));
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      if (message.find(wrong) == std::string::npos)
        found.push_back(text("the refusal does not name `", wrong, "`: ", message));
      if (!known.empty() && message.find("\"" + known + "\"") == std::string::npos &&
          message.find("`" + known + "`") == std::string::npos) {
        found.push_back(text("the refusal of `", wrong, "` does not name `", known, "`: ", message));
      }
    }
  });
}

Violations law_start(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      const Batch batch = batch_of(given, type);
      auto base = given.model();
      base->to(type);
      base->eval();
      Bench bench(given, given.options, 1, type);
      const bool equal = same(outputs(*bench.model, batch), outputs(*base, batch));
      if (equal != bench.method->starts_at_base()) {
        found.push_back(text("starts_at_base() is ", bench.method->starts_at_base() ? "true" : "false",
                             ", but right after attach() the outputs in ", type, (equal ? " are" : " are not"),
                             " the base's"));
      }
    }
  });
}

Violations law_gradients(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    TensorMap frozen;
    for (const auto& [name, tensor] : all_parameters(*bench.model)) {
      if (!tensor.requires_grad()) frozen[name] = tensor;
    }
    const TensorMap before = copies(frozen);
    const TensorMap trained = bench.trained();
    std::set<std::string> moved, touched;
    train(bench, given, 2, [&] {
      for (const auto& [name, tensor] : frozen) {
        if (tensor.grad().defined()) touched.insert(name);
      }
      for (const auto& [name, tensor] : trained) {
        if (tensor.grad().defined() && tensor.grad().count_nonzero().item<int64_t>() > 0) moved.insert(name);
      }
    });
    for (const std::string& name : touched) found.push_back(text("frozen parameter ", name, " has a gradient"));
    for (const auto& [name, tensor] : before) {
      if (!same(tensor, frozen[name])) found.push_back(text("frozen parameter ", name, " changed"));
    }
    for (const auto& [name, tensor] : trained) {
      if (!moved.count(name)) found.push_back(text("after two steps `", name, "` has had no gradient but zero"));
    }
  });
}

Violations law_learns(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    const bool trains = !bench.trained().empty();
    const std::vector<double> losses = train(bench, given, 31);
    if (trains && !(losses.back() < losses.front())) {
      found.push_back(text("thirty steps took the loss from ", losses.front(), " to ", losses.back()));
    }
    if (!trains && losses.back() != losses.front()) {
      found.push_back(text("nothing is trained, but the loss went from ", losses.front(), " to ", losses.back()));
    }
  });
}

Violations law_round_trip(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench trained(given, given.options, 1);
    train(trained, given, 3);
    const Batch batch = batch_of(given);
    const torch::Tensor wanted = outputs(*trained.model, batch);

    if (trained.method->saves_model()) {
      // The host writes the model: its parameters must be all there is.
      Bench fresh(given, given.options, 2);
      copy_tensors(all_parameters(*trained.model), all_parameters(*fresh.model), "the model");
      if (!same(outputs(*fresh.model, batch), wanted))
        found.push_back("the model's parameters alone do not give its outputs");
      return;
    }

    const AdapterFiles files = trained.method->save(*trained.model);
    for (const auto& [name, tensor] : files.tensors) {
      if (!tensor.is_contiguous() || !tensor.is_cpu())
        found.push_back(text("`", name, "` is not contiguous on the CPU"));
    }
    Bench fresh(given, given.options, 2);
    fresh.method->load(*fresh.model, files);
    if (!same(outputs(*fresh.model, batch), wanted))
      found.push_back("loaded with the same options, the outputs differ");
    const Table options = fresh.method->options_from(files.config);
    Bench described(given, options, 3);
    described.method->load(*described.model, files);
    if (!same(outputs(*described.model, batch), wanted)) {
      found.push_back(text("loaded with the options of its configuration, ", to_json(options), ", the outputs differ"));
    }

    for (const auto member : {&AdapterFiles::tensors, &AdapterFiles::extra}) {
      Bench other(given, given.options, 4);
      AdapterFiles more = files;
      (more.*member)["stranger"] = torch::zeros({1});
      expect_refusal(given, other, more, "a tensor too many", "stranger", found);
      if ((files.*member).empty()) continue;
      const auto& [name, tensor] = *(files.*member).rbegin();
      AdapterFiles reshaped = files;
      (reshaped.*member)[name] = torch::zeros({tensor.numel() + 1});
      expect_refusal(given, other, reshaped, "a tensor of another shape", name, found);
      AdapterFiles fewer = files;
      (fewer.*member).erase(name);
      // A part of the extra file that is left out whole may be a choice of the method's; half of it is not.
      if (member == &AdapterFiles::extra && (fewer.*member).empty()) continue;
      expect_refusal(given, other, fewer, "a tensor missing", name, found);
    }
  });
}

Violations law_merge(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    train(bench, given, 3);
    const Batch batch = batch_of(given);
    const torch::Tensor before = outputs(*bench.model, batch);
    const TensorMap weights = copies(all_parameters(*bench.model));
    try {
      bench.method->merge(*bench.model);
      const double off = difference(outputs(*bench.model, batch), before);
      if (!(off <= 1e-5))
        found.push_back(text("merge() moved the outputs by ", off, " of the largest, more than 1e-5"));
    } catch (const UnsupportedError&) {
      for (const auto& [name, tensor] : all_parameters(*bench.model)) {
        if (!same(tensor, weights.at(name))) found.push_back(text("merge() refused, but changed ", name));
      }
      if (!same(outputs(*bench.model, batch), before)) found.push_back("merge() refused, but changed the outputs");
    }
  });
}

Violations law_seeds(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    const auto losses = [&](uint64_t seed) {
      Bench bench(given, given.options, seed);
      return train(bench, given, 3);
    };
    const auto first = losses(11), again = losses(11), other = losses(12);
    if (first != again)
      found.push_back(text("two runs with one seed end at the losses ", first.back(), " and ", again.back()));
    Bench bench(given, given.options, 11);
    const bool draws = given.seeded && !bench.method->parameters().empty();
    if (draws && first == other) found.push_back(text("two seeds both give the losses up to ", first.back()));
  });
}

Violations law_parameter_count(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    if (!given.parameters) return;
    Bench bench(given, given.options, 1);
    int64_t count = 0;
    for (const auto& [name, tensor] : bench.trained()) count += tensor.numel();
    if (count != *given.parameters)
      found.push_back(text(count, " numbers are trained, the formula says ", *given.parameters));
  });
}

Violations law_types_and_shapes(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      Bench bench(given, given.options, 1, type);
      train(bench, given, 2);  // away from a start at which it may do nothing
      for (const auto& item : bench.method->named_parameters()) {
        if (item.value().scalar_type() != torch::kFloat32)
          found.push_back(text(item.key(), " is ", item.value().dtype()));
      }
      const Batch batch = batch_of(given, type);
      const torch::Tensor all = outputs(*bench.model, batch);
      const int64_t hidden = bench.model->facts().hidden;
      if (all.scalar_type() != type) found.push_back(text("outputs of a base in ", type, " are ", all.dtype()));
      if (all.dim() != 2 || all.size(0) != batch.layout.total() || all.size(1) != hidden) {
        found.push_back(text("outputs are ", all.sizes(), ", wanted [", batch.layout.total(), ", ", hidden, "]"));
        continue;
      }
      if (!finite(all)) found.push_back(text("outputs in ", type, " are not finite"));

      for (auto& [name, tensor] : bench.trained()) tensor.mutable_grad() = torch::Tensor();
      const torch::Tensor loss = loss_of(*bench.model, batch);
      if (!bench.trained().empty()) loss.backward();
      for (const auto& [name, tensor] : bench.trained()) {
        if (tensor.grad().defined() && !finite(tensor.grad()))
          found.push_back(text("the gradient of `", name, "` in ", type, " is not finite"));
      }

      size_t picture = 0;
      for (size_t i = 0; i < given.examples.size(); ++i) {
        std::vector<torch::Tensor> images;
        if (given.examples[i].image_at >= 0) images.push_back(given.images.at(picture++).to(type));
        const torch::Tensor alone = outputs(*bench.model, pack({given.examples[i]}, images));
        const auto& offsets = batch.layout.offsets;
        const double off = difference(alone, all.slice(0, offsets[i], offsets[i + 1]));
        const double allowed = type == torch::kFloat32 ? 1e-5 : 5e-2;
        if (!(off <= allowed))
          found.push_back(text("example ", i, " alone differs from itself in a batch by ", off, " in ", type));
      }
      const torch::Tensor least = outputs(*bench.model, pack({given.shortest}));
      if (least.size(0) != static_cast<int64_t>(given.shortest.tokens.size()) || !finite(least)) {
        found.push_back(text("the shortest sequence gives ", least.sizes(), " in ", type));
      }
    }

    Bench mixed(given, given.options, 1);
    torch::Tensor loss;
    {
      const Autocast autocast;
      loss = loss_of(*mixed.model, batch_of(given));
    }
    if (!finite(loss)) found.push_back("the loss under autocast is not finite");
    if (!mixed.trained().empty()) loss.backward();
    for (const auto& [name, tensor] : mixed.trained()) {
      const torch::Tensor gradient = tensor.grad();
      if (gradient.defined() && (!finite(gradient) || gradient.scalar_type() != torch::kFloat32)) {
        found.push_back(text("the gradient of `", name, "` under autocast is not finite in float32"));
      }
    }
  });
}

Violations law_cache(const MethodCase& given) {
  return on_model(given, [&](Violations& found) {
    Bench bench(given, given.options, 1);
    train(bench, given, 2);
    const torch::NoGradGuard no_grad;
    // The prompts are all but the last three tokens, which are then fed one at a time.
    constexpr int64_t kFed = 3;
    std::vector<Encoded> prompts = given.examples;
    for (Encoded& prompt : prompts) {
      prompt.tokens.resize(prompt.tokens.size() - kFed);
      prompt.labels.resize(prompt.tokens.size());
    }
    const Batch whole = batch_of(given);
    const torch::Tensor wanted = outputs(*bench.model, whole);
    KeyValueCache cache(kFed);
    bench.model->hidden(pack(prompts, given.images), &cache);
    for (int64_t step = 0; step < kFed; ++step) {
      std::vector<Encoded> next;
      std::vector<int64_t> rows;
      for (size_t s = 0; s < given.examples.size(); ++s) {
        const size_t at = prompts[s].tokens.size() + static_cast<size_t>(step);
        next.push_back({{given.examples[s].tokens[at]}, {kNoLabel}, 0, -1});
        rows.push_back(whole.layout.offsets[s] + static_cast<int64_t>(at));
      }
      const torch::Tensor fed = bench.model->hidden(pack(next), &cache);
      const double off = difference(fed, wanted.index_select(0, torch::tensor(rows, torch::kInt64)));
      if (!(off <= 1e-5))
        found.push_back(text("token ", step, " fed through the cache is off by ", off, " of the largest"));
    }
  });
}

const std::vector<Law>& method_laws() {
  static const std::vector<Law> laws = {
      {"defaults", law_defaults},     {"unknown_option", law_unknown_option},
      {"start", law_start},           {"gradients", law_gradients},
      {"learns", law_learns},         {"round_trip", law_round_trip},
      {"merge", law_merge},           {"seeds", law_seeds},
      {"count", law_parameter_count}, {"types_and_shapes", law_types_and_shapes},
      {"cache", law_cache},
  };
  return laws;
}

}  // namespace peftlab::testing
