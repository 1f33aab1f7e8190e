/// The laws of models.

#include "testing/bench.h"
#include "testing/cases.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <torch/optim/adam.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

namespace peftlab::testing {

using namespace bench;

namespace {

/// A model with three short examples.
struct Desk {
  explicit Desk(const ModelCase& given) : model(model_of(given.model, given.config)), facts(model->facts()) {
    for (const Example& example : short_examples(facts)) {
      examples.push_back(model->encode(example, tokenizer, facts.max_length, true));
    }
    images = pictures(examples, facts);
  }
  Batch batch() const { return pack(examples, images); }
  Batch alone(size_t index) const {
    std::vector<torch::Tensor> image;
    size_t picture = 0;
    for (size_t i = 0; i <= index; ++i) {
      if (examples[i].image_at < 0) continue;
      if (i == index) image.push_back(images.at(picture));
      ++picture;
    }
    return pack({examples[index]}, image);
  }

  ToyTokenizer tokenizer;
  std::shared_ptr<Model> model;
  ModelFacts facts;
  std::vector<Encoded> examples;
  std::vector<torch::Tensor> images;
};

Violations law_facts(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const ModelFacts& facts = desk.facts;
    if (std::find(given.names.begin(), given.names.end(), facts.model_type) == given.names.end()) {
      found.push_back(text("its model_type `", facts.model_type, "` is neither its name nor one of its aliases"));
    }
    for (const auto& [name, value] : {std::pair{"vocabulary", facts.vocabulary},
                                      {"hidden", facts.hidden},
                                      {"layers", facts.layers},
                                      {"max_length", facts.max_length}}) {
      if (value < 1) found.push_back(text(name, " is ", value));
    }
    if (facts.head_width * facts.heads != facts.hidden && facts.heads > 0) {
      found.measured.push_back(text(facts.heads, " heads of ", facts.head_width, " beside a width of ", facts.hidden));
    }
    const torch::Tensor table = desk.model->embedding_table();
    if (table.dim() != 2 || table.size(0) != facts.vocabulary) {
      found.push_back(text("the embedding table is ", table.sizes(), ", the vocabulary ", facts.vocabulary));
    }
    if (facts.images && facts.image_tokens < 1) found.push_back("it takes pictures, but they become no tokens");
    int64_t numbers = 0;
    for (const auto& [name, tensor] : all_parameters(*desk.model)) numbers += tensor.numel();
    found.measured.push_back(text(numbers, " parameters, width ", facts.hidden, ", ", facts.layers, " layers"));
  });
}

void check_encoded(const Encoded& encoded, const ModelFacts& facts, bool with_target, int64_t limit, const char* what,
                   Violations& found) {
  if (encoded.tokens.empty()) return found.push_back(text(what, " has no tokens"));
  if (encoded.labels.size() != encoded.tokens.size()) {
    return found.push_back(
        text(what, " has ", encoded.tokens.size(), " tokens and ", encoded.labels.size(), " labels"));
  }
  if (static_cast<int64_t>(encoded.tokens.size()) > limit) {
    found.push_back(text(what, " has ", encoded.tokens.size(), " tokens, max_length was ", limit));
  }
  for (const int64_t id : encoded.tokens) {
    if (id < 0 || id >= facts.vocabulary) {
      return found.push_back(text(what, " has the id ", id, ", the vocabulary is ", facts.vocabulary));
    }
  }
  const int64_t classes = facts.labels.empty() ? facts.vocabulary : static_cast<int64_t>(facts.labels.size());
  int64_t labelled = 0;
  for (const int64_t label : encoded.labels) {
    if (label == kNoLabel) continue;
    ++labelled;
    if (label < 0 || label >= classes) found.push_back(text(what, " has the label ", label, " of ", classes));
  }
  if (with_target && labelled == 0) found.push_back(text(what, " has a target but no label"));
  if (!with_target && labelled > 0) found.push_back(text(what, " has no target but ", labelled, " labels"));
}

