/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear against a plain sum in double precision, on every target that runs here, and the same bits
 * however the batch is cut into parts, calls and team members.
 */
#include <math.h>

#include "fake_planner.h"

extern const bdl__layer_family bdl__family_linear;

struct config {
    int64_t n_positions, n_in, n_out;
    bool bias;
};

/* One number against its sum, in units of epsilon times the magnitudes. */
static void check_sum(const struct fake *f, double got, double want, double magnitude)
{
    const double epsilon = f->step.scalar_size == 4 ? 0x1p-24 : 0x1p-53;
    CHECK(fabs(got - want) <= 40 * epsilon * (magnitude + 1e-3));
}

static double at(const struct fake *f, const char *data, int64_t sample, int64_t count, int64_t i)
{
    return get(data, lane_at(f, sample, count, i), f->step.scalar_size);
}

static void compare_sample(const struct fake *f, const struct config *c, int64_t sample)
{
    const int64_t n_src = c->n_positions * c->n_in;
    const int64_t n_dst = c->n_positions * c->n_out;
    const size_t size = f->step.scalar_size;
    for (int64_t i = 0; i < n_dst; i++) {
        const int64_t o = i % c->n_out;
        double sum = c->bias ? get(f->weights[1], o, size) : 0;
        double magnitude = fabs(sum);
        for (int64_t k = 0; k < c->n_in; k++) {
            const double product = at(f, f->src, sample, n_src, i / c->n_out * c->n_in + k) *
                                   get(f->weights[0], o * c->n_in + k, size);
            sum += product;
            magnitude += fabs(product);
        }
        check_sum(f, at(f, f->dst, sample, n_dst, i), sum, magnitude);
    }
    for (int64_t i = 0; i < n_src; i++) {
        double sum = 0;
        double magnitude = 0;
        for (int64_t o = 0; o < c->n_out; o++) {
            const double product =
                at(f, f->diff_dst, sample, n_dst, i / c->n_in * c->n_out + o) *
                get(f->weights[0], o * c->n_in + i % c->n_in, size);
            sum += product;
            magnitude += fabs(product);
        }
        check_sum(f, at(f, f->diff_src, sample, n_src, i), sum, magnitude);
    }
}

/* The gradient of weight (o, k), or of bias o with k = -1, of a slice. */
static void compare_weight(const struct fake *f, const struct config *c, int64_t slice, int64_t o,
                           int64_t k)
{
    double sum = 0;
    double magnitude = 0;
    for (int64_t s = slice * BDL__SLICE; s < (slice + 1) * BDL__SLICE; s++) {
        for (int64_t p = 0; p < c->n_positions; p++) {
            const double g =
                at(f, f->diff_dst, s, c->n_positions * c->n_out, p * c->n_out + o);
            const double x =
                k < 0 ? 1 : at(f, f->src, s, c->n_positions * c->n_in, p * c->n_in + k);
            sum += g * x;
            magnitude += fabs(g * x);
        }
    }
    const int w = k < 0 ? 1 : 0;
    const int64_t i = k < 0 ? o : o * c->n_in + k;
    check_sum(f, get(f->sink.leaf[w], slice * f->sink.count[w] + i, f->step.scalar_size), sum,
              magnitude);
}

static void compare(const struct fake *f, const struct config *c)
{
    for (int64_t s = 0; s < f->n_samples; s++) {
        compare_sample(f, c, s);
    }
    for (int64_t slice = 0; slice < f->sink.n_slices; slice++) {
        for (int64_t o = 0; o < c->n_out; o++) {
            for (int64_t k = c->bias ? -1 : 0; k < c->n_in; k++) {
                compare_weight(f, c, slice, o, k);
            }
        }
    }
}

/* Every way to cut the batch gives the bits of the first one. */
static void compare_cuts(struct fake *f)
{
    const int64_t slice = BDL__SLICE / f->step.lanes;
    const struct cut cuts[] = {
        {.parts_per_call = 1, .team_size = 3},
        {.parts_per_call = 1, .team_size = 17},
        {.parts_per_call = f->n_samples / f->step.lanes, .team_size = 1, .many = true},
        {.parts_per_call = slice, .team_size = 2, .many = true},
        {.parts_per_call = 2 * slice, .team_size = 5, .many = true}};
    size_t size;
    char *want = snapshot(f, &size);
    for (int i = 0; i < (int)BDL__COUNT_OF(cuts); i++) {
        fake_run(f, &cuts[i], 4 << 20);
        char *got = snapshot(f, &size);
        CHECK(memcmp(want, got, size) == 0);
        free(got);
    }
    free(want);
}

static void try_config(const struct config *c, bdl__target target)
{
    const bdl__layer *layer = bdl__family_linear.layers[0];
    char params[256] = {0};
    struct fake f;
    const bdl__shape src = c->n_positions == 1
                               ? (bdl__shape){.rank = 1, .dim = {c->n_in}}
                               : (bdl__shape){.rank = 2, .dim = {c->n_positions, c->n_in}};
    set_param(&layer->schema, params, "out_features", c->n_out, 0);
    set_param(&layer->schema, params, "bias", c->bias, 0);
    REQUIRE(fake_make(&f, layer, params, &src, 48, target, BDL__FP32));
    const struct cut plain = {.parts_per_call = 1, .team_size = 1};
    fake_run(&f, &plain, 0);
    compare(&f, c);
    compare_cuts(&f);
    const struct cut adding = {.parts_per_call = 1, .team_size = 1, .add_src = true};
    const double before = get(f.diff_src, 0, f.step.scalar_size);
    fake_run(&f, &adding, 0);
    CHECK_NEAR(get(f.diff_src, 0, f.step.scalar_size), 2 * before, 1e-6);
    fake_free(&f);
}

static const struct config configs[] = {
    {1, 192, 100, true}, {1, 100, 10, true}, {1, 1, 1, true},    {1, 7, 13, false},
    {3, 65, 19, true},   {11, 16, 12, true}, {9, 130, 7, false}, {1, 300, 260, true},
};

BDL_TEST(linear_agrees_with_the_plain_sum)
{
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        for (int64_t i = 0; i < BDL__COUNT_OF(configs); i++) {
            if (bdl__target_available((bdl__target)t)) {
                try_config(&configs[i], (bdl__target)t);
            }
        }
    }
}

BDL_TEST_MAIN(linear_agrees_with_the_plain_sum)
