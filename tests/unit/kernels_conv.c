/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: timeout=900 */
/*
 * Convolution against a plain sum in double precision, on every target that runs here: outputs,
 * both gradients, and the same bits however the batch is cut into parts, calls and team members.
 */
#include <math.h>

#include "kernels/conv.h"
#include "layers/conv_internal.h"

#include "fake_planner.h"

extern const bdl__layer_family bdl__family_conv;

struct config {
    int64_t ic, h, w, oc, kh, kw, sh, sw, ph, pw, dh, dw, groups;
    bool same, bias;
};

/* Sums of a sample's products, and of their magnitudes for the error bound. */
struct sums {
    double *dst, *diff_src, *diff_weights;
    double *dst_size, *diff_src_size, *diff_weights_size;
};

static void reference(const struct fake *f, const bdl__conv_dims *d, int64_t sample,
                      const struct sums *r)
{
    const size_t size = f->step.scalar_size;
    const int64_t icg = d->ic / d->groups;
    const int64_t n_src = d->ic * d->ih * d->iw;
    const int64_t n_dst = d->oc * d->oh * d->ow;
    for (int64_t i = 0; i < n_dst; i++) {
        const int64_t o = i / (d->oh * d->ow);
        const int64_t y = i / d->ow % d->oh;
        const int64_t x = i % d->ow;
        const double g = get(f->diff_dst, lane_at(f, sample, n_dst, i), size);
        double sum = f->step.n_weights > 1 ? get(f->weights[1], o, size) : 0;
        double magnitude = fabs(sum);
        for (int64_t k = 0; k < icg * d->kh * d->kw; k++) {
            const int64_t c = o / (d->oc / d->groups) * icg + k / (d->kh * d->kw);
            const int64_t sy = y * d->sh - d->ph + k / d->kw % d->kh * d->dh;
            const int64_t sx = x * d->sw - d->pw + k % d->kw * d->dw;
            if (sy < 0 || sy >= d->ih || sx < 0 || sx >= d->iw) {
                continue;
            }
            const int64_t at = (c * d->ih + sy) * d->iw + sx;
            const int64_t iw = o * icg * d->kh * d->kw + k;
            const double s = get(f->src, lane_at(f, sample, n_src, at), size);
            const double w = get(f->weights[0], iw, size);
            sum += s * w;
            magnitude += fabs(s * w);
            r->diff_src[at] += g * w;
            r->diff_src_size[at] += fabs(g * w);
            r->diff_weights[iw] += g * s;
            r->diff_weights_size[iw] += fabs(g * s);
        }
        r->dst[i] = sum;
        r->dst_size[i] = magnitude;
    }
}

/* Whether an error of Winograd's is compared with the largest magnitude of the tensor: the products
 * of a tile are shared by all its outputs, so an output at the border has the error of its
 * neighbors. */
static bool is_winograd(const char *impl)
{
    return strncmp(impl, "winograd", 8) == 0;
}

