# SPDX-License-Identifier: Apache-2.0
# Flags. One place says how everything is compiled, so that GCC's and Clang's libraries compute the same bits.

# Contraction is off: a fused multiply-add is written out (r_fma), never left to the compiler's taste.
set(BDL_NUMERIC_FLAGS -ffp-contract=off)

set(BDL_WARNING_FLAGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wundef)
set(BDL_WARNING_FLAGS_C -Wstrict-prototypes -Wmissing-prototypes)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(BDL_BASE_FLAGS -march=x86-64-v2)
  set(BDL_KERNEL_TARGETS sse4 avx2 avx512 lane1 f64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(BDL_BASE_FLAGS "")
  set(BDL_KERNEL_TARGETS neon lane1 f64)
else()
  message(FATAL_ERROR "bdl runs on x86-64 and aarch64, not on ${CMAKE_SYSTEM_PROCESSOR}")
endif()

# Flags of each kernel target; BDL_TARGET_<NAME> is what kernels/real.h looks at.
set(BDL_KERNEL_FLAGS_sse4 -march=x86-64-v2)
set(BDL_KERNEL_FLAGS_avx2 -march=x86-64-v3)
set(BDL_KERNEL_FLAGS_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
set(BDL_KERNEL_FLAGS_neon "")
set(BDL_KERNEL_FLAGS_lane1 ${BDL_BASE_FLAGS})
set(BDL_KERNEL_FLAGS_f64 ${BDL_BASE_FLAGS})
# Flags of a kernel file that names its instruction (<what>_bf16_avx512.c).
set(BDL_KERNEL_FLAGS_bf16_avx512 -march=x86-64-v4 -mavx512bf16 -mprefer-vector-width=512)

# -fno-math-errno and -fno-trapping-math change errno and exception flags only, never a value; Clang has the second as its
# default. Vectors wider than the library's own ABI pass only between files of one target, hence -Wno-psabi.
set(BDL_KERNEL_COMMON_FLAGS -fno-math-errno -fno-trapping-math -Wno-psabi)
if(BDL_SANITIZE)
  list(APPEND BDL_KERNEL_COMMON_FLAGS -O1)
else()
  list(APPEND BDL_KERNEL_COMMON_FLAGS -O3)
endif()

set(BDL_INSTRUMENT_FLAGS "")
if(BDL_SANITIZE)
  list(APPEND BDL_INSTRUMENT_FLAGS -fsanitize=${BDL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()
if(BDL_COVERAGE)
  list(APPEND BDL_INSTRUMENT_FLAGS --coverage)
endif()

# bdl_compile_options(target): what every object of the project shares.
function(bdl_compile_options target)
  set(instrument ${BDL_INSTRUMENT_FLAGS} $<$<BOOL:${BDL_FUZZ}>:-fsanitize=fuzzer-no-link>)
  if(target MATCHES "^bdl_kernels_" AND NOT BDL_SANITIZE_KERNELS)
    set(instrument "")
  endif()
  set_target_properties(${target} PROPERTIES
    C_STANDARD 17 C_STANDARD_REQUIRED ON C_EXTENSIONS ON C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE
    ${BDL_NUMERIC_FLAGS} ${BDL_WARNING_FLAGS} $<$<COMPILE_LANGUAGE:C>:${BDL_WARNING_FLAGS_C}>
    $<$<BOOL:${BDL_WERROR}>:-Werror> ${instrument})
  target_link_options(${target} PRIVATE ${BDL_INSTRUMENT_FLAGS})
  target_compile_definitions(${target} PRIVATE
    $<$<BOOL:${BDL_IMAGES}>:BDL_WITH_IMAGES=1> $<$<BOOL:${BDL_ONEDNN}>:BDL_WITH_ONEDNN=1>
    $<$<BOOL:${BDL_TLS}>:BDL_WITH_TLS=1>)
endfunction()
