# peftlab_cuda: the one library that links torch_cuda. It is built wherever nvcc is found, linked by nothing, and opened at
# run time where a GPU is used.

if(PEFTLAB_CUDA STREQUAL "OFF")
  return()
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(PEFTLAB_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PEFTLAB_CUDA is ON but no nvcc was found")
  endif()
  message(STATUS "no nvcc: the CUDA parts are not built")
  return()
endif()
# Compute capabilities of the GPUs that are rented today: V100 is no longer among CUDA 13's.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

file(GLOB cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/core/src/cuda/*.cu")
add_library(peftlab_cuda SHARED ${cuda_sources})
target_include_directories(peftlab_cuda PRIVATE "${CMAKE_SOURCE_DIR}/core/src" "${CMAKE_SOURCE_DIR}/core/include")
target_link_libraries(peftlab_cuda PRIVATE torch::cuda CUDA::cudart)
set_target_properties(peftlab_cuda PROPERTIES CUDA_VISIBILITY_PRESET hidden)
# LibTorch's headers want C++20, a dialect of nvcc that this CMake does not know by name.
target_compile_options(peftlab_cuda PRIVATE -std=c++20)
set_property(TARGET peftlab_cuda PROPERTY CXX_STANDARD)
set_property(TARGET peftlab_cuda PROPERTY CUDA_STANDARD)
