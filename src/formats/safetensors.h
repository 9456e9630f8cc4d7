/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safetensors format: 8 bytes little-endian N, N bytes of JSON, data. The JSON maps names to
 * {"dtype", "shape", "data_offsets": [begin, end]}, offsets counting from the data's start, and
 * "__metadata__" to an object of strings. Reading checks everything and executes nothing.
 */
#ifndef BDL_FORMATS_SAFETENSORS_H
#define BDL_FORMATS_SAFETENSORS_H

#include "base/file.h"
#include "tensor/shape.h"

/* Element types: name in files, bytes. */
#define BDL__ST_DTYPES(X)                                                                          \
    X(F64, 8) X(F32, 4) X(F16, 2) X(BF16, 2) X(I64, 8) X(I32, 4) X(I16, 2) X(I8, 1) X(U64, 8)      \
    X(U32, 4) X(U16, 2) X(U8, 1) X(BOOL, 1)

typedef enum bdl__st_dtype {
#define BDL__ST_ENUM(name, size) BDL__ST_##name,
    BDL__ST_DTYPES(BDL__ST_ENUM)
#undef BDL__ST_ENUM
        BDL__ST_N_DTYPES
} bdl__st_dtype;

const char *bdl__st_dtype_name(bdl__st_dtype dtype);
size_t bdl__st_dtype_size(bdl__st_dtype dtype);

typedef struct bdl__st_tensor {
    const char *name;
    bdl__st_dtype dtype;
    bdl__shape shape;  /* as in the file: dimensions of 0 are possible */
    int64_t count;     /* elements */
    const void *data;  /* little-endian, perhaps unaligned */
    size_t size;       /* bytes */
} bdl__st_tensor;

typedef struct bdl__safetensors bdl__safetensors;

/* Maps a file. Errors name the file, the tensor or offset, what was expected and what was found. */
bdl_status bdl__safetensors_open(const bdl_allocator *allocator, const char *path,
                                 bdl__safetensors **file);
/* Reads memory that outlives the result; `where` names it for errors. */
bdl_status bdl__safetensors_parse(const bdl_allocator *allocator, const void *bytes, size_t size,
                                  const char *where, bdl__safetensors **file);
void bdl__safetensors_free(bdl__safetensors *file);

/* Tensors in the order of their data. */
int64_t bdl__safetensors_count(const bdl__safetensors *file);
const bdl__st_tensor *bdl__safetensors_at(const bdl__safetensors *file, int64_t i);
/* NULL if there is none of that name. */
const bdl__st_tensor *bdl__safetensors_find(const bdl__safetensors *file, const char *name);
/* Text of the metadata under this key, or NULL. */
const char *bdl__safetensors_metadata(const bdl__safetensors *file, const char *key);

/* Copies the elements to `dst` (dtype BDL_F32 or BDL_F64, count elements), converting from F16,
 * BF16, F32 or F64; other types are BDL_ERR_UNSUPPORTED. */
bdl_status bdl__safetensors_read(const bdl__st_tensor *tensor, bdl_dtype dtype, void *dst);

typedef struct bdl__st_pair {
    const char *key;
    const char *value;
} bdl__st_pair;

/* Writes a file that appears at once or not at all: metadata in the given order, tensors and their
 * data in the given order; `size` and `count` are not read. The header is padded with spaces so
 * that the data starts at a multiple of 64 bytes. The same arguments give the same bytes. */
bdl_status bdl__safetensors_write(const bdl_allocator *allocator, const char *path,
                                  const bdl__st_tensor *tensors, int64_t n_tensors,
                                  const bdl__st_pair *metadata, int64_t n_metadata);

#endif
