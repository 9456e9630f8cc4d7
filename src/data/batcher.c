/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The batcher: a ring of slots that background threads, and the consumer when it would have to
 * wait, fill slice by slice. A slot goes free -> filling -> ready -> free; slot number `seq %
 * n_slots` holds batch number seq of the run. One mutex guards the ring; it is taken once for each
 * slice of 16 samples.
 *
 * Which rows a batch has is decided when its slot is opened, so only one permutation is kept, and
 * what a batch holds does not depend on the threads. A failure stays in the batch where it
 * happened: batches before it are delivered first.
 */
#include "data/slice.h"

#include <string.h>

enum { MOST_SLOTS = 8, MOST_THREADS = 64, ERROR_SIZE = 1024 };

typedef enum slot_phase { SLOT_FREE, SLOT_FILLING, SLOT_READY } slot_phase;

typedef struct slot {
    bdl__batch batch; /* what the consumer sees */
    slot_phase phase;
    int64_t n_claimed;
    int64_t n_done;
    int32_t *valid; /* owned, [most_slices] */
    int64_t *rows;  /* owned, [most_slices * 16] */
    int64_t *places; /* owned, [most_slices] */
    char *input;    /* owned */
    char *target;   /* owned, or NULL */
    bdl_status status;
    char error[ERROR_SIZE];
} slot;

typedef struct worker {
    bdl__batcher *batcher;
    bdl__thread *thread;
    bdl__slice_scratch scratch;
} worker;

struct bdl__batcher {
    const bdl_allocator *allocator; /* borrowed */
    bdl__batch_options options;
    bdl__slice_plan plan;
    bdl__order *order; /* owned, or NULL */
    int64_t n_steps;
    int64_t most_slices;
    size_t slice_input_size, slice_target_size;

    pthread_mutex_t mutex;
    pthread_cond_t work; /* a slot became free, or the end */
    pthread_cond_t done; /* a slot became ready */
    slot slots[MOST_SLOTS];
    int n_slots;
    int64_t opened; /* batches whose slots were opened */
    int64_t taken;  /* batches that the consumer has */
    int64_t shuffled_epoch;
    bool is_failed; /* opens no more slots */
    bool is_stopping;
    double waited;

    bdl__slice_scratch consumer_scratch;
    worker workers[MOST_THREADS];
    int n_threads;
};

/* A slice to fill. */
typedef struct claim {
    slot *slot;
    int64_t i_slice;
} claim;

/* ---- opening a slot: which rows ---- */

/* Rows of slice i of a step: gives how many. */
static int slice_rows(const bdl__batcher *batcher, int64_t step, int64_t i,
                      int64_t rows[BDL__SLICE_ROWS])
{
    if (batcher->order != NULL) {
        return bdl__order_rows(batcher->order, step, i, rows);
    }
    const int64_t begin = step * batcher->options.batch;
    const int64_t end = BDL__MIN(begin + batcher->options.batch, batcher->plan.dataset->n);
    const int64_t first = begin + i * BDL__SLICE_ROWS;
    int n = 0;
    for (int64_t row = first; row < BDL__MIN(first + BDL__SLICE_ROWS, end); row++) {
        rows[n++] = row;
    }
    return n;
}

static int64_t whole_samples(const bdl__batcher *batcher, int64_t step)
{
    return BDL__MIN(batcher->options.batch,
                    batcher->plan.dataset->n - step * batcher->options.batch);
}

int64_t bdl__batcher_count_slices(const bdl__batcher *batcher, int64_t step, int64_t begin, int64_t end)
{
    if (batcher->order == NULL) {
        const int64_t n = (whole_samples(batcher, step) + BDL__SLICE_ROWS - 1) / BDL__SLICE_ROWS;
        return BDL__MIN(end, n) - BDL__MIN(begin, n);
    }
    const int64_t last = BDL__MIN(end, bdl__order_slices(batcher->order));
    if (step < batcher->n_steps - 1) {
        return BDL__MAX(last - begin, 0);
    }
    int64_t n = 0;
    for (int64_t i = begin; i < last; i++) {
        n += bdl__order_count(batcher->order, step, i) > 0;
    }
    return n;
}

