/// What a frozen front makes of the pictures: made by one run, taken by the others, and no bit depends on it.

#include "workshop.h"

#include "support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <sys/stat.h>

namespace peftlab::end_to_end {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Methods that leave the front alone, for two epochs of the 24 pictures.
const std::vector<std::string> kCommand = {"run", "features.toml"};

Workshop shop_of(const std::string& name) {
  Workshop shop(name);
  std::string text = read_text(shop.folder / "compare.toml");
  text = text.substr(0, text.find("[[method]]"));
  text.replace(text.find("baseline = \"full\"\n"), 18, "");
  text.replace(text.find("primary = \"bleu\""), 16, "primary = \"loss\"");
  shop.write("features.toml", text + "[[method]]\nplugin = \"prefix\"\ntokens = 4\n"
                                     "[[method]]\nplugin = \"prompt\"\ntokens = 4\n");
  return shop;
}

/// Runs some of the comparison, which has to succeed.
void run(const Workshop& shop, const std::vector<std::string>& more) {
  auto command = kCommand;
  command.insert(command.end(), more.begin(), more.end());
  const Said said = shop.peftlab(command);
  ASSERT_EQ(said.exit_code, 0) << said.err;
}

/// "prefix/0" -> the adapter's checksum and every loss.
std::map<std::string, std::string> results(const Workshop& shop) {
  const auto store = shop.store();
  std::map<std::string, std::string> found;
  for (const auto& row : store.runs("colours")) {
    if (!row.is_newest || row.state != "finished") continue;
    std::string& text = found[row.label + "/" + std::to_string(row.seed)];
    text = row.adapter_sha256.value_or("-");
    for (const auto& point : store.series(row.uuid, "train/loss")) text += " " + to_json(Value(point.value));
    for (const auto& score : store.run(row.uuid).scores) text += " " + to_json(Value(score.value));
  }
  return found;
}

/// Every file of features, and which it is: written anew, it is another.
std::map<std::string, std::string> features(const Workshop& shop) {
  std::map<std::string, std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(shop.folder / "peftlab.store/features", none)) {
    struct stat status {};
    EXPECT_EQ(stat(entry.path().c_str(), &status), 0);
    found[entry.path().filename()] = std::to_string(status.st_ino) + " " + std::to_string(status.st_mtim.tv_nsec);
  }
  return found;
}

/// The problems that runs told of files of features.
std::vector<std::string> problems(const Workshop& shop) {
  const auto store = shop.store();
  std::vector<std::string> found;
  for (const auto& row : store.runs("colours")) {
    for (const auto& event : store.run(row.uuid).events) {
      if (event.kind == "features") found.push_back(event.detail_json);
    }
  }
  return found;
}

/// Everything made in one store, one run after the other: only the first of them makes features.
const Workshop& reference() {
  static const Workshop* shop = [] {
    auto* made = new Workshop(shop_of("features"));
    run(*made, {});
    return made;
  }();
  return *shop;
}

TEST(Features, AreMadeByTheFirstRunAndTakenByTheOthers) {
  const Workshop shop = shop_of("features_first");
  run(shop, {"--only", "prefix", "--seeds", "0"});
  const auto made = features(shop);
  EXPECT_THAT(made, SizeIs(2)) << "of the training pictures, and of those that validate and test";
  run(shop, {});
  EXPECT_EQ(features(shop), made) << "neither more nor written again";
  EXPECT_THAT(problems(shop), IsEmpty());
  EXPECT_EQ(results(shop), results(reference()));
}

TEST(Features, MadeByWhicheverRunTheyAndTheAdaptersAreTheSame) {
  const auto wanted = results(reference());
  ASSERT_THAT(wanted, SizeIs(4));
  const Workshop shop = shop_of("features_cold");
  for (const std::string method : {"prompt", "prefix"}) {
    for (const std::string seed : {"1", "0"}) {
      fs::remove_all(shop.folder / "peftlab.store/features");
      run(shop, {"--only", method, "--seeds", seed});
      EXPECT_EQ(results(shop).at(method + "/" + seed), wanted.at(method + "/" + seed));
    }
  }
  // The same names, and the same bytes.
  const fs::path here = shop.folder / "peftlab.store/features", there = reference().folder / "peftlab.store/features";
  EXPECT_THAT(features(shop), SizeIs(2));
  for (const auto& [name, id] : features(shop)) EXPECT_EQ(read_text(here / name), read_text(there / name)) << name;
}

TEST(Features, TwoRunsAtOnceMakeThemOnce) {
  const Workshop shop = shop_of("features_at_once");
  run(shop, {"--jobs", "2"});
  EXPECT_EQ(results(shop), results(reference()));
  EXPECT_THAT(features(shop), SizeIs(2)) << "and no lock is left";
  EXPECT_THAT(problems(shop), IsEmpty());
}

