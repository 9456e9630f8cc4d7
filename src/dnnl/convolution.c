/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libbdl_dnnl.so: convolutions by oneDNN. The layouts of operands, weights and result are left to the
 * primitive ("any"); reorders of oneDNN lead from the caller's strides there and back, and round to bf16
 * on the way. Every thread of bdl's runs its own calls with one OpenMP thread, and scratchpads are the
 * caller's, since oneDNN's own belong to the thread that made the primitive.
 */
#include <stdio.h>
#include <string.h>

#include <bdl/version.h>
#include <oneapi/dnnl/dnnl.h>

#include "dnnl/dnnl.h"

#define EXPORT __attribute__((visibility("default")))
#define ALIGN 64

/* Of whatever OpenMP runtime oneDNN brings; absent where it was built without. */
extern void omp_set_num_threads(int n) __attribute__((weak));
extern int omp_get_max_threads(void) __attribute__((weak));

/* Handles of an op. IN_SRC and IN_DST bring operands in, OUT and OUT_ADD the result out. */
enum { ENGINE, STREAM, MAIN_DESC, MAIN, IN_SRC, IN_DST, OUT, OUT_ADD, PACK, N_USED };
/* Places in scratch. */
enum { AT_SRC, AT_DST, AT_OUT, AT_PAD };

_Static_assert(N_USED <= BDL__DNNL_HANDLES, "room for the handles");

/* Leaves the function with a text when a call of oneDNN fails. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const dnnl_status_t status_ = (call);                                                      \
        if (status_ != dnnl_success) {                                                             \
            return text_of(status_);                                                               \
        }                                                                                          \
    } while (0)

static const char *text_of(dnnl_status_t status)
{
    switch (status) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
    case dnnl_unimplemented:
        return BDL__DNNL_DECLINES;
    default:
        return "failed";
    }
}

/* ---- one OpenMP thread ------------------------------------------------------------------------ */

static int enter_single(void)
{
    const int n = omp_get_max_threads ? omp_get_max_threads() : 1;
    if (n != 1 && omp_set_num_threads) {
        omp_set_num_threads(1);
    }
    return n;
}

static void leave_single(int n)
{
    if (n != 1 && omp_set_num_threads) {
        omp_set_num_threads(n);
    }
}

/* ---- descriptions ------------------------------------------------------------------------------ */

typedef struct shapes {
    dnnl_dims_t src, dst, weights, bias, stride, dilation, before, after;
    dnnl_dims_t src_stride, dst_stride;
    int n_weights_axes;
} shapes;

static int64_t after_of(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation,
                        int64_t before)
{
    return (out - 1) * stride + dilation * (kernel - 1) + 1 - in - before;
}

static shapes shapes_of(const bdl__dnnl_conv *c)
{
    shapes s = {.src = {c->n, c->ic, c->ih, c->iw},
                .dst = {c->n, c->oc, c->oh, c->ow},
                .bias = {c->oc},
                .stride = {c->sh, c->sw},
                .dilation = {c->dh - 1, c->dw - 1},
                .before = {c->ph, c->pw},
                .after = {after_of(c->ih, c->oh, c->kh, c->sh, c->dh, c->ph),
                          after_of(c->iw, c->ow, c->kw, c->sw, c->dw, c->pw)}};
    const dnnl_dims_t plain = {c->oc, c->ic, c->kh, c->kw};
    const dnnl_dims_t grouped = {c->groups, c->oc / c->groups, c->ic / c->groups, c->kh, c->kw};
    memcpy(s.src_stride, c->src_stride, sizeof c->src_stride);
    memcpy(s.dst_stride, c->dst_stride, sizeof c->dst_stride);
    memcpy(s.weights, c->groups > 1 ? grouped : plain, sizeof s.weights);
    s.n_weights_axes = c->groups > 1 ? 5 : 4;
    return s;
}

/* Memory descriptors of a description; destroyed together. */
typedef struct descs {
    dnnl_memory_desc_t src, dst, weights, bias;             /* what the primitive computes with */
    dnnl_memory_desc_t src_out, dst_out, weights_out;       /* the caller's */
} descs;