Violations law_encode(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    for (const Example& example : short_examples(desk.facts)) {
      for (const bool with_target : {true, false}) {
        check_encoded(desk.model->encode(example, desk.tokenizer, desk.facts.max_length, with_target), desk.facts,
                      with_target, desk.facts.max_length, with_target ? "an example" : "a prompt", found);
      }
    }
    // Cut to little more than a picture takes.
    Example longer{.prompt = std::string(40, 'a'), .target = std::string(40, 'b')};
    if (!desk.facts.labels.empty()) longer.label = desk.facts.labels.front();
    const int64_t limit = std::min<int64_t>(desk.facts.max_length, 24);
    const Encoded cut = desk.model->encode(longer, desk.tokenizer, limit, true);
    found.measured.push_back(text("80 letters cut to ", cut.tokens.size(), " tokens of ", limit));
    if (static_cast<int64_t>(cut.tokens.size()) > limit) {
      found.push_back(text("cut to ", limit, " tokens an example has ", cut.tokens.size()));
    }
  });
}

Violations law_shapes(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const torch::NoGradGuard no_grad;
    const Batch batch = desk.batch();
    const torch::Tensor hidden = desk.model->hidden(batch);
    if (hidden.dim() != 2 || hidden.size(0) != batch.layout.total() || hidden.size(1) != desk.facts.hidden) {
      return found.push_back(
          text("hidden() gives ", hidden.sizes(), ", wanted [", batch.layout.total(), ", ", desk.facts.hidden, "]"));
    }
    const int64_t wanted = desk.facts.labels.empty() ? desk.facts.vocabulary : desk.facts.labels.size();
    const torch::Tensor logits = desk.model->head(hidden.slice(0, 0, 2));
    if (logits.dim() != 2 || logits.size(0) != 2 || logits.size(1) != wanted) {
      found.push_back(text("head() of two rows gives ", logits.sizes(), ", wanted [2, ", wanted, "]"));
    }
    if (!finite(hidden) || !finite(logits)) found.push_back("outputs are not finite");
    found.measured.push_back(text("hidden ", hidden.sizes(), ", logits ", logits.sizes()));
  });
}

Violations law_repeats(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given), other(given);
    const torch::Tensor first = outputs(*desk.model, desk.batch());
    if (!same(first, outputs(*desk.model, desk.batch()))) found.push_back("the same batch gives other outputs");
    if (!same(first, outputs(*other.model, other.batch()))) {
      found.push_back("two models of one seed give other outputs");
    }
  });
}

Violations law_neighbours(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const Batch batch = desk.batch();
    const torch::Tensor all = outputs(*desk.model, batch);
    double most = 0.0;
    for (size_t i = 0; i < desk.examples.size(); ++i) {
      const auto& offsets = batch.layout.offsets;
      most = std::max(most, difference(outputs(*desk.model, desk.alone(i)), all.slice(0, offsets[i], offsets[i + 1])));
    }
    found.measured.push_back(text("largest difference ", most));
    if (!(most <= 1e-5)) found.push_back(text("alone a sequence differs by ", most, " from itself in a batch"));
  });
}

Violations law_rows(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const torch::NoGradGuard no_grad;
    const Batch batch = desk.batch();
    const torch::Tensor all = desk.model->hidden(batch);
    // The last row of each sequence, every second row, and every row.
    std::vector<std::vector<int64_t>> asked(3);
    for (int64_t s = 0; s < batch.layout.sequences(); ++s) asked[0].push_back(batch.layout.offsets[s + 1] - 1);
    for (int64_t i = 0; i < batch.layout.total(); ++i) {
      if (i % 2 == 1) asked[1].push_back(i);
      asked[2].push_back(i);
    }
    double most = 0.0;
    for (const auto& some : asked) {
      const torch::Tensor rows = torch::tensor(some, torch::kInt64), read = desk.model->hidden_at(batch, rows);
      const torch::Tensor wanted = all.index_select(0, rows);
      if (read.sizes() != wanted.sizes()) {
        return found.push_back(text("hidden_at() gives ", read.sizes(), ", wanted ", wanted.sizes()));
      }
      most = std::max(most, difference(read, wanted));
    }
    found.measured.push_back(text("largest difference ", most));
    if (!(most <= 1e-5)) found.push_back(text("hidden_at() differs by ", most, " from hidden()"));
  });
}

