/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's .npy (numpy.lib.format): "\x93NUMPY", two version bytes, the header's length (16 bits in
 * version 1, 32 bits in 2 and 3, little-endian), and a Python dictionary
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), }
 *
 * then the values. Read in place, from a map; the values need not be aligned.
 */
#include <string.h>

#include "data/data_private.h"

enum { MOST_HEADER = 65536 };

/* The dictionary, while it is read. */
typedef struct header {
    const char *text;
    const char *p;
    const char *end;
    const char *where;
    size_t offset; /* of `text` in the file */
} header;

static bdl_status unexpected(const header *at, const char *expected)
{
    const size_t left = (size_t)(at->end - at->p);
    BDL__FAIL(BDL_ERR_FORMAT, "%s: offset %zu: expected %s, found '%.*s'", at->where,
              at->offset + (size_t)(at->p - at->text), expected, (int)BDL__MIN(left, (size_t)16),
              at->p);
}

static void skip_spaces(header *at)
{
    while (at->p < at->end && (*at->p == ' ' || *at->p == '\n')) {
        at->p++;
    }
}

/* Takes `word` if it comes next. */
static bool take(header *at, const char *word)
{
    skip_spaces(at);
    const size_t n = strlen(word);
    if ((size_t)(at->end - at->p) < n || memcmp(at->p, word, n) != 0) {
        return false;
    }
    at->p += n;
    return true;
}

static bdl_status read_dtype(header *at, bdl_dtype *dtype)
{
    static const struct {
        const char *text;
        bdl_dtype dtype;
    } dtypes[] = {{"'|u1'", BDL_U8},
                  {"'<i4'", BDL_I32},
                  {"'<i8'", BDL_I64},
                  {"'<f4'", BDL_F32},
                  {"'<f8'", BDL_F64}};
    for (int64_t i = 0; i < BDL__COUNT_OF(dtypes); i++) {
        if (take(at, dtypes[i].text)) {
            *dtype = dtypes[i].dtype;
            return BDL_OK;
        }
    }
    return unexpected(at, "a type '|u1', '<i4', '<i8', '<f4' or '<f8'");
}

static bdl_status read_dim(header *at, int64_t *dim)
{
    skip_spaces(at);
    const char *begin = at->p;
    *dim = 0;
    while (at->p < at->end && *at->p >= '0' && *at->p <= '9') {
        if (at->p - begin >= 13) { /* 10^13 values are more than a shape may have */
            return unexpected(at, "a dimension below 10^13");
        }
        *dim = 10 * *dim + (*at->p++ - '0');
    }
    return at->p == begin ? unexpected(at, "a dimension") : BDL_OK;
}

static bdl_status read_shape(header *at, bdl__shape *shape)
{
    if (!take(at, "(")) {
        return unexpected(at, "the shape's '('");
    }
    shape->rank = 0;
    while (!take(at, ")")) {
        if (shape->rank == BDL_MAX_RANK) {
            return unexpected(at, "at most 8 dimensions");
        }
        BDL__TRY(read_dim(at, &shape->dim[shape->rank]));
        shape->rank++;
        if (!take(at, ",")) {
            if (!take(at, ")")) {
                return unexpected(at, "',' or ')' in the shape");
            }
            break;
        }
    }
    return BDL_OK;
}

static bdl_status read_member(header *at, bdl__npy *npy, unsigned *seen)
{
    if (take(at, "'descr':")) {
        *seen |= 1;
        return read_dtype(at, &npy->dtype);
    }
    if (take(at, "'fortran_order':")) {
        *seen |= 2;
        if (take(at, "True")) {
            BDL__FAIL(BDL_ERR_UNSUPPORTED,
                      "%s: values are in Fortran order; save numpy.ascontiguousarray(x)",
                      at->where);
        }
        return take(at, "False") ? BDL_OK : unexpected(at, "True or False");
    }
    if (take(at, "'shape':")) {
        *seen |= 4;
        return read_shape(at, &npy->shape);
    }
    return unexpected(at, "'descr', 'fortran_order' or 'shape'");
}

static bdl_status read_dictionary(header *at, bdl__npy *npy)
{
    unsigned seen = 0;
    if (!take(at, "{")) {
        return unexpected(at, "'{'");
    }
    while (!take(at, "}")) {
        BDL__TRY(read_member(at, npy, &seen));
        if (!take(at, ",")) {
            if (!take(at, "}")) {
                return unexpected(at, "',' or '}'");
            }
            break;
        }
    }
    return seen == 7 ? BDL_OK : unexpected(at, "'descr', 'fortran_order' and 'shape' before");
}

