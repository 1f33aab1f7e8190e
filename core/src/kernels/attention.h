#pragma once

/// \file
/// Attention of one sequence's rows to the keys and values of one head, forward and backward: what an AttentionPlan is
/// made of on a CPU. No mask is made, nothing is padded, and keys in front of all sequences are read where they lie.

#include <cstdint>

namespace peftlab {

/// The columns a row looks at: [0, front) and [from, to), front <= from < to.
struct Sight {
  int32_t front, from, to;
};

/// Rows of one head's width each, `row` numbers apart, of the type that AttentionCall::is_bfloat16 says; those of the next
/// head of queries lie `head` numbers behind.
template <typename Pointer>
struct HeadRows {
  Pointer first = nullptr;
  int64_t row = 0, head = 0;
};
using GivenRows = HeadRows<const void*>;
using WrittenRows = HeadRows<void*>;

/// Keys and values in a row, one part of the columns. `rows` may be 0.
struct KeyValuePart {
  GivenRows keys, values;
  int64_t rows = 0;
};

/// One sequence and one head of keys and values, with the heads of queries that share it.
struct AttentionCall {
  bool is_bfloat16 = false;      ///< all numbers but `logsumexp`; else they are float32
  int64_t queries = 0;           ///< rows
  int64_t group = 1;             ///< heads of queries
  int64_t width = 0;             ///< of a head
  float scale = 1;               ///< of q k
  float dropout = 0;             ///< probability in [0, 1) with which a weight is dropped
  uint64_t draw = 0;             ///< what decides which, with the row, the head and the column
  const Sight* sight = nullptr;  ///< by row
  GivenRows query;
  KeyValuePart front, own;     ///< columns: those of `front`, then those of `own`
  float* logsumexp = nullptr;  ///< [queries, group]: written forward where it is not null, read backward
};

/// Gradients, each for the rows of its name. Those of the front are float32 whatever the type is, [front.rows] rows that
/// are `dfront_row` numbers apart: they are to be added up over sequences.
struct AttentionGradients {
  GivenRows dout;
  WrittenRows dquery, dkeys, dvalues;
  float* dfront_keys = nullptr;
  float* dfront_values = nullptr;
  int64_t dfront_row = 0;
};

/// Memory a call works in: numbers that forward and backward need.
using AttentionRoom = int64_t (*)(const AttentionCall&);

struct AttentionKernels {
  AttentionRoom forward_room, backward_room;
  void (*forward)(const AttentionCall&, const WrittenRows& out, float* room);
  void (*backward)(const AttentionCall&, const AttentionGradients&, float* room);
};

/// Those of the best path.
const AttentionKernels& attention_kernels();

extern const AttentionKernels kAttentionPlain, kAttentionAvx2, kAttentionAvx512;

}  // namespace peftlab
