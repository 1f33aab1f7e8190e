#pragma once

/// \file
/// Where the memory of tensors on the processor comes from.

namespace peftlab::run {

/// From now on freed memory stays with the process, and what one tensor leaves serves the next of its size: tensors
/// get theirs from malloc(). With LibTorch's own way, memalign(), glibc before 2.38 asks its free lists for more than the
/// size, finds no place that a tensor of the same size left (sourceware bug 14581), and the heap grows. A tensor that gets
/// none throws c10::OutOfMemoryError with the number of bytes.
void keep_tensor_memory();

}  // namespace peftlab::run
