#include "kernels/attention.h"
#include "kernels/few_rows.h"
#include "kernels/path.h"
#include "kernels/pointwise.h"

namespace peftlab {
namespace {

/// Of three tables the one of the best path; what AVX512-BF16 adds is in none of them.
template <typename Table>
const Table& best(const Table& plain, const Table& avx2, const Table& avx512) {
  const Path path = best_path();
  return path >= Path::avx512 ? avx512 : path == Path::avx2 ? avx2 : plain;
}

}  // namespace

const AttentionKernels& attention_kernels() { return best(kAttentionPlain, kAttentionAvx2, kAttentionAvx512); }
const FewRowsKernels& few_rows_kernels() { return best(kFewRowsPlain, kFewRowsAvx2, kFewRowsAvx512); }
const PointwiseKernels& pointwise_kernels() { return best(kPointwisePlain, kPointwiseAvx2, kPointwiseAvx512); }

}  // namespace peftlab
