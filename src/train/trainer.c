/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a trainer: model, data, criterion, method, and the checkpoint to go on from. */
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "train/checkpoint_file.h"

#define DEFAULT_EPOCHS 10

static bool given(const char *text) { return text && *text; }

static bdl_status open_model(bdl__trainer *t, const char *text)
{
    const bdl_dtype dtype = t->precision == BDL__F64_PRECISION ? BDL_F64 : BDL_F32;
    t->target = dtype == BDL_F64 ? BDL__TARGET_F64 : t->session.target;
    BDL__CHECK(dtype == BDL_F32 || t->params.wire.i == BDL__WIRE_FP32, BDL_ERR_UNSUPPORTED,
               "--wire bf16 is for float32 weights: use --wire fp32 with --precision f64");
    t->saved = t->sources.model;
    if (!t->saved) {
        BDL__TRY(
            bdl__saved_open(t->session.allocator, text, (uint64_t)t->params.seed, dtype, &t->saved));
    }
    BDL__CHECK(t->saved->model->dtype == dtype, BDL_ERR_UNSUPPORTED,
               "'%s' holds %s weights: train it with --precision %s", text,
               t->saved->model->dtype == BDL_F64 ? "float64" : "float32",
               t->saved->model->dtype == BDL_F64 ? "f64" : "fp32");
    return BDL_OK;
}

/* Known before any data are read: a model's text that cannot be right, and where weights are float64. */
static bdl_status check_model(bdl__trainer *t, bool *is_ready_made)
{
    *is_ready_made = false;
    if (t->sources.model) {
        return open_model(t, t->sources.model->model->graph->name);
    }
    BDL__TRY(bdl__fit_check(&t->arena, t->params.model, is_ready_made));
    return *is_ready_made ? BDL_OK : open_model(t, t->params.model);
}

/* The chain that the user asks for, or the data's own. */
static bdl_status make_chain(bdl__trainer *t)
{
    const char *text = t->data->default_transform;
    if (given(t->params.transform)) {
        text = strcmp(t->params.transform, "none") == 0 ? "" : t->params.transform;
    }
    BDL__TRY(bdl__chain_from_text(t->session.allocator, text, &t->own_chain));
    t->chain = t->own_chain;
    return BDL_OK;
}

/* Given or by name; rows that other ranks have parts of are dealt out. */
static bdl_status open_set(bdl__trainer *t, const bdl__dataset *source, const char *text,
                           bdl__data_part part, bdl__dataset **data)
{
    const bdl__session *const s = &t->session;
    if (source) {
        BDL__TRY(bdl__dataset_view(source, data));
    } else {
        BDL__TRY(bdl__dataset_open(s->allocator, s->log, s->pool, text, part, data));
    }
    if (t->ranks && (*data)->is_part) {
        BDL__TRY(bdl__trainer_deal(t, part == BDL__PART_TEST, data));
    }
    return bdl__dataset_check(*data);
}

static bdl_status open_data(bdl__trainer *t)
{
    BDL__TRY(open_set(t, t->sources.data, t->params.data, BDL__PART_TRAIN, &t->data));
    if (t->data->is_part && !t->ranks) {
        BDL__TRY(bdl__dataset_sum_keys(t->session.allocator, t->data, t->session.pool, &t->key_sum));
    }
    BDL__TRY(bdl__trainer_divide(t, t->data->n));
    if (!t->sources.val && !given(t->params.val)) {
        return BDL_OK;
    }
    BDL__TRY(open_set(t, t->sources.val, t->params.val, BDL__PART_TEST, &t->val));
    return bdl__dataset_map_classes(t->val, t->data->class_names, t->data->n_classes);
}

/* A ready-made model takes what the user did not say from the data; a saved one brings its own chain and
 * the names of its classes. */
static bdl_status open_model_and_data(bdl__trainer *t)
{
    bool is_ready_made;
    bdl__shape shape;
    const char *text;
    BDL__TRY(check_model(t, &is_ready_made));
    BDL__TRY(open_data(t));
    if (!is_ready_made && t->saved->chain && !given(t->params.transform)) {
        t->chain = t->saved->chain;
        return BDL_OK;
    }
    BDL__TRY(make_chain(t));
    if (!is_ready_made) {
        return BDL_OK;
    }
    BDL__TRY(bdl__chain_infer(t->chain, &t->data->shape, t->data->element, &shape));
    BDL__TRY(bdl__fit_text(&t->arena, t->params.model, t->data, &shape, &text));
    return open_model(t, text);
}

