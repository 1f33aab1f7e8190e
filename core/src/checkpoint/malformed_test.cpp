/// Files that are no safetensors, or lie about what they hold: each is refused with its name, the tensor and the bytes.

#include "checkpoint/safetensors.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <random>

namespace peftlab::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i));
  return bytes + rest;
}

std::string file_of(const std::string& header, const std::string& data = "") {
  return with_length(header.size(), header + data);
}

std::string tensor(const std::string& name, const std::string& type, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

/// What reading these bytes says; every tensor there is is touched.
std::string said_of(const std::string& bytes) {
  const fs::path file = fs::path(::testing::TempDir()) / "malformed.safetensors";
  fs::remove(file);  // some file systems wait for the disk where a file is overwritten
  std::ofstream(file, std::ios::binary) << bytes;
  try {
    for (const auto& [name, read] : read_tensors(file)) {
      if (read.numel() > 0) (void)read.flatten()[0].item().equal(0);
    }
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.string())) << "the file is named";
    fs::remove(file);
    return error.what();
  }
  fs::remove(file);
  return "read";
}

struct Malformed {
  const char* what;
  std::string bytes;
  std::string said;
};

std::vector<Malformed> corpus() {
  const std::string good = tensor("a", "U8", "[4]", "[0,4]");
  std::vector<Malformed> all;
  for (size_t n = 0; n < 8; ++n) all.push_back({"short", std::string(n, '\1'), "only " + std::to_string(n) + " bytes"});
  const auto add = [&](const char* what, const std::string& bytes, const std::string& said) {
    all.push_back({what, bytes, said});
  };
  add("length beyond the file", with_length(100, "{}"), "claims 100 bytes, the file has 10");
  add("length beyond the cap", with_length(200'000'000, "{}"), "claims 200000000 bytes");
  add("greatest length", with_length(~uint64_t{0}, "{}"), "claims 18446744073709551615 bytes");
  add("empty header", file_of(""), "no JSON object");
  add("a list", file_of("[]"), "no JSON object");
  add("a blank in front", file_of(" {}"), "no JSON object");
  add("broken JSON", file_of("{\"a\":"), "not JSON");
  add("deep JSON", file_of("{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}"), "nested deeper than 64");
  add("lone surrogate", file_of("{\"\\ud800\":1}"), "not JSON");
  add("no UTF-8", file_of("{\"\xff\":1}"), "not JSON");
  add("name twice", file_of("{" + good + "," + good + "}", "1234"), "\"a\" is there twice");
  add("metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})"), "twice");
  add("metadata of numbers", file_of(R"({"__metadata__":{"k":1}})"), "`k` is no string");
  add("metadata of no table", file_of(R"({"__metadata__":[]})"), "__metadata__ is no object");
  add("trailing bytes", file_of("{" + good + "}", "12345"), "the tensors end at byte");
  add("a zip behind", file_of("{" + good + "}", "1234PK\3\4" + std::string(100, 'z')), "the tensors end at byte");
  add("a zip in front", "PK\3\4\x14" + file_of("{" + good + "}", "1234"), "claims");
  add("hole in front", file_of("{" + tensor("a", "U8", "[4]", "[2,6]") + "}", "123456"), "`a` begins at byte");
  add("hole", file_of("{" + good + "," + tensor("b", "U8", "[2]", "[6,8]") + "}", "12345678"),
      "hole behind tensor `a`");
  add("overlap", file_of("{" + good + "," + tensor("b", "U8", "[4]", "[2,6]") + "}", "123456"), "overlaps tensor `a`");
  add("end before begin", file_of("{" + tensor("a", "U8", "[4]", "[4,0]") + "}", "1234"), "`a`: data_offsets 4 to 0");
  add("beyond the file", file_of("{" + tensor("a", "U8", "[9]", "[0,9]") + "}", "1234"), "outside the 4 bytes");
  add("size overflows", file_of("{" + tensor("a", "F64", "[4294967296,4294967296]", "[0,4]") + "}", "1234"),
      "`a`: its size overflows");
  add("size is huge", file_of("{" + tensor("a", "U8", "[9223372036854775807]", "[0,4]") + "}", "1234"), "give 4");
  add("size beyond int64", file_of("{" + tensor("a", "U8", "[99999999999999999999]", "[0,4]") + "}", "1234"),
      "natural number");
  add("size below zero", file_of("{" + tensor("a", "U8", "[-4]", "[0,4]") + "}", "1234"),
      "size -4 is no natural number");
  add("size with a point", file_of("{" + tensor("a", "U8", "[4.0]", "[0,4]") + "}", "1234"), "no natural number");
  add("offset below zero", file_of("{" + tensor("a", "U8", "[4]", "[-1,3]") + "}", "1234"),
      "offset -1 is no natural number");
  add("another size", file_of("{" + tensor("a", "F32", "[2]", "[0,4]") + "}", "1234"),
      "take 8 bytes, the data_offsets 0 to 4 give 4");
  add("rank 9", file_of("{" + tensor("a", "U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]") + "}", "1234"),
      "`a`: has 9 dimensions");
  add("three offsets", file_of("{" + tensor("a", "U8", "[4]", "[0,4,4]") + "}", "1234"), "`a`: has no `data_offsets`");
  add("no type", file_of(R"({"a":{"shape":[4],"data_offsets":[0,4]}})", "1234"), "`a`: has no `dtype`");
  add("no shape", file_of(R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", "1234"), "`a`: has no `shape`");
  add("an entry of no table", file_of(R"({"a":7})"), "`a`: has no `dtype`");
  for (const char* type : {"F4", "F6_E2M3", "F6_E3M2", "C64", "u8", ""}) {
    add("unknown type", file_of("{" + tensor("a", type, "[8]", "[0,4]") + "}", "1234"),
        std::string("`a`: is of type ") + type);
  }
  return all;
}

TEST(Malformed, EveryFileIsRefusedInUnderASecond) {
  for (const Malformed& made : corpus()) {
    SCOPED_TRACE(made.what);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(said_of(made.bytes), HasSubstr(made.said));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  }
}

TEST(Malformed, EmptyTensorsAreNone) {
  EXPECT_EQ(said_of(file_of("{}")), "read");
  EXPECT_EQ(said_of(file_of("{" + tensor("a", "F32", "[0,3]", "[0,0]") + "}")), "read");
  EXPECT_EQ(said_of(file_of("{" + tensor("a", "F32", "[0,3]", "[4,4]") + "," + tensor("b", "U8", "[4]", "[0,4]") + "}",
                            "1234")),
            "read");
}

TEST(Malformed, AHeaderOfTooManyValuesIsRefusedBeforeItIsParsed) {
  const auto seconds = [](const std::string& bytes, const std::string& said) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(said_of(bytes), HasSubstr(said));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  const auto tensors = [](int count) {
    std::string header = "{";
    for (int i = 0; i < count; ++i) header += (i ? "," : "") + tensor(std::to_string(i), "U8", "[0,0]", "[0,0]");
    return header + "}";
  };
  EXPECT_EQ(said_of(file_of(tensors(60'000))), "read");
  // A million tensors are more bytes than a header may have, half of them more values.
  EXPECT_LT(seconds(file_of(tensors(1'000'000)), "bytes, more than 33554432"), 1.0);
  EXPECT_LT(seconds(file_of(tensors(500'000)), "commas and opening brackets, more than 500000"), 1.0);
  const std::string zeros = "[0" + repeated(",0", 10'000'000) + "]";
  EXPECT_LT(seconds(file_of("{" + tensor("a", "U8", zeros, "[0,0]") + "}"), "commas and opening brackets"), 1.0);
  const std::string lists = "[" + repeated("[[[[[[[0]]]]]]],", 1'000'000) + "0]";
  EXPECT_LT(seconds(file_of("{" + tensor("a", "U8", lists, "[0,0]") + "}"), "commas and opening brackets"), 1.0);
}

TEST(Malformed, LongWordsAreCutInMessages) {
  const std::string word(1'000'000, 'x');
  EXPECT_LT(said_of(file_of("{\"" + word + "\":1}")).size(), 400);
  EXPECT_LT(said_of(file_of("{" + tensor("a", word, "[]", "[0,0]") + "}")).size(), 600);
}

TEST(Malformed, NoMutationOfAFileIsMoreThanRefused) {
  const std::string good = file_of("{" + tensor("first", "F32", "[2,2]", "[0,16]") + "," +
                                       tensor("b", "BF16", "[3]", "[16,22]") + R"(,"__metadata__":{"format":"pt"}})",
                                   std::string(22, '\2'));
  ASSERT_EQ(said_of(good), "read");
  std::mt19937 draw(7);
  int64_t refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (uint32_t change = draw() % 4 + 1; change > 0; --change) {
      const size_t at = draw() % bytes.size();
      switch (draw() % 4) {
        case 0:
          bytes[at] = static_cast<char>(draw());
          break;
        case 1:
          bytes[at] = "{}[]\",:0919-e."[draw() % 14];
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(draw()));
          break;
        default:
          bytes.erase(at, draw() % 3 + 1);
          if (bytes.empty()) bytes = " ";
      }
    }
    refused += said_of(bytes) != "read";
  }
  EXPECT_GT(refused, 15'000);
}

}  // namespace
}  // namespace peftlab::checkpoint
