# SPDX-License-Identifier: Apache-2.0
# libbdl_dnnl.so: src/dnnl, the only code that includes oneDNN. libbdl opens it when a plan first needs it.
# oneDNN >= 3.2 is, in this order: the file named by BDL_ONEDNN_LIBRARY (headers in BDL_ONEDNN_INCLUDE), a CMake package
# (dnnl_DIR or the system's), or what tools/get_onednn fetches into BDL_ONEDNN_FETCH_DIR.

set(bundled OFF)
if(BDL_ONEDNN_LIBRARY)
  add_library(bdl_onednn UNKNOWN IMPORTED)
  set_target_properties(bdl_onednn PROPERTIES
    IMPORTED_LOCATION ${BDL_ONEDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${BDL_ONEDNN_INCLUDE})
  set(onednn bdl_onednn)
  set(description ${BDL_ONEDNN_LIBRARY})
else()
  find_package(dnnl 3.2 CONFIG QUIET)
  if(NOT dnnl_FOUND)
    message(STATUS "No oneDNN >= 3.2 here: fetching one into ${BDL_ONEDNN_FETCH_DIR}")
    execute_process(COMMAND ${PROJECT_SOURCE_DIR}/tools/get_onednn ${BDL_ONEDNN_FETCH_DIR} RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "tools/get_onednn failed. Give -Ddnnl_DIR=…, or -DBDL_ONEDNN_LIBRARY=… and "
        "-DBDL_ONEDNN_INCLUDE=…, or build without oneDNN: -DBDL_ONEDNN=OFF (make ONEDNN=OFF)")
    endif()
    find_package(dnnl 3.2 CONFIG REQUIRED PATHS ${BDL_ONEDNN_FETCH_DIR} NO_DEFAULT_PATH)
  endif()
  set(onednn DNNL::dnnl)
  cmake_path(IS_PREFIX BDL_ONEDNN_FETCH_DIR "${dnnl_DIR}" NORMALIZE bundled)
  set(description "${dnnl_VERSION} (${dnnl_DIR})")
endif()
message(STATUS "oneDNN: ${description}")

add_library(bdl_dnnl MODULE ${dnnl_files})
bdl_compile_options(bdl_dnnl)
target_compile_options(bdl_dnnl PRIVATE ${BDL_BASE_FLAGS})
target_compile_definitions(bdl_dnnl PRIVATE BDL_BUILDING=1)
target_include_directories(bdl_dnnl PRIVATE ${BDL_INCLUDE_DIRS})
target_link_libraries(bdl_dnnl PRIVATE ${onednn} m)
# An oneDNN of the user's stays where it is; a fetched one moves with the library.
set_target_properties(bdl_dnnl PROPERTIES PREFIX lib INSTALL_RPATH "$ORIGIN")
if(NOT bundled)
  set_target_properties(bdl_dnnl PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
endif()

# For a oneDNN whose libgomp.so.1 tools/make_wheel has replaced by this name.
if(BDL_OWN_OPENMP)
  add_library(bdl_openmp SHARED src/dnnl/one_thread/openmp.c)
  bdl_compile_options(bdl_openmp)
  set(openmp_map ${PROJECT_SOURCE_DIR}/src/dnnl/one_thread/openmp.map)
  target_link_options(bdl_openmp PRIVATE LINKER:--version-script=${openmp_map})
  set_target_properties(bdl_openmp PROPERTIES LINK_DEPENDS ${openmp_map})
  add_dependencies(bdl_dnnl bdl_openmp)
  install(TARGETS bdl_openmp LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

install(TARGETS bdl_dnnl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(bundled)
  # Under its SONAME only, so that nobody links against it by accident.
  install(FILES ${BDL_ONEDNN_FETCH_DIR}/lib/libdnnl.so.3.2 RENAME libdnnl.so.3 DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${BDL_ONEDNN_FETCH_DIR}/share/doc/onednn/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses/onednn)
endif()
