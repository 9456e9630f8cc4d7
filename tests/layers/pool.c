/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling where the generic checks do not look: ties, numbers that are not one, and sizes. */
#include <math.h>
#include <stdio.h>

#include "cases.h"
#include "test.h"

typedef struct bench {
    bdl__arena arena;
    problem p;
    run_result result;
} bench;

static bool start(bench *b, const char *layer, const char *params, const char *input)
{
    const layer_case c = {.layer = layer, .params = params, .inputs = input};
    bdl__arena_init(&b->arena, bdl__default_allocator());
    const bdl_status status = make_problem(&c, ALONE, 0, 1, 1, &b->arena, &b->p);
    CHECK_OK(status);
    return status == BDL_OK;
}

static bool run_on(bench *b, bdl__target target)
{
    const run_options options = {.target = target, .n_workers = 1, .is_training = true};
    const bdl_status status = run_problem(&b->p, &options, &b->arena, &b->result);
    CHECK_OK(status);
    return status == BDL_OK;
}

static void end(bench *b)
{
    free_problem(&b->p);
    bdl__arena_free(&b->arena);
    end_workers();
}

static void set_all(tensor *t, double value)
{
    for (int64_t i = 0; i < t->n_samples * t->count; i++) {
        t->data[i] = value;
    }
}

/* Runs a plane of equal values; the gradients must arrive at `expected`. */
static void check_ties(const char *params, const char *input, double value, const double *expected)
{
    bench b = {0};
    if (start(&b, "max_pool2d", params, input)) {
        set_all(&b.p.in[0], value);
        set_all(&b.p.out_diff[0], 1);
        for (int t = 0; t < BDL__N_TARGETS; t++) {
            if (bdl__target_available((bdl__target)t) && run_on(&b, (bdl__target)t)) {
                CHECK(b.result.out[0].data[0] == value);
                for (int64_t i = 0; i < b.p.in[0].count; i++) {
                    CHECK_NEAR(b.result.in_diff[0].data[i], expected[i], 0);
                }
            }
        }
    }
    end(&b);
}

BDL_TEST(ties_keep_the_first_maximum)
{
    const double apart[] = {1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0};
    const double overlapping[] = {1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1};
    check_ties("2", "1x4x4", 0.5, apart);
    check_ties("2", "1x4x4", -INFINITY, apart);
    check_ties("3, stride=2, padding=1, ceil_mode=true", "1x4x4", 0.5, overlapping);
}

/* Puts a NaN at each position in turn: every window that holds it must give one. */
static void check_nan(const char *params, const char *input, int64_t kernel, int64_t stride)
{
    bench b = {0};
    if (!start(&b, "max_pool2d", params, input)) {
        end(&b);
        return;
    }
    const int64_t w = b.p.in[0].shape.dim[2], ow = b.p.out_diff[0].shape.dim[2];
    for (int64_t at = 0; at < b.p.in[0].count; at++) {
        const double old = b.p.in[0].data[at];
        b.p.in[0].data[at] = NAN;
        for (int t = 0; t < BDL__N_TARGETS; t++) {
            if (!bdl__target_available((bdl__target)t) || !run_on(&b, (bdl__target)t)) {
                continue;
            }
            for (int64_t o = 0; o < b.p.out_diff[0].count; o++) {
                const int64_t y = at / w - o / ow * stride, x = at % w - o % ow * stride;
                const bool is_inside = y >= 0 && y < kernel && x >= 0 && x < kernel;
                CHECK(isnan(b.result.out[0].data[o]) == is_inside);
            }
        }
        b.p.in[0].data[at] = old;
    }
    end(&b);
}

BDL_TEST(nan_is_a_maximum)
{
    check_nan("2", "1x4x4", 2, 2);
    check_nan("3, stride=1", "1x5x4", 3, 1);
}

typedef struct size_row {
    const char *params;
    int64_t in, out;
} size_row;

/* Sizes that PyTorch 2 gives. */
BDL_TEST(sizes_follow_torch)
{
    static const size_row rows[] = {
        {"3, stride=2", 8, 3},
        {"3, stride=2, ceil_mode=true", 8, 4},
        {"3, stride=2, padding=1", 8, 4},
        {"3, stride=2, padding=1, ceil_mode=true", 8, 5},
        {"2, stride=2, padding=1, ceil_mode=true", 4, 3},
        {"2, stride=3, ceil_mode=true", 4, 2},
        {"2, stride=3, ceil_mode=true", 3, 1},
        {"1, stride=4, ceil_mode=true", 4, 1},
        {"1, stride=4, ceil_mode=true", 5, 2},
        {"2, stride=2, padding=1, ceil_mode=true", 3, 2},
        {"3, ceil_mode=true", 2, 1},
        {"2, stride=1, dilation=3", 7, 4},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        char input[32];
        bench b = {0};
        (void)snprintf(input, sizeof input, "1x%lldx%lld", (long long)rows[i].in,
                       (long long)rows[i].in);
        if (start(&b, "max_pool2d", rows[i].params, input)) {
            CHECK_EQ_I64(b.p.out_diff[0].shape.dim[1], rows[i].out);
            CHECK_EQ_I64(b.p.out_diff[0].shape.dim[2], rows[i].out);
        }
        end(&b);
    }
}

static void check_refused(const char *layer, const char *params, const char *input,
                          const char *text)
{
    const layer_case c = {.layer = layer, .params = params, .inputs = input};
    bdl__arena arena;
    problem p = {0};
    bdl__arena_init(&arena, bdl__default_allocator());
    CHECK(make_problem(&c, ALONE, 0, 1, 1, &arena, &p) != BDL_OK);
    CHECK_STR_HAS(bdl_last_error(), text);
    free_problem(&p);
    bdl__arena_free(&arena);
}

BDL_TEST(impossible_windows_are_refused)
{
    check_refused("max_pool2d", "3, padding=2", "1x5x5", "padding must be at most half");
    check_refused("avg_pool2d", "2, padding=2", "1x5x5", "padding must be at most half");
    check_refused("max_pool2d", "5", "1x4x9", "larger than the padded input");
    check_refused("max_pool2d", "2, stride=1, padding=2, dilation=3", "1x2x2", "padding only");
    check_refused("max_pool2d", "2", "4x4", "needs (channels, height, width)");
}

/* The first and the last average of a 4x4 plane of ones. */
static void check_average(const char *params, double first, double last)
{
    bench b = {0};
    if (start(&b, "avg_pool2d", params, "1x4x4")) {
        set_all(&b.p.in[0], 1);
        if (run_on(&b, BDL__TARGET_F64)) {
            const tensor *out = &b.result.out[0];
            CHECK_NEAR(out->data[0], first, 1e-15);
            CHECK_NEAR(out->data[out->count - 1], last, 1e-15);
        }
    }
    end(&b);
}

BDL_TEST(averages_divide_as_said)
{
    check_average("2, stride=2, padding=1", 0.25, 0.25);
    check_average("2, stride=2, padding=1, count_include_pad=false", 1, 1);
    check_average("2, stride=2, padding=1, divisor_override=2", 0.5, 0.5);
    check_average("3, stride=2, ceil_mode=true", 1, 1);
    check_average("3, stride=2, padding=1, ceil_mode=true", 4.0 / 9, 1.0 / 4);
}

BDL_TEST_MAIN(ties_keep_the_first_maximum, nan_is_a_maximum, sizes_follow_torch,
              impossible_windows_are_refused, averages_divide_as_said)