static void destroy_descs(descs *d)
{
    dnnl_memory_desc_t *const all = &d->src;
    for (size_t i = 0; i < sizeof *d / sizeof *all; i++) {
        if (all[i]) {
            dnnl_memory_desc_destroy(all[i]);
        }
    }
}

static const char *make_descs(const bdl__dnnl_conv *c, const shapes *s, descs *d)
{
    const dnnl_data_type_t operand = c->is_bf16 ? dnnl_bf16 : dnnl_f32;
    const bdl__dnnl_direction to = c->direction;
    TRY(dnnl_memory_desc_create_with_tag(&d->src, 4, s->src,
                                         to == BDL__DNNL_BACKWARD_DATA ? dnnl_f32 : operand,
                                         dnnl_format_tag_any));
    TRY(dnnl_memory_desc_create_with_tag(&d->dst, 4, s->dst,
                                         to == BDL__DNNL_FORWARD ? dnnl_f32 : operand,
                                         dnnl_format_tag_any));
    TRY(dnnl_memory_desc_create_with_tag(&d->weights, s->n_weights_axes, s->weights,
                                         to == BDL__DNNL_BACKWARD_WEIGHTS ? dnnl_f32 : operand,
                                         dnnl_format_tag_any));
    TRY(dnnl_memory_desc_create_with_tag(&d->bias, 1, s->bias, dnnl_f32, dnnl_a));
    TRY(dnnl_memory_desc_create_with_strides(&d->src_out, 4, s->src, dnnl_f32, s->src_stride));
    TRY(dnnl_memory_desc_create_with_strides(&d->dst_out, 4, s->dst, dnnl_f32, s->dst_stride));
    TRY(dnnl_memory_desc_create_with_tag(&d->weights_out, s->n_weights_axes, s->weights, dnnl_f32,
                                         s->n_weights_axes == 5 ? dnnl_abcde : dnnl_abcd));
    return NULL;
}

/* ---- making ------------------------------------------------------------------------------------ */

/* A forward description that hints a backward one. It must take the backward one's types. */
static const char *make_hint(const bdl__dnnl_op *op, const bdl__dnnl_conv *c, const shapes *s,
                             dnnl_primitive_desc_t *hint)
{
    descs d = {0};
    bdl__dnnl_conv forward = *c;
    forward.direction = BDL__DNNL_FORWARD;
    const char *error = make_descs(&forward, s, &d);
    if (!error) {
        const dnnl_status_t status = dnnl_convolution_forward_primitive_desc_create(
            hint, op->handles[ENGINE], dnnl_forward_training, dnnl_convolution_direct, d.src,
            d.weights, NULL, d.dst, s->stride, s->dilation, s->before, s->after, NULL);
        error = status == dnnl_success ? NULL : text_of(status);
    }
    destroy_descs(&d);
    return error;
}

static const char *make_main(bdl__dnnl_op *op, const bdl__dnnl_conv *c, const shapes *s,
                             const descs *d, dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t desc = NULL, hint = NULL;
    dnnl_status_t status;
    if (c->direction == BDL__DNNL_FORWARD) {
        status = dnnl_convolution_forward_primitive_desc_create(
            &desc, op->handles[ENGINE],
            c->is_training ? dnnl_forward_training : dnnl_forward_inference,
            dnnl_convolution_direct, d->src, d->weights, c->has_bias ? d->bias : NULL, d->dst,
            s->stride, s->dilation, s->before, s->after, attr);
    } else {
        const char *const error = make_hint(op, c, s, &hint);
        if (error) {
            return error;
        }
        status = c->direction == BDL__DNNL_BACKWARD_DATA
                     ? dnnl_convolution_backward_data_primitive_desc_create(
                           &desc, op->handles[ENGINE], dnnl_convolution_direct, d->src, d->weights,
                           d->dst, s->stride, s->dilation, s->before, s->after, hint, attr)
                     : dnnl_convolution_backward_weights_primitive_desc_create(
                           &desc, op->handles[ENGINE], dnnl_convolution_direct, d->src, d->weights,
                           NULL, d->dst, s->stride, s->dilation, s->before, s->after, hint, attr);
        dnnl_primitive_desc_destroy(hint);
    }
    TRY(status);
    op->handles[MAIN_DESC] = desc;
    dnnl_primitive_t primitive = NULL;
    TRY(dnnl_primitive_create(&primitive, desc));
    op->handles[MAIN] = primitive;
    return NULL;
}

