#pragma once

/// \file
/// Where the memory of tensors on the processor comes from.

namespace peftlab::run {

/// From now on freed memory stays with the process, and what one tensor leaves serves the next of its size: tensors
/// get theirs from malloc(). With LibTorch's own way, memalign(), the heap of glibc grows between tensors of one size (seen with
/// 2.36; sourceware bug 30723 tells of it). A tensor that gets none throws c10::OutOfMemoryError with the number of bytes.
void keep_tensor_memory();

}  // namespace peftlab::run
