#include "cuda/quantized.h"

#include <quantize/four_bit_math.h>

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

namespace peftlab::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
/// Numbers that a thread makes at a time: four bytes of codes, which no block of 32 or more divides.
constexpr int kEight = 8;

__device__ float widen(float x) { return x; }
__device__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ float widen(__half x) { return __half2float(x); }

template <typename T>
__device__ T narrow(float x);
template <>
__device__ float narrow(float x) {
  return x;
}
template <>
__device__ __nv_bfloat16 narrow(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ __half narrow(float x) {
  return __float2half_rn(x);
}

/// Eight numbers, read and stored 16 bytes at a time.
template <typename T>
struct alignas(16) Eight {
  T at[kEight];
};

/// A warp encodes a block: finds its largest magnitude, then makes two codes a lane and step.
template <typename T>
__global__ void encode4(const T* x, int64_t n, int64_t block, int64_t blocks, FourBitSearch search, uint8_t* packed,
                        float* absmax) {
  const int64_t index = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (index >= blocks) return;
  const int64_t first = index * block, count = min(block, n - first);
  // Among bit patterns: a number that is not finite is the largest of all.
  unsigned largest = 0;
  for (int64_t i = lane; i < count; i += kWarp) {
    largest = max(largest, __float_as_uint(widen(x[first + i])) & 0x7FFFFFFFu);
  }
  for (int step = kWarp / 2; step > 0; step /= 2) largest = max(largest, __shfl_xor_sync(~0u, largest, step));
  const auto scaling = four_bit::scaling_of(__uint_as_float(largest), count == block);
  if (lane == 0) absmax[index] = scaling.largest;
  for (int64_t i = 2 * lane; i < count; i += 2 * kWarp) {
    const float second = i + 1 < count ? widen(x[first + i + 1]) : 0.0f;
    const uint8_t high = four_bit::nearest_code(four_bit::scaled(widen(x[first + i]), scaling), search);
    const uint8_t low = four_bit::nearest_code(four_bit::scaled(second, scaling), search);
    packed[(first + i) / 2] = static_cast<uint8_t>(high << 4 | low);
  }
}

template <typename T>
__global__ void decode4(FourBitOnDevice weight, int64_t first, int64_t n, bool aligned, T* to) {
  // Threads begin at multiples of eight of the whole weight, so that a scale holds for all of one's numbers.
  const int64_t begin = first / kEight * kEight + kEight * (int64_t{blockIdx.x} * blockDim.x + threadIdx.x);
  const int64_t end = first + n;
  if (begin >= end) return;
  const float scale = four_bit::scale_of(weight, begin >> weight.log2_block);
  if (aligned && begin + kEight <= end) {
    const uchar4 bytes = *reinterpret_cast<const uchar4*>(weight.packed + begin / 2);
    const uint8_t codes[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
    Eight<T> numbers;
    for (int i = 0; i < kEight; ++i) {
      numbers.at[i] = narrow<T>(four_bit::times(__ldg(weight.table + four_bit::code_at(codes, i)), scale));
    }
    *reinterpret_cast<Eight<T>*>(to + (begin - first)) = numbers;
    return;
  }
  for (int64_t i = max(begin, first); i < min(begin + kEight, end); ++i) {
    to[i - first] = narrow<T>(four_bit::times(weight.table[four_bit::code_at(weight.packed, i)], scale));
  }
}

/// A warp gives one column of y: its lanes take eight weights of a row of W at a time, for all the rows of x.
template <typename T, int kRows>
__global__ void multiply4(FourBitOnDevice weight, int64_t in, int64_t out, const T* x, T* y) {
  __shared__ float table[16];
  if (threadIdx.x < 16) table[threadIdx.x] = weight.table[threadIdx.x];
  __syncthreads();
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (column >= out) return;
  float sums[kRows] = {};
  for (int64_t i = kEight * lane; i < in; i += kEight * kWarp) {
    const int64_t place = column * in + i;
    const uchar4 bytes = *reinterpret_cast<const uchar4*>(weight.packed + place / 2);
    const uint8_t codes[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
    const float scale = four_bit::scale_of(weight, place >> weight.log2_block);
    float w[kEight];
    for (int j = 0; j < kEight; ++j) w[j] = table[four_bit::code_at(codes, j)];
    for (int row = 0; row < kRows; ++row) {
      const Eight<T> numbers = *reinterpret_cast<const Eight<T>*>(x + row * in + i);
      float sum = 0;
      for (int j = 0; j < kEight; ++j) sum = fmaf(w[j], widen(numbers.at[j]), sum);
      sums[row] = fmaf(sum, scale, sums[row]);
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int step = kWarp / 2; step > 0; step /= 2) sums[row] += __shfl_xor_sync(~0u, sums[row], step);
    if (lane == 0) y[row * out + column] = narrow<T>(sums[row]);
  }
}

template <typename T>
__global__ void decode8(const int8_t* q, const float* largest, int64_t in, int64_t first, int64_t n, T* to) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float scale = four_bit::over(largest[first + i / in], 127.0f);
  to[i] = narrow<T>(four_bit::times(static_cast<float>(q[first * in + i]), scale));
}

unsigned grid(int64_t threads) { return static_cast<unsigned>((threads + kThreads - 1) / kThreads); }

bool is_aligned(const void* data, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(data) % bytes == 0; }

/// Calls work(a T's null pointer, stream) with the type of the numbers, and says how it ended.
template <typename Work>
const char* launch(int device, Real type, const Work& work) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device)).stream();
  if (type == Real::float32) {
    work(static_cast<float*>(nullptr), stream);
  } else if (type == Real::bfloat16) {
    work(static_cast<__nv_bfloat16*>(nullptr), stream);
  } else {
    work(static_cast<__half*>(nullptr), stream);
  }
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

