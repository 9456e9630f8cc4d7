/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimization methods: ten steps of each against a plain double reference written from the papers,
 * on every target; splits, ranges, frozen parts, clipping and the norm.
 */
#include "optim/optim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { N = 2 * BDL__BLOCK, N_STEPS = 10, N_TENSORS = 4 };

/* Tensors that start at multiples of 16; the gap after the second is padding. */
static const bdl__param_range plain_ranges[N_TENSORS] = {
    {.begin = 0, .end = 100, .lr_scale = 1, .decay_scale = 1},
    {.begin = 112, .end = 1000, .lr_scale = 1, .decay_scale = 0},
    {.begin = 1008, .end = 5000, .lr_scale = 0.5, .decay_scale = 1},
    {.begin = 5008, .end = 8190, .lr_scale = 2, .decay_scale = 3},
};

static bdl__param_ranges all_ranges(void)
{
    return (bdl__param_ranges){.range = plain_ranges, .n = N_TENSORS};
}

/* Vectors of one dtype: weights, gradients, three states. */
typedef struct vectors {
    size_t size; /* bytes of a scalar */
    void *weights;
    void *grads;
    void *states[BDL__MAX_OPTIM_STATES];
} vectors;

static void *zeros(size_t size)
{
    void *const memory = aligned_alloc(64, N * size);
    if (memory == NULL) {
        abort();
    }
    return memset(memory, 0, N * size);
}

static vectors make_vectors(bdl__target target)
{
    const size_t size = target == BDL__TARGET_F64 ? sizeof(double) : sizeof(float);
    vectors v = {.size = size, .weights = zeros(size), .grads = zeros(size)};
    for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
        v.states[i] = zeros(size);
    }
    return v;
}

static void free_vectors(vectors *v)
{
    free(v->weights);
    free(v->grads);
    for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
        free(v->states[i]);
    }
}

static void put(void *vector, size_t size, int64_t i, double value)
{
    if (size == sizeof(double)) {
        ((double *)vector)[i] = value;
    } else {
        ((float *)vector)[i] = (float)value;
    }
}

static double get(const void *vector, size_t size, int64_t i)
{
    return size == sizeof(double) ? ((const double *)vector)[i]
                                  : (double)((const float *)vector)[i];
}

/* Values that float holds exactly, so that both dtypes start alike. */
static double start_weight(int64_t i)
{
    return (double)((i * 37 + 11) % 257 - 128) / 64;
}

static double grad_of(int64_t i, int step)
{
    return (double)((i * 53 + step * 101) % 199 - 99) / 32;
}

static const bdl__param_range *range_of(int64_t i)
{
    for (int r = 0; r < N_TENSORS; r++) {
        if (i >= plain_ranges[r].begin && i < plain_ranges[r].end) {
            return &plain_ranges[r];
        }
    }
    return NULL;
}

static void fill(vectors *v, int step)
{
    for (int64_t i = 0; i < N; i++) {
        if (range_of(i) == NULL) {
            continue;
        }
        put(v->grads, v->size, i, grad_of(i, step));
        if (step == 0) {
            put(v->weights, v->size, i, start_weight(i));
        }
    }
}

static bdl__optim *make(const char *text)
{
    bdl__optim *optim = NULL;
    CHECK_OK(bdl__optim_create(bdl__default_allocator(), text, &optim));
    return optim;
}

/* Ten steps in pieces of `piece` scalars. */
static void run(const bdl__optim *optim, bdl__target target, vectors *v, bdl__param_ranges ranges,
                int64_t piece)
{
    for (int step = 0; step < N_STEPS; step++) {
        bdl__optim_step constants;
        fill(v, step);
        bdl__optim_begin(optim, step, bdl__optim_lr(optim), 0.25, NULL, &constants);
        for (int64_t i = 0; i < N; i += piece) {
            bdl__optim_update(&constants, target, v->weights, v->grads, v->states, ranges, i,
                              BDL__MIN(i + piece, N));
        }
    }
}

/* ---- the reference: one weight ------------------------------------------------------------- */

