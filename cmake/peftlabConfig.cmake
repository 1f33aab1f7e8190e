# find_package(peftlab): what a plugin outside peftlab's own tree is built with.
#
# peftlab_plugin(name sources... [LIBRARIES libs...])
#   A plugin: <name>.so in the build folder, with one exported symbol.
# peftlab_plugin_test(name sources... [LIBRARIES libs...])
#   Its own test, a GoogleTest program with the laws at hand, and a test that runs `peftlab plugins check` on it.
#
# Targets: peftlab::api (what plugins link) and peftlab::testing (the laws, toy models, plugins made by name).

get_filename_component(PEFTLAB_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(PEFTLAB_PROGRAM "${PEFTLAB_PREFIX}/bin/peftlab")
set(peftlab_torch "${PEFTLAB_PREFIX}/lib/peftlab/torch")

if(NOT TARGET peftlab::api)
  add_library(peftlab::api SHARED IMPORTED)
  set_target_properties(peftlab::api PROPERTIES
    IMPORTED_LOCATION "${PEFTLAB_PREFIX}/lib/libpeftlab_api.so"
    INTERFACE_INCLUDE_DIRECTORIES "${PEFTLAB_PREFIX}/include"
    INTERFACE_COMPILE_FEATURES cxx_std_20)
  target_include_directories(peftlab::api SYSTEM INTERFACE
    "${peftlab_torch}/include" "${peftlab_torch}/include/torch/csrc/api/include")
  target_link_libraries(peftlab::api INTERFACE
    "${PEFTLAB_PREFIX}/lib/libpeftlab_base.so" "${peftlab_torch}/lib/libtorch_cpu.so" "${peftlab_torch}/lib/libc10.so")
  # libtorch_cpu.so names libraries that the loader finds by its own path; the linker need not.
  target_link_options(peftlab::api INTERFACE "LINKER:--allow-shlib-undefined")

  add_library(peftlab::testing SHARED IMPORTED)
  set_target_properties(peftlab::testing PROPERTIES
    IMPORTED_LOCATION "${PEFTLAB_PREFIX}/lib/libpeftlab_engine.so" INTERFACE_LINK_LIBRARIES peftlab::api)
endif()

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

enable_testing()  # here: in a function it would end with the function

function(peftlab_plugin name)
  cmake_parse_arguments(arg "" "" "LIBRARIES" ${ARGN})
  add_library(${name} MODULE ${arg_UNPARSED_ARGUMENTS})
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    CXX_EXTENSIONS OFF)
  target_link_libraries(${name} PRIVATE peftlab::api ${arg_LIBRARIES})
endfunction()

function(peftlab_plugin_test name)
  cmake_parse_arguments(arg "" "" "LIBRARIES" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name}_test ${arg_UNPARSED_ARGUMENTS})
  set_target_properties(${name}_test PROPERTIES CXX_EXTENSIONS OFF)
  target_link_libraries(${name}_test PRIVATE peftlab::testing GTest::gtest GTest::gmock GTest::gtest_main ${arg_LIBRARIES})
  add_dependencies(${name}_test ${name})
  add_test(NAME ${name}_test COMMAND ${name}_test)
  add_test(NAME ${name}_laws COMMAND "${PEFTLAB_PROGRAM}" plugins check "$<TARGET_FILE:${name}>")
  set_tests_properties(${name}_test PROPERTIES ENVIRONMENT "PEFTLAB_PLUGIN_PATH=$<TARGET_FILE_DIR:${name}>")
endfunction()
