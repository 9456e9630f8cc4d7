/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trainer does because there are other ranks: agreeing at the start, gathering and sharing out state for
 * checkpoints, and keeping what is not summed the same everywhere. All ranks make these calls in the same order.
 */
#include <string.h>

#include "base/hash.h"
#include "dnnl/dnnl.h"
#include "train/checkpoint_file.h"
#include "train/trainer.h"

static bool given(const char *text) { return text && *text; }

/* ---- meeting ------------------------------------------------------------------------------------ */

/* What must be the same build: versions of bdl and, where it computes, of oneDNN. */
static bdl_status describe_build(bdl__trainer *t, const char **text)
{
    char onednn[64] = "";
    if (t->precision == BDL__BF16) {
        const bdl__dnnl_table *table = NULL;
        BDL__TRY(bdl__dnnl_open(&table));
        table->version(onednn, sizeof onednn);
    }
    return bdl__arena_printf(&t->arena, text, "bdl %s%s%s, %s", BDL_VERSION_STRING,
                             *onednn ? " with oneDNN " : "", onednn, t->params.precision);
}

/* Fails on every rank whose text is not rank 0's. */
static bdl_status compare_text(bdl__trainer *t, const char *own, const char *what)
{
    const char *theirs = own;
    BDL__TRY(bdl__ranks_share_text(t->ranks, 0, &t->arena, &theirs));
    BDL__CHECK(strcmp(own, theirs) == 0, BDL_ERR_STATE, "%s: rank 0 has %.300s, rank %d has %.300s",
               what, theirs, t->ranks->rank, own);
    return BDL_OK;
}

/* The best kernel target that all ranks have. Only targets of one family are numbered by what they can do. */
static bdl_status agree_on_target(bdl__trainer *t)
{
    enum { OWN, AVAILABLE, BF16, N_VALUES };
    const int n = t->ranks->n;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)n * N_VALUES * sizeof(double), &memory));
    double *const all = memory;
    double *const own = all + (int64_t)t->ranks->rank * N_VALUES;
    int64_t available = 0;
    for (int i = 0; i < BDL__N_TARGETS; i++) {
        available |= (int64_t)bdl__target_available((bdl__target)i) << i;
    }
    own[OWN] = (double)t->session.target;
    own[AVAILABLE] = (double)available;
    own[BF16] = t->precision == BDL__BF16 ? (double)bdl__bf16_available() : 0;
    BDL__TRY(bdl__ranks_gather(t->ranks, N_VALUES, all));
    int best = (int)t->session.target;
    for (int r = 0; r < n; r++) {
        const double *const theirs = all + (int64_t)r * N_VALUES;
        available &= (int64_t)theirs[AVAILABLE];
        best = BDL__MIN(best, (int)theirs[OWN]);
        BDL__CHECK(!(theirs[BF16] < own[BF16]) && !(theirs[BF16] > own[BF16]), BDL_ERR_UNSUPPORTED,
                   "ranks %d and %d multiply bf16 in different ways (one by AMX): use --precision "
                   "fp32, or machines of one kind",
                   t->ranks->rank, r);
    }
    BDL__CHECK(available >> best & 1, BDL_ERR_UNSUPPORTED,
               "the ranks have no kernel target in common: rank %d computes with %s", t->ranks->rank,
               bdl__target_name(t->session.target));
    if (best != (int)t->session.target) {
        BDL__LOG(t->session.log, BDL__LOG_INFO, "rank %d computes with %s, which all ranks have",
                 t->ranks->rank, bdl__target_name((bdl__target)best));
    }
    t->session.target = (bdl__target)best;
    return BDL_OK;
}

bdl_status bdl__together_meet(bdl__trainer *t)
{
    const char *build;
    BDL__TRY(describe_build(t, &build));
    BDL__TRY(compare_text(t, build, "the ranks run different builds or precisions"));
    return agree_on_target(t);
}

/* ---- settings ----------------------------------------------------------------------------------- */

static void hash_model(const bdl__model *model, char hex[65])
{
    const size_t size = bdl__scalar_size(model->dtype);
    uint8_t digest[32];
    bdl__sha256 hash;
    bdl__sha256_init(&hash);
    bdl__sha256_update(&hash, model->weights, (size_t)model->graph->weights_count * size);
    bdl__sha256_update(&hash, model->buffers, (size_t)model->graph->buffers_count * size);
    bdl__sha256_final(&hash, digest);
    bdl__sha256_hex(digest, hex);
}

static void append_heads(const bdl__trainer *t, bdl__text *out)
{
    for (int i = 0; i < t->heads->n; i++) {
        bdl__text_append(out, "%s%s(", i ? ", " : "", t->heads->head[i].layer->name);
        bdl__params_to_text(&t->heads->head[i].layer->schema, t->heads->head[i].params, out);
        bdl__text_append(out, ")");
    }
}

