/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A learner has two plans: one that begins backward at gradients from outside, one that begins at the criterion. A
 * plan runs forward and backward in one go, so a backward pass after a forward pass computes forward once more, with
 * the same random numbers; the running buffers are set back before, so that the batch counts once.
 */
#include "train/learner.h"

#include <math.h>
#include <string.h>

#define F(member, ...) BDL_FIELD(bdl__learn_params, member, __VA_ARGS__)

static const bdl__field fields[] = {
    F(optim, .def.s = "sgd(lr=0.05, momentum=0.9)", .doc = "Optimization method with parameters."),
    F(loss, .def.s = "",
      .doc = "Criterion with parameters; by default nll after log_softmax, else cross_entropy for "
             "classes and mse for numbers."),
    F(clip, .def.s = "", .doc = "Gradient clipping: 'norm(5)', 'value(1)', or both."),
    F(precision, .def.s = "fp32", .doc = "fp32, fp32_exact (no Winograd) or bf16."),
    F(seed, .def.i64 = 1, .range = BDL_AT_LEAST(0), .doc = "Seed of dropout and the like."),
};

const bdl__schema bdl__learn_schema = {.name = "learn",
                                       .fields = fields,
                                       .n_fields = BDL__COUNT_OF(fields),
                                       .params_size = sizeof(bdl__learn_params)};

/* A plan for so many slices, with its memory. */
typedef struct planned {
    int64_t n_slices; /* 0 = none yet */
    bdl__plan *plan;
    bdl__exec *exec;
} planned;

/* Memory that grows with the batch. */
typedef struct room {
    void *data; /* owned */
    size_t size;
} room;

struct bdl__learner {
    bdl__session session;
    bdl__saved *saved; /* borrowed */
    bdl__arena arena;  /* loss text, ranges */
    const char *loss_text;
    bdl__precision precision;
    uint64_t seed;
    int lanes;
    int64_t n_src, n_dst; /* values of a sample */
    bdl__optim *optim;
    bdl__clip clip;
    bdl__param_range *ranges;
    int64_t n_ranges;
    bdl__heads *heads; /* of the last loss */
    bdl__workspace *workspace;
    planned outside, criterion;
    room input, other, valid; /* in lanes; `other` holds targets or gradients */
    void *buffers_before;     /* running buffers before the forward pass */
    float *run_grads, *grads; /* of the last run; the sum */
    float *states[BDL__MAX_OPTIM_STATES];
    double *square_sums;
    int64_t n;       /* samples of the forward pass that backward may follow, 0 = none */
    int64_t n_runs;  /* forward passes and losses so far: the random numbers' step */
    int64_t n_steps; /* updates so far */
    double scale;    /* of what a run adds to the gradients */
    double rate;
};

static bdl__model *model_of(const bdl__learner *l) { return l->saved->model; }

static size_t weights_size(const bdl__learner *l)
{
    return (size_t)model_of(l)->graph->weights_count * sizeof(float);
}

static size_t buffers_size(const bdl__learner *l)
{
    return (size_t)model_of(l)->graph->buffers_count * sizeof(float);
}

/* ---- making ------------------------------------------------------------------------------------- */

static bdl_status alloc_weights(const bdl__learner *l, float **vector)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(l->session.allocator, weights_size(l), &memory));
    *vector = memory;
    return BDL_OK;
}

static bdl_status open_optim(bdl__learner *l, const bdl__learn_params *params)
{
    const bdl_allocator *const allocator = l->session.allocator;
    const int64_t n_blocks = model_of(l)->graph->weights_count / BDL__BLOCK;
    void *memory = NULL;
    BDL__TRY(bdl__optim_create(allocator, params->optim, &l->optim));
    BDL__TRY(bdl__clip_parse(allocator, params->clip, &l->clip));
    BDL__TRY(bdl__train_ranges(&l->arena, model_of(l)->graph, &l->ranges, &l->n_ranges));
    BDL__TRY(alloc_weights(l, &l->run_grads));
    BDL__TRY(alloc_weights(l, &l->grads));
    for (int i = 0; i < bdl__optim_n_states(l->optim); i++) {
        BDL__TRY(alloc_weights(l, &l->states[i]));
    }
    BDL__TRY(bdl__arena_alloc(&l->arena, (size_t)(n_blocks + 1) * sizeof(double), &memory));
    l->square_sums = memory;
    return bdl__alloc(allocator, buffers_size(l), &l->buffers_before);
}