Violations law_model_cache(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    if (!desk.facts.labels.empty()) {
      found.measured.push_back("a classifier answers at once: not tried");
      return;
    }
    const torch::NoGradGuard no_grad;
    const Batch whole = desk.batch();
    const torch::Tensor wanted = outputs(*desk.model, whole);
    constexpr size_t kFed = 2;
    std::vector<Encoded> prompts = desk.examples;
    for (Encoded& prompt : prompts) {
      if (prompt.tokens.size() <= kFed + 1) return found.push_back("an example of several letters has three tokens");
      prompt.tokens.resize(prompt.tokens.size() - kFed);
      prompt.labels.resize(prompt.tokens.size());
    }
    KeyValueCache cache(kFed);
    desk.model->hidden(pack(prompts, desk.images), &cache);
    double most = 0.0;
    for (size_t step = 0; step < kFed; ++step) {
      std::vector<Encoded> next;
      std::vector<int64_t> rows;
      for (size_t s = 0; s < prompts.size(); ++s) {
        const size_t at = prompts[s].tokens.size() + step;
        next.push_back({{desk.examples[s].tokens[at]}, {kNoLabel}, 0, -1});
        rows.push_back(whole.layout.offsets[s] + static_cast<int64_t>(at));
      }
      most = std::max(most, difference(desk.model->hidden(pack(next), &cache),
                                       wanted.index_select(0, torch::tensor(rows, torch::kInt64))));
    }
    found.measured.push_back(text("largest difference ", most));
    if (!(most <= 1e-5)) found.push_back(text("tokens fed through the cache are off by ", most, " of the largest"));
  });
}

Violations law_model_gradients(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    loss_of(*desk.model, desk.batch()).backward();
    int64_t count = 0;
    const auto tied = desk.model->tied();
    for (const auto& [name, tensor] : all_parameters(*desk.model)) {
      ++count;
      if (!tensor.grad().defined() && tied.count(name) == 0) found.push_back(text(name, " has no gradient"));
      if (tensor.grad().defined() && !finite(tensor.grad()))
        found.push_back(text("the gradient of ", name, " is not finite"));
    }
    desk.model->freeze();
    if (!desk.model->trained_parameters().empty()) found.push_back("freeze() leaves parameters that are trained");
    found.measured.push_back(text(count, " parameters"));
  });
}

Violations law_model_learns(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    torch::optim::Adam adam(desk.model->parameters(), torch::optim::AdamOptions(3e-3));
    double first = 0.0, last = 0.0;
    for (int step = 0; step <= 30; ++step) {
      const torch::Tensor loss = loss_of(*desk.model, desk.batch());
      last = loss.item<double>();
      if (step == 0) first = last;
      adam.zero_grad();
      loss.backward();
      adam.step();
    }
    found.measured.push_back(text("loss ", first, " to ", last));
    if (!(last < first)) found.push_back(text("thirty steps took the loss from ", first, " to ", last));
  });
}

Violations law_sites(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const TensorMap parameters = all_parameters(*desk.model);
    std::set<std::string> names;
    for (const Linear* site : desk.model->linear_sites()) {
      if (!names.insert(site->name).second) found.push_back(text("two linear sites are called ", site->name));
      if (parameters.count(site->name + ".weight") == 0) {
        found.push_back(text("the linear site ", site->name, " has no parameter ", site->name, ".weight"));
      }
    }
    const auto targets = desk.model->default_lora_targets();
    if (!names.empty() && targets.empty()) found.push_back("it names no default_lora_targets()");
    if (!targets.empty()) desk.model->linear_sites(targets);  // throws where one names none
    const auto attention = desk.model->attention_sites();
    if (!attention.empty() && static_cast<int64_t>(attention.size()) != desk.facts.layers) {
      found.push_back(text("there are ", attention.size(), " attention sites in ", desk.facts.layers, " layers"));
    }
    const std::string front = desk.model->front_prefix(), head = desk.model->classification_head();
    const auto begins = [&](const std::string& prefix) {
      return std::any_of(parameters.begin(), parameters.end(),
                         [&](const auto& p) { return p.first.starts_with(prefix); });
    };
    if (!front.empty() && !begins(front)) found.push_back(text("no parameter begins with front_prefix() ", front));
    if (!head.empty() && !begins(head + "."))
      found.push_back(text("classification_head() ", head, " has no parameters"));
    for (const auto& [name, original] : desk.model->tied()) {
      if (parameters.count(original) == 0)
        found.push_back(text(name, " is tied to ", original, ", which is no parameter"));
    }
    found.measured.push_back(text(names.size(), " linear, ", desk.model->sublayer_sites().size(), " sublayer and ",
                                  attention.size(), " attention sites"));
  });
}

