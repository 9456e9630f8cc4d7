/* SPDX-License-Identifier: Apache-2.0 */
/* The instances of loops.inc, and the table that finds them. */
#include "tensor/loops.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* T: the type. U: what it is added and multiplied in, so that integers wrap around. */
#define T float
#define U float
#define IS_FLOAT 1
#define IS_SIGNED 1
#define LEAST (-HUGE_VALF)
#define MOST HUGE_VALF
#define M(function) function##f
#define NAME(name) name##_f32
#include "tensor/loops.inc"

#define T double
#define U double
#define IS_FLOAT 1
#define IS_SIGNED 1
#define LEAST (-HUGE_VAL)
#define MOST HUGE_VAL
#define M(function) function
#define NAME(name) name##_f64
#include "tensor/loops.inc"

#define T int32_t
#define U uint32_t
#define IS_FLOAT 0
#define IS_SIGNED 1
#define LEAST INT32_MIN
#define MOST INT32_MAX
#define NAME(name) name##_i32
#include "tensor/loops.inc"

#define T int64_t
#define U uint64_t
#define IS_FLOAT 0
#define IS_SIGNED 1
#define LEAST INT64_MIN
#define MOST INT64_MAX
#define NAME(name) name##_i64
#include "tensor/loops.inc"

#define T uint8_t
#define U uint32_t
#define IS_FLOAT 0
#define IS_SIGNED 0
#define LEAST 0
#define MOST UINT8_MAX
#define NAME(name) name##_u8
#include "tensor/loops.inc"

const bdl__loops *bdl__loops_of(bdl_dtype dtype)
{
    switch (dtype) {
    case BDL_F32:
        return &loops_f32;
    case BDL_F64:
        return &loops_f64;
    case BDL_I32:
        return &loops_i32;
    case BDL_I64:
        return &loops_i64;
    case BDL_U8:
        return &loops_u8;
    case BDL_BF16:
        break;
    }
    return NULL;
}
