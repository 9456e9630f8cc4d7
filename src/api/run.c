/* SPDX-License-Identifier: Apache-2.0 */
/* Public evaluation and prediction. */
#include <math.h>
#include <string.h>

#include "api/api.h"

/* What both verbs open, or are given. */
typedef struct opened {
    bdl__saved *saved; /* owned unless given_model */
    bdl__dataset *dataset; /* owned */
    bool given_model;
    bdl__chain *own_chain;
    const bdl__chain *chain;
    bdl__precision precision;
} opened;

static void close_all(opened *o)
{
    bdl__chain_free(o->own_chain);
    bdl__dataset_free(o->dataset);
    if (!o->given_model) {
        bdl__saved_free(o->saved);
    }
}

/* Takes objects instead of names; says which options they stand for. */
static bdl_status take_given(const bdl_model *model, const bdl_data *data, opened *o,
                             const char *given[2], int64_t *n_given)
{
    *n_given = 0;
    if (model) {
        BDL__TRY(bdl__model_need_finished(model));
        o->saved = model->saved;
        o->given_model = true;
        given[(*n_given)++] = "model";
    }
    if (data) {
        BDL__TRY(bdl__data_need_finished(data));
        BDL__TRY(bdl__dataset_check(data->dataset));
        BDL__TRY(bdl__dataset_view(data->dataset, &o->dataset));
        given[(*n_given)++] = "data";
    }
    return BDL_OK;
}

static bdl_status open_data(bdl_context *context, const char *text, opened *o)
{
    return o->dataset ? BDL_OK
                      : bdl__dataset_open(&context->allocator, &context->log, context->pool, text,
                                          BDL__PART_TEST, &o->dataset);
}

static bdl_status open_model(bdl_context *context, const char *model, const char *precision,
                             opened *o)
{
    BDL__TRY(bdl__precision_choose(&context->log, precision, &o->precision));
    const bdl_dtype dtype = o->precision == BDL__F64_PRECISION ? BDL_F64 : BDL_F32;
    if (o->given_model) {
        BDL__CHECK(o->saved->model->dtype == dtype, BDL_ERR_INVALID_ARGUMENT,
                   "the model holds %s weights: use precision %s",
                   o->saved->model->dtype == BDL_F64 ? "float64" : "float32",
                   o->saved->model->dtype == BDL_F64 ? "f64" : "fp32");
        return BDL_OK;
    }
    return bdl__saved_open(&context->allocator, model, 1, dtype, &o->saved);
}

/* The chain that the user names, else the saved model's, else the data's own. */
static bdl_status open_chain(bdl_context *context, const char *transform, opened *o)
{
    const char *text = o->dataset->default_transform;
    if (transform && *transform) {
        text = strcmp(transform, "none") == 0 ? "" : transform;
    } else if (o->saved->chain) {
        o->chain = o->saved->chain;
        return BDL_OK;
    }
    BDL__TRY(bdl__chain_from_text(&context->allocator, text, &o->own_chain));
    o->chain = o->own_chain;
    return BDL_OK;
}

/* ---- evaluation --------------------------------------------------------------------------------- */

static bdl_status evaluate(bdl_context *context, const bdl__eval_params *params, opened *o,
                           bdl__heads **heads, bdl__text *text)
{
    const bdl__session session = bdl__context_session(context);
    BDL__TRY(open_model(context, params->model, params->precision, o));
    BDL__TRY(open_data(context, params->data, o));
    BDL__TRY(bdl__dataset_map_classes(o->dataset, o->saved->class_names, o->saved->n_classes));
    BDL__TRY(open_chain(context, params->transform, o));
    const char *const loss = *params->loss || !o->saved->loss ? params->loss : o->saved->loss;
    BDL__TRY(bdl__heads_create(&context->allocator, o->saved->model, o->dataset, loss,
                               params->metrics, params->target, heads));
    double values[BDL__MAX_HEADS];
    int64_t n = 0;
    const bdl__evaluation how = {.dataset = o->dataset,
                                 .chain = o->chain,
                                 .heads = *heads,
                                 .precision = o->precision,
                                 .batch = BDL__MIN(params->batch, o->dataset->n),
                                 .most_broken = params->most_broken};
    BDL__TRY(bdl__evaluate(&session, o->saved, &how, values, &n));
    bdl__json_writer w;
    bdl__json_writer_init(&w, text, 0);
    bdl__json_open(&w, '{');
    bdl__json_write_key(&w, "n");
    bdl__json_write_i64(&w, n);
    for (int i = 0; i < (*heads)->n; i++) {
        bdl__json_write_key(&w, (*heads)->name[i]);
        bdl__json_write_f64(&w, values[i]);
    }
    bdl__json_close(&w, '}');
    return BDL_OK;
}

bdl_status bdl_evaluate(bdl_context *context, const bdl_options *options, char **json)
{
    BDL__TRY(bdl__need_arguments(context && options && json, __func__));
    return bdl_evaluate_on(context, options, NULL, NULL, json);
}

