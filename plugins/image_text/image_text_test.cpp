/// The data set as the program loads it: data files of every form, pictures against Pillow's own pixels
/// (tests/oracle/pillow_resize), and refusals that name file, line and picture.

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <torch/torch.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace peftlab {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

fs::path environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value ? value : otherwise;
}

std::unique_ptr<Dataset> make_dataset(const Table& options = {}) {
  static void* library = ::dlopen((environment("PEFTLAB_BINARY_DIR", ".") / "plugins/image_text.so").c_str(), RTLD_NOW);
  if (!library) throw PluginError(::dlerror());
  const auto* manifest = static_cast<const Manifest*>(::dlsym(library, "peftlab_plugin"));
  Params params(options, "plugin image_text");
  std::unique_ptr<Dataset> dataset(static_cast<Dataset*>(manifest->create(&params)));
  params.finish();
  return dataset;
}

const nlohmann::json& golden() {
  static const nlohmann::json json = nlohmann::json::parse(
      std::ifstream(environment("PEFTLAB_SOURCE_DIR", ".") / "tests/oracle/pillow_resize/golden.json"));
  return json;
}

std::string unhex(const std::string& digits) {
  std::string out;
  for (size_t i = 0; i < digits.size(); i += 2) out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return out;
}

std::string hex_sha256(const std::string& bytes) {
  unsigned char digest[32];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string out;
  for (const unsigned char byte : digest) out += "0123456789abcdef"[byte >> 4], out += "0123456789abcdef"[byte & 15];
  return out;
}

/// A binary PNM picture: nothing but a line of text and the pixels.
std::string ppm(int width, int height, const std::string& pixels) {
  return "P6 " + std::to_string(width) + " " + std::to_string(height) + " 255\n" + pixels;
}

std::string picture(const std::string& name, int width, int height) {
  std::string pixels;
  if (name == "gradient") {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        for (int c = 0; c < 3; ++c) pixels += static_cast<char>((x * 5 + y * 3 + c * 40) % 256);
      }
    }
    return pixels;
  }
  uint32_t state = static_cast<uint32_t>(std::stoul(name));
  for (int i = 0; i < width * height * 3; ++i) {
    state = 1664525u * state + 1013904223u;
    pixels += static_cast<char>(state >> 24);
  }
  return pixels;
}

/// Bytes [height, width, 3] of a tensor [3, height, width] with mean 0 and deviation 1.
std::string pixels_of(const torch::Tensor& image) {
  const auto bytes = (image * 255).round().to(torch::kUInt8).permute({1, 2, 0}).contiguous();
  return {reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel())};
}

class ImageTextTest : public ::testing::Test {
 protected:
  ImageTextTest() : folder_(fs::temp_directory_path() / ("peftlab_image_text_test_" + std::to_string(::getpid()))) {
    fs::create_directories(folder_ / "pictures");
    write("pictures/a.ppm", ppm(1, 1, "\xFF\x80\x01"));
    write("pictures/b.ppm", ppm(2, 1, "abcdef"));
  }
  ~ImageTextTest() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  std::unique_ptr<Dataset> open(const std::string& name, const std::string& content,
                                const std::optional<ImageSpec>& images = ImageSpec{2, 2}) {
    write(name, content);
    auto dataset = make_dataset();
    dataset->open(folder_ / name, images);
    return dataset;
  }
  std::string refusal(const std::string& name, const std::string& content) {
    try {
      open(name, content);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "(accepted)";
  }

  fs::path folder_;
};

void expect_example(const Dataset& dataset, int64_t index, const std::string& prompt, const std::string& target) {
  const Example example = dataset.example(index);
  EXPECT_EQ(example.prompt, prompt);
  EXPECT_EQ(example.target, target);
  EXPECT_EQ(example.label, "");
  EXPECT_TRUE(example.has_image);
}

constexpr const char* kPrompt = "Describe the image:";

TEST_F(ImageTextTest, ReadsCsvWithAllItsQuirks) {
  const auto dataset = open("d.csv",
                            "\xEF\xBB\xBF"
                            "id,text,image_path,prompt\r\n"
                            "1,plain,pictures/a.ppm,\r\n"
                            "\r\n"
                            "2,\"a \"\"quoted\"\", two-line\ntext\",\"pictures/b.ppm\",What?\r\n"
                            "3,an \"inner\" quote,pictures/a.ppm,\"\"\n"
                            "4,,pictures/a.ppm,红");
  ASSERT_EQ(dataset->size(), 4);
  expect_example(*dataset, 0, kPrompt, "plain");
  expect_example(*dataset, 1, "What?", "a \"quoted\", two-line\ntext");
  expect_example(*dataset, 2, kPrompt, "an \"inner\" quote");
  expect_example(*dataset, 3, "红", "");
}

TEST_F(ImageTextTest, ReadsJsonArraysAndLinesWithEitherNames) {
  const std::string first = R"({"image_path": "pictures/a.ppm", "text": "one, [two]"})";
  const std::string second = R"({"img": "pictures/b.ppm", "prompt": "What?", "label": "three", "id": [1, {"x": 2}]})";
  for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{
           {"d.json", "\xEF\xBB\xBF[\n" + first + ",\r\n" + second + "\n]\n"},
           {"d.json", first + "\n" + second},
           {"d.jsonl", first + "\r\n\r\n" + second + "\r\n"},
           {"d.ndjson", "  " + first + "\n" + second + "\n"}}) {
    const auto dataset = open(name, content);
    ASSERT_EQ(dataset->size(), 2) << content;
    expect_example(*dataset, 0, kPrompt, "one, [two]");
    expect_example(*dataset, 1, "What?", "three");
  }
}

