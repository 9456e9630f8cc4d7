/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* The batcher: lanes, order, threads, resuming, failures; and how fast it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counting_allocator.h"
#include "data_helpers.h"
#include "test.h"

static const struct {
    int lanes;
    size_t real_size;
} targets[] = {{16, 64}, {8, 32}, {4, 16}, {1, 4}, {1, 8}};

/* Every lane of a batch holds its sample, or repeats the slice's first one. */
static void check_batch(const bdl__dataset *dataset, const bdl__chain *chain,
                        const bdl__batch_options *options, const bdl__batch *batch)
{
    bdl__sample sample;
    bdl__chain_scratch scratch;
    bdl__sample_init(&sample, bdl__default_allocator());
    bdl__chain_scratch_init(&scratch, bdl__default_allocator());
    int64_t n_samples = 0;
    for (int64_t s = 0; s < batch->n_slices; s++) {
        CHECK(batch->valid[s] >= 1 && batch->valid[s] <= 16);
        n_samples += batch->valid[s];
        for (int lane = 0; lane < 16; lane++) {
            const bool is_real = lane < batch->valid[s];
            const int64_t row = batch->rows[s * 16 + (is_real ? lane : 0)];
            const bdl__sample *result = NULL;
            CHECK_EQ_I64(batch->rows[s * 16 + lane], is_real ? row : -1);
            REQUIRE_OK(bdl__dataset_read(dataset, row, &sample));
            REQUIRE_OK(bdl__chain_apply(chain, &sample, &scratch, NULL, &result));
            const int64_t n = bdl__shape_count(&result->shape);
            bool is_same = true;
            for (int64_t i = 0; i < n; i++) {
                const double expected = (double)((const float *)result->data)[i];
                is_same = is_same && data_lane(batch, options, s, lane, i) == expected;
            }
            CHECK(is_same);
            if (dataset->label_kind == BDL__LABEL_CLASS) {
                CHECK_EQ_I64(data_class_lane(batch, options, s, lane), sample.label);
            } else if (dataset->label_kind == BDL__LABEL_FLOATS) {
                CHECK(data_target_lane(batch, options, s, lane, 0) == (double)sample.target[0]);
            }
        }
    }
    CHECK_EQ_I64(batch->n_samples, n_samples);
    bdl__sample_free(&sample);
    bdl__chain_scratch_free(&scratch);
}

/* Runs all batches of one epoch and checks each. */
static void check_epoch(const char *data, const char *chain_text, bdl__batch_options options)
{
    const bdl_allocator *allocator = bdl__default_allocator();
    bdl__dataset *dataset = NULL;
    bdl__chain *chain = NULL;
    bdl__batcher *batcher = NULL;
    REQUIRE_OK(bdl__dataset_open(allocator, NULL, NULL, data, BDL__PART_TRAIN, &dataset));
    REQUIRE_OK(bdl__chain_from_text(allocator, chain_text, &chain));
    REQUIRE_OK(bdl__batcher_create(allocator, dataset, chain, NULL, &options, &batcher));
    uint8_t *seen = calloc((size_t)dataset->n, 1);
    int64_t n_steps = 0, n_samples = 0;
    for (;; n_steps++) {
        const bdl__batch *batch = NULL;
        REQUIRE_OK(bdl__batcher_next(batcher, &batch));
        if (batch == NULL) {
            break;
        }
        CHECK_EQ_I64(batch->step, n_steps);
        CHECK_EQ_I64(batch->is_last, n_steps == bdl__batcher_steps(batcher) - 1);
        check_batch(dataset, chain, &options, batch);
        for (int64_t i = 0; i < batch->n_slices * 16; i++) {
            if (batch->rows[i] >= 0) {
                CHECK(!seen[batch->rows[i]]);
                seen[batch->rows[i]] = 1;
                n_samples++;
            }
        }
        bdl__batcher_release(batcher, batch);
    }
    CHECK_EQ_I64(n_steps, bdl__batcher_steps(batcher));
    CHECK_EQ_I64(n_samples, dataset->n);
    free(seen);
    bdl__batcher_free(batcher);
    bdl__chain_free(chain);
    bdl__dataset_free(dataset);
}

BDL_TEST(lanes_hold_samples_for_every_target)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(targets); i++) {
        bdl__batch_options options = data_options(40);
        options.lanes = targets[i].lanes;
        options.real_size = targets[i].real_size;
        options.n_threads = (int)(i % 3);
        check_epoch("digits(count=100)", "normalize(mean=0.5, std=0.25, divide=255)", options);
        options.is_training = true;
        check_epoch("digits(count=100)", "normalize(mean=0.5, std=0.25, divide=255)", options);
        check_epoch("synthetic(shape=[3,5,2], count=61, classes=4)", "", options);
        check_epoch("synthetic(shape=7, count=33, classes=0)", "scale(2, 1)", options);
        check_epoch("digits(count=50)", "to_rgb, resize(9), normalize(mean=[1,2,3])", options);
        check_epoch("digits(count=50)", "to_float, crop(20)", options);
    }
}

