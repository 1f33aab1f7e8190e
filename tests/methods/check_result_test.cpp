/// What is said of a saved result, with more and with less memory for a second model.

#include "run/check_result.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdlib>
#include <limits>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPlenty = std::numeric_limits<int64_t>::max();

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

/// LLaMA under a method, trained by chance and saved.
class CheckSaved : public ::testing::Test {
 protected:
  void TearDown() override { fs::remove_all(folder_); }

  void train(const std::string& method, const Table& options = {}) {
    const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
    if (!source) throw Error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
    spec_.model_path = (fs::path(source) / "tests/oracle/causal_models/llama").string();
    spec_.model_init = "pretrained";
    spec_.model_dtype = "float32";
    spec_.methods = {{method, options}};
    auto methods = attach::make_methods(spec_.methods, plugins());
    session_ = attach::open_model({.folder = spec_.model_path}, plugins(), torch::kCPU, methods);
    attach::attach_methods(session_, std::move(methods), 0);
    const torch::NoGradGuard no_grad;
    torch::manual_seed(1);
    for (const auto& [name, tensor] : session_.trained()) torch::Tensor(tensor).add_(0.1 * torch::randn_like(tensor));
    session_.set_training(false);
    saved_ = attach::save_result(session_, folder_);
  }

  std::optional<Table> check(std::optional<int64_t> free) const {
    return check_saved(session_, saved_, spec_, plugins(), free);
  }

  static std::vector<std::string> names(const Table& table) {
    std::vector<std::string> names;
    for (const auto& [name, value] : table) names.push_back(name);
    return names;
  }

  const fs::path folder_ = fs::temp_directory_path() / ("peftlab_check_result_" + std::to_string(getpid()));
  plan::RunSpec spec_;
  attach::Session session_;
  attach::SavedResult saved_;
};

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(CheckSaved, OfAQuantizedBaseCountsItsMapsInFull) {
  train("qlora", {{"block_size", 32}});
  const int64_t bytes = session_.base_bytes(), in_full = session_.base_bytes_in_full();
  int64_t parameters = 0;
  {
    const auto plain = attach::open_model({.folder = spec_.model_path}, plugins(), torch::kCPU);
    for (const torch::Tensor& tensor : plain.model->parameters()) parameters += tensor.numel();
  }
  EXPECT_EQ(in_full, parameters * 4);
  EXPECT_LT(bytes, in_full);

  const auto all = check(3 * in_full), loaded = check(3 * in_full - 1), nothing = check(3 * bytes - 1);
  ASSERT_TRUE(all && loaded && nothing);
  EXPECT_THAT(names(*all), ElementsAre("after_loading", "after_merging", "after_quantizing", "largest"));
  EXPECT_THAT(names(*loaded), ElementsAre("after_loading", "largest"));
  EXPECT_EQ(*loaded->at("after_loading").get_if<double>(), 0.0);
  EXPECT_LT(*all->at("after_merging").get_if<double>(), 1e-4);
  EXPECT_GT(*all->at("after_quantizing").get_if<double>(), 1e-4);
  ASSERT_THAT(names(*nothing), ElementsAre("not_measured"));
  EXPECT_THAT(*nothing->at("not_measured").get_if<std::string>(),
              HasSubstr("a second model of " + std::to_string(bytes) + " bytes"));
}

TEST_F(CheckSaved, OfAMethodThatTrainsNothingNeedsTheBaseInFull) {
  train("quantized", {{"block_size", 32}});
  const int64_t in_full = session_.base_bytes_in_full();
  const auto all = check(3 * in_full), nothing = check(3 * in_full - 1);
  ASSERT_TRUE(all && nothing);
  EXPECT_THAT(names(*all), ElementsAre("after_quantizing", "largest"));
  ASSERT_THAT(names(*nothing), ElementsAre("not_measured"));
  EXPECT_THAT(*nothing->at("not_measured").get_if<std::string>(),
              HasSubstr("a second model of " + std::to_string(in_full) + " bytes"));
}

TEST_F(CheckSaved, SaysSoWhereTheMemoryIsNotKnown) {
  train("lora");
  const auto found = check(std::nullopt);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found->at("not_measured").get_if<std::string>(),
            "how much memory is left for a second model is not known");
}

TEST_F(CheckSaved, OfAWholeBaseNeedsNoMoreThanASecondOne) {
  train("lora");
  EXPECT_EQ(session_.base_bytes(), session_.base_bytes_in_full());
  const auto found = check(3 * session_.base_bytes());
  ASSERT_TRUE(found);
  EXPECT_THAT(names(*found), ElementsAre("after_loading", "after_merging", "largest"));
}

TEST_F(CheckSaved, SaysNothingWhereNothingWasSaved) {
  train("none");
  EXPECT_EQ(check(kPlenty), std::nullopt);
  EXPECT_EQ(check(0), std::nullopt);
}

}  // namespace
}  // namespace peftlab::run
