/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed floats that are whole numbers are kept as bytes: nothing but their size may show it. */
#include "data/records.h"

#include <stdlib.h>
#include <string.h>

#include "data_helpers.h"
#include "test.h"

enum { COUNT = 18, N_TARGETS = 2, N = 300 };

typedef struct floats {
    float values[N * COUNT];
    float targets[N * N_TARGETS];
    double labels[N];
} floats;

/* Whole numbers from 0 to 255, both ends among them. */
static floats *make_whole(void)
{
    floats *const f = malloc(sizeof *f);
    for (int64_t i = 0; f && i < N; i++) {
        for (int64_t k = 0; k < COUNT; k++) {
            f->values[i * COUNT + k] = (float)((i * 41 + k * 7) % 256);
        }
        f->targets[2 * i] = (float)i + 0.25f;
        f->targets[2 * i + 1] = -(float)i;
        f->labels[i] = (double)(i % 5);
    }
    return f;
}

static bdl__rows_options options_of(const bdl__shape *shape, bool has_targets, int64_t memory_limit)
{
    return (bdl__rows_options){.name = "rows",
                               .shape = *shape,
                               .element = BDL__ELEMENT_F32,
                               .label_kind = has_targets ? BDL__LABEL_FLOATS : BDL__LABEL_CLASS,
                               .target_shape = {.rank = 1, .dim = {N_TARGETS}},
                               .memory_limit = memory_limit,
                               .spill_directory = bdl_test_dir()};
}

static const bdl__shape plain_shape = {.rank = 1, .dim = {COUNT}};
static const bdl__shape image_shape = {.rank = 3, .dim = {2, 3, 3}};

static bdl__rows rows_of(const floats *f)
{
    return (bdl__rows){.n = N, .values = f->values, .labels = f->labels, .targets = f->targets};
}

static bdl__dataset *push(const floats *f, const bdl__rows_options *options)
{
    const bdl__rows rows = rows_of(f);
    bdl__dataset *data = NULL;
    CHECK_OK(bdl__rows_create(bdl__default_allocator(), NULL, options, &data));
    CHECK_OK(bdl__rows_push(data, NULL, &rows));
    CHECK_OK(bdl__rows_finish(data));
    return data;
}

/* Whether row `at` of the data is row i of what was pushed, bit by bit. */
static bool is_row(const bdl__dataset *data, int64_t at, const floats *f, int64_t i)
{
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    bool is_same = bdl__dataset_read(data, at, &sample) == BDL_OK && sample.element == BDL__ELEMENT_F32 &&
                   memcmp(sample.data, f->values + i * COUNT, COUNT * sizeof(float)) == 0;
    if (data->label_kind == BDL__LABEL_FLOATS) {
        is_same = is_same && memcmp(sample.target, f->targets + N_TARGETS * i,
                                    N_TARGETS * sizeof(float)) == 0;
    } else {
        is_same = is_same && sample.label == (int32_t)f->labels[i];
    }
    bdl__sample_free(&sample);
    return is_same;
}

static bool are_rows(const bdl__dataset *data, const floats *f)
{
    bool are_same = data->n == N;
    for (int64_t i = 0; i < N && are_same; i++) {
        are_same = is_row(data, i, f, i);
    }
    return are_same;
}

static int64_t spilled(const bdl__dataset *data)
{
    bdl__rows_stats stats;
    CHECK_OK(bdl__rows_get_stats(data, &stats));
    return stats.spilled_size;
}

BDL_TEST(whole_numbers_take_a_byte_each)
{
    floats *const f = make_whole();
    REQUIRE(f != NULL);
    for (int i = 0; i < 4; i++) {
        const bool has_targets = i % 2 == 1;
        const int64_t row_size = has_targets ? COUNT + 2 + N_TARGETS * 4 : COUNT;
        const bdl__rows_options options = options_of(&plain_shape, has_targets, i / 2);
        bdl__dataset *const data = push(f, &options);
        CHECK(data->is_packed);
        CHECK(are_rows(data, f));
        CHECK_EQ_I64(spilled(data), i / 2 == 1 ? N * row_size : 0);
        bdl__dataset_free(data);
    }
    free(f);
}

