// The inner loops of this room, compiled with the instructions of processors with AVX2, FMA and F16C.
#include "kernels/attention_loops.h"
#include "kernels/few_rows_loops.h"
#include "kernels/pointwise_loops.h"

namespace peftlab {

const AttentionKernels kAttentionAvx2 = attention_table();
const FewRowsKernels kFewRowsAvx2 = few_rows_table();
const PointwiseKernels kPointwiseAvx2 = pointwise_table();

}  // namespace peftlab
