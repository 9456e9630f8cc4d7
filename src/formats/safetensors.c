/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading safetensors. The header is untrusted: every number in it is checked against the file's
 * size and against the others before any of it is used, and the tensors must cover the data without
 * gaps.
 */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { PREFIX_SIZE = 8, LARGEST_HEADER = 100 * 1000 * 1000 };

struct bdl__safetensors {
    const bdl_allocator *allocator; /* borrowed */
    bdl__arena arena;
    bdl__map map;    /* empty when the bytes are borrowed */
    const char *where;
    const uint8_t *data;
    size_t data_size;
    bdl__st_tensor *tensors; /* in the arena, by offset */
    const bdl__st_tensor **by_name;
    int64_t n_tensors;
    bdl__st_pair *metadata;
    int64_t n_metadata;
};

const char *bdl__st_dtype_name(bdl__st_dtype dtype)
{
#define DTYPE_NAME(name, size) #name,
    static const char *const names[] = {BDL__ST_DTYPES(DTYPE_NAME)};
#undef DTYPE_NAME
    return names[dtype];
}

size_t bdl__st_dtype_size(bdl__st_dtype dtype)
{
#define DTYPE_SIZE(name, size) size,
    static const size_t sizes[] = {BDL__ST_DTYPES(DTYPE_SIZE)};
#undef DTYPE_SIZE
    return sizes[dtype];
}

/* ---- one tensor's entry -------------------------------------------------------------------- */

/* An entry while it is read: `where` is "file: tensor 'name'". */
typedef struct entry {
    const bdl__safetensors *file;
    const char *where;
    bdl__st_tensor *tensor;
} entry;

static bdl_status read_dtype(const entry *e, const bdl__json *object)
{
    const char *name = NULL;
    BDL__TRY(bdl__json_need_string(object, "dtype", e->where, &name));
    for (int i = 0; i < BDL__ST_N_DTYPES; i++) {
        if (strcmp(name, bdl__st_dtype_name((bdl__st_dtype)i)) == 0) {
            e->tensor->dtype = (bdl__st_dtype)i;
            return BDL_OK;
        }
    }
    return bdl__fail(BDL_ERR_UNSUPPORTED, "%s: expected a dtype such as F32, got '%.40s'", e->where,
                     name);
}

static bdl_status read_shape(const entry *e, const bdl__json *object)
{
    const bdl__json *list = NULL;
    bdl__st_tensor *const tensor = e->tensor;
    BDL__TRY(bdl__json_need(object, "shape", BDL__JSON_ARRAY, e->where, &list));
    BDL__CHECK(bdl__json_count(list) <= BDL_MAX_RANK, BDL_ERR_UNSUPPORTED,
               "%s: expected at most %d dimensions, got %lld", e->where, BDL_MAX_RANK,
               (long long)bdl__json_count(list));
    tensor->count = 1;
    for (const bdl__json *at = bdl__json_first(list); at != NULL; at = bdl__json_next(at)) {
        int64_t dim = 0;
        BDL__CHECK(bdl__json_i64(at, &dim) && dim >= 0, BDL_ERR_FORMAT,
                   "%s: expected dimensions that are whole numbers from 0, got %s", e->where,
                   bdl__json_kind_of(at) == BDL__JSON_NUMBER
                       ? "another number"
                       : bdl__json_kind_name(bdl__json_kind_of(at)));
        BDL__CHECK(bdl__mul_i64(tensor->count, dim, &tensor->count), BDL_ERR_FORMAT,
                   "%s: expected at most 2^63 elements, got more", e->where);
        tensor->shape.dim[tensor->shape.rank++] = dim;
    }
    BDL__CHECK(bdl__bytes_of(tensor->count, bdl__st_dtype_size(tensor->dtype), &tensor->size),
               BDL_ERR_FORMAT, "%s: expected at most 2^64 bytes, got more", e->where);
    return BDL_OK;
}

static bdl_status read_offset(const entry *e, const bdl__json *value, int64_t *offset)
{
    BDL__CHECK(value != NULL && bdl__json_i64(value, offset) && *offset >= 0, BDL_ERR_FORMAT,
               "%s: expected data_offsets of two whole numbers from 0, got something else",
               e->where);
    return BDL_OK;
}

