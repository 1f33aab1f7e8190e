/// Weights on a device, without one: the kernels are plain loops over the CPU's memory, with the arithmetic that those of
/// the GPU have (four_bit_math.h). What a GPU itself computes is in tests/cuda.

#include <peftlab/error.h>
#include <quantize/device_weight.h>
#include <quantize/four_bit_math.h>
#include <quantize/golden.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/torch.h>

#include <cmath>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

torch::ScalarType type_of(Real type) {
  return type == Real::float32 ? torch::kFloat32 : type == Real::bfloat16 ? torch::kBFloat16 : torch::kHalf;
}

torch::Tensor numbers_at(const void* memory, int64_t n, Real type) {
  return torch::from_blob(const_cast<void*>(memory), {n}, type_of(type));
}

const char* encode4(int, const void* memory, Real type, int64_t n, int64_t block, FourBitSearch search, uint8_t* packed,
                    float* absmax) {
  const auto wide = numbers_at(memory, n, type).to(torch::kFloat32);
  const float* x = wide.const_data_ptr<float>();
  for (int64_t first = 0; first < n; first += block) {
    const int64_t count = std::min(block, n - first);
    float largest = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float magnitude = std::fabs(x[first + i]);
      if (!(magnitude <= largest)) largest = magnitude;
    }
    const auto scaling = four_bit::scaling_of(largest, count == block);
    absmax[first / block] = scaling.largest;
    for (int64_t i = first; i < first + count; i += 2) {
      const float second = i + 1 < first + count ? x[i + 1] : 0.0f;
      packed[i / 2] = static_cast<uint8_t>(four_bit::nearest_code(four_bit::scaled(x[i], scaling), search) << 4 |
                                           four_bit::nearest_code(four_bit::scaled(second, scaling), search));
    }
  }
  return nullptr;
}

const char* decode4(int, FourBitOnDevice weight, int64_t first, int64_t n, Real type, void* to) {
  std::vector<float> numbers;
  for (int64_t i = first; i < first + n; ++i) {
    const float number = weight.table[four_bit::code_at(weight.packed, i)];
    numbers.push_back(four_bit::times(number, four_bit::scale_of(weight, i >> weight.log2_block)));
  }
  numbers_at(to, n, type).copy_(torch::tensor(numbers));
  return nullptr;
}

int products_of_codes = 0;

const char* multiply4(int device, FourBitOnDevice weight, int64_t in, int64_t out, const void* x, int64_t rows,
                      Real type, void* y) {
  ++products_of_codes;
  const auto w = torch::empty({out * in});
  decode4(device, weight, 0, out * in, Real::float32, w.mutable_data_ptr());
  const auto product =
      torch::mm(numbers_at(x, rows * in, type).view({rows, in}).to(torch::kFloat32), w.view({out, in}).t());
  numbers_at(y, rows * out, type).copy_(product.view({-1}));
  return nullptr;
}

const char* decode8(int, const int8_t* q, const float* largest, int64_t in, int64_t first, int64_t rows, Real type,
                    void* to) {
  auto numbers = torch::empty({rows, in});
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < in; ++i) {
      numbers[row][i] = static_cast<float>(q[(first + row) * in + i]) * (largest[first + row] / 127.0f);
    }
  }
  numbers_at(to, rows * in, type).copy_(numbers.view({-1}));
  return nullptr;
}

const DeviceKernels& loops() {
  static const DeviceKernels kernels{encode4, decode4, multiply4, decode8};
  return kernels;
}

class DeviceWeights : public ::testing::Test {
 protected:
  void SetUp() override { give_device_kernels(loops); }
  void TearDown() override { give_device_kernels(nullptr); }
};

TEST_F(DeviceWeights, EncodeToTheBitsOfTheCpu) {
  for (const std::string name : {"gauss", "special", "ragged", "misaligned96"}) {
    const auto codes = encode_four_bit_on_device(golden(name + ".weight"), four_bit_table("nf4"), 64);
    EXPECT_TRUE(same_bits(codes.packed, golden(name + ".nf4.packed"))) << name;
    EXPECT_TRUE(same_bits(codes.absmax, golden(name + ".nf4.absmax"))) << name;
  }
}

