/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of pushed rows in up to two stores: packed ones, the first rows, and those as they came.
 *
 * A float x is a whole number from 0 to 255 if the byte made of it gives the same 32 bits back, so -0 and NaN are not.
 * The byte is the low one of x + 2^23, where whole numbers lie one unit in the last place apart.
 */
#include "data/records.h"

#include <string.h>

#include "data/store.h"

/* Rows that are neighbours in a sorted file: few beside a chunk, so that little is read with it that is not its own. */
enum { RUN_ROWS = BDL__CHUNK_ROWS / 8 };

/* How a record is laid out. */
typedef struct layout {
    size_t values_size, targets_begin, size; /* size 0 = they differ, with values_size 0 */
} layout;

struct bdl__records {
    const bdl_allocator *allocator; /* borrowed */
    bdl__records_options options;
    layout packed, plain;
    bool is_packing;         /* no row was other than whole numbers so far */
    bdl__store *packed_rows; /* owned, may be NULL: the first rows */
    bdl__store *plain_rows;  /* owned, NULL until there is one */
    bdl__buffer record;      /* one that is being put together */
};

/* ---- packing ---- */

/* Gives whether all values are whole numbers from 0 to 255; `bytes` are undefined if not. */
static bool pack(const float *values, int64_t n, uint8_t *bytes)
{
    uint32_t differing = 0;
    for (int64_t i = 0; i < n; i++) {
        const float shifted = values[i] + 8388608.0f;
        uint32_t bits, wanted, got;
        memcpy(&bits, &shifted, sizeof bits);
        const float back = (float)(int32_t)(bits & 0xff);
        memcpy(&wanted, &values[i], sizeof wanted);
        memcpy(&got, &back, sizeof got);
        bytes[i] = (uint8_t)bits;
        differing |= wanted ^ got;
    }
    return differing == 0;
}

static void unpack(const uint8_t *bytes, int64_t n, float *values)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)bytes[i];
    }
}

/* ---- creation ---- */

static layout layout_of(size_t values_size, size_t targets_size)
{
    const size_t begin =
        targets_size > 0 ? bdl__align_up(values_size, sizeof(float)) : values_size;
    return (layout){.values_size = values_size,
                    .targets_begin = begin,
                    .size = values_size > 0 ? begin + targets_size : 0};
}

static bdl_status open_store(const bdl__records *records, const layout *as, int64_t memory_limit,
                             bdl__store **store)
{
    const bdl__store_options options = {.row_size = as->size,
                                        .memory_limit = memory_limit,
                                        .directory = records->options.directory};
    return bdl__store_create(records->allocator, &options, store);
}

bdl_status bdl__records_create(const bdl_allocator *allocator, const bdl__records_options *options,
                               bdl__records **records)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__records), &memory));
    bdl__records *made = memory;
    *made = (bdl__records){.allocator = allocator,
                           .options = *options,
                           .packed = layout_of(options->values_size / sizeof(float), options->targets_size),
                           .plain = layout_of(options->values_size, options->targets_size),
                           .record.allocator = allocator};
    /* a record's size tells its layout, so one that saves nothing is not packed */
    made->is_packing = options->element == BDL__ELEMENT_F32 && made->packed.size < made->plain.size;
    const bdl_status status =
        made->is_packing
            ? open_store(made, &made->packed, options->memory_limit, &made->packed_rows)
            : open_store(made, &made->plain, options->memory_limit, &made->plain_rows);
    if (status != BDL_OK) {
        bdl__records_free(made);
        return status;
    }
    *records = made;
    return BDL_OK;
}

void bdl__records_free(bdl__records *records)
{
    if (records == NULL) {
        return;
    }
    bdl__store_free(records->packed_rows);
    bdl__store_free(records->plain_rows);
    bdl__buffer_free(&records->record);
    bdl__free(records->allocator, records, sizeof(bdl__records));
}

/* ---- appending ---- */

/* The first row that cannot be packed: the others go to a store of their own, with what is left of the limit. */
static bdl_status stop_packing(bdl__records *records)
{
    records->is_packing = false;
    BDL__TRY(bdl__store_seal(records->packed_rows));
    if (bdl__store_count(records->packed_rows) == 0) {
        bdl__store_free(records->packed_rows);
        records->packed_rows = NULL;
    }
    const int64_t left = records->options.memory_limit - bdl__records_memory(records);
    return open_store(records, &records->plain, BDL__MAX(left, INT64_C(0)), &records->plain_rows);
}

/* Packs the row if all its values allow it. */
static bdl_status try_packing(bdl__records *records, const float *values, const void *targets,
                              bool *is_done)
{
    const layout *as = &records->packed;
    BDL__TRY(bdl__buffer_need(&records->record, as->size));
    char *bytes = records->record.data;
    *is_done = pack(values, (int64_t)as->values_size, (uint8_t *)bytes);
    if (!*is_done) {
        return stop_packing(records);
    }
    memset(bytes + as->values_size, 0, as->targets_begin - as->values_size);
    if (targets != NULL) {
        memcpy(bytes + as->targets_begin, targets, records->options.targets_size);
    }
    return bdl__store_append(records->packed_rows, bytes, as->size);
}

