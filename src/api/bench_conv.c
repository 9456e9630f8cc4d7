/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bdl bench conv: the heavy kernels alone, on one core, in GFLOP/s and as a share of the fused
 * multiply-add peak, which is measured first. Each line is one kernel on one shape and 32 samples,
 * all buffers apart. Operations are those of the plain sum, products with padding included, as
 * oneDNN's are counted here too; `useful_share` leaves these out. Time is CPU time of the thread, so
 * that neighbors on the machine disturb little.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/bench.h"
#include "dnnl/dnnl.h"
#include "kernels/conv.h"
#include "kernels/conv_axis.h"
#include "kernels/linear.h"
#include "kernels/peak.h"

#define SAMPLES 32
#define MAX_CALLS 1000
#define LEAST_CALLS 5
/* Kernels share the time of a case: so many of them in its seconds. */
#define MEASURES_A_CASE 15

/* Kernels of `kernel` x `kernel` that keep the plane's size; plane 1 and kernel 1 is linear. */
struct shape {
    int64_t ic, oc, plane, kernel;
};

static const struct shape direct_shapes[] = {
    {64, 64, 56, 3},   {64, 64, 32, 3},    {128, 128, 28, 3},  {128, 128, 16, 3},
    {256, 256, 14, 3}, {256, 256, 8, 3},   {512, 512, 7, 3},   {512, 512, 4, 3},
    {512, 512, 2, 3},  {256, 64, 56, 1},   {64, 256, 56, 1},   {512, 128, 28, 1},
    {128, 512, 28, 1}, {1024, 256, 14, 1}, {256, 1024, 14, 1}, {2048, 512, 7, 1},
    {512, 2048, 7, 1}, {512, 512, 1, 1},   {2048, 2048, 1, 1}, {4096, 1024, 1, 1},
    {4096, 4096, 1, 1}};
static const struct shape winograd_shapes[] = {{64, 64, 56, 3},   {64, 64, 32, 3},  {128, 128, 28, 3},
                                        {64, 128, 16, 3},  {128, 128, 16, 3}, {256, 256, 16, 3},
                                        {128, 256, 8, 3},  {256, 256, 8, 3},  {512, 512, 7, 3},
                                        {512, 512, 4, 3}};

enum { SRC, DST, WEIGHTS, PACKED, DIFF_WEIGHTS, SCRATCH, DNNL_PACKED, DNNL_SCRATCH, N_BUFFERS };

/* One shape with everything that its kernels read and write. */
struct job {
    const bdl_allocator *allocator;
    bdl__target target;
    bdl__conv_dims dims;
    bool is_linear;
    int m; /* side of Winograd's tiles; 0: the plain sum */
    int64_t n_parts, src_stride, dst_stride;
    void *buffer[N_BUFFERS];
    size_t size[N_BUFFERS];
    const bdl__dnnl_table *dnnl;
    bdl__dnnl_op op; /* the same in oneDNN */
    const char *error; /* of oneDNN's last call that failed; NULL = none */
};

static const char *const pass_names[] = {"forward", "backward_data", "backward_weights"};

/* ---- time --------------------------------------------------------------------------------------- */

typedef struct timing {
    double median, best;
} timing;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef void run_fn(struct job *job, bdl__dnnl_direction pass);

static timing time_of(run_fn *run, struct job *job, bdl__dnnl_direction pass, double seconds)
{
    double times[MAX_CALLS];
    const double stop = cpu_seconds() + seconds;
    int n = 0;
    run(job, pass); /* the first call meets cold pages */
    for (; n < MAX_CALLS && (n < LEAST_CALLS || cpu_seconds() < stop); n++) {
        const double start = cpu_seconds();
        run(job, pass);
        times[n] = cpu_seconds() - start;
    }
    bdl__bench_sort(times, n);
    return (timing){.median = times[n / 2], .best = times[0]};
}

