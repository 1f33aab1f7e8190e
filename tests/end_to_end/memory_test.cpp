/// What a run asks of the system while it trains.

#include "workshop.h"

#include "support/files.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sys/resource.h>

namespace peftlab::end_to_end {
namespace {

/// Pages that the processes which have ended so far asked the system for.
int64_t pages_so_far() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return usage.ru_minflt;
}

/// Pages asked for by a run of so many steps.
int64_t pages(const Workshop& shop, const std::string& method, int64_t steps) {
  const std::string name = fmt::format("{}-{}", method, steps);
  shop.write(
      name + ".toml",
      fmt::format("schema = 1\n[experiment]\nname = \"{}\"\nbaseline = \"m\"\nprimary = \"loss\"\nseeds = [0]\n"
                  "[model]\npath = \"model\"\ninit = \"random\"\n[data]\nplugin = \"image_text\"\n"
                  "train = \"train.csv\"\ntest = \"test.csv\"\nmax_length = 48\n[train]\nsteps = {}\n"
                  "batch_size = 24\nlearning_rate = 1e-3\nthreads = 1\n[[method]]\nlabel = \"m\"\nplugin = \"{}\"\n",
                  name, steps, method));
  const int64_t before = pages_so_far();
  const Said said = shop.peftlab({"run", name + ".toml"});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  return pages_so_far() - before;
}

/// Left to the C library's habits, each step of this model would ask for some 2,900 pages anew.
TEST(MemoryOfARun, IsAskedForInTheFirstStepsAlone) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer has its own way with memory";
#endif
  const Workshop shop("memory");
  std::string config = read_text(shop.folder / "model/config.json");
  const std::string small = "\"hidden_size\": 32, \"num_attention_heads\": 2, \"inner_hidden_size\": 64";
  ASSERT_NE(config.find(small), std::string::npos);
  config.replace(config.find(small), small.size(),
                 "\"hidden_size\": 256, \"num_attention_heads\": 4, \"inner_hidden_size\": 8192");
  shop.write("model/config.json", config);
  for (const char* method : {"lora", "full"}) {
    const int64_t few = pages(shop, method, 5), many = pages(shop, method, 25);
    RecordProperty(fmt::format("pages_of_5_steps_{}", method), static_cast<int>(few));
    RecordProperty(fmt::format("pages_of_25_steps_{}", method), static_cast<int>(many));
    EXPECT_LT(many - few, 20 * 50) << method << ": " << few << " pages in 5 steps, " << many << " in 25";
  }
}

}  // namespace
}  // namespace peftlab::end_to_end
