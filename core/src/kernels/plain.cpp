// The inner loops of this room, compiled with the instructions of any processor.
#include "kernels/attention_loops.h"
#include "kernels/few_rows_loops.h"
#include "kernels/pointwise_loops.h"

namespace peftlab {

const AttentionKernels kAttentionPlain = attention_table();
const FewRowsKernels kFewRowsPlain = few_rows_table();
const PointwiseKernels kPointwisePlain = pointwise_table();

}  // namespace peftlab