/* Values that look like whole numbers, or as if they fitted. */
BDL_TEST(all_other_values_keep_their_bits)
{
    static const uint32_t odd[] = {
        0x80000000 /* -0 */,   0x7fc00000 /* NaN */,       0x7f812345 /* a signaling one */,
        0xffc00001,            0x7f800000 /* infinity */,  0xff800000,
        0x43800000 /* 256 */,  0xbf800000 /* -1 */,        0x3f000000 /* 0.5 */,
        0x00000001 /* 1e-45 */, 0x3f800001 /* 1 + ulp */,  0x437effff /* 255 - ulp */,
        0x4b000000 /* 2^23 */, 0x4b0000ff /* 2^23 + 255 */, 0xcb000000, 0x7f7fffff};
    enum { AT = 100 }; /* the row that has it */
    for (size_t k = 0; k < BDL__COUNT_OF(odd); k++) {
        floats *const f = make_whole();
        REQUIRE(f != NULL);
        memcpy(&f->values[AT * COUNT + (int64_t)k % COUNT], &odd[k], sizeof odd[k]);
        for (int i = 0; i < 4; i++) {
            const bdl__rows_options options = options_of(&plain_shape, i % 2 == 1, i / 2);
            bdl__dataset *const data = push(f, &options);
            CHECK(!data->is_packed);
            CHECK(are_rows(data, f));
            bdl__dataset_free(data);
        }
        const bdl__rows_options spills = options_of(&plain_shape, false, 1);
        bdl__dataset *const data = push(f, &spills);
        CHECK_EQ_I64(spilled(data), AT * COUNT + (N - AT) * COUNT * 4);
        bdl__dataset_free(data);
        free(f);
    }
}

/* One value and targets: as many bytes packed as not. */
BDL_TEST(rows_that_would_not_shrink_are_left_alone)
{
    const bdl__shape one = {.rank = 1, .dim = {1}};
    const bdl__rows_options options = options_of(&one, true, 1);
    const float values[3] = {7, 8, 9}, targets[6] = {0.5f, 1, 2, 3, 4, 5};
    const bdl__rows rows = {.n = 3, .values = values, .targets = targets};
    bdl__dataset *data = NULL;
    bdl__sample sample;
    REQUIRE_OK(bdl__rows_create(bdl__default_allocator(), NULL, &options, &data));
    REQUIRE_OK(bdl__rows_push(data, NULL, &rows));
    REQUIRE_OK(bdl__rows_finish(data));
    CHECK(!data->is_packed);
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(data, 2, &sample));
    CHECK(*(const float *)sample.data == 9 && sample.target[1] == 5);
    bdl__sample_free(&sample);
    bdl__dataset_free(data);
}

/* ---- batches ---- */

/* The hash of all that two epochs of batches hold, labels and targets among it. */
static bdl__key hash_batches(const bdl__dataset *data, const char *chain_text, int lanes, size_t real_size)
{
    const bdl__batch_options options = {.batch = 40, .lanes = lanes, .real_size = real_size,
                                        .is_training = true, .n_epochs = 2, .seed = 3};
    const size_t target_size = data->label_kind == BDL__LABEL_CLASS ? sizeof(int32_t)
                                                                    : N_TARGETS * real_size / (size_t)lanes;
    bdl__key sum = {0};
    bdl__chain *chain = NULL;
    bdl__batcher *batcher = NULL;
    const bdl__batch *batch = NULL;
    CHECK_OK(bdl__chain_from_text(bdl__default_allocator(), chain_text, &chain));
    CHECK_OK(bdl__batcher_create(bdl__default_allocator(), data, chain, NULL, &options, &batcher));
    const size_t part_size = (size_t)bdl__shape_count(bdl__batcher_shape(batcher)) * real_size;
    for (uint64_t n = 1; batcher && bdl__batcher_next(batcher, &batch) == BDL_OK && batch; n++) {
        for (int64_t p = 0; p < batch->n_slices * BDL__SLICE_ROWS / lanes; p++) {
            const bdl__key parts[2] = {
                bdl__hash128((const char *)batch->input + p * batch->input_stride, part_size),
                bdl__hash128((const char *)batch->target + p * batch->target_stride,
                             target_size * (size_t)lanes)};
            sum.low = sum.low * 31 + parts[0].low * n + parts[1].high;
            sum.high = sum.high * 37 + parts[0].high + parts[1].low * n;
        }
        bdl__batcher_release(batcher, batch);
    }
    bdl__batcher_free(batcher);
    bdl__chain_free(chain);
    return sum;
}