TEST(Features, OfAnotherPrecisionSplitBaseOrNumberOfThreadsAreOthers) {
  const Workshop shop = shop_of("features_others");
  const auto expect_more = [&](size_t more, const std::vector<std::string>& settings) {
    const size_t before = features(shop).size();
    std::vector<std::string> command = {"--only", "prefix", "--seeds", "0"};
    for (const std::string& setting : settings) command.insert(command.end(), {"--set", setting});
    run(shop, command);
    EXPECT_EQ(features(shop).size(), before + more) << (settings.empty() ? "" : settings.front());
  };
  expect_more(2, {});                            // train.csv and test.csv
  expect_more(0, {"train.learning_rate=1e-4"});  // another run of the same
  expect_more(1, {"train.precision=bf16"});      // evaluation is in float32
  expect_more(1, {"data.train=test.csv"});       // as it is trained on
  expect_more(1, {"data.test=train.csv"});       // as it is judged
  expect_more(2, {"train.threads=2"});           // both
  // What the file is called does not count, and of its pictures each does: this one is not of the first group.
  std::string data = read_text(shop.folder / "train.csv");
  shop.write("copy.csv", data);
  expect_more(0, {"data.train=copy.csv", "train.learning_rate=2e-4"});
  data.replace(data.find("black0"), 6, "black1");
  shop.write("other.csv", data);
  expect_more(1, {"data.train=other.csv"});
  std::string pretrain = read_text(shop.folder / "pretrain.toml");
  pretrain.replace(pretrain.find("steps = 12"), 10, "steps = 11");
  shop.write("pretrain.toml", pretrain);
  expect_more(2, {});  // of another base
}

TEST(Features, TheirTimeIsAPhaseOfItsOwn) {
  const auto store = reference().store();
  for (const auto& row : store.runs("colours")) {
    std::map<std::string, store::Cost> costs;
    for (const auto& cost : store.run(row.uuid).costs) costs[cost.cost.phase] = cost.cost;
    ASSERT_TRUE(costs.count("features") && costs.count("train"));
    EXPECT_TRUE(costs.at("features").cpu_ms && costs.at("features").peak_rss_bytes) << "as other phases have them";
  }
}

TEST(Features, DamagedTheyAreMadeAgainAndTold) {
  const Workshop shop = shop_of("features_damaged");
  run(shop, {"--only", "prefix", "--seeds", "0"});
  for (const auto& [name, id] : features(shop)) {
    const fs::path file = shop.folder / "peftlab.store/features" / name;
    fs::resize_file(file, fs::file_size(file) - 100);
  }
  const Said checked = shop.peftlab({"store", "check"});
  EXPECT_EQ(checked.exit_code, 5);
  EXPECT_THAT(checked.out, HasSubstr("its bytes were changed; a run that wants it makes it again"));
  run(shop, {});
  EXPECT_EQ(results(shop), results(reference()));
  EXPECT_THAT(problems(shop), SizeIs(2)) << "each told once";
  EXPECT_EQ(shop.peftlab({"store", "check"}).exit_code, 0);
}

TEST(Features, WhereTheyCannotBeWrittenNothingFails) {
  const Workshop shop = shop_of("features_unwritable");
  fs::create_directories(shop.folder / "peftlab.store");
  shop.write("peftlab.store/features", "no folder");
  run(shop, {"--only", "prefix", "--seeds", "0"});
  EXPECT_EQ(results(shop).at("prefix/0"), results(reference()).at("prefix/0"));
  EXPECT_THAT(problems(shop), Contains(HasSubstr("other runs will compute it again")));
}

TEST(Features, AreACacheForTheCareOfTheStore) {
  const Workshop shop = shop_of("features_care");
  run(shop, {"--only", "prefix", "--seeds", "0"});
  shop.write("peftlab.store/features/0123.safetensors.part-1", "of a killed writer");
  const Said listed = shop.peftlab({"store", "gc", "--dry-run"});
  for (const auto& [name, id] : features(shop)) EXPECT_THAT(listed.out, HasSubstr("features/" + name));
  EXPECT_THAT(features(shop), SizeIs(3)) << "only listed";
  ASSERT_EQ(shop.peftlab({"store", "backup", "copy"}).exit_code, 0);
  EXPECT_FALSE(fs::exists(shop.folder / "copy/features"));
  ASSERT_EQ(shop.peftlab({"store", "gc"}).exit_code, 0);
  EXPECT_THAT(features(shop), IsEmpty());
  EXPECT_EQ(shop.peftlab({"store", "check"}).exit_code, 0);
  run(shop, {});
  EXPECT_EQ(results(shop), results(reference()));
}

}  // namespace
}  // namespace peftlab::end_to_end
