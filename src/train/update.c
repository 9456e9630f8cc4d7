/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The update of the weights, by all workers, with the gradients of the batch. Alone, each worker updates its share
 * of the blocks. With other ranks, worker 0 talks to them while the others wait; what is updated are this rank's
 * buckets, one by one, so that one travels while the next is summed, or backward goes on.
 */
#include <math.h>
#include <string.h>

#include "train/trainer.h"

static bdl__param_ranges ranges_of(const bdl__trainer *t)
{
    return (bdl__param_ranges){.range = t->ranges, .n = t->n_ranges};
}

/* Scalars [begin, end) of the own vectors, whose weights begin at `weights`. */
static void update(bdl__trainer *t, const bdl__optim_step *step, void *weights, int64_t begin, int64_t end)
{
    bdl__optim_update(step, t->target, weights, t->grads, t->states, ranges_of(t), begin, end);
}

/* Where own vectors would begin if all weights lay as those of the bucket do. */
static char *weights_of(const bdl__trainer *t, const bdl__bucket *bucket)
{
    const bdl__model *const model = t->saved->model;
    const int64_t shift = bucket->begin - bucket->own_at;
    return (char *)model->weights + (size_t)shift * bdl__scalar_size(model->dtype);
}

/* ---- giving up ---------------------------------------------------------------------------------- */

/* Copies an own range of weights, which would begin at `weights`, and states for or from undo. */
static void copy_own(bdl__trainer *t, char *weights, int64_t begin, int64_t end, bool puts_back)
{
    const size_t scalar_size = bdl__scalar_size(t->saved->model->dtype);
    const size_t at = (size_t)begin * scalar_size, size = (size_t)(end - begin) * scalar_size;
    for (int i = 0; i <= bdl__optim_n_states(t->optim); i++) {
        char *const own = (i == 0 ? weights : (char *)t->states[i - 1]) + at;
        char *const kept = (char *)t->undo[i] + at;
        memcpy(puts_back ? own : kept, puts_back ? kept : own, size);
    }
}

void bdl__trainer_forget_undo(bdl__trainer *t)
{
    const size_t size = (size_t)t->own_count * bdl__scalar_size(t->saved->model->dtype);
    for (int i = 0; i < 1 + BDL__MAX_OPTIM_STATES; i++) {
        bdl__free(t->session.allocator, t->undo[i], size);
        t->undo[i] = NULL;
    }
}

bdl_status bdl__trainer_begin_update(bdl__trainer *t)
{
    const size_t size = (size_t)t->own_count * bdl__scalar_size(t->saved->model->dtype);
    t->n_updated = 0;
    t->keeps = t->ranks->agrees && t->clip.max_norm <= 0;
    if (!t->keeps) {
        bdl__trainer_forget_undo(t);
    }
    for (int i = 0; t->keeps && i <= bdl__optim_n_states(t->optim); i++) {
        if (!t->undo[i]) {
            BDL__TRY(bdl__alloc(t->session.allocator, size, &t->undo[i]));
        }
    }
    return BDL_OK;
}

bdl_status bdl__trainer_give_up(bdl__trainer *t)
{
    int64_t n;
    const bdl__bucket *const buckets = bdl__shares_buckets(t->shares, &n);
    BDL__TRY(bdl__shares_give_up(t->shares, t->n_updated));
    for (int64_t i = n - t->n_updated; i < n; i++) {
        const bdl__bucket *const b = &buckets[i];
        copy_own(t, weights_of(t, b), b->own_at, b->own_at + b->end - b->begin, true);
    }
    return bdl__shares_share_again(t->shares);
}

/* As update; with bf16 on the wire, by rounded steps. */
static void update_bucket(bdl__trainer *t, const bdl__optim_step *step, const bdl__bucket *bucket,
                          int64_t begin, int64_t end)
{
    char *const weights = weights_of(t, bucket);
    float old[BDL__BLOCK];
    if (t->keeps) {
        copy_own(t, weights, begin, end, false);
    }
    if (!bdl__shares_rounds(t->shares)) {
        update(t, step, weights, begin, end);
        return;
    }
    for (int64_t at = begin; at < end; at += BDL__BLOCK) {
        memcpy(old, weights + (size_t)at * sizeof *old, sizeof old);
        update(t, step, weights, at, at + BDL__BLOCK);
        bdl__shares_round(t->shares, bucket, at, at + BDL__BLOCK, old);
    }
}

/* Where the own blocks' sums of squares begin. */
static double *own_square_sums(const bdl__trainer *t)
{
    double *own = t->square_sums;
    for (int r = 0; t->ranks && r < t->ranks->rank; r++) {
        own += t->block_counts[r];
    }
    return own;
}

static void square_sums(bdl__trainer *t, int64_t begin, int64_t end)
{
    bdl__optim_square_sums(t->target, t->grads, ranges_of(t), begin, end, own_square_sums(t));
}

static double norm_of(const bdl__trainer *t)
{
    return bdl__optim_norm(t->ranks ? t->block_sums : t->square_sums,
                           t->saved->model->graph->weights_count / BDL__BLOCK);
}

/* The worker's share of the blocks of [begin, end). */
static void share_of(const bdl__exec_worker *w, int64_t begin, int64_t end, int64_t *from, int64_t *to)
{
    bdl__split_range((end - begin) / BDL__BLOCK, w->worker, w->n_workers, from, to);
    *from = begin + *from * BDL__BLOCK;
    *to = begin + *to * BDL__BLOCK;
}

