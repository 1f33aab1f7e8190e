#include "base/places.h"

#include <peftlab/error.h>

#include <dlfcn.h>

namespace peftlab {

namespace fs = std::filesystem;

fs::path library_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&library_folder), &info) == 0 || info.dli_fname == nullptr) {
    throw Error("the loader does not know where libpeftlab_base.so lies");
  }
  return fs::canonical(info.dli_fname).parent_path();
}

fs::path plugin_folder() {
  const fs::path libraries = library_folder();
  return install_prefix().empty() ? libraries / "plugins" : libraries / "peftlab" / "plugins";
}

fs::path install_prefix() {
  const fs::path prefix = library_folder().parent_path();
  return fs::exists(prefix / "share" / "cmake" / "peftlab") ? prefix : fs::path();
}

}  // namespace peftlab