/* The slices of a batch that this rank computes; 0 slices are all. */
static void own_slices(const bdl__trainer *t, int64_t *first, int64_t *n)
{
    int64_t end = 0;
    *first = 0;
    if (t->ranks) {
        bdl__ranks_slices(t->ranks, t->ranks->rank, t->n_slices, t->n_shards, first, &end);
    }
    *n = end - *first;
}

static bdl_status open_batcher(bdl__trainer *t)
{
    int64_t first_slice, n_slices;
    own_slices(t, &first_slice, &n_slices);
    const int lanes = bdl__target_lanes(t->target);
    const bdl__batch_options options = {
        .batch = t->params.batch,
        .lanes = lanes,
        .real_size = t->target == BDL__TARGET_F64 ? 8 : 4 * (size_t)lanes,
        .is_training = true,
        .seed = (uint64_t)t->params.seed,
        .first_epoch = t->position.epoch,
        .first_step = t->position.step,
        .first_slice = first_slice,
        .n_slices = n_slices,
        .n_threads = (int)t->params.readers,
        .most_broken = t->params.most_broken,
        .cancel = t->ranks ? NULL : t->session.cancel};
    BDL__TRY(bdl__batcher_create(t->session.allocator, t->data, t->chain, t->session.pool, &options,
                                 &t->batcher));
    t->steps = bdl__batcher_steps(t->batcher);
    const bdl__shape *const shape = bdl__batcher_shape(t->batcher);
    const bdl__shape *const want = &t->saved->model->graph->inputs[0].shape;
    char wanted[BDL__SHAPE_TEXT_SIZE], got[BDL__SHAPE_TEXT_SIZE];
    BDL__CHECK(bdl__shape_count(shape) == bdl__shape_count(want), BDL_ERR_SHAPE,
               "the model takes samples of %s, '%s' gives %s",
               bdl__shape_text(want, wanted, sizeof wanted), t->data->text,
               bdl__shape_text(shape, got, sizeof got));
    return BDL_OK;
}

static bdl_status count_blocks(bdl__trainer *t)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)t->ranks->n * sizeof(int64_t), &memory));
    t->block_counts = memory;
    for (int r = 0; r < t->ranks->n; r++) {
        t->block_counts[r] = bdl__shares_count(t->shares, r) / BDL__BLOCK;
    }
    return BDL_OK;
}

/* The ranges of the own buckets, counted as own vectors are. */
static bdl_status cut_param_ranges(bdl__trainer *t)
{
    int64_t n_buckets, n = 0;
    const bdl__bucket *const buckets = bdl__shares_buckets(t->shares, &n_buckets);
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)(t->n_ranges + n_buckets) * sizeof *t->ranges, &memory));
    bdl__param_range *const made = memory;
    for (int64_t b = 0; b < n_buckets; b++) {
        const int64_t shift = buckets[b].begin - buckets[b].own_at;
        for (int64_t i = 0; i < t->n_ranges; i++) {
            bdl__param_range range = t->ranges[i];
            range.begin = BDL__MAX(range.begin, buckets[b].begin) - shift;
            range.end = BDL__MIN(range.end, buckets[b].end) - shift;
            if (range.begin < range.end) {
                made[n++] = range;
            }
        }
    }
    t->ranges = made;
    t->n_ranges = n;
    return BDL_OK;
}

/* What this rank updates: alone everything, else its buckets. */
static bdl_status share_weights(bdl__trainer *t)
{
    t->own_count = t->saved->model->graph->weights_count;
    if (!t->ranks) {
        return BDL_OK;
    }
    BDL__TRY(bdl__shares_create(t->ranks, t->saved->model, t->params.bucket,
                                t->params.wire.i == BDL__WIRE_BF16, &t->shares));
    t->own_count = bdl__shares_count(t->shares, t->ranks->rank);
    BDL__TRY(count_blocks(t));
    return cut_param_ranges(t);
}

static bdl_status alloc_vector(bdl__trainer *t, void **vector)
{
    const bdl__model *const model = t->saved->model;
    return bdl__alloc(t->session.allocator, (size_t)t->own_count * bdl__scalar_size(model->dtype),
                      vector);
}