/* Largest error in units of epsilon * magnitude. */
static double worst(const double *want, const double *magnitude, int64_t n, const struct fake *f,
                    const char *impl, const void *data, int64_t first, int64_t step)
{
    const double epsilon = f->step.scalar_size == 4 ? 0x1p-24 : 0x1p-53;
    double most = 0;
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = BDL__MAX(largest, magnitude[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        const double got = get(data, first + i * step, f->step.scalar_size);
        const double size = is_winograd(impl) ? largest : magnitude[i];
        const double error = fabs(got - want[i]) / (epsilon * (size + 1e-3));
        most = error > most || isnan(error) ? error : most;
    }
    return most;
}

static double *doubles(int64_t n)
{
    return calloc((size_t)n, sizeof(double));
}

static int64_t n_failed;
static bool was_chosen[3][BDL__CONV_ONEDNN + 1]; /* forward, backward data, backward weights */

static void check(bool ok)
{
    n_failed += !bdl_test_check(ok, __FILE__, __LINE__, "agrees");
}

/* Compares all results of the last run with the reference; `tolerance` in units of epsilon. */
static void compare(struct fake *f, const bdl__conv_dims *d, double tolerance)
{
    const int64_t n_src = d->ic * d->ih * d->iw;
    const int64_t n_dst = d->oc * d->oh * d->ow;
    const int64_t n_w = f->sink.count[0];
    struct sums r = {doubles(n_dst), doubles(n_src), doubles(n_w),
                     doubles(n_dst), doubles(n_src), doubles(n_w)};
    const int64_t lanes = f->step.lanes;
    double bias[2][256] = {{0}};
    for (int64_t s = 0; s < f->n_samples; s++) {
        memset(r.diff_src, 0, (size_t)n_src * sizeof(double));
        memset(r.diff_src_size, 0, (size_t)n_src * sizeof(double));
        reference(f, d, s, &r);
        check(worst(r.dst, r.dst_size, n_dst, f, f->step.impl, f->dst, lane_at(f, s, n_dst, 0),
                    lanes) < tolerance);
        check(worst(r.diff_src, r.diff_src_size, n_src, f, f->step.impl_backward_data,
                    f->diff_src, lane_at(f, s, n_src, 0), lanes) < tolerance);
        for (int64_t i = 0; i < n_dst; i++) {
            const double g = get(f->diff_dst, lane_at(f, s, n_dst, i), f->step.scalar_size);
            bias[0][i / (d->oh * d->ow)] += g;
            bias[1][i / (d->oh * d->ow)] += fabs(g);
        }
        if ((s + 1) % BDL__SLICE == 0) {
            check(worst(r.diff_weights, r.diff_weights_size, n_w, f,
                        f->step.impl_backward_weights, f->sink.leaf[0], s / BDL__SLICE * n_w,
                        1) < tolerance);
            if (f->step.n_weights > 1) {
                check(worst(bias[0], bias[1], d->oc, f, "sum", f->sink.leaf[1],
                            s / BDL__SLICE * d->oc, 1) < tolerance);
            }
            memset(r.diff_weights, 0, (size_t)n_w * sizeof(double));
            memset(r.diff_weights_size, 0, (size_t)n_w * sizeof(double));
            memset(bias, 0, sizeof bias);
        }
    }
    double *all[] = {r.dst, r.diff_src, r.diff_weights, r.dst_size, r.diff_src_size,
                     r.diff_weights_size};
    for (int i = 0; i < 6; i++) {
        free(all[i]);
    }
}

/* Every way to cut the batch gives the bits of the first one. */
static void compare_cuts(struct fake *f)
{
    const int64_t n_parts = f->n_samples / f->step.lanes;
    const int64_t slice = BDL__SLICE / f->step.lanes;
    const struct cut cuts[] = {{.parts_per_call = 1, .team_size = 3},
                               {.parts_per_call = 1, .team_size = 40},
                               {.parts_per_call = n_parts, .team_size = 1, .many = true},
                               {.parts_per_call = slice, .team_size = 2, .many = true},
                               {.parts_per_call = 2 * slice, .team_size = 5, .many = true}};
    size_t size;
    char *want = snapshot(f, &size);
    for (int i = 0; i < (int)BDL__COUNT_OF(cuts); i += bdl_test_small() ? 2 : 1) {
        fake_run(f, &cuts[i], 4 << 20);
        char *got = snapshot(f, &size);
        check(memcmp(want, got, size) == 0);
        free(got);
    }
    free(want);
}

static double tolerance_of(const bdl__conv_state *s)
{
    (void)s;
    const int64_t longest = BDL__MAX(s->dims.ic * s->dims.kh * s->dims.kw,
                                     BDL__MAX(s->dims.oc * s->dims.kh * s->dims.kw,
                                              s->dims.oh * s->dims.ow * BDL__SLICE));
    return 4 + 2 * sqrt((double)longest);
}

static void describe(const struct config *c, const struct fake *f)
{
    static int64_t reported;
    if (n_failed != reported) {
        printf("  %s: %lldx%lldx%lld -> %lld kernel %lldx%lld stride %lldx%lld pad %lldx%lld "
               "dilation %lldx%lld groups %lld same %d: %s, %s, %s\n",
               bdl__target_name(f->step.target), (long long)c->ic, (long long)c->h,
               (long long)c->w, (long long)c->oc, (long long)c->kh, (long long)c->kw,
               (long long)c->sh, (long long)c->sw, (long long)c->ph, (long long)c->pw,
               (long long)c->dh, (long long)c->dw, (long long)c->groups, c->same, f->step.impl,
               f->step.impl_backward_data, f->step.impl_backward_weights);
        reported = n_failed;
    }
}

static void try_config(const struct config *c, bdl__target target, bdl__precision precision,
                       int64_t n_samples)
{
    const bdl__layer *layer = bdl__family_conv.layers[0];
    char params[1024] = {0};
    struct fake f;
    const bdl__shape src = {.rank = 3, .dim = {c->ic, c->h, c->w}};
    set_param(&layer->schema, params, "out_channels", c->oc, 0);
    set_param(&layer->schema, params, "kernel_size", c->kh, c->kw);
    set_param(&layer->schema, params, "stride", c->sh, c->sw);
    set_param(&layer->schema, params, "padding", c->ph, c->pw);
    set_param(&layer->schema, params, "dilation", c->dh, c->dw);
    set_param(&layer->schema, params, "groups", c->groups, 0);
    set_param(&layer->schema, params, "bias", c->bias, 0);
    set_param(&layer->schema, params, "pad_mode", c->same, 0);
    set_param(&layer->schema, params, "propagate_back", 1, 0);
    REQUIRE(fake_make(&f, layer, params, &src, n_samples, target, precision));
    const struct cut plain = {.parts_per_call = 1, .team_size = 1};
    const bdl__conv_state *state = f.step.state;
    was_chosen[0][state->forward] = true;
    was_chosen[1][state->backward_data] = true;
    was_chosen[2][state->backward_weights] = true;
    fake_run(&f, &plain, 0);
    compare(&f, &state->dims, tolerance_of(state));
    compare_cuts(&f);
    describe(c, &f);
    fake_free(&f);
}

static const struct config corner_cases[] = {
    /* LeNet's, then shapes whose tiles have remainders */
    {1, 28, 28, 6, 5, 5, 1, 1, 0, 0, 1, 1, 1, false, true},
    {6, 12, 12, 12, 5, 5, 1, 1, 0, 0, 1, 1, 1, false, true},
    {3, 7, 5, 13, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, true},
    {5, 2, 2, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, true},
    {17, 1, 1, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, false},
    {16, 4, 4, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, true},
    {33, 8, 8, 35, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, true},
    {12, 8, 8, 19, 3, 3, 1, 1, 1, 1, 1, 1, 1, true, true},
    /* Winograd by tiles of 2x2: whole, then cut, forward and backward weights, and backward data */
    {53, 6, 6, 55, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, true},
    {39, 7, 8, 42, 3, 3, 1, 1, 0, 0, 1, 1, 1, false, true},
    {41, 5, 6, 43, 3, 3, 1, 1, 2, 2, 1, 1, 1, false, true},
    /* pointwise, also strided */
    {20, 6, 7, 25, 1, 1, 1, 1, 0, 0, 1, 1, 1, false, true},
    {20, 8, 8, 18, 1, 1, 2, 2, 0, 0, 1, 1, 1, false, false},
    {9, 1, 1, 7, 1, 1, 1, 1, 0, 0, 1, 1, 1, false, true},
    /* strides, dilation, both with a common factor, padding beyond the kernel */
    {3, 19, 17, 16, 7, 7, 2, 2, 3, 3, 1, 1, 1, false, true},
    {4, 12, 11, 6, 3, 3, 2, 3, 1, 2, 1, 1, 1, true, true},
    {4, 12, 11, 6, 3, 2, 1, 1, 2, 2, 2, 3, 1, false, true},
    {4, 12, 12, 6, 3, 3, 2, 2, 1, 1, 2, 2, 1, false, true},
    {3, 13, 12, 5, 3, 3, 4, 4, 0, 0, 2, 2, 1, false, true},
    {3, 5, 5, 5, 2, 2, 3, 3, 4, 4, 1, 1, 1, false, true},
    {2, 9, 3, 4, 1, 7, 1, 1, 0, 3, 1, 1, 1, false, true},
    {2, 9, 9, 4, 9, 9, 1, 1, 0, 0, 1, 1, 1, false, true},
    {2, 6, 6, 3, 11, 11, 4, 4, 5, 5, 1, 1, 1, false, true},
    /* groups and depthwise */
    {12, 6, 6, 18, 3, 3, 1, 1, 1, 1, 1, 1, 3, false, true},
    {16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 16, false, true},
    {8, 9, 9, 16, 5, 5, 2, 2, 2, 2, 1, 1, 8, false, false},
};

static void on_every_target(void (*run)(bdl__target target))
{
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        if (bdl__target_available((bdl__target)t)) {
            run((bdl__target)t);
        }
    }
}