static void append_graph(const bdl__trainer *t, bdl__text *out)
{
    bdl__json_writer writer;
    bdl__json_writer_init(&writer, out, 0);
    bdl__graph_to_json(t->saved->model->graph, &writer);
}

/* Whatever the weights depend on, a piece at a time. */
bdl_status bdl__together_check(bdl__trainer *t)
{
    enum { SETTINGS, METHOD, HEADS, LIMITS, LAYERS, WEIGHTS, N_PIECES };
    static const char *const what[N_PIECES] = {
        "the ranks have different settings",         "the ranks have different methods",
        "the ranks have different losses",           "the ranks have different limits",
        "the ranks have different models", "the ranks start from different weights"};
    const bdl__train_params *const p = &t->params;
    for (int i = 0; i < N_PIECES; i++) {
        char hex[65];
        const char *copy;
        bdl__text text;
        bdl__text_init(&text, t->session.allocator);
        if (i == SETTINGS) {
            bdl__text_append(&text, "%s", t->settings);
        } else if (i == METHOD) {
            bdl__optim_to_text(t->optim, &text);
            bdl__text_append(&text, ", schedule '%s', clip '%s', bucket %lld", p->schedule, p->clip,
                             (long long)p->bucket);
        } else if (i == HEADS) {
            append_heads(t, &text);
        } else if (i == LIMITS) {
            bdl__text_append(&text, "epochs %lld, iterations %lld, until '%s', every %s, %s, %s",
                             (long long)p->epochs, (long long)p->iterations, p->until ? p->until : "",
                             p->every, t->val ? t->val->text : "no validation",
                             given(p->checkpoint) ? "checkpoints" : "no checkpoints");
        } else if (i == LAYERS) {
            append_graph(t, &text);
        } else {
            hash_model(t->saved->model, hex);
            bdl__text_append(&text, "SHA-256 %s", hex);
        }
        bdl_status status = bdl__text_status(&text);
        if (status == BDL_OK) {
            status = bdl__arena_strdup(&t->arena, bdl__text_get(&text), &copy);
        }
        bdl__text_free(&text);
        BDL__TRY(status);
        BDL__TRY(compare_text(t, copy, what[i]));
    }
    return BDL_OK;
}

/* ---- states ------------------------------------------------------------------------------------- */

static size_t full_size(const bdl__trainer *t)
{
    const bdl__model *const model = t->saved->model;
    return (size_t)model->graph->weights_count * bdl__scalar_size(model->dtype);
}

void bdl__together_forget(bdl__trainer *t, void *states[BDL__MAX_OPTIM_STATES])
{
    for (int i = 0; i < BDL__MAX_OPTIM_STATES; i++) {
        bdl__free(t->session.allocator, states[i], full_size(t));
        states[i] = NULL;
    }
}

static bdl_status make_full(bdl__trainer *t, void *states[BDL__MAX_OPTIM_STATES])
{
    for (int i = 0; i < bdl__optim_n_states(t->optim); i++) {
        BDL__TRY(bdl__alloc(t->session.allocator, full_size(t), &states[i]));
    }
    return BDL_OK;
}

bdl_status bdl__together_states(bdl__trainer *t, void *states[BDL__MAX_OPTIM_STATES])
{
    if (t->ranks->rank == 0) {
        BDL__TRY(make_full(t, states));
    }
    for (int i = 0; i < bdl__optim_n_states(t->optim); i++) {
        BDL__TRY(bdl__shares_gather(t->shares, t->states[i], states[i]));
    }
    return BDL_OK;
}

bdl_status bdl__together_fingerprint(bdl__trainer *t)
{
    void *states[BDL__MAX_OPTIM_STATES] = {0};
    bdl_status status = bdl__together_states(t, states);
    if (status == BDL_OK && t->ranks->rank == 0) {
        bdl__trainer_hash(t, states, t->fingerprint);
    }
    bdl__together_forget(t, states);
    BDL__TRY(status);
    return bdl__group_broadcast(t->ranks->group, 0, t->fingerprint, sizeof t->fingerprint);
}

/* ---- resuming ----------------------------------------------------------------------------------- */

