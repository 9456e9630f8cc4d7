# SPDX-License-Identifier: Apache-2.0
# Installation: headers, libraries, command, bdl.pc and the CMake package, all relocatable (prefix and DESTDIR).

if(NOT TARGET bdl_shared)
  return()
endif()