/* The best of a second's twentieths, in FLOP/s: nothing can be faster. */
static double peak_of(bdl__target target)
{
    const int64_t n = 1000000;
    double best = 0;
    for (int i = 0; i < 20; i++) {
        float value[2] = {0.5F, 0.5F};
        const double start = cpu_seconds();
        bdl__peak_kernels(target)->peak(n, (scalar *)value);
        const double rate = (double)(2 * n * BDL__PEAK_CHAINS * bdl__target_lanes(target)) /
                            (cpu_seconds() - start);
        best = BDL__MAX(best, rate);
    }
    return best;
}

/* ---- kernels ------------------------------------------------------------------------------------ */

static void run_linear(struct job *j, bdl__dnnl_direction pass)
{
    const struct bdl__linear_kernels *const k = bdl__linear_kernels(j->target);
    const bdl__parts src = {j->buffer[SRC], j->src_stride}, dst = {j->buffer[DST], j->dst_stride};
    if (pass == BDL__DNNL_BACKWARD_WEIGHTS) {
        k->linear_wgrad(&(bdl__linear_wgrad_call){.n_positions = 1,
                                                  .n_in = j->dims.ic,
                                                  .n_out = j->dims.oc,
                                                  .src = src,
                                                  .diff_dst = dst,
                                                  .n_parts = j->n_parts,
                                                  .diff_weights = j->buffer[DIFF_WEIGHTS],
                                                  .end = j->dims.oc,
                                                  .scratch = j->buffer[SCRATCH]});
        return;
    }
    const bool is_forward = pass == BDL__DNNL_FORWARD;
    const int64_t n_in = is_forward ? j->dims.ic : j->dims.oc;
    const int64_t n_out = is_forward ? j->dims.oc : j->dims.ic;
    k->linear_product(&(bdl__linear_call){.n_positions = 1,
                                          .n_in = n_in,
                                          .n_out = n_out,
                                          .src = is_forward ? src : dst,
                                          .dst = is_forward ? dst : src,
                                          .n_parts = j->n_parts,
                                          .packed = j->buffer[PACKED],
                                          .end = bdl__n_tiles(n_out)});
}

static void run_weights(const struct job *j)
{
    const bdl__conv_wgrad_call call = {.dims = &j->dims,
                                       .src = {j->buffer[SRC], j->src_stride},
                                       .diff_dst = {j->buffer[DST], j->dst_stride},
                                       .n_parts = j->n_parts,
                                       .diff_weights = j->buffer[DIFF_WEIGHTS],
                                       .end = j->dims.oc,
                                       .scratch = j->buffer[SCRATCH]};
    if (j->m > 0) {
        bdl__winograd_wgrad_kernels(j->target)->conv_winograd4_wgrad(&call);
    } else {
        bdl__conv_features_kernels(j->target)->conv_wgrad_features(&call);
    }
}

static void run_kernel(struct job *j, bdl__dnnl_direction pass)
{
    if (j->is_linear) {
        run_linear(j, pass);
        return;
    }
    if (pass == BDL__DNNL_BACKWARD_WEIGHTS) {
        run_weights(j);
        return;
    }
    const bool is_backward = pass == BDL__DNNL_BACKWARD_DATA;
    const bdl__parts src = {j->buffer[SRC], j->src_stride}, dst = {j->buffer[DST], j->dst_stride};
    const bdl__conv_call call = {.dims = &j->dims,
                                 .src = is_backward ? dst : src,
                                 .dst = is_backward ? src : dst,
                                 .n_parts = j->n_parts,
                                 .packed = j->buffer[PACKED],
                                 .end = bdl__conv_direct_units(&j->dims, is_backward),
                                 .scratch = j->buffer[SCRATCH]};
    const struct bdl__conv_winograd_kernels *const winograd = bdl__conv_winograd_kernels(j->target);
    const struct bdl__conv_direct_kernels *const direct = bdl__conv_direct_kernels(j->target);
    if (j->m > 0) {
        (is_backward ? winograd->conv_winograd4_backward : winograd->conv_winograd4_forward)(&call);
    } else {
        (is_backward ? direct->conv_direct_backward : direct->conv_direct_forward)(&call);
    }
}