typedef struct ref {
    double lr, wd; /* of the weight */
    double s[3];
} ref;

typedef double (*ref_fn)(ref *r, double w, double g, int t); /* t = 1, 2 ... */

static double ref_sgd(ref *r, double w, double g, int t)
{
    (void)t;
    return w - r->lr * (g + r->wd * w);
}

static double ref_momentum(ref *r, double w, double g, int t)
{
    g += r->wd * w;
    r->s[0] = t == 1 ? g : 0.9 * r->s[0] + (1 - 0.5) * g;
    return w - r->lr * r->s[0];
}

static double ref_nesterov(ref *r, double w, double g, int t)
{
    g += r->wd * w;
    r->s[0] = t == 1 ? g : 0.9 * r->s[0] + g;
    return w - r->lr * (g + 0.9 * r->s[0]);
}

static double ref_adam(ref *r, double w, double g, int t)
{
    g += r->wd * w;
    r->s[0] = 0.8 * r->s[0] + 0.2 * g;
    r->s[1] = 0.99 * r->s[1] + 0.01 * g * g;
    const double mean = r->s[0] / (1 - pow(0.8, t));
    const double square = r->s[1] / (1 - pow(0.99, t));
    return w - r->lr * mean / (sqrt(square) + 1e-8);
}

static double ref_adamw(ref *r, double w, double g, int t)
{
    const double wd = r->wd;
    r->wd = 0;
    const double next = ref_adam(r, w - r->lr * wd * w, g, t);
    r->wd = wd;
    return next;
}

static double ref_amsgrad(ref *r, double w, double g, int t)
{
    r->s[0] = 0.8 * r->s[0] + 0.2 * g;
    r->s[1] = 0.5 * r->s[1] + 0.5 * g * g;
    r->s[2] = fmax(r->s[2], r->s[1]);
    const double root = sqrt(r->s[2]) / sqrt(1 - pow(0.5, t)) + 1e-8;
    return w - r->lr / (1 - pow(0.8, t)) * r->s[0] / root;
}

static double ref_adamax(ref *r, double w, double g, int t)
{
    r->s[0] = 0.9 * r->s[0] + 0.1 * g;
    r->s[1] = fmax(0.999 * r->s[1], fabs(g) + 1e-8);
    return w - r->lr / (1 - pow(0.9, t)) * r->s[0] / r->s[1];
}

static double ref_adagrad(ref *r, double w, double g, int t)
{
    r->s[0] = (t == 1 ? 0.25 : r->s[0]) + g * g;
    return w - r->lr / (1 + (t - 1) * 0.125) * g / (sqrt(r->s[0]) + 1e-10);
}

static double ref_adadelta(ref *r, double w, double g, int t)
{
    (void)t;
    r->s[0] = 0.9 * r->s[0] + 0.1 * g * g;
    const double d = sqrt(r->s[1] + 1e-3) / sqrt(r->s[0] + 1e-3) * g;
    r->s[1] = 0.9 * r->s[1] + 0.1 * d * d;
    return w - r->lr * d;
}

static double ref_rmsprop(ref *r, double w, double g, int t)
{
    (void)t;
    g += r->wd * w;
    r->s[0] = 0.75 * r->s[0] + 0.25 * g * g;
    return w - r->lr * g / (sqrt(r->s[0]) + 1e-2);
}

static double ref_rmsprop_full(ref *r, double w, double g, int t)
{
    (void)t;
    r->s[0] = 0.75 * r->s[0] + 0.25 * g * g;
    r->s[1] = 0.75 * r->s[1] + 0.25 * g;
    r->s[2] = 0.5 * r->s[2] + g / (sqrt(fmax(r->s[0] - r->s[1] * r->s[1], 0)) + 1e-2);
    return w - r->lr * r->s[2];
}

static double ref_rmsprop_centered(ref *r, double w, double g, int t)
{
    (void)t;
    r->s[0] = 0.75 * r->s[0] + 0.25 * g * g;
    r->s[1] = 0.75 * r->s[1] + 0.25 * g;
    return w - r->lr * g / (sqrt(fmax(r->s[0] - r->s[1] * r->s[1], 0)) + 1e-2);
}

