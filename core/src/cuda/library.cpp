#include "cuda/library.h"

#include "base/places.h"

#include <peftlab/error.h>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>

namespace peftlab::cuda {

const Functions& functions() {
  static const Functions functions = [] {
    const auto file = library_folder() / "libpeftlab_cuda.so";
    auto* library = new boost::dll::shared_library();
    std::error_code error;
    library->load(file, error, boost::dll::load_mode::rtld_now);
    if (error) {
      throw PluginError(file.string() + ": cannot be opened (was peftlab built where nvcc is?): " + error.message());
    }
    return library->get<Functions()>("peftlab_cuda_functions")();
  }();
  return functions;
}

}  // namespace peftlab::cuda