/* What this rank finds to go on from; *iteration stays -1 where there is nothing. */
static bdl_status read_own(bdl__trainer *t, void *states[BDL__MAX_OPTIM_STATES], double *iteration,
                           const char **path)
{
    if (!t->params.resume && !given(t->params.start)) {
        return BDL_OK;
    }
    BDL__TRY(make_full(t, states));
    bdl__checkpoint_io io = bdl__trainer_io(t);
    io.states = states;
    const bdl_status status = bdl__trainer_read(t, &io, path);
    if (status == BDL_OK) {
        *iteration = (double)t->position.iteration;
    }
    return status == BDL_ERR_NOT_FOUND && !given(t->params.start) ? BDL_OK : status;
}

/* The rank with the newest checkpoint, or -1. */
static bdl_status newest_rank(bdl__trainer *t, double iteration, int *winner)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&t->arena, (size_t)t->ranks->n * sizeof(double), &memory));
    double *const found = memory;
    found[t->ranks->rank] = iteration;
    BDL__TRY(bdl__ranks_gather(t->ranks, 1, found));
    *winner = -1;
    for (int r = 0; r < t->ranks->n; r++) {
        if (found[r] >= 0 && (*winner < 0 || found[r] > found[*winner])) {
            *winner = r;
        }
    }
    return BDL_OK;
}

static bdl_status share_schedule(bdl__trainer *t, int root)
{
    const char *state = "";
    bdl__text text;
    bdl__json_writer writer;
    bdl__json *json = NULL;
    bdl__text_init(&text, t->session.allocator);
    bdl__json_writer_init(&writer, &text, 0);
    bdl__schedule_state_to_json(t->schedule, &writer);
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__arena_strdup(&t->arena, bdl__text_get(&text), &state);
    }
    bdl__text_free(&text);
    BDL__TRY(status);
    BDL__TRY(bdl__ranks_share_text(t->ranks, root, &t->arena, &state));
    BDL__TRY(bdl__json_parse(state, strlen(state), "the schedule's state", &json));
    status = bdl__schedule_state_from_json(t->schedule, json, "the schedule's state");
    bdl__json_free(json);
    return status;
}

/* Everybody gets what rank `root` has read. */
static bdl_status share_checkpoint(bdl__trainer *t, int root, void *states[BDL__MAX_OPTIM_STATES])
{
    bdl__group *const group = t->ranks->group;
    bdl__model *const model = t->saved->model;
    const size_t buffers_size =
        (size_t)model->graph->buffers_count * bdl__scalar_size(model->dtype);
    BDL__TRY(bdl__group_broadcast(group, root, &t->position, sizeof t->position));
    BDL__TRY(bdl__group_broadcast(group, root, model->weights, full_size(t)));
    BDL__TRY(bdl__group_broadcast(group, root, model->buffers, buffers_size));
    for (int i = 0; i < bdl__optim_n_states(t->optim); i++) {
        BDL__TRY(bdl__shares_scatter(t->shares, root, states[i], t->states[i]));
    }
    model->weights_version++;
    return share_schedule(t, root);
}

static bdl_status resume(bdl__trainer *t, void *states[BDL__MAX_OPTIM_STATES])
{
    double iteration = -1;
    int winner = -1;
    const char *path = NULL;
    /* Rank 0 alone sets damaged files aside, in a directory that may be everybody's. */
    if (t->ranks->rank == 0 || given(t->params.start)) {
        BDL__TRY(read_own(t, states, &iteration, &path));
    }
    BDL__TRY(newest_rank(t, iteration, &winner));
    if (winner < 0 && t->params.resume) {
        if (t->ranks->rank > 0) {
            BDL__TRY(read_own(t, states, &iteration, &path));
        }
        BDL__TRY(newest_rank(t, iteration, &winner));
    }
    if (winner < 0) {
        return BDL_OK;
    }
    BDL__TRY(share_checkpoint(t, winner, states));
    if (winner == t->ranks->rank) {
        bdl__trainer_log_resume(t, path);
    }
    return BDL_OK;
}

bdl_status bdl__together_resume(bdl__trainer *t)
{
    void *states[BDL__MAX_OPTIM_STATES] = {0};
    const bdl_status status = resume(t, states);
    bdl__together_forget(t, states);
    return status;
}

/* ---- after a batch ------------------------------------------------------------------------------ */

bdl_status bdl__together_follow(bdl__trainer *t)
{
    const bdl__model *const model = t->saved->model;
    const int64_t *const bounds = t->ranks->bounds;
    const size_t size = (size_t)model->graph->buffers_count * bdl__scalar_size(model->dtype);
    int first = -1;
    bool is_empty = false;
    for (int r = 0; r < t->ranks->n; r++) {
        is_empty = is_empty || bounds[r] == bounds[r + 1];
        first = first < 0 && bounds[r] < bounds[r + 1] ? r : first;
    }
    return size > 0 && is_empty ? bdl__group_broadcast(t->ranks->group, first, model->buffers, size)
                                : BDL_OK;
}
