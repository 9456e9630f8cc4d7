/* SPDX-License-Identifier: Apache-2.0 */
/* Running a model forward over a data set: means of heads, or the outputs themselves. */
#include <math.h>
#include <string.h>

#include "train/train.h"

/* The kernel target that computes in this model's numbers. */
static bdl__target target_of(const bdl__session *session, const bdl__model *model)
{
    return model->dtype == BDL_F64 ? BDL__TARGET_F64 : session->target;
}

typedef struct pass {
    bdl__workspace *workspace;
    bdl__runner *runner;
    bdl__batcher *batcher;
    int64_t n_slices, n_shards; /* of a full batch */
} pass;

static void close_pass(pass *p)
{
    bdl__batcher_free(p->batcher);
    bdl__runner_free(p->runner);
    bdl__workspace_free(p->workspace);
}

static bdl_status check_input(const bdl__model *model, const bdl__batcher *batcher,
                              const bdl__dataset *dataset)
{
    char want[BDL__SHAPE_TEXT_SIZE], got[BDL__SHAPE_TEXT_SIZE];
    const bdl__shape *const shape = bdl__batcher_shape(batcher);
    BDL__CHECK(bdl__shape_count(shape) == bdl__shape_count(&model->graph->inputs[0].shape),
               BDL_ERR_SHAPE, "the model takes samples of %s, '%s' gives %s%s",
               bdl__shape_text(&model->graph->inputs[0].shape, want, sizeof want), dataset->text,
               bdl__shape_text(shape, got, sizeof got), shape->rank == 3 ? " (the transform resize changes an image's size)" : "");
    return BDL_OK;
}

static bdl_status open_pass(const bdl__session *session, const bdl__saved *saved,
                            const bdl__dataset *dataset, const bdl__chain *chain,
                            const bdl__runner_options *options, double most_broken, pass *p)
{
    const int lanes = bdl__target_lanes(options->target);
    int64_t first = 0, end = 0;
    p->n_slices = (options->batch + BDL__SLICE - 1) / BDL__SLICE;
    p->n_shards = bdl__n_shards(p->n_slices);
    if (session->ranks) {
        bdl__ranks_slices(session->ranks, session->ranks->rank, p->n_slices, p->n_shards, &first, &end);
        if (first == end) { /* more ranks than slices: this one takes a slice that is always empty */
            first = p->n_slices;
            end = first + 1;
        }
    }
    const bdl__batch_options batching = {.batch = options->batch,
                                         .lanes = lanes,
                                         .real_size = options->target == BDL__TARGET_F64
                                                          ? 8
                                                          : 4 * (size_t)lanes,
                                         .n_epochs = 1,
                                         .by_key = options->n_heads > 0 && dataset->is_part,
                                         .first_slice = first,
                                         .n_slices = end - first,
                                         .n_threads = 1,
                                         .most_broken = most_broken,
                                         .cancel = session->ranks ? NULL : session->cancel};
    if (!p->workspace) {
        BDL__TRY(bdl__workspace_create(session->allocator, &p->workspace));
    }
    if (!p->runner) {
        BDL__TRY(bdl__runner_create(session->allocator, saved->model, session->pool, p->workspace,
                                    options, &p->runner));
    }
    BDL__TRY(bdl__batcher_create(session->allocator, dataset, chain, session->pool, &batching,
                                 &p->batcher));
    return check_input(saved->model, p->batcher, dataset);
}

/* With other ranks, all stop after the same batch: when all have heard of it. */
static bdl_status check_cancel(const bdl__session *session)
{
    const bdl__ranks *const ranks = session->ranks;
    const bool is_cancelled =
        ranks ? ranks->flags & BDL__RANKS_CANCEL : bdl__is_cancelled(session->cancel);
    BDL__CHECK(!is_cancelled, BDL_ERR_CANCELLED, "cancelled");
    return BDL_OK;
}

typedef bdl_status (*batch_fn)(void *arg, const bdl__batch *batch, bdl__exec *exec);

static bdl_status run_pass(const bdl__session *session, pass *p, batch_fn fn, void *arg)
{
    for (;;) {
        const bdl__batch *batch = NULL;
        bdl__exec *exec = NULL;
        BDL__TRY(check_cancel(session));
        BDL__TRY(bdl__batcher_next(p->batcher, &batch));
        if (!batch) {
            return BDL_OK;
        }
        bdl_status status = BDL_OK;
        if (session->ranks) {
            status = bdl__ranks_place(session->ranks, p->batcher, p->n_slices, p->n_shards, batch);
        }
        if (status == BDL_OK) {
            status = bdl__runner_run(p->runner, batch, 0, 0, NULL, NULL, &exec);
        }
        if (status == BDL_OK) {
            status = fn(arg, batch, exec);
        }
        bdl__batcher_release(p->batcher, batch);
        BDL__TRY(status);
    }
}

/* ---- means ------------------------------------------------------------------------------------ */

typedef struct means {
    const bdl__evaluation *how;
    double sum[BDL__MAX_HEADS][2];
    int64_t n_samples;
    int64_t n_done; /* of all ranks */
} means;

static bdl_status add_heads(void *arg, const bdl__batch *batch, bdl__exec *exec)
{
    means *const m = arg;
    const double *const heads = bdl__exec_heads(exec);
    for (int i = 0; i < m->how->heads->n; i++) {
        m->sum[i][0] += heads[2 * i];
        m->sum[i][1] += heads[2 * i + 1];
    }
    m->n_samples += batch->n_samples;
    m->n_done += batch->whole_samples;
    if (m->how->on_batch) {
        m->how->on_batch(m->how->arg, m->n_done);
    }
    return BDL_OK;
}