static void corners(bdl__target target)
{
    const bdl__precision precision =
        target == BDL__TARGET_F64 ? BDL__F64_PRECISION : BDL__FP32;
    for (int64_t i = 0; i < BDL__COUNT_OF(corner_cases); i++) {
        try_config(&corner_cases[i], target, precision, bdl_test_small() ? 32 : 48);
    }
}

BDL_TEST(conv_agrees_with_the_plain_sum_in_corner_cases)
{
    on_every_target(corners);
    for (int direction = 0; direction < 3; direction++) {
        CHECK(was_chosen[direction][BDL__CONV_WINOGRAD4]);
        CHECK(was_chosen[direction][BDL__CONV_WINOGRAD2]);
        CHECK(direction == 2 || was_chosen[direction][BDL__CONV_DIRECT]);
    }
    CHECK(was_chosen[2][BDL__CONV_LANE_SUMS] && was_chosen[2][BDL__CONV_FEATURE_LANES]);
}

/* Channels that are added up in blocks, planes that are read in place, whole pages among them. */
static const struct config block_cases[] = {
    {130, 16, 16, 13, 1, 1, 1, 1, 0, 0, 1, 1, 1, false, true},
    {70, 17, 15, 70, 1, 1, 1, 1, 0, 0, 1, 1, 1, false, true},
    {140, 7, 7, 70, 3, 3, 1, 1, 1, 1, 1, 1, 1, false, true},
    {71, 5, 9, 11, 3, 3, 2, 2, 1, 1, 1, 1, 1, false, true},
};

