// The path of any processor.
#include <quantize/kernels_loops.h>

namespace peftlab {

extern constexpr Kernels kPlainKernels = table_of<Plain>("plain");

}  // namespace peftlab