static bdl_status open_all(bdl__learner *l, const bdl__learn_params *params)
{
    const bdl__graph *const graph = model_of(l)->graph;
    BDL__TRY(bdl__params_check(&bdl__learn_schema, params));
    BDL__TRY(bdl__precision_choose(l->session.log, params->precision, &l->precision));
    BDL__CHECK(model_of(l)->dtype == BDL_F32 && l->precision != BDL__F64_PRECISION,
               BDL_ERR_UNSUPPORTED, "a learner takes float32 models and precisions");
    BDL__CHECK(graph->n_inputs == 1, BDL_ERR_UNSUPPORTED,
               "a learner takes models with one input; this one has %lld",
               (long long)graph->n_inputs);
    BDL__TRY(bdl__arena_strdup(&l->arena, params->loss, &l->loss_text));
    l->seed = (uint64_t)params->seed;
    l->lanes = bdl__target_lanes(l->session.target);
    l->n_src = bdl__shape_count(&graph->inputs[0].shape);
    l->n_dst = bdl__shape_count(bdl__graph_shape(graph, graph->outputs[0]));
    BDL__TRY(bdl__workspace_create(l->session.allocator, &l->workspace));
    return open_optim(l, params);
}

bdl_status bdl__learner_create(const bdl__session *session, bdl__saved *saved,
                               const bdl__learn_params *params, bdl__learner **learner)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(session->allocator, sizeof **learner, &memory));
    bdl__learner *const made = memory;
    made->session = *session;
    made->saved = saved;
    bdl__arena_init(&made->arena, session->allocator);
    const bdl_status status = open_all(made, params);
    if (status != BDL_OK) {
        bdl__learner_free(made);
        return status;
    }
    *learner = made;
    return BDL_OK;
}

static void drop(planned *p)
{
    bdl__exec_free(p->exec);
    bdl__plan_free(p->plan);
    *p = (planned){0};
}

void bdl__learner_free(bdl__learner *l)
{
    if (!l) {
        return;
    }
    const bdl_allocator *const allocator = l->session.allocator;
    drop(&l->outside);
    drop(&l->criterion);
    bdl__workspace_free(l->workspace);
    bdl__heads_free(l->heads);
    bdl__optim_free(l->optim);
    bdl__free(allocator, l->input.data, l->input.size);
    bdl__free(allocator, l->other.data, l->other.size);
    bdl__free(allocator, l->valid.data, l->valid.size);
    bdl__free(allocator, l->buffers_before, buffers_size(l));
    bdl__free(allocator, l->run_grads, weights_size(l));
    bdl__free(allocator, l->grads, weights_size(l));
    for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
        bdl__free(allocator, l->states[i], weights_size(l));
    }
    bdl__arena_free(&l->arena);
    bdl__free(allocator, l, sizeof *l);
}

/* ---- batches ------------------------------------------------------------------------------------ */

static bdl_status need_room(const bdl__learner *l, room *r, int64_t n, size_t element_size)
{
    size_t size;
    BDL__CHECK(bdl__bytes_of(n, element_size, &size), BDL_ERR_INVALID_ARGUMENT,
               "a batch of so many samples is too large");
    if (size <= r->size && r->data) {
        return BDL_OK;
    }
    void *memory = NULL;
    BDL__TRY(bdl__alloc(l->session.allocator, size, &memory));
    bdl__free(l->session.allocator, r->data, r->size);
    *r = (room){.data = memory, .size = size};
    return BDL_OK;
}

/* Input and counts of a batch of n samples, which backward must not follow until it has run. */
static bdl_status take_input(bdl__learner *l, int64_t n, const float *src)
{
    BDL__CHECK(n >= 1 && n <= INT32_MAX, BDL_ERR_INVALID_ARGUMENT,
               "a batch has 1 to 2^31 - 1 samples, got %lld", (long long)n);
    const int64_t n_slices = bdl__round_up(n, BDL__SLICE) / BDL__SLICE;
    l->n = 0;
    BDL__TRY(need_room(l, &l->input, n_slices * BDL__SLICE, (size_t)l->n_src * sizeof(float)));
    BDL__TRY(need_room(l, &l->valid, n_slices, sizeof(int32_t)));
    bdl__to_lanes(src, n, l->n_src, l->lanes, l->input.data);
    for (int64_t i = 0; i < n_slices; i++) {
        ((int32_t *)l->valid.data)[i] = (int32_t)BDL__MIN(BDL__SLICE, n - i * BDL__SLICE);
    }
    return BDL_OK;
}