/* Whether there is a batch number `seq`, and its place. */
static bool place_of(const bdl__batcher *batcher, int64_t seq, int64_t *epoch, int64_t *step)
{
    const int64_t at = batcher->options.first_step + seq;
    *epoch = batcher->options.first_epoch + at / batcher->n_steps;
    *step = at % batcher->n_steps;
    return batcher->options.n_epochs == 0 || *epoch < batcher->options.n_epochs;
}

/* Opens the slot of the next batch, with the mutex held; false if it cannot be done now. */
static bool open_slot(bdl__batcher *batcher)
{
    slot *at = &batcher->slots[batcher->opened % batcher->n_slots];
    int64_t epoch, step;
    if (batcher->is_failed || batcher->is_stopping || at->phase != SLOT_FREE ||
        !place_of(batcher, batcher->opened, &epoch, &step)) {
        return false;
    }
    if (batcher->order != NULL && batcher->shuffled_epoch != epoch &&
        batcher->options.is_training && !batcher->options.no_shuffle) {
        bdl__order_shuffle(batcher->order, batcher->options.seed, epoch);
        batcher->shuffled_epoch = epoch;
    }
    int64_t n = 0;
    for (int64_t i = 0; i < batcher->most_slices; i++) { /* slices without rows are left out */
        at->valid[n] = slice_rows(batcher, step, batcher->options.first_slice + i,
                                  at->rows + n * BDL__SLICE_ROWS);
        at->places[n] = batcher->options.first_slice + i;
        n += at->valid[n] > 0 ? 1 : 0;
    }
    at->batch = (bdl__batch){.epoch = epoch,
                             .step = step,
                             .is_last = step == batcher->n_steps - 1,
                             .n_slices = n,
                             .whole_samples = whole_samples(batcher, step),
                             .valid = at->valid,
                             .rows = at->rows,
                             .places = at->places,
                             .input = at->input,
                             .input_stride = batcher->plan.input.stride,
                             .target = at->target,
                             .target_stride = batcher->plan.target.stride};
    at->phase = n > 0 ? SLOT_FILLING : SLOT_READY;
    at->n_claimed = at->n_done = 0;
    at->status = BDL_OK;
    batcher->opened++;
    return true;
}

/* ---- filling ---- */

/* Takes a slice of the newest slot, opening one where needed; with the mutex held. */
static bool claim_slice(bdl__batcher *batcher, claim *work)
{
    if (batcher->opened > 0) {
        slot *newest = &batcher->slots[(batcher->opened - 1) % batcher->n_slots];
        if (newest->phase == SLOT_FILLING && newest->n_claimed < newest->batch.n_slices) {
            *work = (claim){.slot = newest, .i_slice = newest->n_claimed++};
            return true;
        }
    }
    if (!open_slot(batcher)) {
        return false;
    }
    slot *opened = &batcher->slots[(batcher->opened - 1) % batcher->n_slots];
    if (opened->phase == SLOT_READY) { /* nothing of this batch is here */
        pthread_cond_broadcast(&batcher->done);
        return claim_slice(batcher, work);
    }
    *work = (claim){.slot = opened, .i_slice = opened->n_claimed++};
    return true;
}

static void keep_failure(bdl__batcher *batcher, slot *at, bdl_status status, const char *error)
{
    if (at->status == BDL_OK) {
        at->status = status;
        const size_t size = BDL__MIN(strlen(error), (size_t)ERROR_SIZE - 1);
        memcpy(at->error, error, size);
        at->error[size] = 0;
    }
    batcher->is_failed = true;
}

/* Moves slices up over those that broken files left empty, and counts samples. */
static void close_slot(bdl__batcher *batcher, slot *at)
{
    int64_t n = 0;
    for (int64_t i = 0; i < at->batch.n_slices; i++) {
        if (at->valid[i] == 0) {
            continue;
        }
        if (n != i) {
            at->valid[n] = at->valid[i];
            at->places[n] = at->places[i];
            memmove(at->rows + n * BDL__SLICE_ROWS, at->rows + i * BDL__SLICE_ROWS,
                    BDL__SLICE_ROWS * sizeof(int64_t));
            memmove(at->input + (size_t)n * batcher->slice_input_size,
                    at->input + (size_t)i * batcher->slice_input_size, batcher->slice_input_size);
            if (at->target != NULL) {
                memmove(at->target + (size_t)n * batcher->slice_target_size,
                        at->target + (size_t)i * batcher->slice_target_size,
                        batcher->slice_target_size);
            }
        }
        at->batch.n_samples += at->valid[n++];
    }
    at->batch.n_slices = n;
    if (n == 0 && at->status == BDL_OK && batcher->options.n_slices == 0) {
        keep_failure(batcher, at, BDL_ERR_FORMAT, "every file of a batch is broken");
    }
    at->phase = SLOT_READY;
    pthread_cond_broadcast(&batcher->done);
}