TEST_F(DeviceWeights, DivideAShortBlockAsTheCpu) {
  torch::manual_seed(4);
  const auto weight = torch::randn({1, 64 * 500 + 40});
  const auto codes = encode_four_bit_on_device(torch::cat({weight, weight.flip(1)}, 1), four_bit_table("nf4"), 4096);
  const auto here = encode_four_bit(torch::cat({weight, weight.flip(1)}, 1), four_bit_table("nf4"), 4096);
  EXPECT_TRUE(same_bits(codes.packed, here.packed));
  EXPECT_TRUE(four_bit::scaling_of(3.0f, /*is_whole=*/false).divides);
  EXPECT_EQ(four_bit::scaled(1.0f, four_bit::scaling_of(3.0f, false)), 1.0f / 3.0f);
  EXPECT_EQ(four_bit::scaled(0.7f, four_bit::scaling_of(3.0f, true)), 0.7f * (1.0f / 3.0f));
}

TEST_F(DeviceWeights, RefuseToEncodeWhatIsNotFinite) {
  for (const int64_t length : {64, 40}) {
    auto weight = torch::ones({1, length});
    weight[0][length - 1] = NAN;
    EXPECT_THROW(encode_four_bit_on_device(weight, four_bit_table("nf4"), 64), UnsupportedError) << length;
  }
}

TEST_F(DeviceWeights, AreMadeRealToTheBitsOfTheCpu) {
  for (const std::string name : {"gauss", "special", "ragged", "misaligned96"}) {
    for (const QuantizationFormat& format :
         {QuantizationFormat{"nf4", 64, false}, {"nf4", 64, true}, {"fp4", 128, true}, {"int8"}, {"bfloat16"}}) {
      const auto here = quantize(golden(name + ".weight"), format);
      const auto there = put_on_device(*here, torch::kCPU);
      EXPECT_EQ(there->bytes(), here->bytes());
      for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kHalf}) {
        EXPECT_TRUE(same_bits(there->dense(type), here->dense(type))) << name << " " << format.type;
      }
      const auto rows = torch::empty({2, here->in()});
      there->write_rows(1, rows);
      EXPECT_TRUE(same_bits(rows, here->dense(torch::kFloat32).narrow(0, 1, 2))) << name << " " << format.type;
    }
  }
}

TEST_F(DeviceWeights, MultiplyAndHaveTheGradientOfTheDenseProduct) {
  torch::manual_seed(3);
  for (const QuantizationFormat& format : {QuantizationFormat{"nf4"}, {"fp4", 32, false}, {"int8"}, {"bfloat16"}}) {
    const auto weight = put_on_device(*quantize(torch::randn({70, 128}), format), torch::kCPU);
    const auto w = weight->dense(torch::kDouble);
    for (const int64_t rows : {1, 8, 9, 40}) {
      const int before = products_of_codes;
      const auto x = torch::randn({2, rows, 128}).requires_grad_(true);
      const auto y = weight->multiply(x);
      const bool few = 2 * rows <= kFewRowsOnDevice && format.type.ends_with("4");
      EXPECT_EQ(products_of_codes - before, few ? 1 : 0);
      EXPECT_LT((y - torch::matmul(x.to(torch::kDouble), w.t())).abs().max().item<double>(), 1e-4) << format.type;
      const auto dy = torch::randn_like(y);
      y.backward(dy);
      EXPECT_LT((x.grad() - torch::matmul(dy.to(torch::kDouble), w)).abs().max().item<double>(), 1e-4) << format.type;
    }
    const auto x = torch::randn({40, 128}).to(torch::kBFloat16), y = weight->multiply(x);
    EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
    EXPECT_LT((y - torch::matmul(x.to(torch::kDouble), w.t())).abs().max().item<double>(), 0.5) << format.type;
  }
}

TEST_F(DeviceWeights, SumOverPiecesOfALargeWeight) {
  // In float32 a piece has 16 MB: this weight is two.
  const auto weight = put_on_device(*quantize(torch::randn({1100, 4096}), {"nf4"}), torch::kCPU);
  const auto w = weight->dense(torch::kFloat32);
  const auto x = torch::randn({9, 4096}).requires_grad_(true);
  const auto y = weight->multiply(x);
  EXPECT_LT((y - torch::mm(x, w.t())).abs().max().item<double>(), 1e-3);
  const auto dy = torch::randn_like(y);
  y.backward(dy);
  EXPECT_LT((x.grad() - torch::mm(dy, w)).abs().max().item<double>(), 1e-3);
}

TEST_F(DeviceWeights, SayThatNoKernelsWereGiven) {
  give_device_kernels(nullptr);
  const auto weight = quantize(torch::randn({4, 64}), {"nf4"});
  EXPECT_THAT([&] { weight->to(torch::Device(torch::kCUDA, 0)); },
              ThrowsMessage<UnsupportedError>(HasSubstr("no kernels were given")));
}

}  // namespace
}  // namespace peftlab
