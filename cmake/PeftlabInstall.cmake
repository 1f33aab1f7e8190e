# What `cmake --install` puts where, all of it relative: the prefix may be moved. What plugins outside need is there too:
# headers, LibTorch (its headers, and the libraries of its CPU half), find_package(peftlab), the laws.
#
#   bin/peftlab
#   include/peftlab/
#   lib/libpeftlab_{base,api,engine}.so
#   lib/peftlab/plugins/*.so   lib/peftlab/torch/{include,lib}   lib/peftlab/nvidia/cu13/lib   (where LibTorch looks)
#   share/cmake/peftlab   share/man/man1   share/bash-completion ...   share/doc/peftlab

set(private lib/peftlab)

install(TARGETS peftlab RUNTIME DESTINATION bin)
set_target_properties(peftlab PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
install(TARGETS peftlab_base peftlab_api peftlab_engine LIBRARY DESTINATION lib)
set_target_properties(peftlab_base PROPERTIES INSTALL_RPATH "$ORIGIN")
set_target_properties(peftlab_api peftlab_engine PROPERTIES INSTALL_RPATH "$ORIGIN:$ORIGIN/peftlab/torch/lib")

get_property(plugins GLOBAL PROPERTY PEFTLAB_PLUGINS)
install(TARGETS ${plugins} LIBRARY DESTINATION ${private}/plugins)
set_target_properties(${plugins} PROPERTIES INSTALL_RPATH "$ORIGIN/../..:$ORIGIN/../torch/lib")

install(DIRECTORY core/include/peftlab DESTINATION include)
install(DIRECTORY "${TORCH_ROOT}/include" DESTINATION ${private}/torch)
install(FILES "${TORCH_ROOT}/lib/libtorch_cpu.so" "${TORCH_ROOT}/lib/libc10.so" "${TORCH_ROOT}/lib/libgomp.so.1"
  DESTINATION ${private}/torch/lib)
# libtorch_cpu.so names these two, with or without a GPU.
install(FILES "${PEFTLAB_DEPS}/python/nvidia/cu13/lib/libcudart.so.13" "${PEFTLAB_DEPS}/python/nvidia/cu13/lib/libcupti.so.13"
  DESTINATION ${private}/nvidia/cu13/lib)

include(CMakePackageConfigHelpers)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/peftlabConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES cmake/peftlabConfig.cmake "${CMAKE_BINARY_DIR}/peftlabConfigVersion.cmake" DESTINATION share/cmake/peftlab)

# Manual pages and completions are what the commands say of themselves.
set(texts "${CMAKE_BINARY_DIR}/texts")
add_custom_command(OUTPUT "${texts}/stamp"
  COMMAND ${CMAKE_COMMAND} -E rm -rf "${texts}"
  COMMAND ${CMAKE_COMMAND} -E make_directory "${texts}"
  COMMAND peftlab manual "${texts}/man"
  COMMAND peftlab completion bash > "${texts}/peftlab"
  COMMAND peftlab completion zsh > "${texts}/_peftlab"
  COMMAND peftlab completion fish > "${texts}/peftlab.fish"
  COMMAND ${CMAKE_COMMAND} -E touch "${texts}/stamp"
  DEPENDS peftlab peftlab_engine VERBATIM)
add_custom_target(peftlab_texts ALL DEPENDS "${texts}/stamp")
install(DIRECTORY "${texts}/man/" DESTINATION share/man/man1)
install(FILES "${texts}/peftlab" DESTINATION share/bash-completion/completions)
install(FILES "${texts}/_peftlab" DESTINATION share/zsh/site-functions)
install(FILES "${texts}/peftlab.fish" DESTINATION share/fish/vendor_completions.d)
install(FILES README.md LICENSE CHANGELOG.md DESTINATION share/doc/peftlab)
install(DIRECTORY docs/ DESTINATION share/doc/peftlab/docs)

# script/package: a .deb for this Debian and a tarball for any prefix.
set(CPACK_PACKAGE_VENDOR "peftlab")
set(CPACK_PACKAGE_CONTACT "maintainers of peftlab <maintainers@peftlab.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "compares parameter-efficient fine-tuning methods")
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/packages")
set(CPACK_PACKAGING_INSTALL_PREFIX "/usr")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS
  "${CMAKE_BINARY_DIR}" "${TORCH_ROOT}/lib" "${PEFTLAB_DEPS}/python/nvidia/cu13/lib")
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
# What writing a plugin takes besides.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "g++, cmake, make, libgtest-dev, libgmock-dev")
set(CPACK_STRIP_FILES OFF)
include(CPack)
