/// Makes a store of finished runs for timing what reads it: 20 methods and 50 seeds an experiment, so many points a run.
///
///   bench_generated_store FOLDER EXPERIMENTS POINTS

#include "store/store.h"

#include <cmath>
#include <iostream>

namespace {

using namespace peftlab;
using namespace peftlab::store;

void add_experiment(Store& store, const std::string& name, int points_of_run) {
  std::vector<Variant> variants;
  for (int i = 0; i < 20; ++i) {
    const std::string label = "method-" + std::to_string(i);
    variants.push_back({label, label, "lora", {"lora"}, Table{{"rank", i + 1}}, i == 0});
  }
  const std::vector<Id> ids = store.begin_invocation({name, "# generated", "accuracy"}, variants);
  const std::string sha(64, 'a');
  const Id environment = store.add_environment({{"cpu", "generated"}});
  const RunInputs inputs{store.add_base_model({"base", "toy", 1000, "float32", sha}),
                         {store.add_dataset({"pairs", "test", "test.csv", 10, sha})},
                         {}};
  std::vector<MetricPoint> points;
  for (int step = 1; step <= points_of_run; ++step) points.push_back({"train/loss", step, 3.0 / std::sqrt(step)});
  for (size_t i = 0; i < ids.size(); ++i) {
    for (int seed = 0; seed < 50; ++seed) {
      const std::string run = store.create_run(ids[i], seed, inputs);
      store.start_run(run, environment, "bench");
      store.append_points(run, points);
      const Score score{"accuracy", "test", 0.5 + 0.01 * static_cast<double>(i) + 0.001 * (seed % 7), 10, true};
      store.put_scores(run, std::span(&score, 1));
      store.put_cost(run, {"train", 2000 + seed, {}, 5'000'000, {}});
      store.finish_run(run, {sha, 100, 1000});
    }
  }
}

}  // namespace

int main(int n_words, char** words) {
  if (n_words != 4) {
    std::cerr << "usage: bench_generated_store FOLDER EXPERIMENTS POINTS\n";
    return 2;
  }
  auto store = Store::open(words[1], Mode::read_write_create);
  const int n = std::stoi(words[2]);
  for (int i = 0; i < n; ++i) add_experiment(store, "experiment-" + std::to_string(i), std::stoi(words[3]));
}