/* The plan for n samples, made anew where the last batch had another size. */
static bdl_status prepare(bdl__learner *l, planned *p, int64_t n)
{
    const bool is_outside = p == &l->outside;
    const int64_t n_slices = bdl__round_up(n, BDL__SLICE) / BDL__SLICE;
    if (p->n_slices == n_slices) {
        return BDL_OK;
    }
    drop(p);
    const bdl__plan_options options = {
        .graph = model_of(l)->graph,
        .is_training = true,
        .precision = l->precision,
        .target = l->session.target,
        .n_workers = bdl__pool_size(l->session.pool),
        .n_slices = n_slices,
        .global_batch = n,
        .heads = is_outside ? NULL : l->heads->head,
        .n_heads = is_outside ? 0 : 1,
        .target_shape = is_outside ? (bdl__shape){0} : l->heads->target_shape,
        .target_integer = !is_outside && l->heads->target_integer,
        .external_diffs = is_outside,
        .input_diffs = is_outside};
    BDL__TRY(bdl__plan_create(l->session.allocator, &options, &p->plan));
    const bdl_status status = bdl__exec_create(l->session.allocator, p->plan, l->session.pool,
                                               model_of(l), l->workspace, l->run_grads, &p->exec);
    if (status != BDL_OK) {
        drop(p);
        return status;
    }
    p->n_slices = n_slices;
    return BDL_OK;
}

static double mean_loss(const double *heads) { return heads[0] / (heads[1] > 0 ? heads[1] : 1); }

/* Called by every worker with the sums of a run, those of a finite loss: adds this worker's share to the gradients. */
static void add_grads(void *arg, const bdl__exec_worker *w)
{
    bdl__learner *const l = arg;
    double scale = l->scale;
    if (w->heads && scale <= 0) { /* a criterion's: the mean */
        if (!isfinite(mean_loss(w->heads))) {
            return;
        }
        scale = 1 / (w->heads[1] > 0 ? w->heads[1] : 1);
    }
    int64_t begin, end;
    bdl__split_range(model_of(l)->graph->weights_count, w->worker, w->n_workers, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        l->grads[i] += (float)scale * l->run_grads[i];
    }
}

static bdl_status run(bdl__learner *l, planned *p, int64_t other_stride, bool forward_only)
{
    const bdl__span input = {l->input.data, l->n_src * l->lanes * (int64_t)sizeof(float)};
    const bdl__span other = {l->other.data, other_stride};
    bdl__span diffs[BDL__MAX_PORTS] = {{0}};
    diffs[0] = other;
    const bdl__exec_batch batch = {.n_slices = p->n_slices,
                                   .valid = l->valid.data,
                                   .inputs = &input,
                                   .target = other,
                                   .output_diffs = p == &l->outside ? diffs : NULL,
                                   .forward_only = forward_only,
                                   .cancel = l->session.cancel,
                                   .seed = l->seed,
                                   .step = (uint64_t)l->n_runs};
    return bdl__exec_run(p->exec, &batch, forward_only ? NULL : add_grads, l);
}

/* ---- forward and backward ----------------------------------------------------------------------- */

bdl_status bdl__learner_forward(bdl__learner *l, int64_t n, const float *src, float *dst)
{
    BDL__CHECK(model_of(l)->graph->n_outputs == 1, BDL_ERR_UNSUPPORTED,
               "forward and backward take models with one output; this one has %lld",
               (long long)model_of(l)->graph->n_outputs);
    BDL__TRY(take_input(l, n, src));
    BDL__TRY(prepare(l, &l->outside, n));
    BDL__TRY(need_room(l, &l->other, l->outside.n_slices * BDL__SLICE,
                       (size_t)l->n_dst * sizeof(float)));
    memcpy(l->buffers_before, model_of(l)->buffers, buffers_size(l));
    BDL__TRY(run(l, &l->outside, l->n_dst * l->lanes * (int64_t)sizeof(float), true));
    bdl__from_lanes(bdl__exec_output(l->outside.exec, 0), n, l->n_dst, l->lanes, dst);
    l->n = n;
    l->n_runs++;
    return BDL_OK;
}

