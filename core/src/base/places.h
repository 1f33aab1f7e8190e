#pragma once

/// \file
/// Where this peftlab lies: in its build folder or where it was installed. Found at run time, so that both may be moved.

#include <peftlab/export.h>

#include <filesystem>

namespace peftlab {

/// The folder of libpeftlab_base.so, beside which the other libraries of this peftlab lie.
PEFTLAB_API std::filesystem::path library_folder();

/// The folder of the plugins that belong to this peftlab.
PEFTLAB_API std::filesystem::path plugin_folder();

/// The folder that find_package(peftlab) and the documentation know: where headers, LibTorch and CMake files lie. Empty
/// in a build folder, where nothing is installed.
PEFTLAB_API std::filesystem::path install_prefix();

}  // namespace peftlab
