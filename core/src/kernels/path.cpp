#include "kernels/path.h"

#include <peftlab/error.h>

#include <cstdlib>

namespace peftlab {
namespace {

bool is_possible([[maybe_unused]] Path path) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (path == Path::avx2) return avx2;
  if (path == Path::avx512) return avx512;
  if (path == Path::bf16) return avx512 && __builtin_cpu_supports("avx512bf16");
#endif
  return path == Path::plain;
}

/// What PEFTLAB_CPU allows; all of it where it says nothing.
Path limit() {
  const char* given = std::getenv("PEFTLAB_CPU");
  if (!given) return Path::bf16;
  for (const Path path : {Path::plain, Path::avx2, Path::avx512, Path::bf16}) {
    if (std::string(given) == name_of(path)) return path;
  }
  throw ConfigError("the environment variable PEFTLAB_CPU is `" + std::string(given) +
                    "`, wanted plain, avx2, avx512 or bf16");
}

/// The one that is taken now.
Path& chosen() {
  static Path path = [] {
    const Path most = limit();
    Path best = Path::plain;
    for (const Path possible : possible_paths()) {
      if (possible <= most) best = possible;
    }
    return best;
  }();
  return path;
}

}  // namespace

bool has_amx() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("amx-bf16");
#else
  return false;
#endif
}

const char* name_of(Path path) {
  constexpr const char* kNames[] = {"plain", "avx2", "avx512", "bf16"};
  return kNames[static_cast<int>(path)];
}

const std::vector<Path>& possible_paths() {
  static const std::vector<Path> paths = [] {
    std::vector<Path> found;
    for (const Path path : {Path::plain, Path::avx2, Path::avx512, Path::bf16}) {
      if (is_possible(path)) found.push_back(path);
    }
    return found;
  }();
  return paths;
}

Path best_path() { return chosen(); }

void use_path(Path path) { chosen() = path; }

}  // namespace peftlab