/* A hash of all that a run delivers, epochs from first to last. */
static uint64_t run_hash(const char *chain_text, bdl__batch_options options)
{
    const bdl_allocator *allocator = bdl__default_allocator();
    bdl__dataset *dataset = NULL;
    bdl__chain *chain = NULL;
    bdl__batcher *batcher = NULL;
    uint64_t hash = 0;
    CHECK_OK(
        bdl__dataset_open(allocator, NULL, NULL, "digits(count=150)", BDL__PART_TRAIN, &dataset));
    CHECK_OK(bdl__chain_from_text(allocator, chain_text, &chain));
    CHECK_OK(bdl__batcher_create(allocator, dataset, chain, NULL, &options, &batcher));
    const bdl__batch *batch = NULL;
    while (batcher != NULL && bdl__batcher_next(batcher, &batch) == BDL_OK && batch != NULL) {
        const size_t size = (size_t)(batch->n_slices * (16 / options.lanes) * batch->input_stride);
        hash = hash * 31 + bdl__hash128(batch->input, size).low;
        hash = hash * 31 + (uint64_t)(batch->epoch * 1000 + batch->step);
        bdl__batcher_release(batcher, batch);
    }
    bdl__batcher_free(batcher);
    bdl__chain_free(chain);
    bdl__dataset_free(dataset);
    return hash;
}

BDL_TEST(the_number_of_threads_changes_nothing)
{
    bdl__batch_options options = data_options(37);
    options.is_training = true;
    options.n_epochs = 3;
    options.seed = 9;
    const char *chain = "pad(2), crop(28, at=random), flip, color_jitter, scale";
    const uint64_t alone = run_hash(chain, options);
    for (int n = 1; n <= 4; n++) {
        options.n_threads = n;
        options.n_slots = 2 + n % 3;
        CHECK(run_hash(chain, options) == alone);
    }
    options.seed = 10;
    CHECK(run_hash(chain, options) != alone);
}

BDL_TEST(a_resumed_run_goes_on_with_the_same_batches)
{
    bdl__batch_options options = data_options(40);
    options.is_training = true;
    options.n_epochs = 2;
    options.n_threads = 1;
    const bdl_allocator *allocator = bdl__default_allocator();
    bdl__dataset *dataset = data_open("digits", "", "(count=90)", BDL__PART_TRAIN);
    bdl__chain *chain = NULL;
    bdl__batcher *whole = NULL, *rest = NULL;
    REQUIRE_OK(bdl__chain_from_text(allocator, "crop(20, at=random)", &chain));
    REQUIRE_OK(bdl__batcher_create(allocator, dataset, chain, NULL, &options, &whole));
    options.first_epoch = 1;
    options.first_step = 1;
    REQUIRE_OK(bdl__batcher_create(allocator, dataset, chain, NULL, &options, &rest));
    for (int i = 0; i < 6; i++) {
        const bdl__batch *a = NULL, *b = NULL;
        REQUIRE_OK(bdl__batcher_next(whole, &a));
        if (i >= 4) {
            REQUIRE_OK(bdl__batcher_next(rest, &b));
            REQUIRE(b != NULL && a->epoch == b->epoch && a->step == b->step);
            CHECK(memcmp(a->input, b->input, (size_t)(a->n_slices * a->input_stride)) == 0);
            bdl__batcher_release(rest, b);
        }
        bdl__batcher_release(whole, a);
    }
    const bdl__batch *end = NULL;
    REQUIRE_OK(bdl__batcher_next(rest, &end));
    CHECK(end == NULL);
    bdl__batcher_free(whole);
    bdl__batcher_free(rest);
    bdl__chain_free(chain);
    bdl__dataset_free(dataset);
}

BDL_TEST(cancel_and_held_batches_are_errors)
{
    const bdl_allocator *allocator = bdl__default_allocator();
    bdl__dataset *dataset = data_open("digits", "", "(count=90)", BDL__PART_TRAIN);
    bdl__batch_options options = data_options(8);
    bdl__cancel cancel = {0};
    options.n_slots = 2;
    options.n_threads = 2;
    options.cancel = &cancel;
    bdl__batcher *batcher = NULL;
    const bdl__batch *first = NULL, *second = NULL, *third = NULL;
    REQUIRE_OK(bdl__batcher_create(allocator, dataset, NULL, NULL, &options, &batcher));
    REQUIRE_OK(bdl__batcher_next(batcher, &first));
    REQUIRE_OK(bdl__batcher_next(batcher, &second));
    CHECK_EQ_I64(bdl__batcher_next(batcher, &third), BDL_ERR_STATE);
    bdl__batcher_release(batcher, second); /* in any order */
    bdl__batcher_release(batcher, first);
    REQUIRE_OK(bdl__batcher_next(batcher, &third));
    CHECK_EQ_I64(third->step, 2);
    cancel.is_asked = 1;
    CHECK_EQ_I64(bdl__batcher_next(batcher, &first), BDL_ERR_CANCELLED);
    cancel.is_asked = 0;
    REQUIRE_OK(bdl__batcher_next(batcher, &first));
    CHECK_EQ_I64(first->step, 3);
    bdl__batcher_free(batcher);
    bdl__dataset_free(dataset);
}