typedef struct method_case {
    const char *text;
    ref_fn reference;
    double lr, wd;
    int n_states;
} method_case;

static const method_case cases[] = {
    {"sgd(lr=0.5, weight_decay=0.25)", ref_sgd, 0.5, 0.25, 0},
    {"sgd(lr=0.5, momentum=0.9, dampening=0.5, weight_decay=0.125)", ref_momentum, 0.5, 0.125, 1},
    {"sgd(lr=0.25, momentum=0.9, nesterov=true)", ref_nesterov, 0.25, 0, 1},
    {"adam(lr=0.01, beta1=0.8, beta2=0.99, weight_decay=0.5)", ref_adam, 0.01, 0.5, 2},
    {"adamw(lr=0.01, beta1=0.8, beta2=0.99, weight_decay=0.5)", ref_adamw, 0.01, 0.5, 2},
    {"adam(lr=0.01, beta1=0.8, beta2=0.5, amsgrad=true)", ref_amsgrad, 0.01, 0, 3},
    {"adamax", ref_adamax, 0.002, 0, 2},
    {"adagrad(lr=0.1, lr_decay=0.125, initial_accumulator_value=0.25)", ref_adagrad, 0.1, 0, 1},
    {"adadelta(eps=1e-3)", ref_adadelta, 1, 0, 2},
    {"rmsprop(alpha=0.75, eps=1e-2, weight_decay=0.25)", ref_rmsprop, 0.01, 0.25, 1},
    {"rmsprop(alpha=0.75, eps=1e-2, momentum=0.5, centered=true)", ref_rmsprop_full, 0.01, 0, 3},
    {"rmsprop(alpha=0.75, eps=1e-2, centered=true)", ref_rmsprop_centered, 0.01, 0, 2},
};

static double reference_weight(const method_case *c, int64_t i)
{
    const bdl__param_range *const range = range_of(i);
    double w = start_weight(i);
    if (range == NULL) {
        return 0;
    }
    ref r = {.lr = c->lr * range->lr_scale, .wd = c->wd * range->decay_scale};
    for (int step = 0; step < N_STEPS; step++) {
        w = c->reference(&r, w, grad_of(i, step) * 0.25, step + 1);
    }
    return w;
}

/* Largest |error| / (1 + |weight|) over the vector. */
static double worst_error(const method_case *c, const vectors *v)
{
    double worst = 0;
    for (int64_t i = 0; i < N; i++) {
        const double expected = reference_weight(c, i);
        const double error = fabs(get(v->weights, v->size, i) - expected) / (1 + fabs(expected));
        worst = error <= worst ? worst : error;
    }
    return worst;
}

BDL_TEST(ten_steps_match_the_reference_on_every_target)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        bdl__optim *const optim = make(cases[i].text);
        REQUIRE(optim != NULL);
        CHECK_EQ_I64(bdl__optim_n_states(optim), cases[i].n_states);
        for (int target = 0; target < BDL__N_TARGETS; target++) {
            if (!bdl__target_available((bdl__target)target)) {
                continue;
            }
            vectors v = make_vectors((bdl__target)target);
            run(optim, (bdl__target)target, &v, all_ranges(), N);
            const double worst = worst_error(&cases[i], &v);
            CHECK(worst < (target == BDL__TARGET_F64 ? 1e-13 : 1e-5));
            if (worst >= 1e-5) {
                printf("%s: error %g\n", cases[i].text, worst);
            }
            free_vectors(&v);
        }
        bdl__optim_free(optim);
    }
}

