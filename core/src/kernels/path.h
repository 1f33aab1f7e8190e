#pragma once

/// \file
/// For which kind of processor the inner loops are taken: they are compiled once for each, and chosen at run time.

#include <peftlab/export.h>

#include <string>
#include <vector>

namespace peftlab {

/// From the oldest to the newest; each has the instructions of those before it.
enum class Path {
  plain,   ///< what the compiler takes for granted
  avx2,    ///< with FMA and F16C
  avx512,  ///< F, BW, DQ and VL
  bf16,    ///< AVX512-BF16
};

/// "plain", "avx2", "avx512" or "bf16".
PEFTLAB_API const char* name_of(Path path);

/// Those that this processor can, from the oldest to the newest.
PEFTLAB_API const std::vector<Path>& possible_paths();

/// The newest of them, or less: PEFTLAB_CPU in the environment names the newest that may be taken.
/// Throws: ConfigError for another value of that variable.
PEFTLAB_API Path best_path();

/// Makes `path` the best one. For tests: nothing may be computing meanwhile.
PEFTLAB_API void use_path(Path path);

/// Whether this processor multiplies matrices of bfloat16 in a unit of its own.
bool has_amx();

}  // namespace peftlab