/* The weights as forward or backward data reads them. */
static void pack(struct job *j, bdl__dnnl_direction pass)
{
    const bool is_backward = pass == BDL__DNNL_BACKWARD_DATA;
    const bdl__conv_dims *const d = &j->dims;
    const scalar *const weights = j->buffer[WEIGHTS];
    const int64_t n_tiles = bdl__conv_direct_units(d, is_backward);
    if (j->is_linear) {
        bdl__linear_kernels(j->target)
            ->linear_pack(weights, is_backward ? d->oc : d->ic, is_backward ? d->ic : d->oc,
                          is_backward ? d->ic : 1, is_backward ? 1 : d->ic, j->buffer[PACKED], 0,
                          n_tiles);
    } else if (j->m > 0) {
        bdl__conv_winograd_kernels(j->target)
            ->conv_winograd_pack(d, j->m, is_backward, weights, j->buffer[PACKED], 0, n_tiles);
    } else {
        bdl__conv_direct_kernels(j->target)
            ->conv_direct_pack(d, is_backward, weights, j->buffer[PACKED], 0, n_tiles);
    }
}

/* ---- shapes ------------------------------------------------------------------------------------- */

static size_t scratch_of(const struct job *j)
{
    const bdl__conv_dims *const d = &j->dims;
    const size_t real_size = (size_t)bdl__target_lanes(j->target) * sizeof(float);
    if (j->is_linear) {
        return bdl__linear_scratch(d->oc, real_size, sizeof(float));
    }
    const size_t forward = j->m > 0 ? bdl__conv_winograd_scratch(d->ic, d->oc, j->m, real_size)
                                    : bdl__conv_direct_scratch(d, false, real_size);
    const size_t backward = j->m > 0 ? bdl__conv_winograd_scratch(d->oc, d->ic, j->m, real_size)
                                     : bdl__conv_direct_scratch(d, true, real_size);
    const size_t weights =
        j->m > 0 ? bdl__winograd_wgrad_scratch(d, j->m, d->oc, real_size, sizeof(float))
                 : bdl__conv_features_scratch(d, real_size, sizeof(float));
    return BDL__MAX(BDL__MAX(forward, backward), weights);
}

/* Numbers in [-0.5, 0.5) without a pattern. */
static void fill(float *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (float)((uint32_t)i * 2654435761U >> 8) / (float)(1 << 24) - 0.5F;
    }
}

static bdl_status job_make(const bdl_context *context, const struct shape *s, int m, struct job *j)
{
    const int64_t pad = s->kernel / 2;
    const int64_t lanes = bdl__target_lanes(context->target);
    *j = (struct job){.allocator = &context->allocator,
               .target = context->target,
               .dims = {.ic = s->ic, .ih = s->plane, .iw = s->plane, .oc = s->oc, .oh = s->plane,
                        .ow = s->plane, .kh = s->kernel, .kw = s->kernel, .sh = 1, .sw = 1,
                        .ph = pad, .pw = pad, .dh = 1, .dw = 1, .groups = 1},
               .is_linear = s->plane == 1,
               .m = m,
               .n_parts = SAMPLES / lanes};
    const int64_t area = s->plane * s->plane;
    const size_t n_weights = (size_t)(s->ic * s->oc * s->kernel * s->kernel);
    j->src_stride = s->ic * area * lanes * (int64_t)sizeof(float);
    j->dst_stride = s->oc * area * lanes * (int64_t)sizeof(float);
    j->size[SRC] = (size_t)(j->src_stride * j->n_parts);
    j->size[DST] = (size_t)(j->dst_stride * j->n_parts);
    j->size[WEIGHTS] = j->size[DIFF_WEIGHTS] = n_weights * sizeof(float);
    j->size[PACKED] = m > 0 ? n_weights / 9 * (size_t)((m + 2) * (m + 2)) * sizeof(float)
                            : n_weights * sizeof(float);
    j->size[SCRATCH] = scratch_of(j);
    for (int i = 0; i <= SCRATCH; i++) {
        BDL__TRY(bdl__alloc(j->allocator, j->size[i], &j->buffer[i]));
    }
    fill(j->buffer[SRC], j->size[SRC] / sizeof(float));
    fill(j->buffer[DST], j->size[DST] / sizeof(float));
    fill(j->buffer[WEIGHTS], n_weights);
    return BDL_OK;
}

