#pragma once

/// \file
/// Small hand-made stores for tests of store/ and report/.

#include "store/store.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace peftlab::store::testing {

/// A sha256 of one repeated digit.
inline std::string sha(char digit) {
  return std::string(64, digit);
}

/// A folder of its own for each test, gone after it, with a store in it.
class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : folder_(make_folder()), store_(Store::open(folder_ / "s", Mode::read_write_create)) {}
  ~StoreTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path path() const { return folder_ / "s"; }

  /// Starts (or goes on with) an experiment: one variant a label; the first label is the baseline.
  std::map<std::string, Id> begin(const std::vector<std::string>& labels, const std::string& primary = "accuracy",
                                  const std::string& experiment = "e") {
    std::vector<Variant> variants;
    for (const std::string& label : labels) {
      variants.push_back({"key-" + label,
                          label,
                          label == "none" || label == "full" ? label : "lora",
                          {"lora"},
                          Table{{"label", label}, {"rate", 0.5}},
                          variants.empty()});
    }
    const std::vector<Id> ids = store_.begin_invocation({experiment, "# the file", primary}, variants);
    std::map<std::string, Id> by_label;
    for (size_t i = 0; i < labels.size(); ++i) by_label[labels[i]] = ids[i];
    return by_label;
  }

  std::string start(Id variant, int64_t seed) {
    const std::string run = store_.create_run(variant, seed, inputs());
    store_.start_run(run, store_.add_environment({{"cpu", "abacus"}, {"cores", 2}}), "test");
    return run;
  }

  RunInputs inputs() {
    return {store_.add_base_model({"models/base", "toy", 1000, "float32", sha('b')}),
            {store_.add_dataset({"pairs", "test", "data/test.csv", 10, sha('d')})},
            {store_.add_plugin({"lora", "method", "plugins/lora.so", sha('e'), 1, "2.11.0"})}};
  }

  /// A finished run with these scores on test; 100 of 1000 parameters, 2 s, 5 MB.
  std::string finish(Id variant, int64_t seed, const std::vector<Score>& scores) {
    const std::string run = start(variant, seed);
    store_.put_scores(run, scores);
    store_.put_cost(run, {"train", 2000, 3000, 5'000'000, {}});
    store_.finish_run(run, {sha('a'), 100, 1000});
    return run;
  }
  std::string finish(Id variant, int64_t seed, double accuracy) {
    return finish(variant, seed, {{"accuracy", "test", accuracy, 10, true}});
  }

  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "peftlab-store-XXXXXX").string();
    if (!mkdtemp(name.data())) throw StoreError("cannot make " + name);
    return name;
  }

  std::filesystem::path folder_;
  Store store_;
};

}  // namespace peftlab::store::testing