bdl_status bdl__records_append(bdl__records *records, const void *values, size_t size,
                               const void *targets)
{
    const size_t targets_size = records->options.targets_size;
    if (records->is_packing) {
        bool is_done;
        BDL__TRY(try_packing(records, values, targets, &is_done));
        if (is_done) {
            return BDL_OK;
        }
    }
    if (targets_size == 0) {
        return bdl__store_append(records->plain_rows, values, size);
    }
    const size_t begin = records->options.values_size > 0 ? records->plain.targets_begin : size;
    BDL__TRY(bdl__buffer_need(&records->record, begin + targets_size));
    char *bytes = records->record.data;
    memcpy(bytes, values, size);
    memset(bytes + size, 0, begin - size);
    memcpy(bytes + begin, targets, targets_size);
    return bdl__store_append(records->plain_rows, bytes, begin + targets_size);
}

/* A packed record after others that are not. */
static bdl_status append_unpacked(bdl__records *records, const void *bytes)
{
    bdl__record record = {.bytes = bytes};
    BDL__TRY(bdl__records_unpack(records, &records->record, &record));
    return bdl__store_append(records->plain_rows, record.bytes, record.size);
}

bdl_status bdl__records_append_record(bdl__records *records, const void *bytes, size_t size)
{
    const bdl__records_options *options = &records->options;
    const layout *plain = &records->plain;
    if (options->values_size == 0) {
        BDL__CHECK(size > options->targets_size, BDL_ERR_FORMAT,
                   "a row has %zu bytes, which leaves none for its file", size);
        return bdl__store_append(records->plain_rows, bytes, size);
    }
    const bool is_packed = options->element == BDL__ELEMENT_F32 && size == records->packed.size &&
                           size < plain->size;
    BDL__CHECK(is_packed || size == plain->size, BDL_ERR_FORMAT,
               "a row has %zu bytes instead of %zu", size, plain->size);
    if (!is_packed) {
        return bdl__records_append(records, bytes, plain->values_size,
                                   (const char *)bytes + plain->targets_begin);
    }
    return records->is_packing ? bdl__store_append(records->packed_rows, bytes, size)
                               : append_unpacked(records, bytes);
}

bdl_status bdl__records_seal(bdl__records *records)
{
    if (records->packed_rows != NULL) {
        BDL__TRY(bdl__store_seal(records->packed_rows));
    }
    return records->plain_rows != NULL ? bdl__store_seal(records->plain_rows) : BDL_OK;
}

static int64_t count(const bdl__store *store)
{
    return store != NULL ? bdl__store_count(store) : 0;
}

bdl_status bdl__records_sort(bdl__records *records, const uint32_t *order, int64_t n,
                             const bdl__cancel *cancel)
{
    bdl__store *const packed = records->packed_rows, *const plain = records->plain_rows;
    if (packed != NULL) {
        BDL__TRY(bdl__store_sort(packed, order, n, 0, RUN_ROWS, cancel));
    }
    return plain != NULL ? bdl__store_sort(plain, order, n, count(packed), RUN_ROWS, cancel)
                         : BDL_OK;
}

/* ---- reading ---- */

bool bdl__records_is_packed(const bdl__records *records, int64_t i)
{
    return i < count(records->packed_rows);
}

bdl_status bdl__records_read(const bdl__records *records, int64_t i, bdl__buffer *buffer,
                             bdl__record *record)
{
    const bool is_packed = bdl__records_is_packed(records, i);
    const layout *as = is_packed ? &records->packed : &records->plain;
    BDL__TRY(bdl__store_read(is_packed ? records->packed_rows : records->plain_rows,
                             is_packed ? i : i - count(records->packed_rows), buffer,
                             &record->bytes, &record->size));
    record->values_size = as->values_size;
    record->targets_begin = as->targets_begin;
    if (as->size == 0) {
        record->values_size = record->targets_begin = record->size - records->options.targets_size;
    }
    return BDL_OK;
}

bdl_status bdl__records_unpack(const bdl__records *records, bdl__buffer *buffer, bdl__record *record)
{
    const layout *packed = &records->packed, *plain = &records->plain;
    BDL__TRY(bdl__buffer_need(buffer, plain->size));
    char *to = buffer->data;
    const char *from = record->bytes;
    unpack((const uint8_t *)from, (int64_t)packed->values_size, buffer->data);
    memcpy(to + plain->targets_begin, from + packed->targets_begin, records->options.targets_size);
    *record = (bdl__record){.bytes = to,
                            .size = plain->size,
                            .values_size = plain->values_size,
                            .targets_begin = plain->targets_begin};
    return BDL_OK;
}

bool bdl__records_are_packed(const bdl__records *records)
{
    return records->is_packing;
}

static int64_t add(const bdl__records *records, int64_t (*of)(const bdl__store *store))
{
    return (records->packed_rows != NULL ? of(records->packed_rows) : 0) +
           (records->plain_rows != NULL ? of(records->plain_rows) : 0);
}

int64_t bdl__records_memory(const bdl__records *records)
{
    return add(records, bdl__store_memory);
}

int64_t bdl__records_spilled(const bdl__records *records)
{
    return add(records, bdl__store_spilled);
}