TEST_F(ImageTextTest, TakesThePromptFromItsOptions) {
  const auto dataset = make_dataset({{"prompt", "Name it:"}});
  write("d.csv", "image_path,text\npictures/a.ppm,x\n");
  dataset->open(folder_ / "d.csv", ImageSpec{1, 1});
  EXPECT_EQ(dataset->example(0).prompt, "Name it:");
  EXPECT_THROW(make_dataset({{"promt", "Name it:"}}), ConfigError);
}

TEST_F(ImageTextTest, NamesTheLineOfABadRow) {
  const std::string here = (folder_ / "d").string();
  EXPECT_EQ(refusal("d.csv", "image_path,text\n\npictures/a.ppm,x,y\n"),
            here + ".csv:3: has 3 fields, the header has 2");
  EXPECT_EQ(refusal("d.csv", "image_path,text\n\"a\nb\",x\npictures/a.ppm,\"x"),
            here + ".csv:4: a quoted field begins here and is never closed");
  EXPECT_THAT(refusal("d.csv", "image_path,text\npictures/a.ppm,\"x\"y\n"),
              HasSubstr("d.csv:2: after a quoted field's"));
  EXPECT_THAT(
      refusal("d.csv", "image_path,caption\n"),
      HasSubstr("d.csv:1: has the columns image_path, caption; wanted are image_path and text, or img and label"));
  EXPECT_THAT(refusal("d.csv", "text,image_path,text\n"), HasSubstr("d.csv:1: names column \"text\" twice"));
  EXPECT_THAT(refusal("d.csv", "image_path,text\npictures/a.ppm,\xFFx\n"), HasSubstr("d.csv:2: is not UTF-8 here"));
  EXPECT_THAT(refusal("d.csv", "image_path,text\n,x\n"), HasSubstr("d.csv:2: names no picture"));
  EXPECT_THAT(refusal("d.csv", "image_path,text\n"), HasSubstr("d.csv: holds no examples"));
  EXPECT_THAT(refusal("d.csv", ""), HasSubstr("d.csv:1: is empty"));
  EXPECT_THAT(refusal("d.json", "[\n{\"image_path\": \"pictures/a.ppm\",\n\"text\": \"x]\\\"\"},\n\n7]"),
              HasSubstr("d.json:5: an example must be an object, this is"));
  EXPECT_THAT(refusal("d.json", "[\n{\"image_path\": \"a\", \"text\": 5}]"),
              HasSubstr("d.json:2: text must be a string, found an integer"));
  EXPECT_THAT(refusal("d.json", "[\n{\"image_path\": \"a\"}]"), HasSubstr("d.json:2: has the keys image_path; wanted"));
  EXPECT_THAT(refusal("d.json", "[\n{\"image_path\": \"a\",}]"), HasSubstr("d.json:2:20: not JSON"));
  EXPECT_THAT(refusal("d.json", "[]"), HasSubstr("d.json: holds no examples"));
  EXPECT_THAT(refusal("d.jsonl", "\n{\"text\": \n"), HasSubstr("d.jsonl:2:"));
  EXPECT_THAT(refusal("d.txt", "x"), HasSubstr("ends in \".txt\"; read are .csv, .json, .jsonl and .ndjson"));
  EXPECT_THROW(make_dataset()->open(folder_ / "absent.csv", std::nullopt), FormatError);
}

TEST_F(ImageTextTest, NamesLineAndPictureOfEveryMissingOrBrokenOne) {
  write("pictures/broken.png", "\x89PNG\r\n\x1a\n and no more");
  const std::string message =
      refusal("d.csv",
              "image_path,text\npictures/a.ppm,x\npictures/absent.png,x\npictures/broken.png,x\n"
              "pictures/absent.png,x\npictures,x\n");
  const std::string here = (folder_ / "d.csv").string() + ":", there = ": picture " + folder_.string() + "/pictures";
  EXPECT_THAT(message, AllOf(HasSubstr(here + "3" + there + "/absent.png: cannot be read: No such file"),
                             HasSubstr("\n" + here + "4" + there + "/broken.png: cannot be decoded"),
                             HasSubstr("\n" + here + "6" + there + ": cannot be read: ")));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 2) << message;

  std::string many = "image_path,text\n";
  for (int i = 0; i < 8; ++i) many += std::to_string(i) + ".png,x\n";
  EXPECT_THAT(refusal("d.csv", many), AllOf(HasSubstr(":6: picture"), HasSubstr("\nand 3 more pictures")));
}