static bdl_status open_optim(bdl__trainer *t)
{
    const bdl_allocator *const allocator = t->session.allocator;
    BDL__TRY(bdl__optim_create(allocator, t->params.optim, &t->optim));
    BDL__TRY(bdl__schedule_create(allocator, t->params.schedule, &t->schedule));
    BDL__TRY(bdl__clip_parse(allocator, t->params.clip, &t->clip));
    BDL__TRY(bdl__train_ranges(&t->arena, t->saved->model->graph, &t->ranges, &t->n_ranges));
    BDL__TRY(share_weights(t));
    BDL__TRY(alloc_vector(t, &t->grads));
    for (int i = 0; i < bdl__optim_n_states(t->optim); i++) {
        BDL__TRY(alloc_vector(t, &t->states[i]));
    }
    void *memory = NULL;
    const int64_t n_blocks = t->saved->model->graph->weights_count / BDL__BLOCK;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)(n_blocks + 1) * sizeof(double), &memory));
    t->square_sums = memory;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)(n_blocks + 1) * sizeof(double), &memory));
    t->block_sums = memory;
    return BDL_OK;
}

/* Of a bucket, in scalars; 0 = all leave after backward. */
static int64_t bucket_count(const bdl__trainer *t)
{
    const int64_t size = (int64_t)bdl__scalar_size(t->saved->model->dtype);
    return (t->params.bucket + size - 1) / size;
}

static bdl_status open_runner(bdl__trainer *t)
{
    const bdl__runner_options options = {.is_training = true,
                                         .precision = t->precision,
                                         .target = t->target,
                                         .batch = t->params.batch,
                                         .n_shards = t->n_shards,
                                         .heads = t->heads->head,
                                         .n_heads = 1,
                                         .target_shape = t->heads->target_shape,
                                         .target_integer = t->heads->target_integer,
                                         .target_is_input = t->heads->target_is_input,
                                         .grads = t->grads,
                                         .ranks = t->ranks,
                                         .shares = t->shares,
                                         .bucket_count =
                                             t->ranks ? bucket_count(t) : 0,
                                         .cancel = t->ranks ? &t->ranks->cancel
                                                            : t->session.cancel};
    BDL__TRY(bdl__workspace_create(t->session.allocator, &t->workspace));
    return bdl__runner_create(t->session.allocator, t->saved->model, t->session.pool, t->workspace,
                              &options, &t->runner);
}

/* ---- limits ------------------------------------------------------------------------------------- */

static bdl_status parse_every(bdl__trainer *t)
{
    if (strcmp(t->params.every, "epoch") == 0) {
        return BDL_OK;
    }
    BDL__CHECK(bdl__parse_i64(t->params.every, &t->every) && t->every > 0, BDL_ERR_INVALID_ARGUMENT,
               "every needs 'epoch' or a number of iterations, got '%s'", t->params.every);
    return BDL_OK;
}

/* A schedule that watches what is never measured would fail only after the first epoch. */
static bdl_status check_monitor(const bdl__trainer *t)
{
    const bdl__progress start = {.epoch_iterations = 1};
    const char *const monitor = bdl__schedule_monitor(t->schedule, &start);
    if (!monitor || strcmp(monitor, "loss") == 0) {
        return BDL_OK;
    }
    BDL__CHECK(t->val, BDL_ERR_INVALID_ARGUMENT,
               "the schedule watches '%s', which needs validation data: add --val", monitor);
    bool is_known = strcmp(monitor, "score") == 0 && t->heads->n > 1;
    for (int i = 1; i < t->heads->n; i++) {
        is_known = is_known || strcmp(monitor, t->heads->name[i]) == 0;
    }
    BDL__CHECK(is_known, BDL_ERR_INVALID_ARGUMENT,
               "the schedule watches '%s', which is not measured: add it to --metrics", monitor);
    return BDL_OK;
}

