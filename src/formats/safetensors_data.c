/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of safetensors files: conversion to float and double, and writing whole files. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "formats/safetensors.h"

enum { PREFIX_SIZE = 8, DATA_ALIGNMENT = 64 };

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "data are copied as they are in files, which are little-endian"
#endif

/* ---- reading elements ---------------------------------------------------------------------- */

static float float_from_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float float_from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000U) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fU;
    const uint32_t fraction = half & 0x3ffU;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact in float */
        const float magnitude = (float)fraction * 0x1p-24F;
        return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 0x1f) {
        return float_from_bits(sign | 0x7f800000U | fraction << 13);
    }
    return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Element i as a double, which holds every value of the four types. */
static double element(const bdl__st_tensor *tensor, int64_t i)
{
    const uint8_t *const at =
        (const uint8_t *)tensor->data + (size_t)i * bdl__st_dtype_size(tensor->dtype);
    uint16_t half = 0;
    float single = 0;
    double value = 0;
    if (tensor->dtype == BDL__ST_F64) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    if (tensor->dtype == BDL__ST_F32) {
        memcpy(&single, at, sizeof single);
        return (double)single;
    }
    memcpy(&half, at, sizeof half);
    return tensor->dtype == BDL__ST_F16 ? (double)float_from_half(half)
                                        : (double)float_from_bits((uint32_t)half << 16);
}

bdl_status bdl__safetensors_read(const bdl__st_tensor *tensor, bdl_dtype dtype, void *dst)
{
    const bool is_float = tensor->dtype == BDL__ST_F64 || tensor->dtype == BDL__ST_F32 ||
                          tensor->dtype == BDL__ST_F16 || tensor->dtype == BDL__ST_BF16;
    BDL__CHECK(is_float && (dtype == BDL_F32 || dtype == BDL_F64), BDL_ERR_UNSUPPORTED,
               "tensor '%.200s': expected elements F64, F32, F16 or BF16, got %s", tensor->name,
               bdl__st_dtype_name(tensor->dtype));
    const bdl__st_dtype same = dtype == BDL_F32 ? BDL__ST_F32 : BDL__ST_F64;
    if (tensor->dtype == same) {
        if (tensor->size > 0) {
            memcpy(dst, tensor->data, tensor->size);
        }
        return BDL_OK;
    }
    for (int64_t i = 0; i < tensor->count; i++) {
        if (dtype == BDL_F32) {
            ((float *)dst)[i] = (float)element(tensor, i);
        } else {
            ((double *)dst)[i] = element(tensor, i);
        }
    }
    return BDL_OK;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void write_numbers(bdl__json_writer *writer, const char *key, const int64_t *numbers,
                          int64_t n)
{
    bdl__json_write_key(writer, key);
    bdl__json_open(writer, '[');
    for (int64_t i = 0; i < n; i++) {
        bdl__json_write_i64(writer, numbers[i]);
    }
    bdl__json_close(writer, ']');
}

/* Bytes of a tensor; fails on shapes that no file can hold. */
static bdl_status bytes_of(const bdl__st_tensor *tensor, size_t *size)
{
    int64_t count = 1;
    for (int32_t i = 0; i < tensor->shape.rank; i++) {
        BDL__CHECK(bdl__mul_i64(count, tensor->shape.dim[i], &count), BDL_ERR_SHAPE,
                   "tensor '%.200s': expected a shape of at most 2^63 elements", tensor->name);
    }
    BDL__CHECK(bdl__bytes_of(count, bdl__st_dtype_size(tensor->dtype), size), BDL_ERR_SHAPE,
               "tensor '%.200s': expected at most 2^64 bytes", tensor->name);
    return BDL_OK;
}

static bdl_status write_entry(const bdl__st_tensor *tensor, bdl__json_writer *writer,
                              int64_t *offset, size_t *size)
{
    int64_t offsets[2] = {*offset, 0};
    BDL__TRY(bytes_of(tensor, size));
    BDL__CHECK(*size <= INT64_MAX && bdl__add_i64(*offset, (int64_t)*size, &offsets[1]),
               BDL_ERR_SHAPE, "tensor '%.200s': expected at most 2^63 bytes in a file",
               tensor->name);
    BDL__CHECK(strcmp(tensor->name, "__metadata__") != 0, BDL_ERR_INVALID_ARGUMENT,
               "a tensor must have another name than '__metadata__'");
    bdl__json_write_key(writer, tensor->name);
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "dtype");
    bdl__json_write_string(writer, bdl__st_dtype_name(tensor->dtype));
    write_numbers(writer, "shape", tensor->shape.dim, tensor->shape.rank);
    write_numbers(writer, "data_offsets", offsets, 2);
    bdl__json_close(writer, '}');
    *offset = offsets[1];
    return BDL_OK;
}

