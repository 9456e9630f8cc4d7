/* SPDX-License-Identifier: Apache-2.0 */
/* Normalization where the generic checks do not look: running statistics and lost digits. */
#include <math.h>
#include <stdio.h>

#include "cases.h"
#include "test.h"

typedef struct bench {
    bdl__arena arena;
    problem p;
    run_result result;
} bench;

static bool start(bench *b, const char *layer, const char *params, const char *input,
                  int64_t n_samples)
{
    const layer_case c = {.layer = layer, .params = params, .inputs = input};
    bdl__arena_init(&b->arena, bdl__default_allocator());
    const bdl_status status = make_problem(&c, ALONE, 0, n_samples, 7, &b->arena, &b->p);
    CHECK_OK(status);
    return status == BDL_OK;
}

static bool run_on(bench *b, bdl__target target, bool is_training)
{
    const run_options options = {.target = target, .n_workers = 2, .is_training = is_training};
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

/* Mean and sum of squared deviations of channel c, in long double. */
typedef struct moments {
    double n, mean, m2;
} moments;

static moments moments_of(const tensor *t, int64_t c)
{
    const int64_t n = t->count / t->shape.dim[0];
    long double sum = 0, squares = 0;
    for (int64_t s = 0; s < t->n_samples; s++) {
        for (int64_t i = 0; i < n; i++) {
            sum += t->data[s * t->count + c * n + i];
        }
    }
    const long double mean = sum / (long double)(n * t->n_samples);
    for (int64_t s = 0; s < t->n_samples; s++) {
        for (int64_t i = 0; i < n; i++) {
            const long double d = t->data[s * t->count + c * n + i] - mean;
            squares += d * d;
        }
    }
    return (moments){.n = (double)(n * t->n_samples), .mean = (double)mean, .m2 = (double)squares};
}

/* Running statistics after a step in which the batch's share is `share`. */
static void check_running(const char *params, double share, const char *input, int64_t n_samples)
{
    bench b = {0};
    if (!start(&b, "batch_norm", params, input, n_samples)) {
        end(&b);
        return;
    }
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        if (!bdl__target_available((bdl__target)t) || !run_on(&b, (bdl__target)t, true)) {
            continue;
        }
        for (int64_t c = 0; c < b.p.in[0].shape.dim[0]; c++) {
            const moments m = moments_of(&b.p.in[0], c);
            const double mean = (1 - share) * b.p.buffers[0].data[c] + share * m.mean;
            const double variance = (1 - share) * b.p.buffers[1].data[c] + share * m.m2 / (m.n - 1);
            CHECK_NEAR(b.result.buffers[0].data[c], mean, 0x1p-22 * fabs(mean));
            CHECK_NEAR(b.result.buffers[1].data[c], variance, 0x1p-22 * variance);
        }
    }
    end(&b);
}

BDL_TEST(running_statistics_follow_the_batch)
{
    check_running("", 0.1, "3x5x4", 5);
    check_running("momentum=0.3", 0.3, "3x5x4", 21);
    check_running("momentum=0.9, momentum_kind='old'", 0.1, "3x5x4", 17);
    check_running("momentum=1", 1, "7", 2);
}

BDL_TEST(statistics_keep_digits_far_from_zero)
{
    check_running("momentum=1", 1, "2x9x8 far", 33);
    check_running("momentum=1", 1, "2 far", 33);
}

/* Floats near 100,000 hold steps of 1/128: less the mean, rounded to a float, they lose half of the
 * digits that a gradient near 1 has, unless the rest of the mean is kept. */
BDL_TEST(gradients_keep_digits_far_from_zero)
{
    bench b = {0};
    if (!start(&b, "batch_norm", "", "3x4x5", 37)) {
        end(&b);
        return;
    }
    tensor *const in = &b.p.in[0];
    for (int64_t i = 0; i < in->n_samples * in->count; i++) {
        in->data[i] = 100000 + rint(in->data[i] * 64) / 64;
    }
    if (run_on(&b, BDL__TARGET_F64, true)) {
        const tensor exact = b.result.in_diff[0];
        for (int t = 0; t < BDL__N_TARGETS; t++) {
            if (bdl__target_available((bdl__target)t) && run_on(&b, (bdl__target)t, true)) {
                for (int64_t i = 0; i < in->n_samples * in->count; i++) {
                    CHECK_NEAR(b.result.in_diff[0].data[i], exact.data[i], 1e-5);
                }
            }
        }
    }
    end(&b);
}

