/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bdl.h: the public interface of libbdl.
 *
 * Conventions. Every fallible function returns a bdl_status, BDL_OK being 0, and gives its results
 * through its last parameters, which are written only on success. bdl_last_error() explains the
 * last failure on the calling thread. Objects are opaque; `..._free(NULL)` does nothing. Inputs are
 * borrowed unless a function's name says `take`. Structs of options start with `struct_size`, which
 * the caller sets to sizeof the struct. Labels, indices and axes count from 0.
 */
#ifndef BDL_BDL_H
#define BDL_BDL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bdl/version.h>

#if defined(__GNUC__)
#define BDL_API __attribute__((visibility("default")))
#else
#define BDL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Result of a call: 0 or one of the codes below. @since 0.1 */
typedef int32_t bdl_status;

/* One line a code: name, number, short text. Numbers never change. */
#define BDL_STATUS_LIST(X)                                                                         \
    X(BDL_OK, 0, "success")                                                                        \
    X(BDL_ERR_INVALID_ARGUMENT, 1, "invalid argument")                                             \
    X(BDL_ERR_OUT_OF_MEMORY, 2, "out of memory")                                                   \
    X(BDL_ERR_IO, 3, "input or output failed")                                                     \
    X(BDL_ERR_FORMAT, 4, "malformed file or text")                                                 \
    X(BDL_ERR_NOT_FOUND, 5, "not found")                                                           \
    X(BDL_ERR_SHAPE, 6, "shapes do not fit")                                                       \
    X(BDL_ERR_UNSUPPORTED, 7, "not supported")                                                     \
    X(BDL_ERR_CANCELLED, 8, "cancelled")                                                           \
    X(BDL_ERR_NUMERIC, 9, "not a finite number")                                                   \
    X(BDL_ERR_FORKED, 10, "used in a forked child")                                                \
    X(BDL_ERR_STATE, 11, "called in the wrong state")                                              \
    X(BDL_ERR_INTERNAL, 12, "internal error")

enum {
#define BDL_STATUS_ENUM(name, number, text) name = number,
    BDL_STATUS_LIST(BDL_STATUS_ENUM)
#undef BDL_STATUS_ENUM
};

/** Element types of tensors and files. @since 0.1 */
typedef enum bdl_dtype {
    BDL_F32 = 0,
    BDL_F64 = 1,
    BDL_I32 = 2,
    BDL_I64 = 3,
    BDL_U8 = 4,
    BDL_BF16 = 5
} bdl_dtype;

/** Most axes that a tensor can have, the batch included. @since 0.1 */
#define BDL_MAX_RANK 8

/**
 * Memory functions of a context. `alloc` returns memory aligned to 64 bytes or NULL; `free` accepts
 * what `alloc` returned with the size that was asked for. Both may be called from any thread.
 * @since 0.1
 */
typedef struct bdl_allocator {
    size_t struct_size;
    void *(*alloc)(void *user, size_t size);
    void (*free)(void *user, void *memory, size_t size);
    void *user;
} bdl_allocator;

/** Text that explains the last failure on this thread, never NULL. @since 0.1 */
BDL_API const char *bdl_last_error(void);

/** The short text of a status code, such as "out of memory". @since 0.1 */
BDL_API const char *bdl_status_text(bdl_status status);

#ifdef __cplusplus
}
#endif

#endif