/* Fills the claimed slice without the mutex, and takes it back. */
static void fill_claim(bdl__batcher *batcher, const claim *work, bdl__slice_scratch *scratch)
{
    slot *at = work->slot;
    const size_t i = (size_t)work->i_slice;
    pthread_mutex_unlock(&batcher->mutex);
    const uint64_t fp_state = bdl__fp_state_enter(); /* the same numbers on any thread */
    const bdl_status status =
        bdl__slice_fill(&batcher->plan, scratch, at->batch.epoch, at->rows + i * BDL__SLICE_ROWS,
                        &at->valid[i], at->input + i * batcher->slice_input_size,
                        at->target != NULL ? at->target + i * batcher->slice_target_size : NULL);
    bdl__fp_state_leave(fp_state);
    pthread_mutex_lock(&batcher->mutex);
    if (status != BDL_OK) {
        keep_failure(batcher, at, status, bdl_last_error());
        at->n_done += at->batch.n_slices - at->n_claimed; /* nobody fills the rest */
        at->n_claimed = at->batch.n_slices;
    }
    if (++at->n_done == at->batch.n_slices) {
        close_slot(batcher, at);
    }
}

static void run_worker(void *arg)
{
    worker *self = arg;
    bdl__batcher *batcher = self->batcher;
    pthread_mutex_lock(&batcher->mutex);
    while (!batcher->is_stopping) {
        claim work;
        if (claim_slice(batcher, &work)) {
            fill_claim(batcher, &work, &self->scratch);
        } else {
            pthread_cond_wait(&batcher->work, &batcher->mutex);
        }
    }
    pthread_mutex_unlock(&batcher->mutex);
}

/* ---- the consumer's side ---- */

static bool is_head_ready(const bdl__batcher *batcher)
{
    return batcher->opened > batcher->taken &&
           batcher->slots[batcher->taken % batcher->n_slots].phase == SLOT_READY;
}

/* Waits, or works, until the next batch is ready; with the mutex held. What it waits for are slices that threads are
 * filling, so a cancel is seen soon. */
static bdl_status wait_for_head(bdl__batcher *batcher)
{
    const slot *head = &batcher->slots[batcher->taken % batcher->n_slots];
    while (!is_head_ready(batcher)) {
        BDL__CHECK(!bdl__is_cancelled(batcher->options.cancel), BDL_ERR_CANCELLED, "cancelled");
        BDL__CHECK(batcher->opened > batcher->taken || head->phase == SLOT_FREE, BDL_ERR_STATE,
                   "all %d batches are held; release one first", batcher->n_slots);
        claim work;
        if (batcher->opened <= batcher->taken + 1 && claim_slice(batcher, &work)) {
            fill_claim(batcher, &work, &batcher->consumer_scratch);
        } else if (!is_head_ready(batcher)) { /* claiming may have opened a batch without slices */
            pthread_cond_wait(&batcher->done, &batcher->mutex);
        }
    }
    BDL__CHECK(!bdl__is_cancelled(batcher->options.cancel), BDL_ERR_CANCELLED, "cancelled");
    BDL__CHECK(head->status == BDL_OK, head->status, "%s", head->error);
    return BDL_OK;
}

bdl_status bdl__batcher_next(bdl__batcher *batcher, const bdl__batch **batch)
{
    const double begin = bdl__now();
    int64_t epoch, step;
    bdl_status status = BDL_OK;
    pthread_mutex_lock(&batcher->mutex);
    if (!place_of(batcher, batcher->taken, &epoch, &step)) {
        *batch = NULL;
    } else {
        status = wait_for_head(batcher);
        if (status == BDL_OK) {
            *batch = &batcher->slots[batcher->taken % batcher->n_slots].batch;
            batcher->taken++;
        }
    }
    batcher->waited += bdl__now() - begin;
    pthread_mutex_unlock(&batcher->mutex);
    return status;
}

