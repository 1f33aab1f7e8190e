/// Runs that differ in their optimizer alone, as a person asks for them.

#include "workshop.h"

#include <peftlab/value.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace peftlab::end_to_end {
namespace {

List rows_of(const Workshop& shop, const std::string& sql) {
  const Said said = shop.peftlab({"query", sql});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  return *parse_json(said.out, "query").get_if<List>();
}

/// The training losses of the only run of `label`, by step.
std::vector<double> losses(const Workshop& shop, const std::string& label) {
  std::vector<double> values;
  const auto rows = rows_of(shop, fmt::format("SELECT m.value FROM v_metric m JOIN v_runs r USING (run_uuid) WHERE "
                                              "r.label = '{}' AND m.metric = 'train/loss' ORDER BY m.step",
                                              label));
  for (const Value& row : rows) values.push_back(*row.find("value")->get_if<double>());
  return values;
}

int64_t optimizer_bytes(const Workshop& shop, const std::string& label) {
  const auto rows =
      rows_of(shop, fmt::format("SELECT json_extract(e.detail_json, '$.optimizer_bytes') AS bytes "
                                "FROM run_events e JOIN runs t USING (run_id) JOIN v_runs r ON r.run_uuid = t.uuid "
                                "WHERE r.label = '{}' AND e.kind = 'trained'",
                                label));
  return *rows.at(0).find("bytes")->get_if<int64_t>();
}

TEST(OptimizersOfRuns, PagedIsTheOrdinaryOneAndEightBitsAreSmaller) {
  const Workshop shop("optimizers");
  std::string experiment =
      "schema = 1\n[experiment]\nname = \"optimizers\"\nbaseline = \"adamw\"\nprimary = \"loss\"\nseeds = [0]\n"
      "[model]\npath = \"model\"\ninit = \"random\"\n[data]\nplugin = \"image_text\"\ntrain = \"train.csv\"\n"
      "test = \"test.csv\"\nmax_length = 48\n[train]\nsteps = 5\nbatch_size = 6\nlearning_rate = 1e-3\nthreads = 1\n";
  for (const char* name : {"adamw", "paged_adamw", "adamw8bit"}) {
    experiment += fmt::format("[[method]]\nlabel = \"{0}\"\nplugin = \"full\"\ntrain.optimizer = \"{0}\"\n", name);
  }
  shop.write("optimizers.toml", experiment);
  const Said said = shop.peftlab({"run", "optimizers.toml"});
  ASSERT_EQ(said.exit_code, 0) << said.err;

  const auto ordinary = losses(shop, "adamw"), eight_bits = losses(shop, "adamw8bit");
  ASSERT_EQ(ordinary.size(), 5u);
  EXPECT_EQ(losses(shop, "paged_adamw"), ordinary);
  EXPECT_EQ(optimizer_bytes(shop, "paged_adamw"), optimizer_bytes(shop, "adamw"));
  // The first update is made before any moment is a code.
  ASSERT_EQ(eight_bits.size(), 5u);
  EXPECT_EQ(eight_bits[0], ordinary[0]);
  EXPECT_NEAR(eight_bits[1], ordinary[1], 1e-5);
  EXPECT_LT(optimizer_bytes(shop, "adamw8bit"), optimizer_bytes(shop, "adamw"));
}

}  // namespace
}  // namespace peftlab::end_to_end
