#include "engine.h"

#include "base/places.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <dlfcn.h>

namespace peftlab::cli {

int call_engine(const std::string& command, const Words& words) {
  static const EngineEntry entry = [] {
    const auto file = library_folder() / "libpeftlab_engine.so";
    // Global: a GPU's libraries, opened later, find LibTorch's symbols as if the program had linked them.
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
    void* symbol = library ? dlsym(library, kEngineEntry) : nullptr;
    if (!symbol) throw Error(fmt::format("the commands that compute cannot be opened: {}", dlerror()));
    return reinterpret_cast<EngineEntry>(symbol);
  }();
  return entry(command, words);
}

}  // namespace peftlab::cli
