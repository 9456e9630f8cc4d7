/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors reader and writer: literal bytes, round trips, conversions, and each
 * malformation. */
#include "formats/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "counting_allocator.h"
#include "test.h"

/* A file in memory: header text and data. */
typedef struct image {
    uint8_t bytes[4096];
    size_t size;
} image;

static image make_image(const char *header, const void *data, size_t data_size)
{
    image made = {0};
    const size_t length = strlen(header);
    made.bytes[0] = (uint8_t)(length & 0xff);
    made.bytes[1] = (uint8_t)(length >> 8);
    memcpy(made.bytes + 8, header, length);
    if (data_size > 0) {
        memcpy(made.bytes + 8 + length, data, data_size);
    }
    made.size = 8 + length + data_size;
    return made;
}

static bdl_status parse(const image *from, bdl__safetensors **file)
{
    return bdl__safetensors_parse(bdl__default_allocator(), from->bytes, from->size, "memory",
                                  file);
}

BDL_TEST(reads_tensors_in_the_order_of_their_data)
{
    static const float data[] = {1, 2, 3, 4, 5, 6, 7};
    const image from = make_image(
        "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[3,2],"
        "\"data_offsets\":[4,28]},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"empty\":{\"dtype\":\"I64\",\"shape\":[0,5],\"data_offsets\":[4,4]}}   ",
        data, sizeof data);
    bdl__safetensors *file = NULL;
    float read[6];
    REQUIRE_OK(parse(&from, &file));
    CHECK_EQ_I64(bdl__safetensors_count(file), 3);
    CHECK_STR_EQ(bdl__safetensors_at(file, 0)->name, "a");
    CHECK_STR_EQ(bdl__safetensors_at(file, 1)->name, "empty");
    const bdl__st_tensor *const b = bdl__safetensors_find(file, "b");
    REQUIRE(b != NULL);
    CHECK(b == bdl__safetensors_at(file, 2));
    CHECK_EQ_I64(b->shape.rank, 2);
    CHECK_EQ_I64(b->shape.dim[0], 3);
    CHECK_EQ_I64(b->count, 6);
    CHECK_OK(bdl__safetensors_read(b, BDL_F32, read));
    CHECK(memcmp(read, data + 1, sizeof read) == 0);
    CHECK_STR_EQ(bdl__safetensors_metadata(file, "format"), "pt");
    CHECK(bdl__safetensors_metadata(file, "other") == NULL);
    CHECK(bdl__safetensors_find(file, "c") == NULL);
    bdl__safetensors_free(file);
}

BDL_TEST(converts_half_precision)
{
    /* 1, -2, 65504, 2^-24, -0, inf, NaN in binary16; 1, -2 in bfloat16 */
    static const uint16_t data[] = {0x3c00, 0xc000, 0x7bff, 1,     0x8000,
                                    0x7c00, 0x7e00, 0x3f80, 0xc000};
    const image from =
        make_image("{\"h\":{\"dtype\":\"F16\",\"shape\":[7],\"data_offsets\":[0,14]},"
                   "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[14,18]}}",
                   data, sizeof data);
    bdl__safetensors *file = NULL;
    double h[7];
    float b[2];
    REQUIRE_OK(parse(&from, &file));
    CHECK_OK(bdl__safetensors_read(bdl__safetensors_find(file, "h"), BDL_F64, h));
    CHECK(h[0] == 1 && h[1] == -2 && h[2] == 65504 && h[3] == 0x1p-24);
    CHECK(h[4] == 0 && signbit(h[4]) && isinf(h[5]) && isnan(h[6]));
    CHECK_OK(bdl__safetensors_read(bdl__safetensors_find(file, "b"), BDL_F32, b));
    CHECK(b[0] == 1 && b[1] == -2);
    bdl__safetensors_free(file);
}

