#pragma once

/// \file
/// The post-processors of tokenizer.json, for single texts.

#include "tokenize/entry.h"

#include <cstdint>
#include <vector>

namespace peftlab::tokenize {

/// The ids that a tokenizer puts around a text.
struct Frame {
  std::vector<int64_t> before, behind;

  /// This frame with `outer` around it.
  Frame inside(const Frame& outer) const;
};

/// Reads TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel or Sequence. Throws: FormatError that names
/// another kind, or what is wrong with this one.
Frame read_frame(const Entry& entry);

}  // namespace peftlab::tokenize
