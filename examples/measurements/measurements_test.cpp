/// Measurements on files written here. `peftlab plugins check` tries what every data set must do.

#include <peftlab/error.h>
#include <peftlab/testing/plugins.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace peftlab {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Names = std::vector<std::string>;

const std::string kWeather =
    "temperature (C),humidity (%),wind,weather\n"
    "21.5,40,2,sunny\n"
    "\n"
    "-4.250,80,0,light snow\n";

class Measurements : public ::testing::Test {
 protected:
  Measurements()
      : folder_(fs::path(::testing::TempDir()) / ("peftlab_measurements_test_" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~Measurements() override { fs::remove_all(folder_); }

  std::unique_ptr<Dataset> open(const std::string& content, const Table& options = {},
                                const std::string& name = "d.csv") {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    auto dataset = testing::make_dataset("measurements", options);
    dataset->open(folder_ / name, std::nullopt);
    return dataset;
  }

  /// What is said of a file that is refused, from its name on.
  std::string refusal(const std::string& content, const Table& options = {}, const std::string& name = "d.csv") {
    try {
      open(content, options, name);
    } catch (const FormatError& error) {
      const std::string said = error.what(), path = (folder_ / "").string();
      return said.starts_with(path) ? said.substr(path.size()) : "does not begin with the file: " + said;
    }
    return "(accepted)";
  }

  fs::path folder_;
};

/// "prompt|target" of every example.
std::vector<std::string> examples(const Dataset& dataset) {
  std::vector<std::string> all;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Example example = dataset.example(i);
    EXPECT_TRUE(example.label.empty());
    EXPECT_FALSE(example.has_image);
    all.push_back(example.prompt + "|" + example.target);
  }
  return all;
}

TEST_F(Measurements, BecomeSentences) {
  const auto dataset = open(kWeather);
  EXPECT_THAT(examples(*dataset), ElementsAre("temperature 21.5 C, humidity 40 %, wind 2.|sunny",
                                              "temperature -4.250 C, humidity 80 %, wind 0.|light snow"));
  EXPECT_THAT(dataset->place(1), HasSubstr("d.csv:4"));
}

TEST_F(Measurements, ShowTheColumnsThatAreChosen) {
  const Table options = {{"columns", Names{"wind", "temperature"}}, {"ending", "; the sky:"}};
  EXPECT_EQ(examples(*open(kWeather, options)).front(), "wind 2, temperature 21.5 C; the sky:|sunny");
}

TEST_F(Measurements, ReadSpacesQuotesAndOtherLineEnds) {
  EXPECT_THAT(examples(*open("\xEF\xBB\xBF length( m/s ) ,\"mass, dry (kg)\",kind\r\n 1e-3 ,\"-0\",\" a \"\r\n")),
              ElementsAre("length 1e-3 m/s, mass, dry -0 kg.|a"));
}

TEST_F(Measurements, AHeaderThatMeansNothingIsNamed) {
  EXPECT_EQ(refusal("weather\nrain\n"),
            "d.csv:1: has the columns weather; wanted are at least one that is measured, and one to be answered behind "
            "it");
  for (const char* column : {"(C)", "temperature (C", "temperature C)", "temperature ()", "temperature (C) mean",
                             "temperature )C(", " "}) {
    EXPECT_EQ(refusal(std::string(column) + ",weather\n1,rain\n"),
              "d.csv:1: column \"" + std::string(column) +
                  "\" must be a name, or a name and a unit, such as \"temperature (C)\"");
  }
  EXPECT_EQ(refusal("a,a,b\n1,1,x\n"), "d.csv:1: names column \"a\" twice");
  EXPECT_THAT(refusal(kWeather, {{"columns", Names{"humidty"}}}),
              HasSubstr("d.csv:1: `columns` names \"humidty\", which is not measured here. Did you mean \"humidity\""));
  EXPECT_THAT(refusal(kWeather, {{"columns", Names{"weather"}}}), HasSubstr("not measured here"));
}

TEST_F(Measurements, TheLineOfABadRecordIsNamed) {
  for (const char* wrong : {"warm", "1,5", "nan", "inf", "1e999", "0x1F", "1 2", "+3", "--1"}) {
    EXPECT_EQ(refusal("t (C),weather\n1,rain\n\n\"" + std::string(wrong) + "\",rain\n"),
              "d.csv:4: column \"t (C)\" must be a number such as -3.5 or 1e6, found \"" + std::string(wrong) + "\"");
  }
  EXPECT_EQ(refusal("t (C),weather\n1,rain\n ,rain\n"), "d.csv:3: column \"t (C)\" is empty");
  EXPECT_EQ(refusal("t (C),weather\n1,rain\n2,\n"), "d.csv:3: column \"weather\" is empty");
  EXPECT_EQ(refusal("t (C),weather\n1\n"), "d.csv:2: has 1 fields, the header has 2");
  // A column that is not shown must hold numbers all the same.
  EXPECT_THAT(refusal("t,u,w\n1,x,y\n", {{"columns", Names{"t"}}}), HasSubstr("d.csv:2: column \"u\""));
  EXPECT_THAT(refusal("t,weather\n"), HasSubstr("d.csv: holds no examples"));
  EXPECT_EQ(refusal("{\"t\": 1}\n", {}, "d.jsonl"), "d.jsonl: ends in \".jsonl\"; read is .csv");
  EXPECT_THROW(testing::make_dataset("measurements")->open(folder_ / "absent.csv", std::nullopt), FormatError);
}

TEST_F(Measurements, TheFingerprintIsTheFilesSha256) {
  // printf 't,w\n1,a\n' | sha256sum
  EXPECT_EQ(open("t,w\n1,a\n")->fingerprint(), "51f3f39c758ae85dd4973c5f7a6665038ce894e8391e3d3a58e18d97b537d180");
}

TEST_F(Measurements, RefuseOptionsThatMeanNothing) {
  for (const Table& options : {Table{{"columns", List()}}, Table{{"column", "t"}}, Table{{"ending", 3}}}) {
    EXPECT_THROW(testing::make_dataset("measurements", options), ConfigError) << to_json(options);
  }
}

}  // namespace
}  // namespace peftlab
