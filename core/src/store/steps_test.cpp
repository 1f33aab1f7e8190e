/// What reading one experiment costs, in steps of SQLite's virtual machine: nothing more in a store that holds others.

#include "store/test_store.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <functional>

namespace peftlab::store {
namespace {

using testing::StoreTest;

int64_t n_steps = 0;

int count_step(void*) {
  ++n_steps;
  return 0;
}

int count_steps_of(sqlite3* db, char**, const sqlite3_api_routines*) {
  sqlite3_progress_handler(db, 1, count_step, nullptr);
  return SQLITE_OK;
}

/// Counts the steps of all connections opened while one of these lives.
class StepCounter {
 public:
  StepCounter() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(count_steps_of)); }
  ~StepCounter() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(count_steps_of)); }
  StepCounter(const StepCounter&) = delete;
  StepCounter& operator=(const StepCounter&) = delete;
};

class Steps : public StoreTest {
 protected:
  /// Two methods with two seeds each; every run was resumed and lacks the time of its first segment.
  void add(const std::string& experiment) {
    for (const auto& [label, id] : begin({"full", "lora"}, "accuracy", experiment)) {
      for (const int64_t seed : {0, 1}) {
        const std::string run = start(id, seed);
        store_.append_points(run, std::vector<MetricPoint>{{"train/loss", 1, 2.0}, {"train/loss", 2, 1.0}});
        store_.interrupt_run(run);
        store_.start_run(run, store_.add_environment({}), "test");
        store_.put_scores(run,
                          std::vector<Score>{{"accuracy", "test", 0.5, 10, true}, {"loss", "test", 1.0, 10, false}});
        store_.put_cost(run, {"train", 2000, 3000, 5'000'000, {}});
        store_.finish_run(run, {testing::sha('a'), 100, 1000});
      }
    }
  }

  /// Of each way to read the experiment "e".
  std::map<std::string, int64_t> count() {
    const std::map<std::string, std::function<void(const Store&)>> ways{
        {"base_scores", [](const Store& store) { store.base_scores("e"); }},
        {"choices", [](const Store& store) { store.choices("e"); }},
        {"compare", [](const Store& store) { store.compare("e"); }},
        {"experiments", [](const Store& store) { store.experiments("e"); }},
        {"paired", [](const Store& store) { store.paired("e"); }},
        {"progress", [](const Store& store) { store.progress("e"); }},
        {"resolve_experiment", [](const Store& store) { store.resolve_experiment("e"); }},
        {"runs", [](const Store& store) { store.runs("e"); }}};
    const StepCounter counter;
    const Store store = Store::open(path(), Mode::read_only);
    std::map<std::string, int64_t> steps;
    for (const auto& [name, read] : ways) {
      n_steps = 0;
      read(store);
      steps[name] = n_steps;
    }
    return steps;
  }
};

TEST_F(Steps, OfAnExperimentAreTheSameInALargerStore) {
  for (const char* one : {"d", "e", "f"}) add(one);  // neighbours: to read to the end of an index takes a step less
  const std::map<std::string, int64_t> small = count();
  for (const auto& [name, steps] : small) EXPECT_GT(steps, 0) << name;
  for (const char* other : {"a", "b", "c", "g", "h"}) add(other);
  for (const auto& [name, steps] : count()) EXPECT_EQ(steps, small.at(name)) << name;
}

}  // namespace
}  // namespace peftlab::store