static bdl_status read_offsets(const entry *e, const bdl__json *object)
{
    const bdl__json *list = NULL;
    int64_t begin = 0;
    int64_t end = 0;
    BDL__TRY(bdl__json_need(object, "data_offsets", BDL__JSON_ARRAY, e->where, &list));
    BDL__CHECK(bdl__json_count(list) == 2, BDL_ERR_FORMAT,
               "%s: expected two data_offsets, got %lld", e->where,
               (long long)bdl__json_count(list));
    BDL__TRY(read_offset(e, bdl__json_first(list), &begin));
    BDL__TRY(read_offset(e, bdl__json_next(bdl__json_first(list)), &end));
    BDL__CHECK(begin <= end && (uint64_t)(end - begin) == e->tensor->size, BDL_ERR_FORMAT,
               "%s: expected %zu bytes for its shape and dtype, got data_offsets %lld to %lld",
               e->where, e->tensor->size, (long long)begin, (long long)end);
#if !defined(BDL_SEEDED_BUGS)
    BDL__CHECK((uint64_t)end <= e->file->data_size, BDL_ERR_FORMAT,
               "%s: expected data_offsets within the %zu bytes of data, got an end of %lld",
               e->where, e->file->data_size, (long long)end);
#endif
    e->tensor->data = e->file->data + begin;
    return BDL_OK;
}

static bdl_status read_tensor(bdl__safetensors *file, const bdl__json *object,
                              bdl__st_tensor *tensor)
{
    entry e = {.file = file, .tensor = tensor};
    BDL__TRY(bdl__arena_strdup(&file->arena, bdl__json_key(object), &tensor->name));
    BDL__TRY(bdl__arena_printf(&file->arena, &e.where, "%s: tensor '%.200s'", file->where,
                               tensor->name));
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: expected an object, got %s", e.where,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    BDL__TRY(read_dtype(&e, object));
    BDL__TRY(read_shape(&e, object));
    return read_offsets(&e, object);
}

/* ---- the header ---------------------------------------------------------------------------- */

static bdl_status read_metadata(bdl__safetensors *file, const bdl__json *object)
{
    void *memory = NULL;
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: expected __metadata__ to be an object, got %s", file->where,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    BDL__TRY(bdl__arena_alloc(&file->arena,
                              (size_t)bdl__json_count(object) * sizeof *file->metadata, &memory));
    file->metadata = memory;
    for (const bdl__json *at = bdl__json_first(object); at != NULL; at = bdl__json_next(at)) {
        bdl__st_pair *const pair = &file->metadata[file->n_metadata];
        BDL__CHECK(bdl__json_kind_of(at) == BDL__JSON_STRING, BDL_ERR_FORMAT,
                   "%s: expected a string as metadata '%.100s', got %s", file->where,
                   bdl__json_key(at), bdl__json_kind_name(bdl__json_kind_of(at)));
        BDL__TRY(bdl__arena_strdup(&file->arena, bdl__json_key(at), &pair->key));
        BDL__TRY(bdl__arena_strdup(&file->arena, bdl__json_string(at), &pair->value));
        file->n_metadata++;
    }
    return BDL_OK;
}