static const_dnnl_memory_desc_t inner(const bdl__dnnl_op *op, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(op->handles[MAIN_DESC], what, 0);
}

static const_dnnl_memory_desc_t inner_src(const bdl__dnnl_op *op, const bdl__dnnl_conv *c)
{
    return inner(op, c->direction == BDL__DNNL_BACKWARD_DATA ? dnnl_query_diff_src_md
                                                             : dnnl_query_src_md);
}

static const_dnnl_memory_desc_t inner_dst(const bdl__dnnl_op *op, const bdl__dnnl_conv *c)
{
    return inner(op, c->direction == BDL__DNNL_FORWARD ? dnnl_query_dst_md
                                                       : dnnl_query_diff_dst_md);
}

static const_dnnl_memory_desc_t inner_weights(const bdl__dnnl_op *op, const bdl__dnnl_conv *c)
{
    return inner(op, c->direction == BDL__DNNL_BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md
                                                                : dnnl_query_weights_md);
}

static const char *make_reorder(bdl__dnnl_op *op, int which, const_dnnl_memory_desc_t from,
                                const_dnnl_memory_desc_t to, const_dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    TRY(dnnl_reorder_primitive_desc_create(&desc, from, op->handles[ENGINE], to,
                                           op->handles[ENGINE], attr));
    const dnnl_status_t status = dnnl_primitive_create(&primitive, desc);
    dnnl_primitive_desc_destroy(desc);
    TRY(status);
    op->handles[which] = primitive;
    return NULL;
}

/* As make_reorder, but adding to what is there. */
static const char *make_adding_reorder(bdl__dnnl_op *op, const_dnnl_memory_desc_t from,
                                       const_dnnl_memory_desc_t to)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t sum = NULL;
    const char *error = "out of memory";
    if (dnnl_primitive_attr_create(&attr) == dnnl_success &&
        dnnl_post_ops_create(&sum) == dnnl_success &&
        dnnl_post_ops_append_sum(sum, 1.0F, 0, dnnl_data_type_undef) == dnnl_success &&
        dnnl_primitive_attr_set_post_ops(attr, sum) == dnnl_success) {
        error = make_reorder(op, OUT_ADD, from, to, attr);
    }
    dnnl_post_ops_destroy(sum);
    dnnl_primitive_attr_destroy(attr);
    return error;
}

static const char *make_reorders(bdl__dnnl_op *op, const bdl__dnnl_conv *c, const descs *d)
{
    const char *error = NULL;
    const_dnnl_memory_desc_t from = NULL, to = NULL;
    switch (c->direction) {
    case BDL__DNNL_FORWARD:
        from = inner_dst(op, c);
        to = d->dst_out;
        break;
    case BDL__DNNL_BACKWARD_DATA:
        from = inner_src(op, c);
        to = d->src_out;
        break;
    case BDL__DNNL_BACKWARD_WEIGHTS:
        from = inner_weights(op, c);
        to = d->weights_out;
        break;
    }
    error = make_reorder(op, OUT, from, to, NULL);
    if (!error && c->direction != BDL__DNNL_BACKWARD_DATA) {
        error = make_reorder(op, IN_SRC, d->src_out, inner_src(op, c), NULL);
    }
    if (!error && c->direction != BDL__DNNL_FORWARD) {
        error = make_reorder(op, IN_DST, d->dst_out, inner_dst(op, c), NULL);
    }
    if (!error && c->direction != BDL__DNNL_FORWARD) {
        error = make_adding_reorder(op, from, to);
    }
    if (!error && c->direction != BDL__DNNL_BACKWARD_WEIGHTS) {
        error = make_reorder(op, PACK, d->weights_out, inner_weights(op, c), NULL);
    }
    return error;
}

