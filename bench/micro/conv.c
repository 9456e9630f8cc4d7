/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the convolution and linear kernels on one core, in GFLOP/s of the plain sum (so Winograd
 * can exceed the peak) and as a share of the fused multiply-add peak, which is measured first. Uses
 * the library's internals: link with libbdl.a, the test harness, and tests/unit on the include
 * path.
 *
 *     conv [TARGET] [exact] [FILTER]
 */
#include <time.h>

#include "kernels/peak.h"

#include "fake_planner.h"

extern const bdl__layer_family bdl__family_conv;
extern const bdl__layer_family bdl__family_linear;

struct shape {
    int64_t ic, hw, oc, k, pad, parts;
};

static const struct shape shapes[] = {
    {1, 28, 6, 5, 0, 1},      {6, 12, 12, 5, 0, 1},     {3, 32, 64, 3, 1, 1},
    {64, 32, 64, 3, 1, 1},    {64, 16, 128, 3, 1, 1},   {128, 16, 128, 3, 1, 1},
    {128, 8, 256, 3, 1, 4},   {256, 8, 256, 3, 1, 4},   {256, 4, 512, 3, 1, 4},
    {512, 4, 512, 3, 1, 4},   {512, 2, 512, 3, 1, 4},   {256, 16, 256, 3, 1, 1},
    {64, 56, 64, 3, 1, 1},    {128, 28, 128, 3, 1, 1},  {512, 7, 512, 3, 1, 2},
    {256, 56, 64, 1, 0, 1},   {64, 56, 256, 1, 0, 1},   {512, 28, 128, 1, 0, 1},
    {1024, 14, 256, 1, 0, 1}, {256, 14, 1024, 1, 0, 1}, {512, 7, 2048, 1, 0, 2},
    /* linear: hw = 0 */
    {192, 0, 100, 0, 0, 1},   {100, 0, 10, 0, 0, 1},    {512, 0, 512, 0, 0, 4},
    {2048, 0, 2048, 0, 0, 4}, {4096, 0, 1024, 0, 0, 4},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_of(bdl__target target)
{
    double best = 1e9;
    float memory[2] = {0.5F, 0.5F}; /* a double on f64 */
    for (int i = 0; i < 20; i++) {
        const int64_t n = 500000;
        const double start = seconds();
        memory[0] = memory[1] = 0.5F;
        bdl__peak_kernels(target)->peak(n, (scalar *)memory);
        const double t = (seconds() - start) / (double)n;
        best = t < best ? t : best;
    }
    return 2e-9 * BDL__PEAK_CHAINS * bdl__target_lanes(target) / best;
}

enum pass { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lower quartile of many calls: a virtual machine's clock is not to be trusted with the
 * least. */
static double time_of(struct fake *f, const struct cut *cut, enum pass pass, void *scratch)
{
    static double times[1000];
    const double stop = seconds() + 0.2;
    int n = 0;
    for (; n < 1000 && (n < 7 || seconds() < stop); n++) {
        bdl__cx cx;
        fake_cx(f, cut, 0, scratch, &cx);
        cx.diff_src_mode[0] = pass == BACKWARD_DATA ? BDL__WRITE : BDL__SKIP;
        for (int w = 0; pass == BACKWARD_DATA && w < f->step.n_weights; w++) {
            cx.diff_weights_mode[w] = BDL__SKIP;
        }
        const double start = seconds();
        if (pass == FORWARD) {
            f->step.layer->forward(&f->step, &cx);
        } else {
            f->step.layer->backward(&f->step, &cx);
        }
        times[n] = seconds() - start;
    }
    qsort(times, (size_t)n, sizeof times[0], by_size);
    return times[n / 4];
}

static void run(const struct shape *s, bdl__target target, bdl__precision precision, double peak,
                const char *filter)
{
    static const char *const names[] = {"forward", "data", "weights"};
    const bool is_linear = s->hw == 0;
    const bdl__layer *layer =
        is_linear ? bdl__family_linear.layers[0] : bdl__family_conv.layers[0];
    char params[1024] = {0};
    char title[64];
    struct fake f;
    snprintf(title, sizeof title, is_linear ? "linear %lld-%lld" : "%lld-%lld %lldx%lld k%lld",
             (long long)s->ic, (long long)s->oc, (long long)s->hw, (long long)s->hw,
             (long long)s->k);
    if (filter != NULL && strstr(title, filter) == NULL) {
        return;
    }
    const bdl__shape src = is_linear ? (bdl__shape){.rank = 1, .dim = {s->ic}}
                                     : (bdl__shape){.rank = 3, .dim = {s->ic, s->hw, s->hw}};
    set_param(&layer->schema, params, "out_channels", s->oc, 0);
    set_param(&layer->schema, params, "out_features", s->oc, 0);
    set_param(&layer->schema, params, "kernel_size", s->k, s->k);
    set_param(&layer->schema, params, "stride", 1, 1);
    set_param(&layer->schema, params, "padding", s->pad, s->pad);
    set_param(&layer->schema, params, "dilation", 1, 1);
    set_param(&layer->schema, params, "groups", 1, 0);
    set_param(&layer->schema, params, "propagate_back", 1, 0);
    const int64_t n_samples = bdl__round_up(s->parts * bdl__target_lanes(target), BDL__SLICE);
    if (!fake_make(&f, layer, params, &src, n_samples, target, precision)) {
        return;
    }
    const struct cut cut = {.parts_per_call = f.step.takes_many ? n_samples / f.step.lanes : 1,
                            .team_size = 1, .many = f.step.takes_many};
    void *scratch = aligned(f.planner.scratch_size + 64);
    const double out = is_linear ? 1 : (double)(bdl__shape_count(&f.decl.out[0]) / s->oc);
    const double flop = 2e-9 * (double)f.sink.count[0] * out *
                        (double)(cut.parts_per_call * f.step.lanes);
    printf("%-20s", title);
    for (enum pass pass = FORWARD; pass <= BACKWARD_WEIGHTS; pass++) {
        const double t = time_of(&f, &cut, pass, scratch);
        const char *impl = pass == FORWARD         ? f.step.impl
                           : pass == BACKWARD_DATA ? f.step.impl_backward_data
                                                   : f.step.impl_backward_weights;
        printf("  %s %4.0f %3.0f%% %8.1fus %-13s", names[pass], flop / t, 100 * flop / t / peak,
               t * 1e6, impl != NULL ? impl : f.step.impl);
    }
    printf("%s\n", f.step.takes_many ? " many" : "");
    fflush(stdout);
    free(scratch);
    fake_free(&f);
}

int main(int argc, char **argv)
{
    bdl__target target;
    bdl__precision precision = BDL__FP32;
    const char *filter = NULL;
    if (bdl__target_choose(&target) != BDL_OK) {
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "exact") == 0) {
            precision = BDL__FP32_EXACT;
        } else if (bdl__target_from_name(argv[i], &target) != BDL_OK) {
            filter = argv[i];
        }
    }
    const double peak = peak_of(target);
    printf("%s: peak %.0f GFLOP/s\n", bdl__target_name(target), peak);
    for (int64_t i = 0; i < BDL__COUNT_OF(shapes); i++) {
        run(&shapes[i], target, precision, peak, filter);
    }
    return 0;
}
