#pragma once

/// \file
/// The options of a method that keeps the base's linear maps in few bits, and what they do to a model.

#include <peftlab/export.h>
#include <peftlab/model.h>
#include <peftlab/params.h>

#include <string>
#include <vector>

namespace peftlab {

/// Which linear maps are quantized, and how.
class PEFTLAB_API QuantizedMaps {
 public:
  /// Reads `quantization`, `double_quantization`, `block_size` and `quantized_targets`. Checks are left with `params`.
  explicit QuantizedMaps(Params& params);

  /// Quantizes one map after the other and gives its pages of the mapped file back before the next, so that memory never
  /// holds the model in its old form. The output layer stays as it is unless it is named.
  /// Throws: ConfigError if a target names no map, or one that is quantized already.
  void apply(Model& model);

  /// Whether every map computes what it did before apply(), to the bit.
  bool is_exact() const { return is_exact_; }

  /// Bytes of the maps' weights, before and after.
  int64_t bytes_before() const { return bytes_before_; }
  int64_t bytes_after() const { return bytes_after_; }

  /// The options as they stand in the table `peftlab` of an adapter_config.json.
  Table to_table() const;
  /// The entries of such a table that are these options; they are taken out of `table`.
  static Table take_from(Table& table);

 private:
  QuantizationFormat format_;
  std::vector<std::string> targets_;
  bool is_exact_ = true;
  int64_t bytes_before_ = 0, bytes_after_ = 0;
};

}  // namespace peftlab