/* Gradients of samples that only fill up a slice are zero. */
static void take_diffs(bdl__learner *l, const float *diff_dst)
{
    float *const lanes = l->other.data;
    bdl__to_lanes(diff_dst, l->n, l->n_dst, l->lanes, lanes);
    for (int64_t s = l->n; s < l->outside.n_slices * BDL__SLICE; s++) {
        for (int64_t i = 0; i < l->n_dst; i++) {
            lanes[s / l->lanes * l->lanes * l->n_dst + i * l->lanes + s % l->lanes] = 0;
        }
    }
}

bdl_status bdl__learner_backward(bdl__learner *l, const float *diff_dst, float *diff_src)
{
    BDL__CHECK(l->n > 0, BDL_ERR_STATE, "backward follows a forward pass, once");
    take_diffs(l, diff_dst);
    memcpy(model_of(l)->buffers, l->buffers_before, buffers_size(l));
    l->scale = 1;
    l->n_runs--; /* the random numbers of that forward pass */
    const bdl_status status =
        run(l, &l->outside, l->n_dst * l->lanes * (int64_t)sizeof(float), false);
    l->n_runs++;
    BDL__TRY(status);
    if (diff_src) {
        bdl__from_lanes(bdl__exec_input_diff(l->outside.exec, 0), l->n, l->n_src, l->lanes, diff_src);
    }
    l->n = 0;
    return BDL_OK;
}

/* ---- the loss ----------------------------------------------------------------------------------- */

/* The criterion for classes or for values; made anew where the last loss was of the other kind. */
static bdl_status open_heads(bdl__learner *l, bool is_class)
{
    if (l->heads && l->heads->target_integer == is_class) {
        return BDL_OK;
    }
    const bdl__graph *const graph = model_of(l)->graph;
    const bdl__dataset described = {.text = "the batch",
                                    .label_kind = is_class ? BDL__LABEL_CLASS : BDL__LABEL_FLOATS,
                                    .n_classes = is_class ? 1 : 0,
                                    .target_shape = *bdl__graph_shape(graph, graph->outputs[0])};
    drop(&l->criterion);
    bdl__heads_free(l->heads);
    l->heads = NULL;
    return bdl__heads_create(l->session.allocator, model_of(l), &described, l->loss_text,
                             is_class ? "top1" : "mae", "label", &l->heads);
}

static bdl_status take_labels(bdl__learner *l, int64_t n, const double *labels)
{
    const int64_t n_lanes = bdl__round_up(n, BDL__SLICE);
    BDL__TRY(need_room(l, &l->other, n_lanes, sizeof(int32_t)));
    for (int64_t s = 0; s < n_lanes; s++) {
        const double label = labels[BDL__MIN(s, n - 1)];
        const bool is_class = label >= 0 && label < (double)l->n_dst; /* false for NaN */
        BDL__CHECK(is_class && (double)(int64_t)label >= label, BDL_ERR_INVALID_ARGUMENT,
                   "sample %lld: the label must be a class number from 0 to %lld, found %g",
                   (long long)s, (long long)l->n_dst - 1, label);
        ((int32_t *)l->other.data)[s] = (int32_t)label;
    }
    return BDL_OK;
}

static bdl_status take_targets(bdl__learner *l, int64_t n, const float *targets)
{
    const int64_t n_lanes = bdl__round_up(n, BDL__SLICE);
    BDL__TRY(need_room(l, &l->other, n_lanes, (size_t)l->n_dst * sizeof(float)));
    bdl__to_lanes(targets, n, l->n_dst, l->lanes, l->other.data);
    return BDL_OK;
}

