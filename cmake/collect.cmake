# SPDX-License-Identifier: Apache-2.0
# Lists of families, readers and so on, made from the sources themselves: no constructors, no list kept by hand.
#
#   bdl_collect(OUTPUT MACRO ENTRY FILE...)
#
# OUTPUT (a name in the generated include folder) gets one line ENTRY(name) for each line MACRO(name… that begins a line of
# the FILEs, in the order of the names. It is made at build time, so that editing a layer does not run CMake again, and it is
# rewritten only when it changes. Run as a script (cmake -P) this file does the work.

if(CMAKE_SCRIPT_MODE_FILE)
  string(REPLACE "|" ";" FILES "${FILES}")
  set(lines "")
  foreach(file IN LISTS FILES)
    file(STRINGS "${file}" found REGEX "^${MACRO}\\([ ]*[a-zA-Z0-9_]+")
    foreach(line IN LISTS found)
      string(REGEX REPLACE "^${MACRO}\\([ ]*([a-zA-Z0-9_]+).*" "${ENTRY}(\\1)" line "${line}")
      list(APPEND lines "${line}")
    endforeach()
  endforeach()
  list(SORT lines)
  list(JOIN lines "\n" text)
  set(text "/* Made by cmake/collect.cmake from the lines ${MACRO}(name… of the sources. */\n${text}\n")
  set(old "")
  if(EXISTS "${OUTPUT}")
    file(READ "${OUTPUT}" old)
  endif()
  if(NOT old STREQUAL text)
    file(WRITE "${OUTPUT}" "${text}")
  endif()
  return()
endif()

function(bdl_collect output macro entry)
  set(path "${BDL_GENERATED_DIR}/${output}")
  list(JOIN ARGN "|" files)
  add_custom_command(
    OUTPUT "${path}"
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${path} -DMACRO=${macro} -DENTRY=${entry} "-DFILES=${files}"
            -P "${PROJECT_SOURCE_DIR}/cmake/collect.cmake"
    DEPENDS ${ARGN} "${PROJECT_SOURCE_DIR}/cmake/collect.cmake"
    COMMENT "Listing ${macro} in ${output}"
    VERBATIM)
endfunction()
