# SPDX-License-Identifier: Apache-2.0
# Libraries that run on glibc 2.28 and newer: compiled by the system's compiler with its usual flags, so that the wheel computes
# the bits, at the speed, of every other build, and linked by build/wheel/link (tools/make_wheel), the linker of the Zig
# toolchain, which knows the symbols of each glibc. What 2.28 lacks is an error of the linker.
# The small libraries are archives, whose symbols cmake/libbdl.map keeps inside. A wheel has no links, so files have one name.
cmake_path(SET link NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../build/wheel/link)
set(CMAKE_C_CREATE_SHARED_LIBRARY
  "${link} -shared <LINK_FLAGS> <SONAME_FLAG><TARGET_SONAME> -o <TARGET> <OBJECTS> <LINK_LIBRARIES>")
set(CMAKE_C_CREATE_SHARED_MODULE ${CMAKE_C_CREATE_SHARED_LIBRARY})
set(CMAKE_C_LINK_EXECUTABLE "${link} -pie <LINK_FLAGS> <OBJECTS> -o <TARGET> <LINK_LIBRARIES>")
set(CMAKE_PLATFORM_NO_VERSIONED_SONAME ON)
# Macros of OpenSSL's headers write down the name of the source file.
cmake_path(SET source NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../)
set(CMAKE_C_FLAGS_INIT -ffile-prefix-map=${source}=)
# Not the path of a build tree with the final one written over it: no byte may tell where the wheel was built.
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