static bdl_status set_limits(bdl__trainer *t)
{
    const bdl__train_params *const p = &t->params;
    BDL__TRY(parse_every(t));
    BDL__TRY(check_monitor(t));
    t->max_epochs = p->epochs;
    t->max_iterations = p->iterations;
    if (given(p->until)) {
        const char *names[BDL__MAX_HEADS + 3] = {"epoch", "iteration", "loss"};
        int64_t n = 3;
        for (int i = 1; i < t->heads->n; i++) {
            names[n++] = t->heads->name[i];
        }
        BDL__TRY(bdl__trigger_parse(&t->arena, p->until, names, n, &t->until));
        for (int i = 1; i < t->heads->n && !t->val; i++) {
            BDL__CHECK(!strstr(p->until, t->heads->name[i]), BDL_ERR_INVALID_ARGUMENT,
                       "the condition '%s' needs validation data: add --val", p->until);
        }
    }
    if (!t->until && p->epochs == 0 && p->iterations == 0) {
        t->max_epochs = DEFAULT_EPOCHS;
    }
    BDL__CHECK(!p->resume || !given(p->start), BDL_ERR_INVALID_ARGUMENT,
               "resume and start both say what to go on from: leave one out");
    return BDL_OK;
}

/* What must be the same for a run to go on in the middle of an epoch. */
static bdl_status write_settings(bdl__trainer *t)
{
    bdl__text text;
    bdl__json_writer writer;
    bdl__text_init(&text, t->session.allocator);
    bdl__json_writer_init(&writer, &text, 0);
    bdl__json_open(&writer, '{');
    bdl__json_write_key(&writer, "data");
    bdl__json_write_string(&writer, t->data->text);
    bdl__json_write_key(&writer, "samples");
    bdl__json_write_i64(&writer, t->data->n);
    if (t->data->is_part) { /* the text says nothing of what a program has given */
        char keys[33];
        snprintf(keys, sizeof keys, "%016" PRIx64 "%016" PRIx64, t->key_sum.high, t->key_sum.low);
        bdl__json_write_key(&writer, "sum of keys");
        bdl__json_write_string(&writer, keys);
    }
    bdl__json_write_key(&writer, "batch");
    bdl__json_write_i64(&writer, t->params.batch);
    if (t->n_shards != bdl__n_shards(t->n_slices)) {
        bdl__json_write_key(&writer, "shards");
        bdl__json_write_i64(&writer, t->n_shards);
    }
    bdl__json_write_key(&writer, "seed");
    bdl__json_write_i64(&writer, t->params.seed);
    bdl__json_write_key(&writer, "precision");
    bdl__json_write_string(&writer, t->params.precision);
    if (t->params.wire.i == BDL__WIRE_BF16) {
        bdl__json_write_key(&writer, "wire");
        bdl__json_write_string(&writer, "bf16");
    }
    bdl__json_write_key(&writer, "target");
    bdl__json_write_string(&writer, bdl__target_name(t->target));
    bdl__json_write_key(&writer, "version");
    bdl__json_write_string(&writer, BDL_VERSION_STRING);
    bdl__json_close(&writer, '}');
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__arena_strdup(&t->arena, bdl__text_get(&text), &t->settings);
    }
    bdl__text_free(&text);
    return status;
}

bdl__checkpoint_io bdl__trainer_io(const bdl__trainer *trainer)
{
    return (bdl__checkpoint_io){.allocator = trainer->session.allocator,
                                .model = trainer->saved->model,
                                .optim = trainer->optim,
                                .states = trainer->states,
                                .schedule = trainer->schedule,
                                .settings = trainer->settings,
                                .target = trainer->target};
}

/* Results of a checkpoint are of use where the same metrics are measured on the same data. */
static void set_results_key(bdl__trainer *t)
{
    bdl__sha256 hash;
    uint8_t digest[32];
    const char *const val = t->val ? t->val->text : "";
    bdl__sha256_init(&hash);
    bdl__sha256_update(&hash, val, strlen(val) + 1);
    for (int i = 0; i < t->heads->n; i++) {
        bdl__sha256_update(&hash, t->heads->name[i], strlen(t->heads->name[i]) + 1);
    }
    bdl__sha256_final(&hash, digest);
    for (int i = 0; i < 4; i++) {
        t->results_key = t->results_key << 8 | digest[i];
    }
}

/* Stop conditions go on with what was measured last. */
static void take_results(bdl__trainer *t)
{
    const bdl__position *const p = &t->position;
    if (p->results_key != t->results_key || p->n_results != 1 + t->heads->n) {
        return;
    }
    t->mean_loss = p->results[0];
    memcpy(t->values, p->results + 1, (size_t)t->heads->n * sizeof *t->values);
    if (t->val && p->step == 0 && !p->validation_due && !isnan(t->values[0])) {
        t->validated = p->iteration;
    }
}