const char* start_encode4(int device, const void* x, Real type, int64_t n, int64_t block, FourBitSearch search,
                          uint8_t* packed, float* absmax) {
  const int64_t blocks = (n + block - 1) / block;
  if (blocks == 0) return nullptr;
  return launch(device, type, [&](auto* of, cudaStream_t stream) {
    const auto* numbers = static_cast<decltype(of)>(const_cast<void*>(x));
    encode4<<<grid(blocks * kWarp), kThreads, 0, stream>>>(numbers, n, block, blocks, search, packed, absmax);
  });
}

const char* start_decode4(int device, FourBitOnDevice weight, int64_t first, int64_t n, Real type, void* to) {
  if (n == 0) return nullptr;
  return launch(device, type, [&](auto* of, cudaStream_t stream) {
    auto* numbers = static_cast<decltype(of)>(to);
    const bool aligned = first % kEight == 0 && is_aligned(to, 16) && is_aligned(weight.packed, 4);
    const int64_t threads = (first + n + kEight - 1) / kEight - first / kEight;
    decode4<<<grid(threads), kThreads, 0, stream>>>(weight, first, n, aligned, numbers);
  });
}

template <typename T>
void multiply_rows(FourBitOnDevice weight, int64_t in, int64_t out, const T* x, int64_t rows, T* y,
                   cudaStream_t stream) {
  const unsigned blocks = grid(out * kWarp);
  while (rows > 0) {
    const int64_t some = rows >= 8 ? 8 : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    if (some == 8) multiply4<T, 8><<<blocks, kThreads, 0, stream>>>(weight, in, out, x, y);
    if (some == 4) multiply4<T, 4><<<blocks, kThreads, 0, stream>>>(weight, in, out, x, y);
    if (some == 2) multiply4<T, 2><<<blocks, kThreads, 0, stream>>>(weight, in, out, x, y);
    if (some == 1) multiply4<T, 1><<<blocks, kThreads, 0, stream>>>(weight, in, out, x, y);
    x += some * in, y += some * out, rows -= some;
  }
}

const char* start_multiply4(int device, FourBitOnDevice weight, int64_t in, int64_t out, const void* x, int64_t rows,
                            Real type, void* y) {
  if (in % kEight != 0) return "the rows of the weight are no multiple of 8 long";
  if (!is_aligned(x, 16) || !is_aligned(weight.packed, 4)) return "the operands are not aligned";
  return launch(device, type, [&](auto* of, cudaStream_t stream) {
    multiply_rows(weight, in, out, static_cast<decltype(of)>(const_cast<void*>(x)), rows, static_cast<decltype(of)>(y),
                  stream);
  });
}

const char* start_decode8(int device, const int8_t* q, const float* largest, int64_t in, int64_t first, int64_t rows,
                          Real type, void* to) {
  const int64_t n = rows * in;
  if (n == 0) return nullptr;
  return launch(device, type, [&](auto* of, cudaStream_t stream) {
    decode8<<<grid(n), kThreads, 0, stream>>>(q, largest, in, first, n, static_cast<decltype(of)>(to));
  });
}

}  // namespace

const DeviceKernels& quantized_kernels() {
  static const DeviceKernels kernels{start_encode4, start_decode4, start_multiply4, start_decode8};
  return kernels;
}

}  // namespace peftlab::cuda
