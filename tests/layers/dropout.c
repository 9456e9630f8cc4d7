/* SPDX-License-Identifier: Apache-2.0 */
/* dropout: what stays is multiplied by the documented number, in training and in evaluation. */
#include "cases.h"
#include "test.h"

/* Each result is 0 or `factor` times what came in; the number of zeros is returned. */
static int64_t check_scaled(const tensor *result, const tensor *in, double factor)
{
    int64_t n_zeros = 0;
    for (int64_t i = 0; i < in->n_samples * in->count; i++) {
        const double expected = factor * in->data[i];
        const bool is_zero = result->data[i] == 0;
        n_zeros += is_zero;
        CHECK(is_zero || fabs(result->data[i] - expected) <= 0x1p-22 * fabs(expected));
    }
    return n_zeros;
}

static void check_dropout(const char *params, bool is_training, double factor)
{
    const layer_case layer = {"dropout", params, "5x4"};
    bdl__arena arena;
    problem p;
    run_result result;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(make_problem(&layer, ALONE, 0, 21, 6, &arena, &p));
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        const run_options options = {
            .target = (bdl__target)t, .n_workers = 1, .is_training = is_training};
        if (!bdl__target_available((bdl__target)t)) {
            continue;
        }
        REQUIRE_OK(run_problem(&p, &options, &arena, &result));
        const int64_t n_zeros = check_scaled(&result.out[0], &p.in[0], factor);
        CHECK(is_training ? n_zeros > 50 && n_zeros < 200 : n_zeros == 0);
        if (is_training) {
            CHECK_EQ_I64(check_scaled(&result.in_diff[0], &p.out_diff[0], factor), n_zeros);
        }
    }
    free_problem(&p);
    bdl__arena_free(&arena);
}

BDL_TEST(what_stays_is_scaled)
{
    check_dropout("p=0.25", true, 1 / 0.75);
    check_dropout("p=0.25", false, 1);
    check_dropout("p=0.25, scale=false", true, 1);
    check_dropout("p=0.25, scale=false", false, 0.75);
    end_workers();
}

BDL_TEST_MAIN(what_stays_is_scaled)
