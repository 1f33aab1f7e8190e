#pragma once

/// \file
/// For the tests of this room: the numbers of bitsandbytes in tests/oracle/nf4, and each path in turn.

#include <quantize/kernels.h>

#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace peftlab {

/// All tensors of golden.safetensors, by name.
inline const std::map<std::string, torch::Tensor>& golden() {
  static const auto all = [] {
    const char* root = std::getenv("PEFTLAB_SOURCE_DIR");
    if (root == nullptr) throw std::runtime_error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
    std::ifstream file(std::string(root) + "/tests/oracle/nf4/golden.safetensors", std::ios::binary);
    uint64_t size = 0;
    file.read(reinterpret_cast<char*>(&size), sizeof size);
    std::string header(size, ' ');
    file.read(header.data(), static_cast<std::streamsize>(size));
    const auto entries = nlohmann::json::parse(header);
    static const std::map<std::string, torch::ScalarType> kTypes = {
        {"F32", torch::kFloat32}, {"BF16", torch::kBFloat16}, {"F16", torch::kHalf},
        {"U8", torch::kUInt8},    {"I8", torch::kInt8},       {"I64", torch::kInt64}};
    std::map<std::string, torch::Tensor> tensors;
    for (const auto& [name, entry] : entries.items()) {
      if (name == "__metadata__") continue;
      const auto shape = entry.at("shape").get<std::vector<int64_t>>();
      auto tensor = torch::empty(shape, kTypes.at(entry.at("dtype").get<std::string>()));
      file.seekg(static_cast<std::streamoff>(8 + size + entry.at("data_offsets")[0].get<uint64_t>()));
      file.read(static_cast<char*>(tensor.mutable_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
      tensors[name] = tensor;
    }
    return tensors;
  }();
  return all;
}

inline torch::Tensor golden(const std::string& name) {
  if (!golden().contains(name)) throw std::runtime_error("no golden tensor " + name);
  return golden().at(name);
}

inline bool same_bits(const torch::Tensor& a, const torch::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         std::memcmp(a.contiguous().const_data_ptr(), b.contiguous().const_data_ptr(), a.nbytes()) == 0;
}

/// FNV-1a of the bytes, 64 bits.
inline int64_t fnv(const torch::Tensor& tensor) {
  uint64_t result = 0xCBF29CE484222325u;
  const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
  for (size_t i = 0; i < tensor.nbytes(); ++i) result = (result ^ bytes[i]) * 0x100000001B3u;
  return static_cast<int64_t>(result);
}

/// Runs each test on one path; skips it where the processor lacks the path.
class EachPath : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto* path = kernels_named(GetParam());
    if (path == nullptr) GTEST_SKIP() << "this processor lacks the path " << GetParam();
    use_kernels(*path);
  }
  void TearDown() override { use_kernels(before_); }

 private:
  const Kernels& before_ = kernels();
};

#define PEFTLAB_EACH_PATH(Suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(Paths, Suite, ::testing::Values("plain", "avx2", "avx512", "bf16"), \
                           [](const ::testing::TestParamInfo<const char*>& path) { return path.param; })

}  // namespace peftlab
