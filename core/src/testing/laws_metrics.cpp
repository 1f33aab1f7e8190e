/// The laws of metrics.

#include "testing/laws_options.h"

#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

#include <cmath>
#include <set>

namespace peftlab::testing {

using namespace bench;

namespace {

std::unique_ptr<Metric> make(const MetricCase& given) {
  Params params(given.options, "the metric");
  auto metric = given.metric(params);
  params.finish();
  return metric;
}

/// A split of four examples with a model that finds the first reference likeliest.
ToyJudged split(const std::vector<std::string>& predictions) {
  const ToyJudged::References references = {
      {"the cat sat on the mat"}, {"a dog runs"}, {"two birds in a tall tree"}, {"the sun is low"}};
  ToyJudged judged(predictions, references, [references](const Candidate& candidate) {
    const bool right = candidate.text == *references.at(candidate.example).front();
    return Likelihood{right ? -1.5 : -4.0 - 0.125 * static_cast<double>(candidate.text.size() % 7), 3};
  });
  judged.set_mean_loss(0.75);
  return judged;
}

const std::vector<std::string> kRight = {"the cat sat on the mat", "a dog runs", "two birds in a tall tree",
                                         "the sun is low"};
const std::vector<std::string> kHalf = {"the cat sat on a mat", "a cow runs", "two birds in a tall tree", "it rains"};
const std::vector<std::string> kWrong = {"zzz yyy", "xxx", "www vvv uuu", "ttt"};

/// Named like labels, for metrics of classes.
ToyJudged classes(const std::vector<std::string>& predictions) {
  ToyJudged judged(predictions, {{"yes"}, {"no"}, {"yes"}, {"no"}}, [](const Candidate&) {
    return Likelihood{-1.0, 1};
  });
  judged.set_mean_loss(0.5);
  return judged;
}

std::string described(const std::vector<Score>& scores) {
  std::string all;
  for (const Score& score : scores) all += text(all.empty() ? "" : ", ", score.name, " ", score.value);
  return all;
}

Violations law_scores(const MetricCase& given) {
  return guarded([&](Violations& found) {
    ToyJudged judged = split(kHalf);
    const auto scores = make(given)->compute(judged);
    if (scores.empty()) return found.push_back("it gives no score");
    if (scores.front().name != given.name) {
      found.push_back(text("its first score is called `", scores.front().name, "`, not `", given.name, "`"));
    }
    std::set<std::string> names;
    for (const Score& score : scores) {
      if (!names.insert(score.name).second) found.push_back(text("two scores are called `", score.name, "`"));
      if (!std::isfinite(score.value)) found.push_back(text("`", score.name, "` is ", score.value));
      if (score.n_items < 1) found.push_back(text("`", score.name, "` is over ", score.n_items, " items"));
    }
    found.measured.push_back(described(scores));
  });
}

Violations law_repeatable(const MetricCase& given) {
  return guarded([&](Violations& found) {
    const auto metric = make(given);
    ToyJudged first = split(kHalf), between = split(kWrong), again = split(kHalf), fresh = split(kHalf);
    const auto wanted = metric->compute(first);
    metric->compute(between);
    if (metric->compute(again) != wanted) found.push_back("after another split the same one gives other scores");
    if (make(given)->compute(fresh) != wanted) found.push_back("a new object gives other scores");
  });
}

Violations law_items(const MetricCase& given) {
  return guarded([&](Violations& found) {
    ToyJudged judged = split(kHalf);
    int64_t itemized = 0;
    for (const Score& score : make(given)->compute(judged)) {
      if (score.per_item.empty()) continue;
      ++itemized;
      if (static_cast<int64_t>(score.per_item.size()) != judged.size()) {
        found.push_back(
            text("`", score.name, "` has ", score.per_item.size(), " items of ", judged.size(), " examples"));
        continue;
      }
      double sum = 0.0;
      for (const double item : score.per_item) sum += item;
      const double mean = sum / static_cast<double>(score.per_item.size());
      if (!(std::abs(mean - score.value) <= 1e-9 * std::max(1.0, std::abs(score.value)))) {
        found.push_back(text("the mean of the items of `", score.name, "` is ", mean, ", its value ", score.value));
      }
    }
    found.measured.push_back(text(itemized, " scores with items"));
  });
}

Violations law_direction(const MetricCase& given) {
  return guarded([&](Violations& found) {
    // Sentences, and classes for metrics that judge nothing else.
    ToyJudged right = split(kRight), wrong = split(kWrong);
    ToyJudged right_class = classes({"yes", "no", "yes", "no"}), wrong_class = classes({"no", "yes", "no", "yes"});
    const auto compare = [&](ToyJudged& good, ToyJudged& bad, const char* what) {
      const Score better = make(given)->compute(good).front(), worse = make(given)->compute(bad).front();
      found.measured.push_back(text(what, ": right ", better.value, ", wrong ", worse.value));
      if (better.higher_is_better ? better.value < worse.value : better.value > worse.value) {
        found.push_back(text(what, ": right answers score ", better.value, ", wrong ones ", worse.value, ", and ",
                             better.higher_is_better ? "higher" : "lower", " is said to be better"));
      }
    };
    compare(right, wrong, "sentences");
    compare(right_class, wrong_class, "classes");
  });
}

Violations law_strange_texts(const MetricCase& given) {
  return guarded([&](Violations& found) {
    const std::vector<std::vector<std::string>> strange = {
        {"", "", "", ""},
        {"\xff\xfe", "\xc3", "a\0b", "\xed\xa0\x80"},
        {std::string(20000, 'a'), std::string(5000, ' '), "\n\n", "\t"},
        {"中文 混合 text", "Ünïcödé", "🙂🙂", "\u202e rtl"},
    };
    int64_t numbers = 0;
    for (const auto& predictions : strange) {
      ToyJudged judged = split(predictions);
      try {
        for (const Score& score : make(given)->compute(judged)) {
          ++numbers;
          if (!std::isfinite(score.value))
            found.push_back(text("`", score.name, "` of strange texts is ", score.value));
        }
      } catch (const Error&) {  // says so
      }
    }
    ToyJudged one({"a"}, {{"a"}}, [](const Candidate&) { return Likelihood{-1.0, 1}; });
    one.set_mean_loss(1.0);
    try {
      for (const Score& score : make(given)->compute(one)) {
        if (!std::isfinite(score.value)) found.push_back(text("`", score.name, "` of one example is ", score.value));
      }
    } catch (const Error&) {
    }
    found.measured.push_back(text(numbers, " scores"));
  });
}

Violations law_without_model(const MetricCase& given) {
  return guarded([&](Violations& found) {
    ToyJudged judged(kHalf, {{"the cat sat on the mat"}, {"a dog runs"}, {"two birds"}, {"the sun is low"}});
    try {
      make(given)->compute(judged);
      found.measured.push_back("it needs no model");
    } catch (const UnsupportedError& error) {
      found.measured.push_back(text("it needs a model: ", error.what()));
    }
  });
}

Violations law_metric_defaults(const MetricCase& given) {
  return options_have_sound_defaults([&](Params& params) { given.metric(params); });
}

Violations law_metric_unknown(const MetricCase& given) {
  return unknown_options_are_refused([&](Params& params) { given.metric(params); });
}

}  // namespace

const std::vector<LawOf<MetricCase>>& metric_laws() {
  static const std::vector<LawOf<MetricCase>> laws = {
      {"defaults", "it is made from an empty table; options have meanings and sound defaults",
       "a default that its own check() refuses, or p.get() without a meaning", law_metric_defaults},
      {"unknown_option", "an option it does not know is refused by name, with the nearest there is",
       "the constructor reads all keys it is given, or calls ignore()", law_metric_unknown},
      {"scores", "scores are named, the first like the plugin; they are finite and counted",
       "n_items is not filled, or 0 is divided by 0", law_scores},
      {"repeatable", "the same split gives the same scores, whatever was judged before",
       "counts are members and are not set back", law_repeatable},
      {"items", "where there are parts, there is one for each example, and the score is their mean",
       "examples are left out, or the score is no mean: then per_item stays empty", law_items},
      {"direction", "right answers score no worse than wrong ones",
       "higher_is_better is left at true for an error rate", law_direction},
      {"strange_texts", "empty, long and broken texts and a single example give numbers or an Error",
       "a division by a length, or an assumption of valid UTF-8", law_strange_texts},
      {"without_model", "where there is no model, it does without one or lets UnsupportedError through",
       "it catches the error and makes a number up, or asks for likelihoods it does not use", law_without_model},
  };
  return laws;
}

}  // namespace peftlab::testing
