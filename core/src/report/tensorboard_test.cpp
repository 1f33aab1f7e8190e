/// Event files beside what the real TensorBoard reads of them (tests/oracle/tensorboard).

#include "report/tensorboard.h"

#include "store/test_store.h"
#include "support/files.h"
#include "support/sha256.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

namespace peftlab::report {
namespace {

namespace fs = std::filesystem;

EventSession session() {
  return {{{"method", "lora"},
           {"seed", 3},
           {"train.learning_rate", 5e-4},
           {"train.shuffle", true},
           {"lora.targets", List{"q", "v"}},
           {"text", "<é\"&>"}},
          1700000000.25,
          1700000100.5,
          true};
}

std::vector<EventScalar> scalars() {
  return {{"train/loss", 1, 2.5, 1700000001.5},
          {"train/loss", 2, 0.1, 1700000002.5},
          {"train/loss", 300, std::numeric_limits<double>::quiet_NaN(), 1700000003.0},
          {"train/gradient_norm", int64_t{1} << 40, std::numeric_limits<double>::infinity(), 1700000004.0},
          {"test/bleu", 0, -31.4, 1700000005.0}};
}

/// What TensorBoard read, written by read.py.
Value oracle() {
  const char* root = std::getenv("PEFTLAB_SOURCE_DIR");
  if (!root) throw std::runtime_error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
  const fs::path path = fs::path(root) / "tests/oracle/tensorboard/numbers.json";
  return parse_json(read_text(path), path.string());
}

TEST(EventFile, IsWhatTensorboardReads) {
  const std::string bytes = event_file(session(), scalars());
  if (const char* file = std::getenv("PEFTLAB_EVENTS")) write_text(file, bytes);  // for read.py
  const Value found = oracle();
  ASSERT_EQ(*found.find("sha256"), Value(sha256_hex(bytes))) << "these are not the bytes that TensorBoard was given";

  EXPECT_EQ(*found.find("version"), Value("brain.Event:2"));
  const List& read = *found.find("scalars")->get_if<List>();
  const auto wanted = scalars();
  ASSERT_EQ(read.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const List& entry = *read[i].get_if<List>();
    EXPECT_EQ(entry[0], Value(wanted[i].tag));
    EXPECT_EQ(entry[1], Value(wanted[i].step));
    EXPECT_EQ(entry[2], Value(wanted[i].wall_seconds));
    const double value = std::stod(*entry[3].get_if<std::string>());
    if (std::isnan(wanted[i].value)) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(value, static_cast<double>(static_cast<float>(wanted[i].value)));
    }
  }
  const Value& hparams = *found.find("hparams");
  EXPECT_EQ(*hparams.find("method"), Value(List{"string_value", "lora"}));
  EXPECT_EQ(*hparams.find("seed"), Value(List{"number_value", 3.0}));
  EXPECT_EQ(*hparams.find("train.learning_rate"), Value(List{"number_value", 5e-4}));
  EXPECT_EQ(*hparams.find("train.shuffle"), Value(List{"bool_value", true}));
  EXPECT_EQ(*hparams.find("lora.targets"), Value(List{"string_value", "[\"q\",\"v\"]"}));
  EXPECT_EQ(*hparams.find("text"), Value(List{"string_value", "<é\"&>"}));
  EXPECT_EQ(*found.find("start"), Value(1700000000.25));
  EXPECT_EQ(*found.find("end"), Value(1700000100.5));
  EXPECT_EQ(*found.find("status"), Value(1));
}

class Tensorboard : public store::testing::StoreTest {};

TEST_F(Tensorboard, EachRunHasAFolderInsideTheOneThatWasNamed) {
  const auto ids = begin({"../../etc", "a/b", "a_b", ".hidden", "lora r=8"}, "accuracy");
  for (const auto& [label, id] : ids) finish(id, 7, 0.5);
  finish(ids.at("lora r=8"), 8, 0.5);
  const fs::path target = folder_ / "events";
  EXPECT_EQ(write_tensorboard(store_, "e", target), 6);
  std::set<std::string> folders;
  for (const auto& entry : fs::recursive_directory_iterator(target)) {
    if (!entry.is_regular_file()) continue;
    folders.insert(fs::relative(entry.path().parent_path(), target).string());
    EXPECT_THAT(entry.path().filename().string(), ::testing::StartsWith("events.out.tfevents."));
    EXPECT_THAT(read_text(entry.path()), ::testing::HasSubstr("test/accuracy"));
  }
  EXPECT_EQ(folders, (std::set<std::string>{"_.._.._etc/seed7", "_.hidden/seed7", "a_b-2/seed7", "a_b/seed7",
                                            "lora r=8/seed7", "lora r=8/seed8"}));
  EXPECT_THROW(write_tensorboard(store_, "other", target), ConfigError);
}

}  // namespace
}  // namespace peftlab::report
