/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN against sums in double: its convolutions in float and bf16 for many shapes, straight through
 * the table of libbdl_dnnl.so, and the layers that choose it under precision bf16 or for few samples.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "dnnl/dnnl.h"
#include "test.h"

/* ---- convolutions ------------------------------------------------------------------------------ */

typedef struct shape_case {
    int64_t lanes, groups, ic, ih, iw, oc, kh, kw, sh, sw, dh, dw, ph, pw, end_h, end_w;
} shape_case;

/* end_: zeros below and right beyond ph, pw. */
static const shape_case shape_cases[] = {
    {16, 1, 3, 9, 11, 8, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {16, 1, 32, 8, 8, 48, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {16, 1, 33, 7, 5, 17, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {16, 1, 64, 7, 7, 32, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
    {16, 1, 32, 8, 8, 64, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0},
    {16, 1, 16, 11, 9, 32, 5, 5, 1, 1, 1, 1, 2, 2, 0, 0},
    {16, 1, 3, 23, 23, 16, 7, 7, 2, 2, 1, 1, 3, 3, 0, 0},
    {16, 1, 16, 9, 9, 16, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1},
    {16, 1, 16, 12, 10, 16, 3, 3, 1, 1, 2, 3, 2, 3, 0, 0},
    {16, 1, 16, 6, 13, 24, 1, 7, 1, 2, 1, 1, 0, 3, 0, 0},
    {16, 4, 64, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {16, 24, 24, 8, 8, 24, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {16, 1, 128, 2, 2, 64, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {8, 1, 32, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {4, 1, 20, 5, 7, 36, 3, 3, 2, 2, 1, 1, 1, 1, 0, 0},
    {1, 1, 32, 10, 10, 32, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0},
    {1, 32, 32, 10, 10, 32, 3, 3, 2, 2, 1, 1, 1, 1, 0, 0},
};

static int64_t out_of(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad)
{
    return (in + pad - dilation * (kernel - 1) - 1) / stride + 1;
}

static bdl__dnnl_conv conv_of(const shape_case *c, bdl__dnnl_direction direction, bool is_bf16)
{
    const int64_t n = c->lanes;
    const int64_t oh = out_of(c->ih, c->kh, c->sh, c->dh, 2 * c->ph + c->end_h);
    const int64_t ow = out_of(c->iw, c->kw, c->sw, c->dw, 2 * c->pw + c->end_w);
    return (bdl__dnnl_conv){.direction = direction, .is_bf16 = is_bf16, .is_training = true,
                            .has_bias = true, .n = n, .groups = c->groups,
                            .ic = c->ic, .ih = c->ih, .iw = c->iw,
                            .oc = c->oc, .oh = oh, .ow = ow, .kh = c->kh, .kw = c->kw,
                            .sh = c->sh, .sw = c->sw, .dh = c->dh, .dw = c->dw,
                            .ph = c->ph, .pw = c->pw,
                            .src_stride = {1, c->ih * c->iw * n, c->iw * n, n},
                            .dst_stride = {1, oh * ow * n, ow * n, n}};
}

static float random_float(void)
{
    return (float)((double)(bdl_test_random() >> 40) / (double)(1 << 24) * 2 - 1);
}

/* Round to nearest, ties to even, as bf16. */
static double as_operand(float x, bool is_bf16)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (is_bf16) {
        bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000;
    }
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

typedef struct numbers {
    int64_t n_src, n_dst, n_weights;
    float *src, *dst, *weights, *bias, *result;
    double *sum, *size; /* the result in double, and the sum of the products' magnitudes */
} numbers;

static float *make_floats(int64_t n)
{
    float *const x = aligned_alloc(64, (size_t)(n * 4 + 127) / 64 * 64);
    for (int64_t i = 0; i < n; i++) {
        x[i] = random_float();
    }
    return x;
}

static numbers make_numbers(const bdl__dnnl_conv *c)
{
    numbers x = {.n_src = c->n * c->ic * c->ih * c->iw,
                 .n_dst = c->n * c->oc * c->oh * c->ow,
                 .n_weights = c->oc * (c->ic / c->groups) * c->kh * c->kw};
    const int64_t most = BDL__MAX(BDL__MAX(x.n_src, x.n_dst), x.n_weights);
    x.src = make_floats(x.n_src);
    x.dst = make_floats(x.n_dst);
    x.weights = make_floats(x.n_weights);
    x.bias = make_floats(c->oc);
    x.result = make_floats(most);
    x.sum = calloc((size_t)most, sizeof(double));
    x.size = calloc((size_t)most, sizeof(double));
    return x;
}

static void free_numbers(numbers *x)
{
    free(x->src);
    free(x->dst);
    free(x->weights);
    free(x->bias);
    free(x->result);
    free(x->sum);
    free(x->size);
}

static void add_product(const bdl__dnnl_conv *c, numbers *x, int64_t s, int64_t d, int64_t w)
{
    const double src = as_operand(x->src[s], c->is_bf16);
    const double dst = as_operand(x->dst[d], c->is_bf16);
    const double weight = as_operand(x->weights[w], c->is_bf16);
    const bool is_forward = c->direction == BDL__DNNL_FORWARD;
    const bool is_data = c->direction == BDL__DNNL_BACKWARD_DATA;
    const int64_t at = is_forward ? d : is_data ? s : w;
    const double product = is_forward ? src * weight : is_data ? dst * weight : src * dst;
    x->sum[at] += product;
    x->size[at] += fabs(product);
}

/* All products of one output position of one sample. */
static void add_position(const bdl__dnnl_conv *c, numbers *x, int64_t n, int64_t o, int64_t y,
                         int64_t z)
{
    const int64_t ics = c->ic / c->groups;
    const int64_t first = o / (c->oc / c->groups) * ics;
    const int64_t d = ((o * c->oh + y) * c->ow + z) * c->n + n;
    for (int64_t i = 0; i < ics * c->kh * c->kw; i++) {
        const int64_t channel = i / (c->kh * c->kw), ky = i / c->kw % c->kh, kx = i % c->kw;
        const int64_t row = y * c->sh - c->ph + ky * c->dh, column = z * c->sw - c->pw + kx * c->dw;
        if (row >= 0 && row < c->ih && column >= 0 && column < c->iw) {
            const int64_t s = (((first + channel) * c->ih + row) * c->iw + column) * c->n + n;
            add_product(c, x, s, d, o * ics * c->kh * c->kw + i);
        }
    }
    if (c->direction == BDL__DNNL_FORWARD) {
        x->sum[d] += (double)x->bias[o];
        x->size[d] += fabs((double)x->bias[o]);
    }
}

static void make_reference(const bdl__dnnl_conv *c, numbers *x)
{
    for (int64_t i = 0; i < x->n_dst; i++) {
        const int64_t n = i % c->n, z = i / c->n % c->ow, y = i / c->n / c->ow % c->oh;
        add_position(c, x, n, i / c->n / c->ow / c->oh, y, z);
    }
}

/* Runs the op, the second time adding to what is there. */
static void run_op(const bdl__dnnl_table *table, const bdl__dnnl_conv *c, numbers *x, bool add)
{
    bdl__dnnl_op op = {0};
    const char *const error = table->create(c, &op);
    CHECK(error == NULL);
    if (error) {
        return;
    }
    void *const packed = aligned_alloc(64, op.packed_size + 64 - op.packed_size % 64);
    char *const scratch = aligned_alloc(64, op.scratch_size + 64);
    memset(scratch, 0xff, op.scratch_size);
    memset(scratch + op.scratch_size, 0x55, 64);
    if (c->direction != BDL__DNNL_BACKWARD_WEIGHTS) {
        CHECK(table->pack(&op, x->weights, packed) == NULL);
    }
    const bdl__dnnl_call call = {.src = x->src,
                                 .dst_in = x->dst,
                                 .packed = packed,
                                 .bias = c->has_bias ? x->bias : NULL,
                                 .result = x->result,
                                 .scratch = scratch,
                                 .add = add};
    CHECK(table->execute(&op, &call) == NULL);
    CHECK(scratch[op.scratch_size] == 0x55);
    free(packed);
    free(scratch);
    table->destroy(&op);
}

/* Rounding errors of float sums of `length` products: about the root of the length, with room. */
static void check_result(const bdl__dnnl_conv *c, const numbers *x, double before_factor)
{
    const bool is_weights = c->direction == BDL__DNNL_BACKWARD_WEIGHTS;
    const bool is_data = c->direction == BDL__DNNL_BACKWARD_DATA;
    const int64_t n = is_weights ? x->n_weights : is_data ? x->n_src : x->n_dst;
    const int64_t length = is_weights ? c->n * c->oh * c->ow
                                      : (is_data ? c->oc : c->ic) / c->groups * c->kh * c->kw;
    const double unit = 4 * sqrt((double)length + 4) * ldexp(1, -24);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)x->result[i] - before_factor * x->sum[i]);
        const double share = error / (x->size[i] + 1e-3);
        if (!(share <= worst)) { /* not a number is the worst */
            worst = share;
        }
    }
    CHECK(worst <= 2 * unit);
}

static void check_shape(const bdl__dnnl_table *table, const shape_case *s,
                        bdl__dnnl_direction direction, bool is_bf16)
{
    bdl__dnnl_conv c = conv_of(s, direction, is_bf16);
    c.has_bias = direction == BDL__DNNL_FORWARD;
    numbers x = make_numbers(&c);
    make_reference(&c, &x);
    run_op(table, &c, &x, false);
    check_result(&c, &x, 1);
    if (direction != BDL__DNNL_FORWARD) {
        run_op(table, &c, &x, true);
        check_result(&c, &x, 2);
    }
    free_numbers(&x);
}

static void check_shapes(const bdl__dnnl_table *table, bool is_bf16)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(shape_cases); i++) {
        for (int d = BDL__DNNL_FORWARD; d <= BDL__DNNL_BACKWARD_WEIGHTS; d++) {
            check_shape(table, &shape_cases[i], (bdl__dnnl_direction)d, is_bf16);
        }
    }
}

BDL_TEST(onednn_convolves_in_float)
{
    const bdl__dnnl_table *table;
    if (bdl__dnnl_open(&table) != BDL_OK) {
        SKIP("this build has no oneDNN");
    }
    check_shapes(table, false);
}

BDL_TEST(onednn_convolves_in_bf16)
{
    const bdl__dnnl_table *table;
    if (bdl__dnnl_open(&table) != BDL_OK) {
        SKIP("this build has no oneDNN");
    }
    if (bdl__bf16_available() == BDL__BF16_NONE) {
        SKIP("this processor does not multiply bf16");
    }
    check_shapes(table, true);
}

BDL_TEST(a_bad_convolution_is_refused)
{
    const bdl__dnnl_table *table;
    if (bdl__dnnl_open(&table) != BDL_OK) {
        SKIP("this build has no oneDNN");
    }
    bdl__dnnl_conv c = conv_of(&shape_cases[1], BDL__DNNL_FORWARD, false);
    bdl__dnnl_op op = {0};
    c.oh = -1;
    const char *const error = table->create(&c, &op);
    CHECK(error && strcmp(error, BDL__DNNL_DECLINES) == 0); /* so a layer takes its own kernels */
    table->destroy(&op);
    char version[64] = "";
    table->version(version, sizeof version);
    CHECK(version[0] >= '3' && version[0] <= '9');
}

/* ---- layers ------------------------------------------------------------------------------------ */

/* Large enough for oneDNN in every direction that it may have, and a stride that Winograd cannot. */
static const layer_case layer_cases_bf16[] = {
    {"conv2d", "out_channels=48, kernel_size=5, padding=2", "32x14x14"},
    {"conv2d", "out_channels=128, kernel_size=3, stride=2, padding=1", "64x24x24"},
    {"conv2d", "out_channels=256, kernel_size=1, bias=false", "384x8x8"},
    {"linear", "out_features=400", "30x400"},
};

/* |a - b| / |b| over all numbers. */
static double distance(const tensor *a, const tensor *b)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < b->n_samples * b->count; i++) {
        difference += pow(a->data[i] - b->data[i], 2);
        size += pow(b->data[i], 2);
    }
    return sqrt(difference / size);
}

static bool same_bits(const tensor *a, const tensor *b)
{
    return memcmp(a->data, b->data, (size_t)(b->n_samples * b->count) * sizeof(double)) == 0;
}

/* Two operands rounded to 8 bits each leave about a part in 400; with room on either side. */
static void check_near(const tensor *bf16, const tensor *exact, bool is_rounded)
{
    const double error = distance(bf16, exact);
    CHECK(error < 0.01);
    CHECK(!is_rounded || error > 1e-4);
}

static void check_layer(const layer_case *c, int n_samples)
{
    bdl__arena arena;
    problem p;
    run_result exact, one, more;
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(make_problem(c, ALONE, 0, n_samples, 3, &arena, &p));
    run_options o = {.target = BDL__TARGET_F64, .n_workers = 1, .is_training = true,
                     .precision = BDL__F64_PRECISION};
    CHECK_OK(run_problem(&p, &o, &arena, &exact));
    CHECK_OK(bdl__target_choose(&o.target));
    o.precision = BDL__BF16;
    CHECK_OK(run_problem(&p, &o, &arena, &one));
    const bool is_conv = strcmp(c->layer, "conv2d") == 0;
    check_near(&one.out[0], &exact.out[0], true);
    check_near(&one.in_diff[0], &exact.in_diff[0], true);
    for (int64_t w = 0; w < p.n_weights; w++) {
        check_near(&one.grads[w], &exact.grads[w], is_conv && w == 0);
    }
    for (o.n_workers = 2; o.n_workers <= MOST_WORKERS; o.n_workers++) {
        CHECK_OK(run_problem(&p, &o, &arena, &more));
        CHECK(same_bits(&more.out[0], &one.out[0]));
        CHECK(same_bits(&more.in_diff[0], &one.in_diff[0]));
        for (int64_t w = 0; w < p.n_weights; w++) {
            CHECK(same_bits(&more.grads[w], &one.grads[w]));
        }
    }
    free_problem(&p);
    bdl__arena_free(&arena);
}

BDL_TEST(layers_compute_in_bf16)
{
    const bdl__dnnl_table *table;
    if (bdl__dnnl_open(&table) != BDL_OK) {
        SKIP("this build has no oneDNN");
    }
    if (bdl__bf16_available() == BDL__BF16_NONE) {
        SKIP("this processor does not multiply bf16");
    }
    for (int64_t i = 0; i < BDL__COUNT_OF(layer_cases_bf16); i++) {
        check_layer(&layer_cases_bf16[i], i == 0 ? 37 : 18);
    }
    end_workers();
}

/* ---- few samples ------------------------------------------------------------------------------- */

/* Beside the generic cases, channels that are cut into pieces, many products, and rows of linear. */
static const layer_case layer_cases_few[] = {
    {"conv2d", "out_channels=128, kernel_size=3, padding=1", "64x9x9"},
    {"conv2d", "out_channels=64, kernel_size=5, stride=[2, 3], padding=[2, 1]", "16x15x14"},
    {"conv2d", "out_channels=32, kernel_size=3, padding=[4, 2], dilation=[4, 2]", "32x13x11"},
    {"conv2d", "out_channels=64, kernel_size=3, stride=2, padding=1, groups=4", "32x9x9"},
    {"conv2d", "out_channels=48, kernel_size=3, padding=1, groups=48, bias=false", "48x8x8"},
    {"linear", "out_features=128", "1024"},
    {"linear", "out_features=96, bias=false", "7x300"},
};

static bool plans_onednn(const problem *p)
{
    const bdl__plan_options options = {.graph = p->graph, .target = BDL__TARGET_LANE1, .n_workers = 1,
                                       .n_slices = 1, .global_batch = 1, .few_samples = true};
    bdl__plan *plan = NULL;
    bdl__text text;
    CHECK_OK(bdl__plan_create(bdl__default_allocator(), &options, &plan));
    if (!plan) {
        return false;
    }
    bdl__text_init(&text, bdl__default_allocator());
    bdl__plan_print(plan, &text);
    CHECK_OK(bdl__text_status(&text));
    const bool result = strstr(bdl__text_get(&text), "onednn") != NULL;
    bdl__text_free(&text);
    bdl__plan_free(plan);
    return result;
}

/* One sample by oneDNN and by the kernels, each as near to float64 as sums of so many products are. */
static void check_few(const layer_case *c, const char *name)
{
    bdl__arena arena;
    problem p;
    run_result exact, kernels, few, again;
    run_options o = {.target = BDL__TARGET_F64, .n_workers = 1};
    bdl__arena_init(&arena, bdl__default_allocator());
    REQUIRE_OK(make_problem(c, ALONE, 0, 1, 4, &arena, &p));
    CHECK_OK(run_problem(&p, &o, &arena, &exact));
    CHECK_OK(bdl__target_choose(&o.target));
    CHECK_OK(run_problem(&p, &o, &arena, &kernels));
    o.target = BDL__TARGET_LANE1;
    o.few_samples = true;
    CHECK_OK(run_problem(&p, &o, &arena, &few));
    o.n_workers = 3;
    CHECK_OK(run_problem(&p, &o, &arena, &again));
    const int64_t length = p.weights[0].count / p.weights[0].shape.dim[0];
    const double bound = 2 * sqrt((double)length + 4) * ldexp(1, -24) * case_slack(c);
    const double of_few = distance(&few.out[0], &exact.out[0]);
    const double of_kernels = distance(&kernels.out[0], &exact.out[0]);
    const bool is_near = of_few <= bound && of_kernels <= bound && plans_onednn(&p);
    if (!is_near) {
        printf("%s (%s; %s): oneDNN errs by %g, the kernels by %g, expected at most %g\n", name,
               c->params, c->inputs, of_few, of_kernels, bound);
    }
    CHECK(is_near);
    CHECK(same_bits(&again.out[0], &few.out[0]));
    free_problem(&p);
    bdl__arena_free(&arena);
}

BDL_TEST(few_samples_are_computed_as_many)
{
    const bdl__dnnl_table *table;
    char name[CASE_NAME_SIZE];
    const layer_case *c;
    int n = 0;
    if (bdl__dnnl_open(&table) != BDL_OK) {
        SKIP("this build has no oneDNN");
    }
    for (int64_t i = 0; (c = case_at(i, name, sizeof name)) != NULL; i++) {
        if (strcmp(c->layer, "conv2d") == 0 || strcmp(c->layer, "linear") == 0) {
            check_few(c, name);
            n++;
        }
    }
    CHECK(n > 10);
    for (int64_t i = 0; i < BDL__COUNT_OF(layer_cases_few); i++) {
        check_few(&layer_cases_few[i], "few");
    }
    end_workers();
}

BDL_TEST_MAIN(onednn_convolves_in_float, onednn_convolves_in_bf16, a_bad_convolution_is_refused,
              layers_compute_in_bf16, few_samples_are_computed_as_many)