static void job_free(struct job *j)
{
    for (int i = 0; i < N_BUFFERS; i++) {
        bdl__free(j->allocator, j->buffer[i], j->size[i]);
    }
}

/* ---- oneDNN beside it --------------------------------------------------------------------------- */

static void run_dnnl(struct job *j, bdl__dnnl_direction pass)
{
    const bdl__dnnl_call call = {.src = j->buffer[SRC],
                                 .dst_in = j->buffer[DST],
                                 .packed = j->buffer[DNNL_PACKED],
                                 .result = j->buffer[pass == BDL__DNNL_FORWARD         ? DST
                                                     : pass == BDL__DNNL_BACKWARD_DATA ? SRC
                                                                                       : DIFF_WEIGHTS],
                                 .scratch = j->buffer[DNNL_SCRATCH],
                                 .primitive_only = true};
    const char *const error = j->dnnl->execute(&j->op, &call);
    j->error = error ? error : j->error;
}

/* Median seconds of oneDNN's direct convolution, in the layouts that it prefers. */
static bdl_status time_dnnl(struct job *j, bdl__dnnl_direction pass, double seconds, double *median)
{
    const bdl__conv_dims *const d = &j->dims;
    const bdl__dnnl_conv conv = {.direction = pass, .is_training = true, .n = SAMPLES, .groups = 1,
                                 .ic = d->ic, .ih = d->ih, .iw = d->iw, .oc = d->oc, .oh = d->oh,
                                 .ow = d->ow, .kh = d->kh, .kw = d->kw, .sh = 1, .sw = 1, .dh = 1,
                                 .dw = 1, .ph = d->ph, .pw = d->pw,
                                 .src_stride = {d->ic * d->ih * d->iw, d->ih * d->iw, d->iw, 1},
                                 .dst_stride = {d->oc * d->oh * d->ow, d->oh * d->ow, d->ow, 1}};
    const char *const error = j->dnnl->create(&conv, &j->op);
    BDL__CHECK(error == NULL, BDL_ERR_INTERNAL, "oneDNN: %s", error);
    j->size[DNNL_PACKED] = j->op.packed_size;
    j->size[DNNL_SCRATCH] = j->op.scratch_size;
    bdl_status status = BDL_OK;
    for (int i = DNNL_PACKED; i <= DNNL_SCRATCH && status == BDL_OK; i++) {
        status = bdl__alloc(j->allocator, j->size[i], &j->buffer[i]);
    }
    if (status == BDL_OK) {
        fill(j->buffer[DNNL_PACKED], j->size[DNNL_PACKED] / sizeof(float));
        fill(j->buffer[DNNL_SCRATCH], j->size[DNNL_SCRATCH] / sizeof(float));
        *median = time_of(run_dnnl, j, pass, seconds).median;
        status = j->error ? bdl__fail(BDL_ERR_INTERNAL, "oneDNN: %s", j->error) : BDL_OK;
    }
    j->dnnl->destroy(&j->op);
    for (int i = DNNL_PACKED; i <= DNNL_SCRATCH; i++) {
        bdl__free(j->allocator, j->buffer[i], j->size[i]);
        j->buffer[i] = NULL;
    }
    return status;
}

/* ---- the case ----------------------------------------------------------------------------------- */

struct suite {
    const bdl_context *context;
    double seconds; /* of each measurement */
    double peak;
    const bdl__dnnl_table *dnnl; /* NULL: not there */
    bdl__measured *measured;
};

static void write_number(bdl__json_writer *w, const char *key, double value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_f64(w, value);
}

static void write_text(bdl__json_writer *w, const char *key, const char *value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_string(w, value);
}

/* Products that meet the input, of all of the plain sum. */
static double useful_share(const bdl__conv_dims *d)
{
    const double axis = (double)(d->kh * d->oh - (d->kh - 1)) / (double)(d->kh * d->oh);
    return axis * axis;
}

static const char *kernel_name(const struct job *j, bdl__dnnl_direction pass)
{
    const bool is_weights = pass == BDL__DNNL_BACKWARD_WEIGHTS;
    return j->m > 0 ? "winograd4x4" : is_weights ? "feature_lanes" : j->is_linear ? "lanes" : "direct";
}