BDL_TEST(targets_with_the_same_arithmetic_give_the_same_bits)
{
    static const bdl__target pairs[][2] = {{BDL__TARGET_AVX2, BDL__TARGET_AVX512},
                                           {BDL__TARGET_SSE4, BDL__TARGET_LANE1}};
    for (int64_t i = 0; i < BDL__COUNT_OF(cases) * 2; i++) {
        const bdl__target *const pair = pairs[i % 2];
        if (!bdl__target_available(pair[0]) || !bdl__target_available(pair[1])) {
            continue;
        }
        bdl__optim *const optim = make(cases[i / 2].text);
        vectors a = make_vectors(pair[0]);
        vectors b = make_vectors(pair[1]);
        run(optim, pair[0], &a, all_ranges(), N);
        run(optim, pair[1], &b, all_ranges(), N);
        CHECK(memcmp(a.weights, b.weights, N * a.size) == 0);
        free_vectors(&a);
        free_vectors(&b);
        bdl__optim_free(optim);
    }
}

BDL_TEST(splits_give_the_same_bits)
{
    static const int64_t pieces[] = {BDL__BLOCK, 48, 16};
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        bdl__target target = BDL__TARGET_LANE1;
        REQUIRE_OK(bdl__target_choose(&target));
        bdl__optim *const optim = make(cases[i].text);
        vectors whole = make_vectors(target);
        run(optim, target, &whole, all_ranges(), N);
        for (int64_t p = 0; p < BDL__COUNT_OF(pieces); p++) {
            vectors split = make_vectors(target);
            run(optim, target, &split, all_ranges(), pieces[p]);
            CHECK(memcmp(whole.weights, split.weights, N * whole.size) == 0);
            for (int s = 0; s < BDL__MAX_OPTIM_STATES; s++) {
                CHECK(memcmp(whole.states[s], split.states[s], N * whole.size) == 0);
            }
            free_vectors(&split);
        }
        free_vectors(&whole);
        bdl__optim_free(optim);
    }
}

BDL_TEST(frozen_ranges_are_not_touched)
{
    bdl__param_range ranges[N_TENSORS];
    memcpy(ranges, plain_ranges, sizeof ranges);
    ranges[1].frozen = true;
    ranges[3].frozen = true;
    bdl__optim *const optim = make("adamw(weight_decay=0.5)");
    vectors v = make_vectors(BDL__TARGET_LANE1);
    run(optim, BDL__TARGET_LANE1, &v, (bdl__param_ranges){ranges, N_TENSORS}, BDL__BLOCK);
    int64_t n_changed = 0;
    for (int64_t i = 0; i < N; i++) {
        const bdl__param_range *const range = range_of(i);
        const bool is_frozen = range == &plain_ranges[1] || range == &plain_ranges[3];
        const bool same = get(v.weights, v.size, i) == start_weight(i);
        n_changed += !same && !is_frozen && range != NULL;
        CHECK(!is_frozen || (same && get(v.states[0], v.size, i) == 0));
    }
    CHECK_EQ_I64(n_changed, 100 + 5000 - 1008);
    free_vectors(&v);
    bdl__optim_free(optim);
}

BDL_TEST(values_are_clipped_after_scaling)
{
    bdl__clip clip = {0};
    bdl__optim_step step;
    bdl__optim *const optim = make("sgd(lr=1)");
    vectors v = make_vectors(BDL__TARGET_F64);
    REQUIRE_OK(bdl__clip_parse(bdl__default_allocator(), "value(-0.5, 0.25)", &clip));
    put(v.grads, 8, 0, 4);
    put(v.grads, 8, 1, -4);
    put(v.grads, 8, 2, 0.5);
    put(v.grads, 8, 3, NAN);
    bdl__optim_begin(optim, 0, 1, 0.25, &clip, &step);
    bdl__optim_update(&step, BDL__TARGET_F64, v.weights, v.grads, v.states, all_ranges(), 0, N);
    CHECK_NEAR(get(v.weights, 8, 0), -0.25, 0);
    CHECK_NEAR(get(v.weights, 8, 1), 0.5, 0);
    CHECK_NEAR(get(v.weights, 8, 2), -0.125, 0);
    CHECK(isnan(get(v.weights, 8, 3)));
    free_vectors(&v);
    bdl__optim_free(optim);
}