void bdl__batcher_release(bdl__batcher *batcher, const bdl__batch *batch)
{
    pthread_mutex_lock(&batcher->mutex);
    for (int i = 0; i < batcher->n_slots; i++) {
        if (batch == &batcher->slots[i].batch && batcher->slots[i].phase == SLOT_READY) {
            batcher->slots[i].phase = SLOT_FREE;
            pthread_cond_broadcast(&batcher->work);
        }
    }
    pthread_mutex_unlock(&batcher->mutex);
}

const bdl__shape *bdl__batcher_shape(const bdl__batcher *batcher)
{
    return &batcher->plan.shape;
}

int64_t bdl__batcher_steps(const bdl__batcher *batcher)
{
    return batcher->n_steps;
}

bool bdl__batcher_may_lack(const bdl__batcher *batcher)
{
    return batcher->plan.broken != NULL;
}

int64_t bdl__batcher_n_broken(const bdl__batcher *batcher)
{
    return atomic_load(&batcher->plan.n_broken);
}

double bdl__batcher_waited(const bdl__batcher *batcher)
{
    return batcher->waited;
}

/* ---- creation ---- */

static bdl_status check_options(const bdl__batch_options *options)
{
    const int lanes = options->lanes;
    BDL__CHECK(lanes == 1 || lanes == 4 || lanes == 8 || lanes == 16, BDL_ERR_INVALID_ARGUMENT,
               "lanes must be 1, 4, 8 or 16, got %d", lanes);
    BDL__CHECK(options->real_size == 4 * (size_t)lanes || (lanes == 1 && options->real_size == 8),
               BDL_ERR_INVALID_ARGUMENT, "a real of %d lanes has no %zu bytes", lanes,
               options->real_size);
    BDL__CHECK(options->batch >= 1 && options->batch <= INT32_MAX, BDL_ERR_INVALID_ARGUMENT,
               "batch must be in [1, 2^31), got %lld", (long long)options->batch);
    BDL__CHECK(options->first_epoch >= 0 && options->first_step >= 0 && options->n_epochs >= 0,
               BDL_ERR_INVALID_ARGUMENT, "epochs and steps must be >= 0");
    BDL__CHECK(options->first_slice >= 0 && options->n_slices >= 0, BDL_ERR_INVALID_ARGUMENT,
               "slices must be >= 0");
    BDL__CHECK(options->n_threads >= 0 && options->n_threads <= MOST_THREADS,
               BDL_ERR_INVALID_ARGUMENT, "data threads must be in [0, %d], got %d", MOST_THREADS,
               options->n_threads);
    BDL__CHECK(options->n_slots == 0 || (options->n_slots >= 2 && options->n_slots <= MOST_SLOTS),
               BDL_ERR_INVALID_ARGUMENT, "slots must be in [2, %d], got %d", MOST_SLOTS,
               options->n_slots);
    return BDL_OK;
}

static bdl_status allocate_slot(bdl__batcher *batcher, slot *at)
{
    const bdl_allocator *allocator = batcher->allocator;
    const size_t n = (size_t)batcher->most_slices;
    size_t input_size, target_size;
    BDL__CHECK(bdl__bytes_of(batcher->most_slices, batcher->slice_input_size, &input_size) &&
                   bdl__bytes_of(batcher->most_slices, batcher->slice_target_size, &target_size),
               BDL_ERR_INVALID_ARGUMENT, "a batch of %lld samples is too large",
               (long long)batcher->options.batch);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, n * sizeof(int32_t), &memory));
    at->valid = memory;
    BDL__TRY(bdl__alloc(allocator, n * BDL__SLICE_ROWS * sizeof(int64_t), &memory));
    at->rows = memory;
    BDL__TRY(bdl__alloc(allocator, n * sizeof(int64_t), &memory));
    at->places = memory;
    BDL__TRY(bdl__alloc(allocator, input_size, &memory));
    at->input = memory;
    if (target_size > 0) {
        BDL__TRY(bdl__alloc(allocator, target_size, &memory));
        at->target = memory;
    }
    return BDL_OK;
}

