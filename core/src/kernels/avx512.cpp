// The inner loops of this room, compiled with the instructions of processors with AVX-512 (F, BW, DQ, VL).
#include "kernels/attention_loops.h"
#include "kernels/few_rows_loops.h"
#include "kernels/pointwise_loops.h"

namespace peftlab {

const AttentionKernels kAttentionAvx512 = attention_table();
const FewRowsKernels kFewRowsAvx512 = few_rows_table();
const PointwiseKernels kPointwiseAvx512 = pointwise_table();

}  // namespace peftlab