bdl_status bdl__evaluate(const bdl__session *session, const bdl__saved *saved,
                         const bdl__evaluation *how, double *values, int64_t *n_samples)
{
    pass p = {0};
    means m = {.how = how};
    const bdl__heads *const heads = how->heads;
    const bdl__runner_options options = {.precision = how->precision,
                                         .target = target_of(session, saved->model),
                                         .batch = how->batch,
                                         .heads = heads->head,
                                         .n_heads = heads->n,
                                         .target_shape = heads->target_shape,
                                         .target_integer = heads->target_integer,
                                         .target_is_input = heads->target_is_input,
                                         .ranks = session->ranks,
                                         .cancel = session->ranks ? &session->ranks->cancel
                                                                  : session->cancel};
    bdl_status status =
        open_pass(session, saved, how->dataset, how->chain, &options, how->most_broken, &p);
    if (status == BDL_OK) {
        status = run_pass(session, &p, add_heads, &m);
    }
    close_pass(&p);
    BDL__TRY(status);
    for (int i = 0; i < heads->n; i++) {
        const bool is_sum = m.sum[i][1] <= 0 && m.sum[i][1] >= 0;
        values[i] = is_sum ? m.sum[i][0] : m.sum[i][0] / m.sum[i][1];
    }
    *n_samples = m.n_samples;
    return BDL_OK;
}

/* ---- outputs ---------------------------------------------------------------------------------- */

typedef struct outputs {
    bdl__prediction_fn fn;
    void *arg;
    double *values;
    int64_t n_values;
    int lanes;
    bool is_f64;
} outputs;

static void read_sample(const outputs *o, const void *part, int lane)
{
    for (int64_t i = 0; i < o->n_values; i++) {
        const int64_t at = i * o->lanes + lane;
        o->values[i] =
            o->is_f64 ? ((const double *)part)[at] : (double)((const float *)part)[at];
    }
}

static bdl_status give_outputs(void *arg, const bdl__batch *batch, bdl__exec *exec)
{
    const outputs *const o = arg;
    const bdl__span span = bdl__exec_output(exec, 0);
    for (int64_t s = 0; s < batch->n_slices; s++) {
        for (int64_t i = 0; i < batch->valid[s]; i++) {
            const int64_t sample = s * BDL__SLICE + i;
            read_sample(o, bdl__span_part(span, sample / o->lanes), (int)(sample % o->lanes));
            BDL__TRY(o->fn(o->arg, batch->rows[sample], o->values, o->n_values));
        }
    }
    return BDL_OK;
}

void bdl__predictor_free(bdl__predictor *predictor)
{
    bdl__runner_free(predictor->runner);
    bdl__workspace_free(predictor->workspace);
    *predictor = (bdl__predictor){0};
}

/* Plans and memory of the last predictions, where those were of the same kind. */
static void take_predictor(pass *p, bdl__predictor *predictor, const bdl__runner_options *options)
{
    if (predictor) {
        if (predictor->precision != options->precision || predictor->batch != options->batch ||
            predictor->few_samples != options->few_samples) {
            bdl__predictor_free(predictor);
        }
        p->workspace = predictor->workspace;
        p->runner = predictor->runner;
        *predictor = (bdl__predictor){0};
    }
}

static void keep_predictor(pass *p, bdl__predictor *predictor, const bdl__runner_options *options)
{
    if (predictor) {
        *predictor = (bdl__predictor){.workspace = p->workspace,
                                      .runner = p->runner,
                                      .precision = options->precision,
                                      .batch = options->batch,
                                      .few_samples = options->few_samples};
        p->workspace = NULL;
        p->runner = NULL;
    }
}

bdl_status bdl__predict(const bdl__session *session, const bdl__saved *saved,
                        const bdl__dataset *dataset, const bdl__chain *chain,
                        bdl__precision precision, int64_t batch, bdl__predictor *predictor,
                        bdl__prediction_fn fn, void *arg, int64_t *n_broken)
{
    const bdl__graph *const graph = saved->model->graph;
    const bool few_samples =
        !session->ranks && bdl__plan_wants_few(graph, precision, dataset->n);
    const bdl__target target =
        few_samples ? BDL__TARGET_LANE1 : target_of(session, saved->model);
    pass p = {0};
    outputs o = {.fn = fn,
                 .arg = arg,
                 .n_values = bdl__shape_count(bdl__graph_shape(graph, graph->outputs[0])),
                 .lanes = bdl__target_lanes(target),
                 .is_f64 = target == BDL__TARGET_F64};
    BDL__CHECK(!bdl__graph_integer(graph, graph->outputs[0]), BDL_ERR_UNSUPPORTED,
               "the model's output holds whole numbers");
    const size_t size = (size_t)o.n_values * sizeof(double);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(session->allocator, size, &memory));
    o.values = memory;
    const bdl__runner_options options = {.precision = precision,
                                         .target = target,
                                         .batch = few_samples ? 1 : batch,
                                         .few_samples = few_samples,
                                         .cancel = session->ranks ? NULL : session->cancel};
    take_predictor(&p, predictor, &options);
    bdl_status status = open_pass(session, saved, dataset, chain, &options, 1, &p);
    if (status == BDL_OK) {
        status = run_pass(session, &p, give_outputs, &o);
        *n_broken = bdl__batcher_n_broken(p.batcher);
    }
    keep_predictor(&p, predictor, &options);
    close_pass(&p);
    bdl__free(session->allocator, memory, size);
    return status;
}
