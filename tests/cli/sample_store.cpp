#include "sample_store.h"

#include "store/store.h"

namespace peftlab::cli_test {
namespace {

std::string sha(char digit) { return std::string(64, digit); }

}  // namespace

void make_sample_store(const std::filesystem::path& folder) {
  auto store = store::Store::open(folder, store::Mode::read_write_create);
  const auto ids = store.begin_invocation(
      {"toy", "# the file\n", "bleu"},
      {{"key-full", "full", "full", {"full"}, Table{{"train", Table{{"steps", 2}}}}, true},
       {"key-lora", "lora", "lora", {"lora"}, Table{{"rank", 8}, {"train", Table{{"steps", 2}}}}, false}});
  const auto start = [&](store::Id variant, int64_t seed) {
    const std::string run =
        store.create_run(variant, seed,
                         {store.add_base_model({"models/base", "visualglm", 1000, "float32", sha('b')}),
                          {store.add_dataset({"image_text", "test", "data/test.csv", 10, sha('d')})},
                          {store.add_plugin({"lora", "method", "plugins/lora.so", sha('e'), 1, "2.11.0"})}});
    store.start_run(run, store.add_environment({{"cpu", "abacus"}}), "local");
    return run;
  };
  const auto finish = [&](store::Id variant, int64_t seed, double bleu) {
    const std::string run = start(variant, seed);
    const store::Score score{"bleu", "test", bleu, 10, true};
    store.put_scores(run, std::span(&score, 1));
    store.put_cost(run, {"train", 2000, 3000, 5'000'000, std::nullopt});
    if (variant == ids[1]) {
      store.add_artifact(run, "adapter_model.safetensors", "adapter", store.put_object("the tensors\n"));
      store.add_artifact(run, "adapter_config.json", "adapter", store.put_object("{}\n"));
      const std::vector<store::MetricPoint> points = {{"train/loss", 1, 2.0}, {"train/loss", 2, 1.0}};
      if (seed == 0) store.append_points(run, points);
    }
    store.finish_run(run, {sha('a'), 100, 1000});
  };
  finish(ids[0], 0, 10.0);
  finish(ids[0], 1, 12.0);
  finish(ids[1], 0, 20.0);
  finish(ids[1], 1, 24.0);
  store.fail_run(start(ids[1], 2), "diverged", "step 1: the loss is nan\nlearning rate 1.0");
}

}  // namespace peftlab::cli_test