/* Wrapped arrays are floats whatever they hold. */
BDL_TEST(batches_have_the_bits_of_floats)
{
    static const char *const chains[] = {
        "", "normalize(mean=[0.2, 0.4], std=[0.3, 0.7], divide=255)", "scale(factor=0.01), to_float",
        "resize([5, 4])", "scale, resize([2, 2])", "crop(2, at=random), flip, normalize(divide=3)"};
    static const int lanes[] = {16, 4, 1, 1};
    static const size_t real_sizes[] = {64, 16, 4, 8};
    for (int kind = 0; kind < 4; kind++) { /* with and without targets, whole and not in all rows */
        floats *const f = make_whole();
        REQUIRE(f != NULL);
        f->values[N / 2 * COUNT] += kind / 2 == 0 ? 0 : 0.5f;
        const bdl__rows_options options = options_of(&image_shape, kind % 2 == 1, 0);
        const bdl__rows_options spills = options_of(&image_shape, kind % 2 == 1, 1);
        const bdl__rows rows = rows_of(f);
        bdl__dataset *wrapped = NULL;
        REQUIRE_OK(bdl__rows_wrap(bdl__default_allocator(), NULL, &options, &rows, &wrapped));
        bdl__dataset *const pushed[] = {push(f, &options), push(f, &spills)};
        for (size_t i = 0; i < BDL__COUNT_OF(chains) * 4; i++) {
            const char *const chain = chains[i / 4];
            const bdl__key want = hash_batches(wrapped, chain, lanes[i % 4], real_sizes[i % 4]);
            for (int k = 0; k < 2; k++) {
                const bdl__key got = hash_batches(pushed[k], chain, lanes[i % 4], real_sizes[i % 4]);
                CHECK(got.low == want.low && got.high == want.high);
            }
        }
        for (int k = 0; k < 2; k++) {
            CHECK(pushed[k]->is_packed == (kind / 2 == 0));
            bdl__dataset_free(pushed[k]);
        }
        bdl__dataset_free(wrapped);
        free(f);
    }
}

/* ---- records ---- */

/* Adds record i of `from`; gives its size. */
static size_t carry(const bdl__dataset *from, int64_t i, bdl__dataset *to)
{
    bdl__sample sample;
    bdl__row_record record = {0};
    bdl__sample_init(&sample, bdl__default_allocator());
    CHECK_OK(bdl__rows_record(from, i, &sample, &record));
    CHECK_OK(bdl__rows_add_record(to, &record));
    bdl__sample_free(&sample);
    return record.size;
}

/* Records of both kinds in turn, as they come from ranks of which one has other values. */
BDL_TEST(records_of_both_kinds_can_be_mixed)
{
    for (int i = 0; i < 4; i++) {
        floats *const whole = make_whole(), *const other = make_whole();
        REQUIRE(whole && other);
        const bdl__rows_options options = options_of(&plain_shape, i % 2 == 1, i / 2);
        other->values[0] = 0.5f;
        bdl__dataset *const from[] = {push(whole, &options), push(other, &options)};
        bdl__dataset *like = NULL;
        REQUIRE_OK(bdl__rows_create_like(from[0], &like));
        const size_t small = carry(from[0], 0, like);
        CHECK_EQ_I64((int64_t)carry(from[1], 5, like), (int64_t)(small + 3 * COUNT - (i % 2 == 1 ? 2 : 0)));
        CHECK_EQ_I64(spilled(like), i / 2 == 1 ? 2 * (int64_t)small : 0); /* that one, too, is whole */
        (void)carry(from[1], 0, like);
        CHECK_EQ_I64((int64_t)carry(from[0], 7, like), (int64_t)small); /* and is kept as floats now */
        REQUIRE_OK(bdl__rows_finish(like));
        CHECK(is_row(like, 0, whole, 0) && is_row(like, 1, whole, 5) && is_row(like, 2, other, 0) &&
              is_row(like, 3, whole, 7));
        for (int k = 0; k < 2; k++) {
            bdl__dataset_free(from[k]);
        }
        bdl__dataset_free(like);
        free(whole);
        free(other);
    }
}

BDL_TEST(a_record_of_another_size_is_refused)
{
    floats *const f = make_whole();
    REQUIRE(f != NULL);
    for (int i = 0; i < 2; i++) {
        const bdl__rows_options options = options_of(&plain_shape, i == 1, 0);
        const int64_t targets_size = i == 1 ? N_TARGETS * 4 : 0;
        const size_t packed = (size_t)(COUNT + (i == 1 ? 2 : 0) + targets_size);
        bdl__dataset *data = NULL;
        REQUIRE_OK(bdl__rows_create(bdl__default_allocator(), NULL, &options, &data));
        for (size_t size = 0; size < COUNT * 4 + 20; size++) {
            const bool fits = size == packed || size == (size_t)(COUNT * 4 + targets_size);
            const bdl__row_record record = {.bytes = f->values, .size = size};
            CHECK_EQ_I64(bdl__rows_add_record(data, &record), fits ? BDL_OK : BDL_ERR_FORMAT);
        }
        CHECK_STR_HAS(bdl_last_error(), "data 'rows': a row has 91 bytes instead of");
        bdl__dataset_free(data);
    }
    free(f);
}

BDL_TEST_MAIN(whole_numbers_take_a_byte_each, all_other_values_keep_their_bits,
              rows_that_would_not_shrink_are_left_alone, batches_have_the_bits_of_floats,
              records_of_both_kinds_can_be_mixed, a_record_of_another_size_is_refused)