Violations law_methods(const ModelCase& given) {
  return guarded([&](Violations& found) {
    int64_t work = 0;
    for (const auto& [name, method] : given.methods) {
      const MethodCase trial = model_case(method, {}, given.model, given.config);
      if (const std::string refusal = refusal_of(trial, found); !refusal.empty()) {
        found.measured.push_back(name + " refuses it: " + refusal.substr(0, refusal.find('\n')));
        continue;
      }
      ++work;
      found.measured.push_back(name + " works on it");
      for (const auto& law : {law_start, law_gradients, law_round_trip}) {
        for (const std::string& violation : law(trial)) found.push_back(name + ": " + violation);
      }
    }
    if (work == 0 && !given.methods.empty()) found.push_back("no method works on it");
  });
}

Violations law_bfloat16(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const torch::Tensor wanted = outputs(*desk.model, desk.batch());
    desk.model->to(torch::kBFloat16);
    Batch batch = desk.batch();
    if (batch.images.defined()) batch.images = batch.images.to(torch::kBFloat16);
    const torch::Tensor got = outputs(*desk.model, batch);
    if (got.scalar_type() != torch::kBFloat16) found.push_back(text("outputs are ", got.dtype()));
    if (!finite(got)) return found.push_back("outputs are not finite");
    const double off = difference(got, wanted);
    found.measured.push_back(text("largest difference to float32 ", off));
    if (!(off <= 0.2)) found.push_back(text("outputs are off float32's by ", off, " of the largest"));
  });
}

Violations law_tensors(const ModelCase& given) {
  return guarded([&](Violations& found) {
    const Desk desk(given);
    const auto other = model_of(given.model, given.config, /*seed=*/8);
    const TensorMap from = all_parameters(*desk.model);
    const torch::NoGradGuard no_grad;
    for (auto& [name, tensor] : all_parameters(*other)) {
      const auto found_tensor = from.find(name);
      if (found_tensor == from.end() || found_tensor->second.sizes() != tensor.sizes()) {
        found.push_back(text("two models of one config.json differ in the parameter ", name));
        continue;
      }
      torch::Tensor(tensor).copy_(found_tensor->second);
    }
    if (!same(outputs(*desk.model, desk.batch()), outputs(*other, desk.batch()))) {
      found.push_back("with the same parameters another model gives other outputs: it keeps something beside them");
    }
  });
}

}  // namespace

const std::vector<LawOf<ModelCase>>& model_laws() {
  static const std::vector<LawOf<ModelCase>> laws = {
      {"facts", "facts() says what config.json says", "a field of ModelFacts is not filled", law_facts},
      {"encode", "examples have tokens of the vocabulary, labels where there is a target, and are cut to max_length",
       "labels are not shifted by one, or the cut takes the answer", law_encode},
      {"shapes", "hidden() gives [total, hidden], head() [rows, vocabulary or classes], all finite",
       "a parameter has no first value (blocks leave theirs undrawn), or a dimension for the batch is left in",
       law_shapes},
      {"repeats", "the same batch and the same seed give the same outputs",
       "dropout outside training, or a generator that is not LibTorch's", law_repeats},
      {"neighbours", "a sequence's outputs do not depend on the others of its batch",
       "a state or a mask crosses the offsets of the Layout", law_neighbours},
      {"rows", "hidden_at() gives the rows of hidden()",
       "the last layer's residual, or its positions, are of other rows", law_rows},
      {"cache", "tokens fed one by one through a cache give what one pass gives",
       "positions begin at zero again, or advance() is not called", law_model_cache},
      {"gradients", "every parameter has a finite gradient; freeze() leaves none",
       "a parameter is registered but not used", law_model_gradients},
      {"learns", "thirty steps on one batch lower the loss", "labels belong to other rows, or a layer is detached",
       law_model_learns},
      {"sites", "sites are named after parameters, and what is named exists",
       "a Linear is not registered as a module, or a name is stale", law_sites},
      {"methods", "methods work on it, or refuse it and change nothing",
       "the sites are there, but the forward pass goes around them", law_methods},
      {"bfloat16", "in bfloat16 outputs are finite and near float32's", "a constant or buffer stays in float32",
       law_bfloat16},
      {"tensors", "a model is its parameters: copied into another, they give the same outputs",
       "a buffer that is drawn at random, or a tensor that is no parameter", law_tensors},
  };
  return laws;
}

}  // namespace peftlab::testing