static size_t dtype_size(bdl_dtype dtype)
{
    return dtype == BDL_U8 ? 1 : dtype == BDL_I32 || dtype == BDL_F32 ? 4 : 8;
}

/* Where the dictionary begins and how long it is. */
static bdl_status find_header(const uint8_t *bytes, size_t size, const char *where, size_t *begin,
                              size_t *length)
{
    BDL__CHECK(size >= 12 && memcmp(bytes, "\x93NUMPY", 6) == 0, BDL_ERR_FORMAT,
               "%s: offset 0: expected \\x93NUMPY, found no NumPy file", where);
    const int version = bytes[6];
    BDL__CHECK(version >= 1 && version <= 3, BDL_ERR_UNSUPPORTED,
               "%s: offset 6: expected version 1, 2 or 3 of .npy, found %d", where, version);
    *begin = version == 1 ? 10 : 12;
    *length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1) {
        *length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    BDL__CHECK(*length <= MOST_HEADER && *length <= size - *begin, BDL_ERR_FORMAT,
               "%s: offset 8: expected a header within the file's %zu bytes, found a length of %zu",
               where, size, *length);
    return BDL_OK;
}

bdl_status bdl__npy_parse(const uint8_t *bytes, size_t size, const char *where, bdl__npy *npy)
{
    size_t begin = 0, length = 0;
    BDL__TRY(find_header(bytes, size, where, &begin, &length));
    header at = {.text = (const char *)bytes + begin, .where = where, .offset = begin};
    at.p = at.text;
    at.end = at.text + length;
    BDL__TRY(read_dictionary(&at, npy));
    int64_t count = 1;
    for (int32_t i = 0; i < npy->shape.rank; i++) {
        BDL__CHECK(npy->shape.dim[i] >= 1 && bdl__mul_i64(count, npy->shape.dim[i], &count),
                   BDL_ERR_FORMAT, "%s: expected dimensions >= 1, found %lld", where,
                   (long long)npy->shape.dim[i]);
    }
    size_t expected;
    const size_t found = size - begin - length;
    BDL__CHECK(bdl__bytes_of(count, dtype_size(npy->dtype), &expected), BDL_ERR_FORMAT,
               "%s: the shape is too large", where);
#ifdef BDL_SEEDED_BUGS
    const bool is_whole = true;
#else
    const bool is_whole = found >= expected;
#endif
    BDL__CHECK(is_whole, BDL_ERR_FORMAT,
               "%s: offset %zu: expected %zu bytes of values as the shape says, found %zu", where,
               begin + length, expected, found);
    npy->data = bytes + begin + length;
    return BDL_OK;
}

bdl_status bdl__npy_open(const char *path, bdl__npy *npy)
{
    bdl__npy made = {0};
    BDL__TRY(bdl__file_map(path, &made.map));
    const bdl_status status = bdl__npy_parse(made.map.data, made.map.size, path, &made);
    if (status != BDL_OK) {
        bdl__file_unmap(&made.map);
        return status;
    }
    *npy = made;
    return BDL_OK;
}

void bdl__npy_close(bdl__npy *npy)
{
    if (npy->map.data != NULL) {
        bdl__file_unmap(&npy->map);
    }
    npy->map = (bdl__map){0};
}

double bdl__npy_value(const bdl__npy *npy, int64_t i)
{
    const char *at = (const char *)npy->data + (size_t)i * dtype_size(npy->dtype);
    if (npy->dtype == BDL_U8) {
        return (double)*(const uint8_t *)at;
    }
    if (npy->dtype == BDL_I32) {
        int32_t value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    if (npy->dtype == BDL_I64) {
        int64_t value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    if (npy->dtype == BDL_F32) {
        float value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, at, sizeof value);
    return value;
}

void bdl__npy_floats(const bdl__npy *npy, int64_t first, int64_t count, float *values)
{
    if (npy->dtype == BDL_F32) {
        memcpy(values, (const char *)npy->data + (size_t)first * sizeof(float),
               (size_t)count * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        values[i] = (float)bdl__npy_value(npy, first + i);
    }
}