static void free_slot(const bdl__batcher *batcher, slot *at)
{
    const bdl_allocator *allocator = batcher->allocator;
    const size_t n = (size_t)batcher->most_slices;
    if (at->valid != NULL) {
        bdl__free(allocator, at->valid, n * sizeof(int32_t));
    }
    if (at->rows != NULL) {
        bdl__free(allocator, at->rows, n * BDL__SLICE_ROWS * sizeof(int64_t));
    }
    if (at->places != NULL) {
        bdl__free(allocator, at->places, n * sizeof(int64_t));
    }
    if (at->input != NULL) {
        bdl__free(allocator, at->input, n * batcher->slice_input_size);
    }
    if (at->target != NULL) {
        bdl__free(allocator, at->target, n * batcher->slice_target_size);
    }
}

static bdl_status set_up(bdl__batcher *batcher, const bdl__dataset *dataset,
                         const bdl__chain *chain, bdl__pool *pool)
{
    const bdl__batch_options *options = &batcher->options;
    const int64_t n_parts = BDL__SLICE_ROWS / options->lanes;
    BDL__TRY(bdl__slice_plan_init(batcher->allocator, dataset, chain, options, &batcher->plan));
    if (options->is_training || options->by_key) {
        BDL__TRY(
            bdl__order_create(batcher->allocator, dataset, pool, options->batch, &batcher->order));
        batcher->plan.order = batcher->order;
    }
    batcher->n_steps = (dataset->n + options->batch - 1) / options->batch;
    const int64_t most_rows = BDL__MIN(options->batch, dataset->n);
    batcher->most_slices =
        options->n_slices > 0
            ? options->n_slices
            : (batcher->order != NULL ? options->batch : most_rows) / BDL__SLICE_ROWS + 1;
    batcher->slice_input_size = (size_t)(n_parts * batcher->plan.input.stride);
    batcher->slice_target_size = dataset->label_kind == BDL__LABEL_NONE
                                     ? 0
                                     : (size_t)(n_parts * batcher->plan.target.stride);
    for (int i = 0; i < batcher->n_slots; i++) {
        BDL__TRY(allocate_slot(batcher, &batcher->slots[i]));
    }
    for (int i = 0; i < options->n_threads; i++) {
        worker *at = &batcher->workers[i];
        at->batcher = batcher;
        bdl__slice_scratch_init(&at->scratch, batcher->allocator);
        BDL__TRY(bdl__thread_start(batcher->allocator, run_worker, at, &at->thread));
        batcher->n_threads++;
    }
    return BDL_OK;
}

bdl_status bdl__batcher_create(const bdl_allocator *allocator, const bdl__dataset *dataset,
                               const bdl__chain *chain, bdl__pool *pool,
                               const bdl__batch_options *options, bdl__batcher **batcher)
{
    BDL__TRY(check_options(options));
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof(bdl__batcher), &memory));
    bdl__batcher *made = memory;
    made->allocator = allocator;
    made->options = *options;
    made->n_slots = options->n_slots == 0 ? 3 : options->n_slots;
    made->shuffled_epoch = -1;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->done, NULL);
    bdl__slice_scratch_init(&made->consumer_scratch, allocator);
    const bdl_status status = set_up(made, dataset, chain, pool);
    if (status != BDL_OK) {
        bdl__batcher_free(made);
        return status;
    }
    *batcher = made;
    return BDL_OK;
}

void bdl__batcher_free(bdl__batcher *batcher)
{
    if (batcher == NULL) {
        return;
    }
    pthread_mutex_lock(&batcher->mutex);
    batcher->is_stopping = true;
    pthread_cond_broadcast(&batcher->work);
    pthread_mutex_unlock(&batcher->mutex);
    for (int i = 0; i < batcher->n_threads; i++) {
        bdl__thread_join(batcher->workers[i].thread);
        bdl__slice_scratch_free(&batcher->workers[i].scratch);
    }
    for (int i = 0; i < batcher->n_slots; i++) {
        free_slot(batcher, &batcher->slots[i]);
    }
    bdl__slice_scratch_free(&batcher->consumer_scratch);
    bdl__slice_plan_free(&batcher->plan);
    bdl__order_free(batcher->order);
    pthread_cond_destroy(&batcher->done);
    pthread_cond_destroy(&batcher->work);
    pthread_mutex_destroy(&batcher->mutex);
    bdl__free(batcher->allocator, batcher, sizeof(bdl__batcher));
}
