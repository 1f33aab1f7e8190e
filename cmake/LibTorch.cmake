# LibTorch from the unpacked wheel. Only torch_cpu and c10 are linked: TorchConfig.cmake would pull in CUDA, which the
# program opens at run time where a GPU is used.

set(PEFTLAB_TORCH_VERSION "2.11.0")
set(TORCH_ROOT "${PEFTLAB_DEPS}/python/torch")
if(NOT EXISTS "${TORCH_ROOT}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch is not in ${TORCH_ROOT}: run script/setup first")
endif()

set(torch_includes "${TORCH_ROOT}/include" "${TORCH_ROOT}/include/torch/csrc/api/include")

add_library(torch::c10 SHARED IMPORTED)
set_target_properties(torch::c10 PROPERTIES
  IMPORTED_LOCATION "${TORCH_ROOT}/lib/libc10.so"
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${torch_includes}"
  INTERFACE_INCLUDE_DIRECTORIES "${torch_includes}")

add_library(torch::cpu SHARED IMPORTED)
set_target_properties(torch::cpu PROPERTIES
  IMPORTED_LOCATION "${TORCH_ROOT}/lib/libtorch_cpu.so"
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${torch_includes}"
  INTERFACE_INCLUDE_DIRECTORIES "${torch_includes}"
  INTERFACE_LINK_LIBRARIES torch::c10
  # libtorch_cpu.so names the CUDA runtime and CUPTI; the loader finds them by the library's own path, the linker need not.
  INTERFACE_LINK_OPTIONS "LINKER:--allow-shlib-undefined")

# For peftlab_cuda alone.
add_library(torch::cuda INTERFACE IMPORTED)
target_link_libraries(torch::cuda INTERFACE torch::cpu "${TORCH_ROOT}/lib/libtorch_cuda.so" "${TORCH_ROOT}/lib/libc10_cuda.so")
target_link_options(torch::cuda INTERFACE "LINKER:--allow-shlib-undefined")