TEST_F(ImageTextTest, RefusesPicturesThatWouldBeDecodedWrongly) {
  for (const auto& test : golden()["refused"]) {
    const std::string name = "pictures/refused." + test["suffix"].get<std::string>();
    write(name, unhex(test["hex"]));
    EXPECT_THAT(refusal("d.csv", "image_path,text\n" + name + ",x\n"), HasSubstr(test["reason"].get<std::string>()))
        << test["name"];
  }
}

TEST_F(ImageTextTest, DecodesEveryKindOfPictureAsPillowDoes) {
  for (const auto& test : golden()["files"]) {
    const std::string name = "pictures/x." + test["suffix"].get<std::string>();
    write(name, unhex(test["hex"]));
    const int64_t width = test["size"][0], height = test["size"][1];
    const auto dataset = open("d.csv", "image_path,text\n" + name + ",x\n", ImageSpec{height, width});
    const std::string pixels = pixels_of(dataset->image(0));
    const std::vector<uint8_t> wanted = test["pixels"];
    EXPECT_EQ(std::vector<uint8_t>(pixels.begin(), pixels.end()), wanted) << test["name"];
  }
}

TEST_F(ImageTextTest, ResizesAsPillowDoesToTheLastBit) {
  for (const auto& test : golden()["resized"]) {
    const int width = test["size"][0], height = test["size"][1];
    write("pictures/x.ppm", ppm(width, height, picture(test["picture"], width, height)));
    const auto dataset = open("d.csv", "image_path,text\npictures/x.ppm,x\n",
                              ImageSpec{test["new_size"][1].get<int64_t>(), test["new_size"][0].get<int64_t>()});
    const std::string pixels = pixels_of(dataset->image(0));
    if (test.contains("pixels")) {
      const std::vector<uint8_t> wanted = test["pixels"];
      EXPECT_EQ(std::vector<uint8_t>(pixels.begin(), pixels.end()), wanted) << test["picture"];
    } else {
      EXPECT_EQ(hex_sha256(pixels), test["sha256"]) << test["picture"];
    }
  }
}

TEST_F(ImageTextTest, NormalizesEachChannel) {
  const auto dataset =
      open("d.csv", "image_path,text\npictures/a.ppm,x\n", ImageSpec{1, 1, {0.5, 0.25, 0.0}, {0.5, 0.25, 2.0}});
  const torch::Tensor image = dataset->image(0);
  ASSERT_EQ(image.sizes(), (std::vector<int64_t>{3, 1, 1}));
  ASSERT_EQ(image.scalar_type(), torch::kFloat32);
  // 255, 128 and 1: (1 - 0.5) / 0.5, (128 / 255 - 0.25) / 0.25, 1 / 255 / 2.
  EXPECT_FLOAT_EQ(image[0].item<float>(), 1.0f);
  EXPECT_FLOAT_EQ(image[1].item<float>(), 1.00784314f);
  EXPECT_FLOAT_EQ(image[2].item<float>(), 0.00196078431f);
}

TEST_F(ImageTextTest, GivesNoPicturesWhereNoneAreWanted) {
  const auto dataset = open("d.csv", "image_path,text\npictures/absent.png,x\n", std::nullopt);
  EXPECT_FALSE(dataset->example(0).has_image);
  EXPECT_FALSE(dataset->image(0).defined());
}

TEST_F(ImageTextTest, FingerprintCoversTheFileAndEveryPicture) {
  const std::string content = "image_path,text\npictures/b.ppm,x\npictures/a.ppm,y\npictures/b.ppm,z\n";
  const std::string a = unhex(hex_sha256(ppm(1, 1, "\xFF\x80\x01"))), b = unhex(hex_sha256(ppm(2, 1, "abcdef")));
  EXPECT_EQ(open("d.csv", content)->fingerprint(), hex_sha256(content + b + a + b));
  EXPECT_EQ(open("d.csv", content, std::nullopt)->fingerprint(), hex_sha256(content));
}

TEST_F(ImageTextTest, RefusesAPictureThatChangedAfterOpening) {
  const auto dataset = open("d.csv", "image_path,text\npictures/a.ppm,x\npictures/b.ppm,x\n");
  dataset->image(1);
  write("pictures/b.ppm", ppm(2, 1, "abcdeg"));
  try {
    dataset->image(1);
    FAIL() << "the changed picture was taken";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("d.csv:3: picture"), HasSubstr("b.ppm: has changed since")));
  }
}

TEST_F(ImageTextTest, GivesTheSamePicturesToSeveralThreads) {
  std::string content = "image_path,text\n";
  for (int i = 0; i < 20; ++i) {
    const std::string name = "pictures/" + std::to_string(i) + ".ppm";
    write(name, ppm(9, 7, picture(std::to_string(i), 9, 7)));
    content += name + ",x\n";
  }
  const auto dataset = open("d.csv", content);
  std::vector<torch::Tensor> alone(20), together(20);
  for (int i = 0; i < 20; ++i) alone[i] = dataset->image(i);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = t; i < 20; i += 4) together[i] = dataset->image(i);
      });
    }
  }
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(torch::equal(alone[i], together[i])) << i;
}

}  // namespace
}  // namespace peftlab