BDL_TEST(bad_options_are_refused)
{
    const bdl_allocator *allocator = bdl__default_allocator();
    bdl__dataset *dataset = data_open("digits", "", "(count=9)", BDL__PART_TRAIN);
    bdl__batcher *batcher = NULL;
    bdl__batch_options options = data_options(0);
    CHECK_EQ_I64(bdl__batcher_create(allocator, dataset, NULL, NULL, &options, &batcher),
                 BDL_ERR_INVALID_ARGUMENT);
    options = data_options(8);
    options.lanes = 3;
    CHECK_EQ_I64(bdl__batcher_create(allocator, dataset, NULL, NULL, &options, &batcher),
                 BDL_ERR_INVALID_ARGUMENT);
    options = data_options(8);
    options.n_slots = 1;
    CHECK_EQ_I64(bdl__batcher_create(allocator, dataset, NULL, NULL, &options, &batcher),
                 BDL_ERR_INVALID_ARGUMENT);
    CHECK(batcher == NULL);
    bdl__dataset_free(dataset);
}

/* Opens, reads an epoch, frees; the first failure of any of them. */
static bdl_status small_run(const bdl_allocator *allocator)
{
    bdl__dataset *dataset = NULL;
    bdl__chain *chain = NULL;
    bdl__batcher *batcher = NULL;
    bdl__batch_options options = data_options(8);
    options.is_training = true;
    bdl_status status =
        bdl__dataset_open(allocator, NULL, NULL, "digits(count=12)", BDL__PART_TRAIN, &dataset);
    if (status == BDL_OK) {
        status =
            bdl__chain_from_text(allocator, "pad(1), crop(28, at=random), flip, scale", &chain);
    }
    if (status == BDL_OK) {
        status = bdl__batcher_create(allocator, dataset, chain, NULL, &options, &batcher);
    }
    const bdl__batch *batch = NULL;
    while (status == BDL_OK) {
        status = bdl__batcher_next(batcher, &batch);
        if (status == BDL_OK && batch == NULL) {
            break;
        }
        if (status == BDL_OK) {
            bdl__batcher_release(batcher, batch);
        }
    }
    bdl__batcher_free(batcher);
    bdl__chain_free(chain);
    bdl__dataset_free(dataset);
    return status;
}

BDL_TEST(failing_allocations_are_reported)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        const bdl_status status = small_run(&counter.allocator);
        CHECK(status == BDL_OK || status == BDL_ERR_OUT_OF_MEMORY);
    }
}

BDL_TEST(speed_of_bytes_to_lanes_is_printed)
{
    enum { N = 20000, BATCH = 128 };
    if (bdl_test_small()) {
        SKIP("a measurement");
    }
    const bdl_allocator *allocator = bdl__default_allocator();
    bdl__dataset *dataset = data_open("digits", "", "(count=20000)", BDL__PART_TRAIN);
    bdl__chain *chain = NULL;
    bdl__batcher *batcher = NULL;
    bdl__batch_options options = data_options(BATCH);
    options.is_training = true;
    options.n_epochs = 4;
    REQUIRE_OK(bdl__chain_from_text(allocator, dataset->default_transform, &chain));
    REQUIRE_OK(bdl__batcher_create(allocator, dataset, chain, NULL, &options, &batcher));
    double best = 1e9;
    for (int64_t epoch = 0; epoch < options.n_epochs; epoch++) {
        const double begin = bdl__now();
        for (int64_t step = 0; step < bdl__batcher_steps(batcher); step++) {
            const bdl__batch *batch = NULL;
            REQUIRE_OK(bdl__batcher_next(batcher, &batch));
            bdl__batcher_release(batcher, batch);
        }
        best = fmin(best, bdl__now() - begin);
    }
    printf("1x28x28 bytes to lanes, one thread: %.3f ns a value, %.0f images/s\n",
           best * 1e9 / (N * 784.0), N / best);
    bdl__batcher_free(batcher);
    bdl__chain_free(chain);
    bdl__dataset_free(dataset);
}

BDL_TEST_MAIN(lanes_hold_samples_for_every_target, the_number_of_threads_changes_nothing,
              a_resumed_run_goes_on_with_the_same_batches, cancel_and_held_batches_are_errors,
              bad_options_are_refused, failing_allocations_are_reported,
              speed_of_bytes_to_lanes_is_printed)