static size_t aligned(size_t size) { return (size + ALIGN - 1) / ALIGN * ALIGN; }

/* Operands, result, and the largest scratchpad of the primitives, one after another. */
static void lay_out(bdl__dnnl_op *op, const bdl__dnnl_conv *c)
{
    const size_t src = aligned(dnnl_memory_desc_get_size(inner_src(op, c)));
    const size_t dst = aligned(dnnl_memory_desc_get_size(inner_dst(op, c)));
    const size_t weights = aligned(dnnl_memory_desc_get_size(inner_weights(op, c)));
    const bool is_weights = c->direction == BDL__DNNL_BACKWARD_WEIGHTS;
    op->offset[AT_SRC] = 0;
    op->offset[AT_DST] = src;
    op->offset[AT_OUT] = is_weights ? src + dst : c->direction == BDL__DNNL_FORWARD ? src : 0;
    op->offset[AT_PAD] = src + dst + (is_weights ? weights : 0);
    op->packed_size = is_weights ? 0 : weights;
    op->scratch_size =
        op->offset[AT_PAD] + aligned(dnnl_memory_desc_get_size(inner(op, dnnl_query_scratchpad_md)));
}

static const char *make(const bdl__dnnl_conv *c, bdl__dnnl_op *op)
{
    const shapes s = shapes_of(c);
    descs d = {0};
    dnnl_engine_t engine = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_primitive_attr_t attr = NULL;
    TRY(dnnl_engine_create(&engine, dnnl_cpu, 0));
    op->handles[ENGINE] = engine;
    TRY(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    op->handles[STREAM] = stream;
    TRY(dnnl_primitive_attr_create(&attr));
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    const char *error = make_descs(c, &s, &d);
    error = error ? error : make_main(op, c, &s, &d, attr);
    error = error ? error : make_reorders(op, c, &d);
    if (!error) {
        lay_out(op, c);
    }
    destroy_descs(&d);
    dnnl_primitive_attr_destroy(attr);
    return error;
}

static void destroy(bdl__dnnl_op *op)
{
    for (int i = MAIN; i < N_USED; i++) {
        dnnl_primitive_destroy(op->handles[i]);
    }
    dnnl_primitive_desc_destroy(op->handles[MAIN_DESC]);
    dnnl_stream_destroy(op->handles[STREAM]);
    dnnl_engine_destroy(op->handles[ENGINE]);
    *op = (bdl__dnnl_op){0};
}

static const char *create(const bdl__dnnl_conv *conv, bdl__dnnl_op *op)
{
    const int n = enter_single();
    const char *const error = make(conv, op);
    leave_single(n);
    if (error) {
        destroy(op);
    }
    return error;
}

/* ---- running ----------------------------------------------------------------------------------- */

typedef struct argument {
    int id;
    const_dnnl_memory_desc_t desc;
    const void *data;
} argument;

/* Runs a primitive on plain pointers. */
static const char *run(const bdl__dnnl_op *op, int which, int n, const argument *arguments)
{
    dnnl_exec_arg_t args[6];
    dnnl_status_t status = dnnl_success;
    int n_made = 0;
    while (status == dnnl_success && n_made < n) {
        const argument *const a = &arguments[n_made];
        args[n_made].arg = a->id;
        status = dnnl_memory_create(&args[n_made].memory, a->desc, op->handles[ENGINE],
                                    (void *)(uintptr_t)a->data);
        n_made += status == dnnl_success;
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_execute(op->handles[which], op->handles[STREAM], n, args);
    }
    for (int i = 0; i < n_made; i++) {
        dnnl_memory_destroy(args[i].memory);
    }
    return status == dnnl_success ? NULL : text_of(status);
}

/* Runs a reorder, whose own descriptors say both layouts. */
static const char *change(const bdl__dnnl_op *op, int which, const void *from, void *to)
{
    const_dnnl_primitive_desc_t desc = NULL;
    TRY(dnnl_primitive_get_primitive_desc(op->handles[which], &desc));
    const argument arguments[] = {
        {DNNL_ARG_FROM, dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0), from},
        {DNNL_ARG_TO, dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), to}};
    return run(op, which, 2, arguments);
}

