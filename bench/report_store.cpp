/// Makes a store with 1,000 finished runs for timing `peftlab report`: 20 methods, 50 seeds, 200 points a run.
///
///   bench_report_store FOLDER && time peftlab report --store FOLDER -o page.html

#include "store/store.h"

#include <cmath>
#include <iostream>

int main(int n_words, char** words) {
  using namespace peftlab;
  using namespace peftlab::store;
  if (n_words != 2) {
    std::cerr << "usage: bench_report_store FOLDER\n";
    return 2;
  }
  auto store = Store::open(words[1], Mode::read_write_create);
  std::vector<Variant> variants;
  for (int i = 0; i < 20; ++i) {
    const std::string label = "method-" + std::to_string(i);
    variants.push_back({label, label, "lora", {"lora"}, Table{{"rank", i + 1}}, i == 0});
  }
  const std::vector<Id> ids = store.begin_invocation({"thousand", "# generated", "accuracy"}, variants);
  const std::string sha(64, 'a');
  const Id environment = store.add_environment({{"cpu", "generated"}});
  const RunInputs inputs{store.add_base_model({"base", "toy", 1000, "float32", sha}),
                         {store.add_dataset({"pairs", "test", "test.csv", 10, sha})},
                         {}};
  for (size_t i = 0; i < ids.size(); ++i) {
    for (int seed = 0; seed < 50; ++seed) {
      const std::string run = store.create_run(ids[i], seed, inputs);
      store.start_run(run, environment, "bench");
      std::vector<MetricPoint> points;
      for (int step = 1; step <= 200; ++step)
        points.push_back({"train/loss", step, 3.0 / std::sqrt(step) + 0.001 * seed});
      store.append_points(run, points);
      const Score score{"accuracy", "test", 0.5 + 0.01 * static_cast<double>(i) + 0.001 * (seed % 7), 10, true};
      store.put_scores(run, std::span(&score, 1));
      store.put_cost(run, {"train", 2000 + seed, {}, 5'000'000, {}});
      store.finish_run(run, {sha, 100, 1000});
    }
  }
}
