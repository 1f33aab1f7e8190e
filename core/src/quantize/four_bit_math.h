#pragma once

/// \file
/// The arithmetic of 4-bit codes number by number, for the kernels of a GPU, with the bits of the CPU. Host code may call
/// it too, and the tests do.

#include <quantize/device_kernels.h>

#ifdef __CUDACC__
#define PEFTLAB_EVERYWHERE __host__ __device__ inline
#else
#define PEFTLAB_EVERYWHERE inline
#endif

namespace peftlab::four_bit {

// Each is rounded by itself, where the GPU's compiler would make one step of a product and a sum.
#ifdef __CUDA_ARCH__
#define PEFTLAB_ROUNDED(on_gpu, on_cpu) return on_gpu
#else
#define PEFTLAB_ROUNDED(on_gpu, on_cpu) return on_cpu
#endif
PEFTLAB_EVERYWHERE float times(float a, float b) { PEFTLAB_ROUNDED(__fmul_rn(a, b), a * b); }
PEFTLAB_EVERYWHERE float plus(float a, float b) { PEFTLAB_ROUNDED(__fadd_rn(a, b), a + b); }
PEFTLAB_EVERYWHERE float over(float a, float b) { PEFTLAB_ROUNDED(__fdiv_rn(a, b), a / b); }

PEFTLAB_EVERYWHERE float scale_of(const FourBitOnDevice& weight, int64_t block) {
  if (weight.absmax != nullptr) return weight.absmax[block];
  const float scaled = times(weight.scale_table[weight.scale_codes[block]], weight.scale_absmax[block / 256]);
  return plus(scaled, weight.offset);
}

/// The code of number i: the first of a byte is in its high half.
PEFTLAB_EVERYWHERE int code_at(const uint8_t* packed, int64_t i) { return packed[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15; }

/// The code near v, which is taken into [-1, 1] first.
PEFTLAB_EVERYWHERE uint8_t nearest_code(float v, const FourBitSearch& search) {
  v = v > 1.0f ? 1.0f : v < -1.0f ? -1.0f : v;
  int below = 0;
  for (int step = 8; step > 0; step /= 2) below += v > search.threshold[below + step - 1] ? step : 0;
  return search.order[below];
}

/// How the numbers of a block become what nearest_code() is given: a whole block is multiplied by the reciprocal of its
/// largest magnitude, a short last one divided by it.
struct Scaling {
  float largest, factor;
  bool divides;
};

PEFTLAB_EVERYWHERE Scaling scaling_of(float largest, bool is_whole) {
  const float raised = largest < 1e-38f ? 1e-38f : largest;  // which keeps what is not finite
  if (!is_whole) return {raised, raised, true};
  return {largest, over(1.0f, raised), false};
}

PEFTLAB_EVERYWHERE float scaled(float x, const Scaling& scaling) {
  return scaling.divides ? over(x, scaling.factor) : times(x, scaling.factor);
}

}  // namespace peftlab::four_bit