BDL_TEST(one_value_a_channel_uses_running_statistics)
{
    bench b = {0};
    if (start(&b, "batch_norm", "", "5", 1)) {
        for (int t = 0; t < BDL__N_TARGETS; t++) {
            if (!bdl__target_available((bdl__target)t) || !run_on(&b, (bdl__target)t, true)) {
                continue;
            }
            for (int64_t c = 0; c < 5; c++) {
                const double mean = b.p.buffers[0].data[c];
                const double inverse = 1 / sqrt(b.p.buffers[1].data[c] + 1e-5);
                const double normal = (b.p.in[0].data[c] - mean) * inverse;
                const double gamma = b.p.weights[0].data[c];
                const double diff = b.p.out_diff[0].data[c];
                CHECK_NEAR(b.result.out[0].data[c], normal * gamma + b.p.weights[1].data[c], 1e-6);
                CHECK_NEAR(b.result.in_diff[0].data[c], diff * gamma * inverse, 1e-6);
                CHECK_NEAR(b.result.grads[0].data[c], diff * normal, 1e-6);
                CHECK_NEAR(b.result.grads[1].data[c], diff, 1e-6);
                CHECK(b.result.buffers[0].data[c] == mean);
                CHECK(b.result.buffers[1].data[c] == b.p.buffers[1].data[c]);
            }
        }
    }
    end(&b);
}

BDL_TEST(evaluation_uses_running_statistics)
{
    bench b = {0};
    if (start(&b, "batch_norm", "eps=0.01", "3x4", 18) && run_on(&b, BDL__TARGET_F64, false)) {
        for (int64_t i = 0; i < 18 * 12; i++) {
            const int64_t c = i % 12 / 4;
            const double inverse = 1 / sqrt(b.p.buffers[1].data[c] + 0.01);
            const double normal = (b.p.in[0].data[i] - b.p.buffers[0].data[c]) * inverse;
            CHECK_NEAR(b.result.out[0].data[i],
                       normal * b.p.weights[0].data[c] + b.p.weights[1].data[c], 1e-12);
        }
        CHECK(b.result.buffers[0].data[0] == b.p.buffers[0].data[0]);
    }
    end(&b);
}

/* Without weights, every group has mean 0 and mean square 1 - eps / (variance + eps). */
static void check_normal(const char *layer, const char *params, const char *input, int64_t n_rows)
{
    bench b = {0};
    if (start(&b, layer, params, input, 3) && run_on(&b, BDL__TARGET_F64, true)) {
        const tensor *out = &b.result.out[0];
        const int64_t n = out->count / n_rows;
        for (int64_t row = 0; row < n_rows * 3; row++) {
            double sum = 0, squares = 0;
            for (int64_t i = row * n; i < (row + 1) * n; i++) {
                sum += out->data[i];
                squares += out->data[i] * out->data[i];
            }
            CHECK_NEAR(sum / (double)n, 0, 1e-12);
            CHECK_NEAR(squares / (double)n, 1, 1e-12);
        }
    }
    end(&b);
}

BDL_TEST(rows_are_normal)
{
    check_normal("layer_norm", "eps=0, elementwise_affine=false", "4x9", 4);
    check_normal("layer_norm", "[4, 9], eps=0, elementwise_affine=false", "4x9", 1);
    check_normal("group_norm", "2, eps=0, affine=false", "4x3x3", 2);
    check_normal("instance_norm", "eps=0", "4x3x3", 4);
}

/* One position: the window of an even size begins one channel further back than it ends. */
BDL_TEST(lrn_takes_the_channels_that_are_there)
{
    bench b = {0};
    if (start(&b, "lrn", "4, alpha=2, beta=0.75, k=1.5", "6", 1) &&
        run_on(&b, BDL__TARGET_F64, true)) {
        for (int64_t c = 0; c < 6; c++) {
            double sum = 0;
            for (int64_t i = c - 2; i <= c + 1; i++) {
                const double x = i >= 0 && i < 6 ? b.p.in[0].data[i] : 0;
                sum += x * x;
            }
            CHECK_NEAR(b.result.out[0].data[c], b.p.in[0].data[c] / pow(1.5 + 2 * sum / 4, 0.75),
                       1e-12);
        }
    }
    end(&b);
}

BDL_TEST_MAIN(running_statistics_follow_the_batch, statistics_keep_digits_far_from_zero,
              gradients_keep_digits_far_from_zero, one_value_a_channel_uses_running_statistics,
              evaluation_uses_running_statistics, rows_are_normal,
              lrn_takes_the_channels_that_are_there)