static void update_alone(bdl__trainer *t, const bdl__exec_worker *w, bdl__optim_step *step)
{
    int64_t begin, end;
    share_of(w, 0, t->own_count, &begin, &end);
    if (t->clip.max_norm > 0) {
        square_sums(t, begin, end);
        bdl__barrier_wait(w->barrier, w->n_workers);
        bdl__optim_clip_norm(step, norm_of(t));
    }
    update(t, step, t->saved->model->weights, begin, end);
}

/* ---- with other ranks --------------------------------------------------------------------------- */

typedef bdl_status (*talk_fn)(bdl__trainer *t);

/* When all workers are here, worker 0 talks to the other ranks; all learn whether that went well. */
static bool talk(bdl__trainer *t, const bdl__exec_worker *w, talk_fn fn)
{
    bdl__barrier_wait(w->barrier, w->n_workers);
    if (w->worker == 0) {
        t->update_status = fn(t);
    }
    bdl__barrier_wait(w->barrier, w->n_workers);
    return t->update_status == BDL_OK;
}

static bool is_clipped(const bdl__trainer *t)
{
    return t->clip.max_norm > 0;
}

static bdl_status end(bdl__trainer *t)
{
    return bdl__shares_end(t->shares);
}

static bdl_status drain(bdl__trainer *t)
{
    BDL__TRY(bdl__shares_flush(t->shares));
    return bdl__shares_end(t->shares);
}

/* The last bucket leaves, and the next one comes. */
static bdl_status go_on(bdl__trainer *t, bool waits)
{
    if (t->bucket && !is_clipped(t)) {
        BDL__TRY(bdl__shares_send(t->shares, t->bucket));
        t->n_updated++;
    }
    return bdl__shares_next(t->shares, waits, &t->bucket);
}

static bdl_status look(bdl__trainer *t)
{
    return go_on(t, false);
}

static bdl_status wait_for(bdl__trainer *t)
{
    return go_on(t, true);
}

static bdl_status send_all(bdl__trainer *t)
{
    int64_t n;
    const bdl__bucket *const buckets = bdl__shares_buckets(t->shares, &n);
    for (int64_t i = 0; i < n; i++) {
        BDL__TRY(bdl__shares_send(t->shares, &buckets[i]));
    }
    return BDL_OK;
}

static bdl_status gather_squares(bdl__trainer *t)
{
    const bdl__reduce *const reduce = &t->ranks->reduce;
    BDL__TRY(reduce->exchange(reduce->arg, t->block_counts, t->square_sums));
    bdl__shares_in_order(t->shares, t->square_sums, t->block_sums);
    return BDL_OK;
}

/* The worker's share of an own bucket. */
static void share_of_bucket(const bdl__exec_worker *w, const bdl__bucket *bucket, int64_t *from, int64_t *to)
{
    share_of(w, bucket->own_at, bucket->own_at + bucket->end - bucket->begin, from, to);
}

/* The gradients of a bucket's share are summed, and then used while they are in the cache. */
static void take_bucket(bdl__trainer *t, const bdl__exec_worker *w, const bdl__optim_step *step,
                        const bdl__bucket *bucket)
{
    int64_t begin, end_of_share;
    share_of_bucket(w, bucket, &begin, &end_of_share);
    bdl__shares_sum(t->shares, begin, end_of_share, t->grads);
    if (is_clipped(t)) {
        square_sums(t, begin, end_of_share);
    } else {
        update_bucket(t, step, bucket, begin, end_of_share);
    }
}

/* The worker's share of the other ranks' weights changes as theirs have. */
static void follow(const bdl__trainer *t, const bdl__exec_worker *w)
{
    int64_t begin, end_of_share;
    share_of(w, 0, t->saved->model->graph->weights_count, &begin, &end_of_share);
    if (bdl__shares_rounds(t->shares)) {
        bdl__shares_follow(t->shares, begin, end_of_share);
    }
}

/* The update, once the norm of all gradients is known. */
static bool update_clipped(bdl__trainer *t, const bdl__exec_worker *w, bdl__optim_step *step)
{
    int64_t n, begin, end_of_share;
    const bdl__bucket *const buckets = bdl__shares_buckets(t->shares, &n);
    if (!talk(t, w, gather_squares)) {
        return false;
    }
    bdl__optim_clip_norm(step, norm_of(t));
    for (int64_t i = 0; i < n; i++) {
        share_of_bucket(w, &buckets[i], &begin, &end_of_share);
        update_bucket(t, step, &buckets[i], begin, end_of_share);
    }
    return talk(t, w, send_all);
}

/* During backward: buckets that are complete; after it: all that are left. */
static void update_together(bdl__trainer *t, const bdl__exec_worker *w, bdl__optim_step *step)
{
    bool goes_well;
    while ((goes_well = talk(t, w, w->is_end ? wait_for : look)) && t->bucket) {
        take_bucket(t, w, step, t->bucket);
    }
    if (!goes_well || !w->is_end || (is_clipped(t) && !update_clipped(t, w, step))) {
        return;
    }
    if (talk(t, w, end)) {
        follow(t, w);
    }
}

void bdl__trainer_update(void *arg, const bdl__exec_worker *w)
{
    bdl__trainer *const t = arg;
    const double divisor = w->heads[1] > 0 ? w->heads[1] : 1;
    if (t->update_status != BDL_OK) {
        return; /* earlier in this iteration */
    }
    if (!isfinite(w->heads[0])) {
        if (t->ranks && w->is_end) {
            (void)talk(t, w, drain);
        }
        return;
    }
    bdl__optim_step step;
    bdl__optim_begin(t->optim, t->position.iteration, t->rate, 1 / divisor, &t->clip, &step);
    if (t->ranks) {
        update_together(t, w, &step);
    } else {
        update_alone(t, w, &step);
    }
}