BDL_TEST(refuses_to_convert_integers)
{
    const image from = make_image(
        "{\"i\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "\1\0\0\0", 4);
    bdl__safetensors *file = NULL;
    float value = 0;
    REQUIRE_OK(parse(&from, &file));
    CHECK_EQ_I64(bdl__safetensors_read(bdl__safetensors_at(file, 0), BDL_F32, &value),
                 BDL_ERR_UNSUPPORTED);
    CHECK_STR_HAS(bdl_last_error(), "got I32");
    bdl__safetensors_free(file);
}

typedef struct bad_case {
    const char *header;
    size_t data_size;
    const char *error;
} bad_case;

#define F32_AT(name, shape, begin, end)                                                            \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static const bad_case bad_cases[] = {
    {"", 0, "expected '{' at offset 8"},
    {"[]", 0, "expected '{' at offset 8"},
    {"{", 0, "memory"},
    {"{}", 1, "end at data offset 0, got 1"},
    {"{" F32_AT("a", "[1]", "0", "4") "}", 8, "end at data offset 4, got 8"},
    {"{" F32_AT("a", "[2]", "0", "8") "}", 4, "within the 4 bytes"},
    {"{" F32_AT("a", "[2]", "0", "4") "}", 4, "expected 8 bytes"},
    {"{" F32_AT("a", "[1]", "4", "0") "}", 4, "expected 4 bytes"},
    {"{" F32_AT("a", "[1]", "-4", "0") "}", 4, "whole numbers from 0"},
    {"{" F32_AT("a", "[1]", "0.5", "4.5") "}", 4, "whole numbers from 0"},
    {"{" F32_AT("a", "[1]", "4", "8") "}", 8, "expected its data at offset 0, got 4"},
    {"{" F32_AT("a", "[1]", "0", "4") "," F32_AT("b", "[1]", "2", "6") "}", 6, "offset 4, got 2"},
    {"{" F32_AT("a", "[1]", "0", "4") "," F32_AT("b", "[1]", "8", "12") "}", 12, "offset 4, got 8"},
    {"{" F32_AT("a", "[1]", "0", "4") "," F32_AT("a", "[1]", "4", "8") "}", 8, "'a'"},
    {"{" F32_AT("a", "[-1]", "0", "4") "}", 4, "from 0"},
    {"{" F32_AT("a", "[1.5]", "0", "4") "}", 4, "another number"},
    {"{" F32_AT("a", "[\"x\"]", "0", "4") "}", 4, "got a string"},
    {"{" F32_AT("a", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "at most 8 dimensions, got 9"},
    {"{" F32_AT("a", "[4294967296,4294967296]", "0", "4") "}", 4, "2^63 elements"},
    {"{" F32_AT("a", "[4503599627370496,2000]", "0", "4") "}", 4, "2^64 bytes"},
    {"{" F32_AT("a", "3", "0", "4") "}", 4, "shape"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "got 'F31'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
     "two data_offsets, got 1"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
    {"{\"a\":1}", 0, "expected an object, got a number"},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"x\":1}}", 0, "expected a string as metadata 'x'"},
};

BDL_TEST(malformed_files_are_explained)
{
    static const uint8_t zeros[64];
    for (int64_t i = 0; i < BDL__COUNT_OF(bad_cases); i++) {
        const image from = make_image(bad_cases[i].header, zeros, bad_cases[i].data_size);
        bdl__safetensors *file = NULL;
        CHECK(parse(&from, &file) != BDL_OK);
        CHECK(file == NULL);
        CHECK_STR_HAS(bdl_last_error(), bad_cases[i].error);
        CHECK_STR_HAS(bdl_last_error(), "memory");
    }
}

BDL_TEST(a_wrong_length_is_explained)
{
    bdl__safetensors *file = NULL;
    static const uint8_t long_header[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    CHECK_EQ_I64(bdl__safetensors_parse(bdl__default_allocator(), "abc", 3, "short", &file),
                 BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(), "a file of 3 bytes");
    CHECK_EQ_I64(bdl__safetensors_parse(bdl__default_allocator(), long_header, 10, "long", &file),
                 BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(),
                  "at most 2 bytes at offset 8, got a length of 18446744073709551615");
}

static const float weights[] = {0.5F, -1, 2, 3, 4, 5};
static const int64_t counts[] = {7, -8};

static const bdl__st_tensor written[] = {
    {.name = "conv \"1\".weight", .dtype = BDL__ST_F32, .shape = {.rank = 2, .dim = {2, 3}},
     .data = weights},
    {.name = "empty", .dtype = BDL__ST_F64, .shape = {.rank = 1, .dim = {0}}, .data = ""},
    {.name = "counts", .dtype = BDL__ST_I64, .shape = {.rank = 1, .dim = {2}}, .data = counts},
    {.name = "bytes", .dtype = BDL__ST_U8, .shape = {.rank = 0}, .data = "x"},
};
static const bdl__st_pair written_metadata[] = {{"format", "bdl"}, {"z", "\xc3\xa4\n"}};

static bdl_status write_all(const bdl_allocator *allocator, const char *path)
{
    return bdl__safetensors_write(allocator, path, written, BDL__COUNT_OF(written),
                                  written_metadata, BDL__COUNT_OF(written_metadata));
}

static const char *path_of(const char *name)
{
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", bdl_test_dir(), name);
    return path;
}

BDL_TEST(what_was_written_is_read_back)
{
    bdl__safetensors *file = NULL;
    const char *const path = path_of("a.safetensors");
    REQUIRE_OK(write_all(bdl__default_allocator(), path));
    REQUIRE_OK(bdl__safetensors_open(bdl__default_allocator(), path, &file));
    CHECK_EQ_I64(bdl__safetensors_count(file), 4);
    for (int64_t i = 0; i < BDL__COUNT_OF(written); i++) {
        const bdl__st_tensor *const read = bdl__safetensors_find(file, written[i].name);
        REQUIRE(read != NULL);
        CHECK(read->dtype == written[i].dtype && bdl__shape_equal(&read->shape, &written[i].shape));
        CHECK(read->size == 0 || memcmp(read->data, written[i].data, read->size) == 0);
    }
    CHECK_EQ_I64((uintptr_t)bdl__safetensors_at(file, 0)->data % 64, 0);
    CHECK_STR_EQ(bdl__safetensors_metadata(file, "z"), "\xc3\xa4\n");
    bdl__safetensors_free(file);
}

BDL_TEST(the_same_content_gives_the_same_bytes)
{
    static const char expected[] =
        "{\"__metadata__\": {\"k\": \"v\"}, \"w\": {\"dtype\": \"F32\", \"shape\": [2], "
        "\"data_offsets\": [0, 8]}}";
    const bdl__st_tensor tensor = {.name = "w", .dtype = BDL__ST_F32,
                                   .shape = {.rank = 1, .dim = {2}}, .data = weights};
    const bdl__st_pair pair = {"k", "v"};
    bdl__bytes bytes = {0};
    const char *const path = path_of("b.safetensors");
    REQUIRE_OK(bdl__safetensors_write(bdl__default_allocator(), path, &tensor, 1, &pair, 1));
    REQUIRE_OK(bdl__file_read(bdl__default_allocator(), path, 4096, &bytes));
    CHECK_EQ_I64(bytes.size, 128 + 8);
    CHECK_EQ_I64(bytes.data[0], 120);
    CHECK(memcmp(bytes.data + 8, expected, sizeof expected - 1) == 0);
    CHECK_EQ_I64(bytes.data[127], ' ');
    CHECK(memcmp(bytes.data + 128, weights, 8) == 0);
    bdl__bytes_free(&bytes);
}

BDL_TEST(bad_arguments_write_nothing)
{
    const char *const path = path_of("c.safetensors");
    bdl__st_tensor tensors[2] = {written[0], written[0]};
    CHECK_EQ_I64(bdl__safetensors_write(bdl__default_allocator(), path, tensors, 2, NULL, 0),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "two tensors");
    tensors[0].name = "__metadata__";
    CHECK_EQ_I64(bdl__safetensors_write(bdl__default_allocator(), path, tensors, 1, NULL, 0),
                 BDL_ERR_INVALID_ARGUMENT);
    tensors[0].name = "x";
    tensors[0].shape.dim[0] = -1;
    CHECK_EQ_I64(bdl__safetensors_write(bdl__default_allocator(), path, tensors, 1, NULL, 0),
                 BDL_ERR_SHAPE);
    CHECK(!bdl__file_exists(path));
    bdl__safetensors *file = NULL;
    CHECK_EQ_I64(bdl__safetensors_open(bdl__default_allocator(), path, &file), BDL_ERR_NOT_FOUND);
}

BDL_TEST(refused_memory_is_reported_and_nothing_leaks)
{
    counting_allocator counter;
    const char *const path = path_of("d.safetensors");
    REQUIRE_OK(write_all(bdl__default_allocator(), path));
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__safetensors *file = NULL;
        bdl_status status = write_all(&counter.allocator, path);
        CHECK(status == BDL_OK || status == BDL_ERR_OUT_OF_MEMORY);
        status = bdl__safetensors_open(&counter.allocator, path, &file);
        CHECK(status == BDL_OK || (status == BDL_ERR_OUT_OF_MEMORY && file == NULL));
        bdl__safetensors_free(file);
    }
}

BDL_TEST_MAIN(reads_tensors_in_the_order_of_their_data, converts_half_precision,
              refuses_to_convert_integers, malformed_files_are_explained,
              a_wrong_length_is_explained, what_was_written_is_read_back,
              the_same_content_gives_the_same_bytes, bad_arguments_write_nothing,
              refused_memory_is_reported_and_nothing_leaks)