static void blocks(bdl__target target)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(block_cases); i++) {
        try_config(&block_cases[i], target, BDL__FP32_EXACT, 16);
    }
}

BDL_TEST(conv_agrees_with_the_plain_sum_in_blocks_of_channels)
{
    on_every_target(blocks);
}

static int64_t pick(int64_t least, int64_t most)
{
    return least + (int64_t)(bdl_test_random() % (uint64_t)(most - least + 1));
}

static void random_shapes(bdl__target target)
{
    for (int i = 0; i < (bdl_test_small() ? 3 : 20); i++) {
        struct config c = {.h = pick(1, 14), .w = pick(1, 14), .kh = pick(1, 5), .kw = pick(1, 5),
                           .sh = pick(1, 3), .sw = pick(1, 3), .ph = pick(0, 3), .pw = pick(0, 3),
                           .dh = pick(1, 2), .dw = pick(1, 2), .groups = pick(1, 3),
                           .same = pick(0, 3) == 0, .bias = pick(0, 1) == 1};
        c.ic = c.groups * pick(1, 12);
        c.oc = c.groups * pick(1, 20);
        if (c.h + 2 * c.ph < c.dh * (c.kh - 1) + 1 || c.w + 2 * c.pw < c.dw * (c.kw - 1) + 1) {
            c.same = true;
        }
        try_config(&c, target, BDL__FP32_EXACT, 32);
    }
}

BDL_TEST(conv_agrees_with_the_plain_sum_for_random_shapes)
{
    on_every_target(random_shapes);
}

BDL_TEST_MAIN(conv_agrees_with_the_plain_sum_in_corner_cases,
              conv_agrees_with_the_plain_sum_in_blocks_of_channels,
              conv_agrees_with_the_plain_sum_for_random_shapes)