/* A line of JSON: seconds and rates of one kernel. `dnnl` 0: not measured. */
static void write_line(const struct suite *suite, const struct job *j, bdl__dnnl_direction pass, timing t, double dnnl)
{
    const bdl__conv_dims *const d = &j->dims;
    const double flop = 2.0 * SAMPLES * (double)(d->ic * d->oc * d->kh * d->kw) * (double)(d->oh * d->ow);
    const double share = flop / t.median / suite->peak;
    char name[64];
    bdl__json_writer w;
    if (j->is_linear) {
        snprintf(name, sizeof name, "linear %lld-%lld", (long long)d->ic, (long long)d->oc);
    } else {
        snprintf(name, sizeof name, "%lld-%lld %lldx%lld k%lld", (long long)d->ic, (long long)d->oc,
                 (long long)d->oh, (long long)d->ow, (long long)d->kh);
    }
    bdl__json_writer_init(&w, &suite->measured->lines, 0);
    bdl__json_open(&w, '{');
    write_text(&w, "case", "conv");
    write_text(&w, "shape", name);
    write_text(&w, "pass", pass_names[pass]);
    write_text(&w, "kernel", kernel_name(j, pass));
    write_number(&w, "gflops", flop / t.median * 1e-9);
    write_number(&w, "best_gflops", flop / t.best * 1e-9);
    write_number(&w, "share", share);
    if (j->m == 0) {
        write_number(&w, "useful_share", share * useful_share(d));
        suite->measured->value[suite->measured->n++] = share;
    } else if (dnnl > 0) {
        write_number(&w, "onednn_gflops", flop / dnnl * 1e-9);
        write_number(&w, "onednn_ratio", dnnl / t.median);
    }
    bdl__json_close(&w, '}');
    bdl__text_append(&suite->measured->lines, "\n");
}

static bdl_status run_shape(const struct suite *suite, const struct shape *s, int m)
{
    struct job j;
    bdl_status status = job_make(suite->context, s, m, &j);
    j.dnnl = suite->dnnl;
    for (int i = 0; i < 3 && status == BDL_OK; i++) {
        const bdl__dnnl_direction pass = (bdl__dnnl_direction)i;
        double dnnl = 0;
        if (pass != BDL__DNNL_BACKWARD_WEIGHTS) {
            pack(&j, pass);
        }
        const timing t = time_of(run_kernel, &j, pass, suite->seconds);
        if (m > 0 && suite->dnnl) {
            status = time_dnnl(&j, pass, suite->seconds, &dnnl);
        }
        write_line(suite, &j, pass, t, dnnl);
        if (status == BDL_OK && bdl__is_cancelled(&suite->context->cancel)) {
            status = bdl__fail(BDL_ERR_CANCELLED, "cancelled");
        }
    }
    job_free(&j);
    return status;
}

bdl_status bdl__bench_conv(bdl_context *context, double seconds, bdl__measured *measured)
{
    struct suite suite = {.context = context,
                   .seconds = seconds / MEASURES_A_CASE,
                   .peak = peak_of(context->target),
                   .measured = measured};
    bdl__json_writer w;
    if (bdl__dnnl_open(&suite.dnnl) != BDL_OK) {
        suite.dnnl = NULL; /* the kernels are measured all the same */
    }
    bdl__json_writer_init(&w, &measured->lines, 0);
    bdl__json_open(&w, '{');
    write_text(&w, "case", "conv");
    write_text(&w, "target", bdl__target_name(context->target));
    write_number(&w, "peak_gflops", suite.peak * 1e-9);
    bdl__json_close(&w, '}');
    bdl__text_append(&measured->lines, "\n");
    for (int64_t i = 0; i < BDL__COUNT_OF(direct_shapes); i++) {
        BDL__TRY(run_shape(&suite, &direct_shapes[i], 0));
    }
    for (int64_t i = 0; i < BDL__COUNT_OF(winograd_shapes); i++) {
        BDL__TRY(run_shape(&suite, &winograd_shapes[i], 4));
    }
    return BDL_OK;
}