bdl_status bdl_evaluate_on(bdl_context *context, const bdl_options *options, bdl_model *model,
                           const bdl_data *data, char **json)
{
    BDL__TRY(bdl__need_arguments(context && options && json, __func__));
    BDL__TRY(bdl__context_use(context));
    bdl__arena arena;
    bdl__text text;
    opened o = {0};
    bdl__heads *heads = NULL;
    bdl__eval_params params;
    bdl__arena_init(&arena, &context->allocator);
    bdl__text_init(&text, &context->allocator);
    const char *given[2];
    int64_t n_given;
    bdl_status status = take_given(model, data, &o, given, &n_given);
    if (status == BDL_OK) {
        status = bdl__options_read_given(options, "eval", given, n_given, &arena, &params);
    }
    if (status == BDL_OK) {
        status = evaluate(context, &params, &o, &heads, &text);
    }
    bdl__heads_free(heads);
    close_all(&o);
    bdl__arena_free(&arena);
    if (status == BDL_OK) {
        return bdl__text_give(&text, json);
    }
    bdl__text_free(&text);
    return status;
}

/* ---- prediction --------------------------------------------------------------------------------- */

typedef enum scores {
    SCORES_LOG,        /* the model ends in log_softmax */
    SCORES_PROBABILITY, /* in softmax, or sigmoid */
    SCORES_RAW         /* in raw scores of classes */
} scores;

typedef struct predicting {
    const opened *o;
    bdl_prediction_fn fn;
    void *user;
    bool is_class;
    scores scores;
    int64_t top;
    int32_t *order;
    double *best;
    const char **names;
} predicting;

/* Probabilities in place: exp for logarithms, softmax for raw scores. */
static void to_probabilities(scores kind, double *values, int64_t n)
{
    double largest = 0, sum = 1;
    if (kind == SCORES_PROBABILITY) {
        return;
    }
    if (kind == SCORES_RAW) {
        largest = values[0];
        for (int64_t i = 1; i < n; i++) {
            largest = BDL__MAX(largest, values[i]);
        }
        sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += exp(values[i] - largest);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        values[i] = exp(values[i] - largest) / sum;
    }
}

/* The best `top` classes by insertion: top is small. Of equals the lower class comes first. */
static int32_t find_best(predicting *p, const double *values, int64_t n)
{
    int32_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t at = count;
        while (at > 0 && values[i] > p->best[at - 1]) {
            at--;
        }
        if (at >= p->top) {
            continue;
        }
        count = (int32_t)BDL__MIN(count + 1, p->top);
        for (int32_t j = count - 1; j > at; j--) {
            p->best[j] = p->best[j - 1];
            p->order[j] = p->order[j - 1];
        }
        p->best[at] = values[i];
        p->order[at] = (int32_t)i;
    }
    return count;
}

static bdl_status give(void *arg, int64_t row, const double *values, int64_t n_values)
{
    predicting *const p = arg;
    bdl_prediction prediction = {.struct_size = sizeof prediction,
                                 .row = row,
                                 .name = bdl__dataset_name_of(p->o->dataset, row),
                                 .is_class = p->is_class};
    if (!p->is_class) {
        prediction.n = (int32_t)n_values;
        prediction.scores = values;
        return p->fn(p->user, &prediction);
    }
    double *const mutable_values = (double *)(uintptr_t)values; /* the pass's own buffer */
    to_probabilities(p->scores, mutable_values, n_values);
    prediction.n = find_best(p, values, n_values);
    prediction.order = p->order;
    prediction.scores = p->best;
    if (p->o->saved->class_names) {
        for (int32_t i = 0; i < prediction.n; i++) {
            p->names[i] =
                p->order[i] < p->o->saved->n_classes ? p->o->saved->class_names[p->order[i]] : "?";
        }
        prediction.class_names = p->names;
    }
    return p->fn(p->user, &prediction);
}

/* A classifier is what was trained with a criterion on classes, or ends in a softmax. */
static void describe_scores(predicting *p)
{
    const bdl__graph *const graph = p->o->saved->model->graph;
    const bdl__ref out = graph->outputs[0];
    const char *const last = out.node >= 0 ? graph->nodes[out.node]->layer->name : "";
    const char *const loss = p->o->saved->loss ? p->o->saved->loss : "";
    p->scores = strcmp(last, "log_softmax") == 0 ? SCORES_LOG
                : strcmp(last, "softmax") == 0   ? SCORES_PROBABILITY
                                                 : SCORES_RAW;
    p->is_class = p->scores != SCORES_RAW || strncmp(loss, "cross_entropy", 13) == 0 ||
                  p->o->saved->class_names;
}