/* Leaves the model as it was before this loss. */
static bdl_status fail_nonfinite(bdl__learner *l, int64_t stride)
{
    const bdl__span input = {l->input.data, l->n_src * l->lanes * (int64_t)sizeof(float)};
    const bdl__exec_batch batch = {.n_slices = l->criterion.n_slices,
                                   .valid = l->valid.data,
                                   .inputs = &input,
                                   .target = {l->other.data, stride},
                                   .cancel = l->session.cancel,
                                   .seed = l->seed,
                                   .step = (uint64_t)l->n_runs};
    const char *node = NULL;
    const bdl_status status = bdl__exec_find_nonfinite(l->criterion.exec, &batch, &node);
    memcpy(model_of(l)->buffers, l->buffers_before, buffers_size(l));
    BDL__TRY(status);
    BDL__FAIL(BDL_ERR_NUMERIC,
              "the loss is not a finite number: the first layer with such values is '%s'. A smaller "
              "learning rate, clipping or a check of the data may help",
              node ? node : "the loss itself");
}

bdl_status bdl__learner_loss(bdl__learner *l, int64_t n, const float *src, const double *labels,
                             const float *targets, double *loss)
{
    BDL__CHECK((labels != NULL) != (targets != NULL), BDL_ERR_INVALID_ARGUMENT,
               "a loss compares with labels or with targets, one of which is given");
    const bool is_class = labels != NULL;
    BDL__TRY(open_heads(l, is_class));
    BDL__TRY(take_input(l, n, src));
    BDL__TRY(is_class ? take_labels(l, n, labels) : take_targets(l, n, targets));
    BDL__TRY(prepare(l, &l->criterion, n));
    const int64_t stride = (is_class ? 1 : l->n_dst) * l->lanes * 4;
    l->scale = 0;
    memcpy(l->buffers_before, model_of(l)->buffers, buffers_size(l));
    BDL__TRY(run(l, &l->criterion, stride, false));
    const double mean = mean_loss(bdl__exec_heads(l->criterion.exec));
    if (!isfinite(mean)) {
        return fail_nonfinite(l, stride);
    }
    l->n_runs++;
    *loss = mean;
    return BDL_OK;
}

/* ---- the update --------------------------------------------------------------------------------- */

typedef struct updating {
    bdl__learner *learner;
    bdl__barrier barrier;
} updating;

static void update(void *arg, int worker)
{
    updating *const u = arg;
    bdl__learner *const l = u->learner;
    const int n_workers = bdl__pool_size(l->session.pool);
    const int64_t n_blocks = model_of(l)->graph->weights_count / BDL__BLOCK;
    const bdl__param_ranges ranges = {.range = l->ranges, .n = l->n_ranges};
    void *states[BDL__MAX_OPTIM_STATES];
    bdl__optim_step step;
    int64_t begin, end;
    memcpy(states, l->states, sizeof states);
    bdl__optim_begin(l->optim, l->n_steps, l->rate, 1, &l->clip, &step);
    bdl__split_range(n_blocks, worker, n_workers, &begin, &end);
    begin *= BDL__BLOCK;
    end *= BDL__BLOCK;
    if (l->clip.max_norm > 0) {
        bdl__optim_square_sums(l->session.target, l->grads, ranges, begin, end, l->square_sums);
        bdl__barrier_wait(&u->barrier, n_workers);
        bdl__optim_clip_norm(&step, bdl__optim_norm(l->square_sums, n_blocks));
    }
    bdl__optim_update(&step, l->session.target, model_of(l)->weights, l->grads, states, ranges, begin,
                      end);
}

bdl_status bdl__learner_step(bdl__learner *l, double rate)
{
    updating u = {.learner = l};
    BDL__CHECK(rate >= 0 && isfinite(rate), BDL_ERR_INVALID_ARGUMENT,
               "the learning rate must be a finite number, at least 0 (0: the method's own), got %g", rate);
    l->rate = rate > 0 ? rate : bdl__optim_lr(l->optim);
    BDL__TRY(bdl__pool_run(l->session.pool, update, &u));
    model_of(l)->weights_version++;
    l->n_steps++;
    l->n = 0; /* the forward pass was of other weights */
    return BDL_OK;
}

void bdl__learner_zero_grad(bdl__learner *l) { memset(l->grads, 0, weights_size(l)); }

float *bdl__learner_grad(const bdl__learner *l, int64_t i)
{
    return l->grads + model_of(l)->graph->params[i].offset;
}
