#include "checkpoint/safetensors.h"

#include "support/files.h"
#include "support/sha256.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace peftlab::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

fs::path place(const std::string& name) { return fs::path(::testing::TempDir()) / name; }

/// A file with this header and that many bytes of data.
fs::path file_with(const std::string& header, size_t data, const std::string& name = "made.safetensors") {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i));
  write_text(place(name), bytes + header + std::string(data, '\1'));
  return place(name);
}

std::string refusal(const fs::path& file) {
  try {
    SafetensorsFile read(file);
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.string())) << "the file is named";
    return error.what();
  }
  return "accepted";
}

TEST(Safetensors, RoundTripsEveryType) {
  TensorMap tensors;
  for (const auto type :
       {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kInt64, torch::kInt32,
        torch::kInt16, torch::kInt8, torch::kUInt8, torch::kUInt16, torch::kUInt32, torch::kUInt64, torch::kBool}) {
    tensors[std::string("t.") + c10::toString(type)] =
        torch::tensor({0.0, 1.0, 1.0, 0.0, 1.0, 1.0}).view({2, 3}).to(type);
  }
  // torch compares no numbers of eight bits: their bytes are.
  for (const auto type : {at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kFloat8_e8m0fnu}) {
    const auto bytes = torch::tensor({1, 60, 200}, torch::kUInt8);
    write_safetensors(place("eight.safetensors"), {{"t", bytes.view(type)}});
    const auto read = SafetensorsFile(place("eight.safetensors")).tensor("t");
    EXPECT_EQ(read.scalar_type(), type);
    EXPECT_TRUE(torch::equal(read.view(torch::kUInt8), bytes));
  }
  tensors["empty"] = torch::empty({0, 4});
  tensors["scalar"] = torch::tensor(2.5);
  write_safetensors(place("types.safetensors"), tensors, {{"format", "pt"}});
  const SafetensorsFile file(place("types.safetensors"));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(file.tensor(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(file.tensor(name), tensor)) << name;
  }
}

TEST(Safetensors, EqualTensorsGiveEqualBytes) {
  const TensorMap tensors = {{"b", torch::ones({2})}, {"a", torch::arange(6).view({2, 3}).t()}};
  write_safetensors(place("one.safetensors"), tensors);
  write_safetensors(place("two.safetensors"), tensors);
  EXPECT_EQ(sha256_file(place("one.safetensors")), sha256_file(place("two.safetensors")));
}

TEST(Safetensors, WritesTheBytesOfHuggingFacesLibrary) {
  const auto values = torch::arange(6).remainder(2).view({2, 3});
  TensorMap tensors = {{"none", torch::empty({0, 4})}, {"scalar", torch::tensor(2.5f)}};
  const std::pair<const char*, torch::ScalarType> named[] = {
      {"double", torch::kFloat64}, {"float", torch::kFloat32},   {"half", torch::kFloat16},
      {"brain", torch::kBFloat16}, {"long", torch::kInt64},      {"int", torch::kInt32},
      {"short", torch::kInt16},    {"char", torch::kInt8},       {"byte", torch::kUInt8},
      {"bool", torch::kBool},      {"a.float", torch::kFloat32}, {"z \"quoted\"", torch::kFloat32},
      {"ü", torch::kFloat16}};
  for (const auto& [name, type] : named) tensors[name] = values.to(type);
  write_safetensors(place("mixed.safetensors"), tensors, {{"format", "pt"}});
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  const fs::path theirs = fs::path(source) / "tests/oracle/safetensors/mixed.safetensors";
  EXPECT_EQ(read_text(place("mixed.safetensors")), read_text(theirs));
}

TEST(Safetensors, WritingToTheMappingStaysPrivate) {
  write_safetensors(place("private.safetensors"), {{"a", torch::zeros({4})}});
  SafetensorsFile(place("private.safetensors")).tensor("a").fill_(7.0);
  EXPECT_TRUE(torch::equal(SafetensorsFile(place("private.safetensors")).tensor("a"), torch::zeros({4})));
}

TEST(Safetensors, ATensorOutlivesTheFileObject) {
  write_safetensors(place("alive.safetensors"), {{"a", torch::full({1000}, 3.0)}});
  const auto tensor = [] { return SafetensorsFile(place("alive.safetensors")).tensor("a"); }();
  EXPECT_EQ(tensor.sum().item<double>(), 3000.0);
}

TEST(Safetensors, RefusesBrokenFiles) {
  const auto entry = [](const std::string& type, const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  write_text(place("short.safetensors"), "1234567");
  EXPECT_THAT(refusal(place("short.safetensors")), HasSubstr("only 7 bytes"));
  write_text(place("huge.safetensors"), std::string(8, '\xff'));
  EXPECT_THAT(refusal(place("huge.safetensors")), HasSubstr("claims 18446744073709551615 bytes"));
  EXPECT_THAT(refusal(file_with("[1]", 0)), HasSubstr("no JSON object"));
  EXPECT_THAT(refusal(file_with("{", 0)), HasSubstr("made.safetensors"));
  EXPECT_EQ(refusal(file_with(entry("F32", "[2]", "[0,8]"), 8)), "accepted");
  EXPECT_THAT(refusal(file_with(entry("F32", "[2]", "[0,8]"), 9)), HasSubstr("the tensors end at byte"));
  EXPECT_THAT(refusal(file_with(entry("F32", "[2]", "[0,8]"), 7)), HasSubstr("outside the 7 bytes"));
  EXPECT_THAT(refusal(file_with(entry("F32", "[2]", "[8,0]"), 8)), HasSubstr("lie outside"));
  EXPECT_THAT(refusal(file_with(entry("F32", "[3]", "[0,8]"), 8)),
              HasSubstr("tensor `a`: shape and type take 12 bytes, the data_offsets 0 to 8 give 8"));
  EXPECT_THAT(refusal(file_with(entry("F32", "[-1]", "[0,8]"), 8)), HasSubstr("no natural number"));
  EXPECT_THAT(refusal(file_with(entry("F32", "[4294967296,4294967296,2]", "[0,8]"), 8)), HasSubstr("overflows"));
  EXPECT_THAT(refusal(file_with(entry("C64", "[1]", "[0,8]"), 8)),
              HasSubstr("is of type C64, which is not read. There is: U64, I64"));
  EXPECT_THAT(refusal(file_with(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                R"("b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})",
                                10)),
              HasSubstr("leaves a hole behind tensor `a`, which ends at byte"));
  EXPECT_THAT(refusal(file_with(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                                4)),
              HasSubstr("overlaps tensor `a`"));
  EXPECT_THAT(refusal(file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                                1)),
              HasSubstr("twice"));
  EXPECT_THAT(refusal(file_with(R"({"__metadata__":{"k":1}})", 0)), HasSubstr("`k` is no string"));
  EXPECT_THAT(refusal(place("is_not_there.safetensors")), HasSubstr("cannot be opened"));
  EXPECT_THAT(refusal(fs::path(::testing::TempDir())), HasSubstr("not a regular file"));
}

TEST(Safetensors, ANameThatIsNotThereIsSaid) {
  write_safetensors(place("names.safetensors"), {{"a", torch::ones({1})}});
  EXPECT_THROW(SafetensorsFile(place("names.safetensors")).tensor("b"), FormatError);
}

}  // namespace
}  // namespace peftlab::checkpoint
