# SPDX-License-Identifier: Apache-2.0
# The small libraries of docs/design/dependencies.md, as targets PkgConfig::BDL_<NAME>. Used by this build, and by an
# installed bdl when a program links libbdl.a (see bdlConfig.cmake.in), so the two cannot drift apart.
# Reads BDL_IMAGES and BDL_TLS; sets BDL_DEPENDENCIES to the targets.

find_package(PkgConfig REQUIRED)

pkg_check_modules(BDL_ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(BDL_CJSON REQUIRED IMPORTED_TARGET libcjson)
set(BDL_DEPENDENCIES PkgConfig::BDL_ZLIB PkgConfig::BDL_CJSON)

if(BDL_IMAGES)
  pkg_check_modules(BDL_TURBOJPEG REQUIRED IMPORTED_TARGET libturbojpeg)
  pkg_check_modules(BDL_PNG REQUIRED IMPORTED_TARGET libpng)
  list(APPEND BDL_DEPENDENCIES PkgConfig::BDL_TURBOJPEG PkgConfig::BDL_PNG)
endif()

if(BDL_TLS)
  pkg_check_modules(BDL_OPENSSL REQUIRED IMPORTED_TARGET openssl>=3.0)
  list(APPEND BDL_DEPENDENCIES PkgConfig::BDL_OPENSSL)
endif()