static int by_offset(const void *a, const void *b)
{
    const bdl__st_tensor *const left = a;
    const bdl__st_tensor *const right = b;
    const uintptr_t at_left = (uintptr_t)left->data;
    const uintptr_t at_right = (uintptr_t)right->data;
    if (at_left != at_right) {
        return at_left < at_right ? -1 : 1;
    }
    if (left->size != right->size) { /* empty ones come before the one that begins there */
        return left->size < right->size ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

static int by_name(const void *a, const void *b)
{
    const bdl__st_tensor *const *const left = a;
    const bdl__st_tensor *const *const right = b;
    return strcmp((*left)->name, (*right)->name);
}

static bdl_status check_cover(const bdl__safetensors *file)
{
    size_t at = 0;
    for (int64_t i = 0; i < file->n_tensors; i++) {
        const bdl__st_tensor *const tensor = &file->tensors[i];
        const size_t begin = (size_t)((const uint8_t *)tensor->data - file->data);
        BDL__CHECK(begin == at, BDL_ERR_FORMAT,
                   "%s: tensor '%.200s': expected its data at offset %zu, got %zu (tensors must "
                   "follow one another without gaps)",
                   file->where, tensor->name, at, begin);
        at += tensor->size;
    }
#if !defined(BDL_SEEDED_BUGS)
    BDL__CHECK(at == file->data_size, BDL_ERR_FORMAT,
               "%s: expected the file to end at data offset %zu, got %zu bytes of data",
               file->where, at, file->data_size);
#endif
    return BDL_OK;
}

static bdl_status read_entries(bdl__safetensors *file, const bdl__json *root)
{
    void *memory = NULL;
    const size_t n = (size_t)bdl__json_count(root);
    BDL__TRY(bdl__arena_alloc(&file->arena, n * sizeof *file->tensors, &memory));
    file->tensors = memory;
    BDL__TRY(bdl__arena_alloc(&file->arena, n * sizeof *file->by_name, &memory));
    file->by_name = memory;
    for (const bdl__json *at = bdl__json_first(root); at != NULL; at = bdl__json_next(at)) {
        if (strcmp(bdl__json_key(at), "__metadata__") == 0) {
            BDL__TRY(read_metadata(file, at));
        } else {
            BDL__TRY(read_tensor(file, at, &file->tensors[file->n_tensors]));
            file->n_tensors++;
        }
    }
    if (file->n_tensors > 0) {
        qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, by_offset);
    }
    for (int64_t i = 0; i < file->n_tensors; i++) {
        file->by_name[i] = &file->tensors[i];
    }
    if (file->n_tensors > 0) {
        qsort(file->by_name, (size_t)file->n_tensors, sizeof *file->by_name, by_name);
    }
    return check_cover(file);
}

static uint64_t little_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = PREFIX_SIZE - 1; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static bdl_status read_file(bdl__safetensors *file, const uint8_t *bytes, size_t size)
{
    BDL__CHECK(size >= PREFIX_SIZE, BDL_ERR_FORMAT,
               "%s: expected 8 bytes with the header's length at offset 0, got a file of %zu bytes",
               file->where, size);
    const uint64_t header_size = little_endian(bytes);
    BDL__CHECK(header_size <= LARGEST_HEADER && header_size <= size - PREFIX_SIZE, BDL_ERR_FORMAT,
               "%s: expected a header of at most %zu bytes at offset 8, got a length of %llu",
               file->where, BDL__MIN(size - PREFIX_SIZE, (size_t)LARGEST_HEADER),
               (unsigned long long)header_size);
    BDL__CHECK(header_size > 0 && bytes[PREFIX_SIZE] == '{', BDL_ERR_FORMAT,
               "%s: expected '{' at offset 8, got byte 0x%02x", file->where,
               header_size > 0 ? bytes[PREFIX_SIZE] : 0);
    file->data = bytes + PREFIX_SIZE + header_size;
    file->data_size = size - PREFIX_SIZE - (size_t)header_size;
    bdl__json *root = NULL;
    BDL__TRY(bdl__json_parse((const char *)bytes + PREFIX_SIZE, (size_t)header_size, file->where,
                             &root));
    const bdl_status status = read_entries(file, root);
    bdl__json_free(root);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------- */

static bdl_status create(const bdl_allocator *allocator, const char *where,
                         bdl__safetensors **file)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **file, &memory));
    bdl__safetensors *const made = memory;
    made->allocator = allocator;
    bdl__arena_init(&made->arena, allocator);
    const bdl_status status = bdl__arena_strdup(&made->arena, where, &made->where);
    if (status != BDL_OK) {
        bdl__safetensors_free(made);
        return status;
    }
    *file = made;
    return BDL_OK;
}

bdl_status bdl__safetensors_open(const bdl_allocator *allocator, const char *path,
                                 bdl__safetensors **file)
{
    bdl__safetensors *made = NULL;
    bdl_status status = BDL_OK;
    BDL__TRY(create(allocator, path, &made));
    BDL__TRY_DONE(status, bdl__file_map(path, &made->map));
    BDL__TRY_DONE(status, read_file(made, made->map.data, made->map.size));
    *file = made;
    made = NULL;
done:
    bdl__safetensors_free(made);
    return status;
}

bdl_status bdl__safetensors_parse(const bdl_allocator *allocator, const void *bytes, size_t size,
                                  const char *where, bdl__safetensors **file)
{
    bdl__safetensors *made = NULL;
    BDL__TRY(create(allocator, where, &made));
    const bdl_status status = read_file(made, bytes, size);
    if (status != BDL_OK) {
        bdl__safetensors_free(made);
        return status;
    }
    *file = made;
    return BDL_OK;
}

void bdl__safetensors_free(bdl__safetensors *file)
{
    if (file != NULL) {
        bdl__file_unmap(&file->map);
        bdl__arena_free(&file->arena);
        bdl__free(file->allocator, file, sizeof *file);
    }
}

/* ---- access -------------------------------------------------------------------------------- */

int64_t bdl__safetensors_count(const bdl__safetensors *file)
{
    return file->n_tensors;
}

const bdl__st_tensor *bdl__safetensors_at(const bdl__safetensors *file, int64_t i)
{
    return &file->tensors[i];
}

const bdl__st_tensor *bdl__safetensors_find(const bdl__safetensors *file, const char *name)
{
    int64_t low = 0;
    int64_t high = file->n_tensors;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(file->by_name[middle]->name, name);
        if (order == 0) {
            return file->by_name[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const char *bdl__safetensors_metadata(const bdl__safetensors *file, const char *key)
{
    for (int64_t i = 0; i < file->n_metadata; i++) {
        if (strcmp(file->metadata[i].key, key) == 0) {
            return file->metadata[i].value;
        }
    }
    return NULL;
}
