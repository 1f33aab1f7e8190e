# peftlab_plugin(name sources... [LIBRARIES libs...])
#   A plugin: plugins/<name>.so in the build folder, linked to peftlab_api (and what LIBRARIES adds), one exported symbol.
# peftlab_plugin_test(name sources...)
#   Its own test: links peftlab_api and the test helpers; the plugin itself is loaded as the program loads it.
# peftlab_test(name sources... [LIBRARIES libs...])
#   Any other GoogleTest program.

function(peftlab_plugin name)
  cmake_parse_arguments(arg "" "" "LIBRARIES" ${ARGN})
  add_library(${name} MODULE ${arg_UNPARSED_ARGUMENTS})
  set_target_properties(${name} PROPERTIES PREFIX "" DEFINE_SYMBOL ""
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/plugins"
    BUILD_RPATH "$ORIGIN/..")
  target_link_libraries(${name} PRIVATE peftlab_api ${arg_LIBRARIES})
  if(TARGET peftlab_pch)
    target_precompile_headers(${name} REUSE_FROM peftlab_pch)
  endif()
  set_property(GLOBAL APPEND PROPERTY PEFTLAB_PLUGINS ${name})
endfunction()

function(peftlab_test name)
  if(NOT PEFTLAB_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "NO_TORCH" "" "LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests" BUILD_RPATH "$ORIGIN/..")
  if(TARGET peftlab_pch AND NOT arg_NO_TORCH)
    target_precompile_headers(${name} REUSE_FROM peftlab_pch)
    # The header was compiled with -fPIC; an executable's own -fPIE would make it unusable.
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE -fPIC)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT
    # One thread each: tensors are tiny here, and threads that wait for each other cost more than they bring.
    "PEFTLAB_SOURCE_DIR=${CMAKE_SOURCE_DIR};PEFTLAB_BINARY_DIR=${CMAKE_BINARY_DIR};OMP_NUM_THREADS=1;PEFTLAB_STORE_ON_NETWORK=1")  # wherever the tests run
endfunction()

function(peftlab_plugin_test name)
  peftlab_test(${name}_test ${ARGN} LIBRARIES peftlab_testing)
  if(TARGET ${name}_test)
    add_dependencies(${name}_test ${name})
  endif()
endfunction()