static const char *pack(const bdl__dnnl_op *op, const float *weights, void *packed)
{
    const int n = enter_single();
    const char *const error = change(op, PACK, weights, packed);
    leave_single(n);
    return error;
}

static const char *run_main(const bdl__dnnl_op *op, const bdl__dnnl_call *call, char *const place[4])
{
    const argument pad = {DNNL_ARG_SCRATCHPAD, inner(op, dnnl_query_scratchpad_md), place[AT_PAD]};
    if (!op->handles[IN_DST]) {
        const argument arguments[] = {
            pad,
            {DNNL_ARG_SRC, inner(op, dnnl_query_src_md), place[AT_SRC]},
            {DNNL_ARG_WEIGHTS, inner(op, dnnl_query_weights_md), call->packed},
            {DNNL_ARG_DST, inner(op, dnnl_query_dst_md), place[AT_OUT]},
            {DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(op->handles[MAIN_DESC],
                                                         dnnl_query_weights_md, 1), call->bias}};
        return run(op, MAIN, call->bias ? 5 : 4, arguments);
    }
    if (!op->handles[IN_SRC]) {
        const argument arguments[] = {
            pad,
            {DNNL_ARG_DIFF_SRC, inner(op, dnnl_query_diff_src_md), place[AT_OUT]},
            {DNNL_ARG_WEIGHTS, inner(op, dnnl_query_weights_md), call->packed},
            {DNNL_ARG_DIFF_DST, inner(op, dnnl_query_diff_dst_md), place[AT_DST]}};
        return run(op, MAIN, 4, arguments);
    }
    const argument arguments[] = {
        pad,
        {DNNL_ARG_SRC, inner(op, dnnl_query_src_md), place[AT_SRC]},
        {DNNL_ARG_DIFF_WEIGHTS, inner(op, dnnl_query_diff_weights_md), place[AT_OUT]},
        {DNNL_ARG_DIFF_DST, inner(op, dnnl_query_diff_dst_md), place[AT_DST]}};
    return run(op, MAIN, 4, arguments);
}

static const char *execute(const bdl__dnnl_op *op, const bdl__dnnl_call *call)
{
    char *place[4];
    for (int i = 0; i < 4; i++) {
        place[i] = (char *)call->scratch + op->offset[i];
    }
    const int n = enter_single();
    const char *error = NULL;
    if (op->handles[IN_SRC] && !call->primitive_only && !call->keeps_src) {
        error = change(op, IN_SRC, call->src, place[AT_SRC]);
    }
    if (!error && op->handles[IN_DST] && !call->primitive_only) {
        error = change(op, IN_DST, call->dst_in, place[AT_DST]);
    }
    error = error ? error : run_main(op, call, place);
    if (!error && !call->primitive_only) {
        error = change(op, call->add ? OUT_ADD : OUT, place[AT_OUT], call->result);
    }
    leave_single(n);
    return error;
}

static void version(char *text, size_t size)
{
    const dnnl_version_t *const v = dnnl_version();
    snprintf(text, size, "%d.%d.%d", v->major, v->minor, v->patch);
}

static const bdl__dnnl_table table = {
    .abi = BDL__DNNL_ABI,
    .conv_size = sizeof(bdl__dnnl_conv),
    .op_size = sizeof(bdl__dnnl_op),
    .call_size = sizeof(bdl__dnnl_call),
    .bdl_version = BDL_VERSION_STRING,
    .version = version,
    .create = create,
    .destroy = destroy,
    .pack = pack,
    .execute = execute,
};

EXPORT const bdl__dnnl_table *bdl__dnnl_table_of(void);

const bdl__dnnl_table *bdl__dnnl_table_of(void) { return &table; }