BDL_TEST(norm_clipping_scales_the_whole_gradient)
{
    bdl__clip clip = {0};
    bdl__optim_step step;
    double sums[2] = {-1, -1};
    bdl__optim *const optim = make("sgd(lr=1)");
    vectors v = make_vectors(BDL__TARGET_F64);
    REQUIRE_OK(bdl__clip_parse(bdl__default_allocator(), "norm(2.5)", &clip));
    put(v.grads, 8, 0, 30);
    put(v.grads, 8, 6000, 40);
    bdl__optim_square_sums(BDL__TARGET_F64, v.grads, all_ranges(), 0, BDL__BLOCK, sums);
    bdl__optim_square_sums(BDL__TARGET_F64, v.grads, all_ranges(), BDL__BLOCK, N, sums);
    CHECK_NEAR(bdl__optim_norm(sums, 2), 50, 0);
    bdl__optim_begin(optim, 0, 1, 0.1, &clip, &step);
    CHECK_NEAR(bdl__optim_clip_norm(&step, 50), 5, 1e-15);
    bdl__optim_update(&step, BDL__TARGET_F64, v.weights, v.grads, v.states, all_ranges(), 0, N);
    CHECK_NEAR(get(v.weights, 8, 0), -3 * (2.5 / (5 + 1e-6)), 1e-14);
    CHECK_NEAR(get(v.weights, 8, 6000), -2 * 4 * (2.5 / (5 + 1e-6)), 1e-14);
    bdl__optim_begin(optim, 0, 1, 0.01, &clip, &step);
    CHECK_NEAR(bdl__optim_clip_norm(&step, 50), 0.5, 1e-15);
    CHECK_NEAR(step.constants.grad_scale, 0.01, 0);
    (void)bdl__optim_clip_norm(&step, NAN);
    CHECK(isnan(step.constants.grad_scale));
    free_vectors(&v);
    bdl__optim_free(optim);
}

BDL_TEST(square_sums_skip_frozen_ranges_and_agree_on_all_targets)
{
    bdl__param_range ranges[N_TENSORS];
    memcpy(ranges, plain_ranges, sizeof ranges);
    ranges[2].frozen = true;
    double expected = 0;
    for (int64_t i = 0; i < N; i++) {
        const bdl__param_range *const range = range_of(i);
        if (range != NULL && range != &plain_ranges[2]) {
            expected += grad_of(i, 0) * grad_of(i, 0);
        }
    }
    for (int target = 0; target < BDL__N_TARGETS; target++) {
        if (!bdl__target_available((bdl__target)target)) {
            continue;
        }
        double sums[2] = {0};
        vectors v = make_vectors((bdl__target)target);
        fill(&v, 0);
        bdl__optim_square_sums((bdl__target)target, v.grads,
                               (bdl__param_ranges){ranges, N_TENSORS}, 0, N, sums);
        CHECK_NEAR(sums[0] + sums[1], expected, 0); /* sums of small binary fractions are exact */
        free_vectors(&v);
    }
    CHECK_NEAR(bdl__optim_norm((const double[]){1, 4, 4, 16, 0.25, 0.75, 10}, 7), 6, 0);
    CHECK_NEAR(bdl__optim_norm(NULL, 0), 0, 0);
}

static void expect_error(const char *text, bdl_status code, const char *part)
{
    bdl__optim *optim = NULL;
    CHECK_EQ_I64(bdl__optim_create(bdl__default_allocator(), text, &optim), code);
    CHECK(optim == NULL);
    CHECK_STR_HAS(bdl_last_error(), part);
}

BDL_TEST(bad_texts_are_explained)
{
    expect_error("rmsprob(lr=1)", BDL_ERR_NOT_FOUND, "'rmsprop'");
    expect_error("quantum", BDL_ERR_NOT_FOUND, "adam");
    expect_error("sgd(momntum=1)", BDL_ERR_INVALID_ARGUMENT, "momentum");
    expect_error("sgd(nesterov=true)", BDL_ERR_INVALID_ARGUMENT, "momentum above 0");
    expect_error("sgd(lr=-1)", BDL_ERR_INVALID_ARGUMENT, "lr");
    expect_error("adam(beta1=1)", BDL_ERR_INVALID_ARGUMENT, "below 1");
}

