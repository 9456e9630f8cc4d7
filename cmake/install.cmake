# SPDX-License-Identifier: Apache-2.0
# Installation: headers, libraries, command, bdl.pc and the CMake package, all relocatable (prefix and DESTDIR).

if(NOT TARGET bdl_shared)
  return()
endif()
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bdl)

install(DIRECTORY include/bdl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${BDL_GENERATED_DIR}/include/bdl/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bdl)
install(TARGETS bdl_shared EXPORT bdl_shared_export LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS bdl_static EXPORT bdl_static_export ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET bdl)
  install(TARGETS bdl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/man/bdl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES tools/completion/bdl.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME bdl)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses RENAME bdl)
if(EXISTS ${PROJECT_SOURCE_DIR}/third_party/dlpack/LICENSE)
  install(FILES third_party/dlpack/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses RENAME dlpack)
endif()

# find_package(bdl) → bdl::bdl; find_package(bdl COMPONENTS static) → bdl::static too
install(EXPORT bdl_shared_export NAMESPACE bdl:: FILE bdlTargets.cmake DESTINATION ${package_dir})
install(EXPORT bdl_static_export NAMESPACE bdl:: FILE bdlStaticTargets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/bdlConfig.cmake.in ${BDL_GENERATED_DIR}/bdlConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${BDL_GENERATED_DIR}/bdlConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${BDL_GENERATED_DIR}/bdlConfig.cmake ${BDL_GENERATED_DIR}/bdlConfigVersion.cmake DESTINATION ${package_dir})
install(FILES cmake/dependencies.cmake DESTINATION ${package_dir} RENAME bdlDependencies.cmake)

# pkg-config, relative to the place of bdl.pc. The folders may be given as absolute ones.
file(RELATIVE_PATH BDL_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH BDL_PC_TO_INCLUDE ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
set(BDL_PC_REQUIRES "zlib libcjson")
if(BDL_IMAGES)
  string(APPEND BDL_PC_REQUIRES " libturbojpeg libpng")
endif()
if(BDL_TLS)
  string(APPEND BDL_PC_REQUIRES " openssl")
endif()
configure_file(cmake/bdl.pc.in ${BDL_GENERATED_DIR}/bdl.pc @ONLY)
install(FILES ${BDL_GENERATED_DIR}/bdl.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