bdl_status bdl__trainer_read(bdl__trainer *t, const bdl__checkpoint_io *io, const char **path)
{
    bool is_damaged;
    if (given(t->params.start)) {
        *path = t->params.start;
        return bdl__checkpoint_file_read(io, t->session.log, *path, &t->position, &is_damaged);
    }
    const bdl_status status = bdl__checkpoint_read(io, t->session.log, t->params.checkpoint,
                                                   &t->position, &t->arena, path);
    if (status == BDL_ERR_NOT_FOUND) {
        BDL__LOG(t->session.log, BDL__LOG_INFO, "no checkpoint in %s: starting from the beginning",
                 t->params.checkpoint);
    }
    return status;
}

void bdl__trainer_log_resume(const bdl__trainer *t, const char *path)
{
    const bdl__position *const p = &t->position;
    BDL__LOG(t->session.log, BDL__LOG_INFO, "resuming from %s (after iteration %lld, %s epoch %lld)", path,
             (long long)p->iteration, p->step > 0 ? "in" : "before", (long long)p->epoch + 1);
}

static bdl_status resume_alone(bdl__trainer *t)
{
    const bdl__checkpoint_io io = bdl__trainer_io(t);
    const char *path = NULL;
    if (!t->params.resume && !given(t->params.start)) {
        return BDL_OK;
    }
    const bdl_status status = bdl__trainer_read(t, &io, &path);
    if (status == BDL_ERR_NOT_FOUND && !given(t->params.start)) {
        return BDL_OK;
    }
    BDL__TRY(status);
    bdl__trainer_log_resume(t, path);
    return BDL_OK;
}

static bdl_status resume(bdl__trainer *t)
{
    BDL__TRY(write_settings(t));
    if (t->ranks) {
        BDL__TRY(bdl__together_check(t));
    }
    bdl__trainer_say_division(t);
    BDL__TRY(t->ranks ? bdl__together_resume(t) : resume_alone(t));
    take_results(t);
    return BDL_OK;
}

/* A saved model carries the preprocessing and the names of the classes of its training data. */
static bdl_status describe_saved(bdl__trainer *t)
{
    bdl__saved *const saved = t->saved;
    if (t->own_chain) {
        bdl__chain_free(saved->chain);
        saved->chain = t->own_chain;
        t->own_chain = NULL;
    }
    if (t->data->class_names && t->heads->target_integer) {
        void *memory = NULL;
        const size_t size = (size_t)t->data->n_classes * sizeof(char *);
        BDL__TRY(bdl__arena_alloc(&saved->arena, size, &memory));
        const char **const names = memory;
        for (int64_t i = 0; i < t->data->n_classes; i++) {
            BDL__TRY(bdl__arena_strdup(&saved->arena, t->data->class_names[i], &names[i]));
        }
        saved->class_names = names;
        saved->n_classes = t->data->n_classes;
    }
    bdl__text text;
    bdl__text_init(&text, t->session.allocator);
    bdl__text_append(&text, "%s", t->heads->head[0].layer->name);
    bdl__text_append(&text, "(");
    bdl__params_to_text(&t->heads->head[0].layer->schema, t->heads->head[0].params, &text);
    bdl__text_append(&text, ")");
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__arena_strdup(&saved->arena, bdl__text_get(&text), &saved->loss);
    }
    bdl__text_free(&text);
    return status;
}

bool bdl__trainer_is_writer(const bdl__trainer *t) { return !t->ranks || t->ranks->rank == 0; }

static bdl_status open_ranks(bdl__trainer *t)
{
    bdl__group *const group = t->session.group;
    if (!group || bdl__group_size(group) == 1) {
        return BDL_OK;
    }
    BDL__TRY(bdl__ranks_create(t->session.allocator, group, t->session.cancel, &t->ranks));
    t->session.ranks = t->ranks;
    return bdl__together_meet(t);
}