static bdl_status predict(bdl_context *context, const bdl__predict_params *params,
                          const char *const *files, int64_t n_files, opened *o, predicting *p,
                          bdl__arena *arena)
{
    const bdl__session session = bdl__context_session(context);
    BDL__CHECK((n_files > 0) != (params->data && *params->data), BDL_ERR_INVALID_ARGUMENT,
               "predict needs image files, or --data, and not both");
    BDL__TRY(open_model(context, params->model, params->precision, o));
    const bdl__graph *const graph = o->saved->model->graph;
    if (n_files > 0) {
        const bdl__shape *const in = &graph->inputs[0].shape;
        const int64_t channels = in->rank == 3 && in->dim[0] == 3 ? 3 : 1;
        BDL__TRY(bdl__dataset_open_images(&context->allocator, &context->log, files, n_files,
                                          channels, &o->dataset));
    } else {
        BDL__TRY(open_data(context, params->data, o));
    }
    BDL__TRY(open_chain(context, params->transform, o));
    describe_scores(p);
    const int64_t n = bdl__shape_count(bdl__graph_shape(graph, graph->outputs[0]));
    void *memory = NULL;
    p->top = BDL__MIN(params->top, n);
    BDL__TRY(bdl__arena_alloc(arena, (size_t)p->top * sizeof *p->order, &memory));
    p->order = memory;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)p->top * sizeof *p->best, &memory));
    p->best = memory;
    BDL__TRY(bdl__arena_alloc(arena, (size_t)p->top * sizeof *p->names, &memory));
    p->names = memory;
    int64_t n_broken = 0;
    BDL__TRY(bdl__predict(&session, o->saved, o->dataset, o->chain, o->precision,
                          BDL__MIN(params->batch, o->dataset->n), NULL, give, p, &n_broken));
    BDL__CHECK(n_broken == 0, BDL_ERR_FORMAT, "%lld of %lld files could not be read and are left out",
               (long long)n_broken, (long long)o->dataset->n);
    return BDL_OK;
}

bdl_status bdl_predict(bdl_context *context, const bdl_options *options, const char *const *files,
                       int64_t n_files, bdl_prediction_fn fn, void *user)
{
    BDL__TRY(bdl__need_arguments(context && options && fn && (files || n_files <= 0), __func__));
    BDL__TRY(bdl__context_use(context));
    bdl__arena arena;
    opened o = {0};
    predicting p = {.o = &o, .fn = fn, .user = user};
    bdl__predict_params params;
    bdl__arena_init(&arena, &context->allocator);
    bdl_status status = bdl__options_read(options, "predict", &arena, &params);
    if (status == BDL_OK) {
        status = predict(context, &params, files, n_files, &o, &p, &arena);
    }
    close_all(&o);
    bdl__arena_free(&arena);
    return status;
}

/* ---- outputs into the caller's memory ----------------------------------------------------------- */

typedef struct collecting {
    float *dst;
} collecting;

static bdl_status collect(void *arg, int64_t row, const double *values, int64_t n_values)
{
    const collecting *const c = arg;
    float *const to = c->dst + row * n_values;
    for (int64_t i = 0; i < n_values; i++) {
        to[i] = (float)values[i];
    }
    return BDL_OK;
}

static bdl_status predict_into(bdl_context *context, const bdl__predict_params *params, opened *o,
                               bdl__predictor *predictor, float *dst, int64_t *n_broken)
{
    const bdl__session session = bdl__context_session(context);
    BDL__TRY(open_model(context, params->model, params->precision, o));
    BDL__TRY(open_chain(context, params->transform, o));
    const bdl__graph *const graph = o->saved->model->graph;
    const int64_t n_values = bdl__shape_count(bdl__graph_shape(graph, graph->outputs[0]));
    if (!o->dataset->is_fixed_shape) { /* what cannot be decoded stays as it is here */
        for (int64_t i = 0; i < o->dataset->n * n_values; i++) {
            dst[i] = NAN;
        }
    }
    collecting c = {.dst = dst};
    return bdl__predict(&session, o->saved, o->dataset, o->chain, o->precision, params->batch,
                        predictor, collect, &c, n_broken);
}

static bdl_status read_predict_options(bdl_context *context, const bdl_options *options,
                                       const char *const *given, int64_t n_given,
                                       bdl__arena *arena, bdl__predict_params *params)
{
    bdl_options *defaults = NULL;
    if (!options) {
        BDL__TRY(bdl_options_create(context, "predict", &defaults));
        options = defaults;
    }
    const bdl_status status =
        bdl__options_read_given(options, "predict", given, n_given, arena, params);
    bdl_options_free(defaults);
    return status;
}

bdl_status bdl_predict_on(bdl_context *context, const bdl_options *options, bdl_model *model,
                          const bdl_data *data, float *dst, int64_t *n_broken)
{
    bdl__arena arena;
    opened o = {0};
    bdl__predict_params params;
    const char *given[2];
    int64_t n_given, broken = 0;
    BDL__TRY(bdl__context_use(context));
    BDL__CHECK(model && data && dst, BDL_ERR_INVALID_ARGUMENT,
               "bdl_predict_on needs a model, data and a place for the results");
    bdl__arena_init(&arena, &context->allocator);
    bdl_status status = take_given(model, data, &o, given, &n_given);
    if (status == BDL_OK) {
        status = read_predict_options(context, options, given, n_given, &arena, &params);
    }
    if (status == BDL_OK) {
        status = predict_into(context, &params, &o, &model->predictor, dst, &broken);
    }
    if (status == BDL_OK && n_broken) {
        *n_broken = broken;
    }
    close_all(&o);
    bdl__arena_free(&arena);
    return status;
}