BDL_TEST(text_and_json_lead_back)
{
    bdl__text text;
    bdl__text_init(&text, bdl__default_allocator());
    bdl__optim *const optim = make("sgd(0.5, 0.9, nesterov=true)");
    bdl__optim_to_text(optim, &text);
    CHECK_STR_HAS(bdl__text_get(&text), "sgd(");
    bdl__optim *const again = make(bdl__text_get(&text));
    CHECK(memcmp(bdl__optim_params_of(optim), bdl__optim_params_of(again),
                 bdl__optim_method_of(optim)->schema.params_size) == 0);
    bdl__text_free(&text);
    bdl__text_init(&text, bdl__default_allocator());
    bdl__json_writer writer;
    bdl__json_writer_init(&writer, &text, 0);
    bdl__optim_to_json(optim, &writer);
    bdl__json *json = NULL;
    bdl__optim *third = NULL;
    REQUIRE_OK(bdl__json_parse(bdl__text_get(&text), text.size, "test", &json));
    REQUIRE_OK(bdl__optim_from_json(bdl__default_allocator(), json, "test", &third));
    CHECK(memcmp(bdl__optim_params_of(optim), bdl__optim_params_of(third),
                 bdl__optim_method_of(optim)->schema.params_size) == 0);
    bdl__json_free(json);
    bdl__text_free(&text);
    bdl__optim_free(optim);
    bdl__optim_free(again);
    bdl__optim_free(third);
}

BDL_TEST(clip_texts)
{
    bdl__clip clip = {0};
    bdl__text text;
    const bdl_allocator *const allocator = bdl__default_allocator();
    CHECK_OK(bdl__clip_parse(allocator, "", &clip));
    CHECK(isinf(clip.least) && isinf(clip.most) && clip.max_norm == 0);
    CHECK_OK(bdl__clip_parse(allocator, "norm(5), value(0.5)", &clip));
    CHECK(clip.least == -0.5 && clip.most == 0.5 && clip.max_norm == 5);
    bdl__text_init(&text, allocator);
    bdl__clip_to_text(&clip, &text);
    CHECK_STR_EQ(bdl__text_get(&text), "norm(5), value(-0.5, 0.5)");
    bdl__text_free(&text);
    CHECK_EQ_I64(bdl__clip_parse(allocator, "norm(0)", &clip), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl__clip_parse(allocator, "value(1, 1)", &clip), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl__clip_parse(allocator, "value(x)", &clip), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl__clip_parse(allocator, "size(1)", &clip), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "there are: norm(most)");
    CHECK_EQ_I64(bdl__clip_parse(allocator, "nrm(5)", &clip), BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "did you mean 'norm'?");
    CHECK_EQ_I64(bdl__clip_parse(allocator, "norm(5),", &clip), BDL_ERR_FORMAT);
    CHECK(clip.max_norm == 5);
}

BDL_TEST(every_method_has_its_descriptor_filled)
{
    int64_t n = 0;
    for (const bdl__optim_method *m; (m = bdl__optim_method_at(n)) != NULL; n++) {
        CHECK_STR_EQ(m->name, m->schema.name);
        CHECK(m->summary != NULL && m->doc != NULL && m->since != NULL && m->torch != NULL);
        CHECK(m->schema.n_fields >= 2 && m->schema.params_size >= sizeof(bdl__optim_params));
        bdl__optim *const optim = make(m->name);
        CHECK(optim != NULL && bdl__optim_lr(optim) > 0);
        bdl__optim_free(optim);
    }
    CHECK_EQ_I64(n, 7);
}

BDL_TEST_MAIN(ten_steps_match_the_reference_on_every_target,
              targets_with_the_same_arithmetic_give_the_same_bits, splits_give_the_same_bits,
              frozen_ranges_are_not_touched, values_are_clipped_after_scaling,
              norm_clipping_scales_the_whole_gradient,
              square_sums_skip_frozen_ranges_and_agree_on_all_targets, bad_texts_are_explained,
              text_and_json_lead_back, clip_texts, every_method_has_its_descriptor_filled)