static bdl_status open_all(bdl__trainer *t)
{
    BDL__TRY(bdl__params_check(&bdl__train_schema, &t->params));
    BDL__TRY(bdl__precision_choose(t->session.log, t->params.precision, &t->precision));
    BDL__TRY(open_ranks(t));
    BDL__TRY(bdl__trainer_divide(t, INT64_MAX)); /* before data are made or read, which may take long */
    BDL__TRY(open_model_and_data(t));
    BDL__TRY(bdl__heads_create(t->session.allocator, t->saved->model, t->data, t->params.loss,
                               t->params.metrics, t->params.target, &t->heads));
    if (t->val) {
        BDL__TRY(bdl__heads_check(t->heads, t->saved->model, t->val));
    }
    BDL__TRY(open_optim(t));
    BDL__TRY(set_limits(t));
    if (bdl__trainer_is_writer(t)) {
        BDL__TRY(bdl__trainer_try_outputs(t));
    }
    set_results_key(t);
    BDL__TRY(resume(t));
    BDL__TRY(open_batcher(t));
    BDL__TRY(open_runner(t));
    BDL__TRY(describe_saved(t));
    return bdl__trainer_is_writer(t) ? bdl__trainer_open_reports(t) : BDL_OK;
}

bdl_status bdl__trainer_create(const bdl__session *session, const bdl__train_params *params,
                               const bdl__train_sources *sources, bdl__trainer **trainer)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(session->allocator, sizeof **trainer, &memory));
    bdl__trainer *const made = memory;
    made->session = *session;
    made->stop.outer = session->cancel;
    made->session.cancel = &made->stop;
    made->params = *params;
    made->sources = sources ? *sources : (bdl__train_sources){0};
    made->mean_loss = NAN;
    made->validated = -1;
    for (int i = 0; i < BDL__MAX_HEADS; i++) {
        made->values[i] = NAN;
    }
    bdl__arena_init(&made->arena, session->allocator);
    const bdl_status status = open_all(made);
    if (status != BDL_OK) {
        bdl__trainer_abort(made, status);
        bdl__trainer_free(made);
        return status;
    }
    *trainer = made;
    return BDL_OK;
}

static void free_vectors(bdl__trainer *t)
{
    if (t->saved) {
        const bdl__model *const model = t->saved->model;
        const size_t size = (size_t)t->own_count * bdl__scalar_size(model->dtype);
        bdl__free(t->session.allocator, t->grads, size);
        for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
            bdl__free(t->session.allocator, t->states[i], size);
        }
        bdl__trainer_forget_undo(t);
    }
}

void bdl__trainer_free(bdl__trainer *t)
{
    if (!t) {
        return;
    }
    bdl__batcher_free(t->batcher);
    bdl__runner_free(t->runner);
    bdl__shares_free(t->shares);
    bdl__ranks_free(t->ranks);
    bdl__workspace_free(t->workspace);
    bdl__heads_free(t->heads);
    bdl__chain_free(t->own_chain);
    bdl__dataset_free(t->data);
    bdl__dataset_free(t->val);
    bdl__optim_free(t->optim);
    bdl__schedule_free(t->schedule);
    bdl__summary_free(t->train_summary);
    bdl__summary_free(t->val_summary);
    if (t->log_file) {
        fclose(t->log_file);
    }
    free_vectors(t);
    if (!t->sources.model) {
        bdl__saved_free(t->saved);
    }
    bdl__arena_free(&t->arena);
    bdl__free(t->session.allocator, t, sizeof *t);
}

const bdl__saved *bdl__trainer_saved(const bdl__trainer *trainer) { return trainer->saved; }

void bdl__trainer_hash(const bdl__trainer *t, void *const *states, char hex[65])
{
    const bdl__model *const model = t->saved->model;
    const size_t scalar_size = bdl__scalar_size(model->dtype);
    const size_t size = (size_t)model->graph->weights_count * scalar_size;
    uint8_t digest[32];
    bdl__sha256 hash;
    bdl__sha256_init(&hash);
    bdl__sha256_update(&hash, model->weights, size);
    bdl__sha256_update(&hash, model->buffers, (size_t)model->graph->buffers_count * scalar_size);
    for (int i = 0; i < bdl__optim_n_states(t->optim); i++) {
        bdl__sha256_update(&hash, states[i], size);
    }
    bdl__sha256_final(&hash, digest);
    bdl__sha256_hex(digest, hex);
}

void bdl__trainer_fingerprint(const bdl__trainer *t, char hex[65])
{
    if (t->ranks) {
        memcpy(hex, t->fingerprint, sizeof t->fingerprint);
    } else {
        bdl__trainer_hash(t, t->states, hex);
    }
}

void bdl__trainer_abort(const bdl__trainer *t, bdl_status status)
{
    if (t->ranks && status != BDL_OK) {
        bdl__group_abort(t->ranks->group, status, bdl_last_error());
    }
}