static void write_metadata(bdl__json_writer *writer, const bdl__st_pair *metadata, int64_t n)
{
    bdl__json_write_key(writer, "__metadata__");
    bdl__json_open(writer, '{');
    for (int64_t i = 0; i < n; i++) {
        bdl__json_write_key(writer, metadata[i].key);
        bdl__json_write_string(writer, metadata[i].value);
    }
    bdl__json_close(writer, '}');
}

static int compare_names(const void *a, const void *b)
{
    const char *const *const left = a;
    const char *const *const right = b;
    return strcmp(*left, *right);
}

static bdl_status check_names(bdl__arena *arena, const bdl__st_tensor *tensors, int64_t n)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)n * sizeof(const char *), &memory));
    const char **const names = memory;
    for (int64_t i = 0; i < n; i++) {
        names[i] = tensors[i].name;
    }
    if (n > 0) {
        qsort(names, (size_t)n, sizeof *names, compare_names);
    }
    for (int64_t i = 1; i < n; i++) {
        BDL__CHECK(strcmp(names[i - 1], names[i]) != 0, BDL_ERR_INVALID_ARGUMENT,
                   "two tensors are named '%.200s'", names[i]);
    }
    return BDL_OK;
}

/* pieces[0] becomes the length and header, pieces[1 + i] the data of tensor i. */
static bdl_status make_header(const bdl__st_tensor *tensors, int64_t n_tensors,
                              const bdl__st_pair *metadata, int64_t n_metadata, bdl__text *header,
                              bdl__piece *pieces)
{
    bdl__json_writer writer;
    int64_t offset = 0;
    bdl__text_append_bytes(header, "\0\0\0\0\0\0\0\0", PREFIX_SIZE);
    bdl__json_writer_init(&writer, header, 0);
    bdl__json_open(&writer, '{');
    if (n_metadata > 0) {
        write_metadata(&writer, metadata, n_metadata);
    }
    for (int64_t i = 0; i < n_tensors; i++) {
        pieces[1 + i].data = tensors[i].data;
        BDL__TRY(write_entry(&tensors[i], &writer, &offset, &pieces[1 + i].size));
    }
    bdl__json_close(&writer, '}');
    while (header->size % DATA_ALIGNMENT != 0 && bdl__text_status(header) == BDL_OK) {
        bdl__text_append(header, " ");
    }
    BDL__TRY(bdl__text_status(header));
    const uint64_t length = header->size - PREFIX_SIZE;
    memcpy(header->data, &length, sizeof length);
    pieces[0] = (bdl__piece){.data = header->data, .size = header->size};
    return BDL_OK;
}

bdl_status bdl__safetensors_write(const bdl_allocator *allocator, const char *path,
                                  const bdl__st_tensor *tensors, int64_t n_tensors,
                                  const bdl__st_pair *metadata, int64_t n_metadata)
{
    bdl__arena arena;
    bdl__text header;
    void *pieces = NULL;
    bdl_status status = BDL_OK;
    bdl__arena_init(&arena, allocator);
    bdl__text_init(&header, allocator);
    BDL__TRY_DONE(status, check_names(&arena, tensors, n_tensors));
    BDL__TRY_DONE(status, bdl__arena_alloc(&arena, (size_t)(n_tensors + 1) * sizeof(bdl__piece),
                                           &pieces));
    BDL__TRY_DONE(status, make_header(tensors, n_tensors, metadata, n_metadata, &header, pieces));
    status = bdl__file_write_pieces(path, pieces, n_tensors + 1);
done:
    bdl__text_free(&header);
    bdl__arena_free(&arena);
    return status;
}
