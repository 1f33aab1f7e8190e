#pragma once

/// \file
/// How the gradient of an embedding table is told while a step of training lasts.

#include <peftlab/export.h>

namespace peftlab {

/// While it lives, on its thread, what Embedding::forward() computes has a gradient of rows (a sparse tensor) for its table,
/// instead of one of the table's size that is nearly all zeros. Where the table is the head's weight too, autograd adds the
/// rows to that gradient in place. Whoever lets it live makes the gradients dense, where they are not, after backward().
class PEFTLAB_API TableGradientsAsRows {
 public:
  TableGradientsAsRows();
  ~TableGradientsAsRows();
  TableGradientsAsRows(const TableGradientsAsRows&) = delete;
  TableGradientsAsRows& operator=(const TableGradientsAsRows&) = delete;

  static bool is_on();
};

}  // namespace peftlab
