/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/*
 * What travels between ranks in an iteration, without a net: partial gradients are made up, the update is plain. bf16 on
 * the wire is checked against rounding in double, and against bounds that say nothing of how it is done.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dist_ranks.h"
#include "test.h"
#include "train/train.h"

#define MODEL "mlp(hidden=[300,200], classes=10, shape=[1,9,9])"
#define RATE 0.125f

enum { MOST_NODES = 8 * BDL__TREE_PLACES, MOST_PARAMS = 6 };

typedef struct job {
    bool is_bf16;
    int64_t bucket, n_shards;
    int64_t n_wrong_sums; /* of all ranks */
    double worst_sum, worst_weight; /* errors as shares of what they may be */
    float *start, *weights[MOST_TEST_RANKS]; /* malloc */
    int64_t count;
} job;

typedef struct iteration {
    const job *job;
    bdl__ranks *ranks;
    bdl__shares *shares;
    bdl__model *model;
    bdl__tree_node nodes[MOST_NODES]; /* of all ranks */
    int64_t settled[MOST_PARAMS];
    int64_t n_taken; /* own buckets so far */
    float *grads;
} iteration;

static bool starts_as_negative_zero(int64_t i) { return i % 37 == 0; }

/* The made-up gradient of a node: its size over 30 powers of two, both signs, often with a tie of bf16; none where the
 * weight is a zero with a sign. */
static float partial(int64_t node, int64_t i)
{
    if (starts_as_negative_zero(i)) {
        return 0;
    }
    const uint32_t x = (uint32_t)(i * 2654435761u) ^ (uint32_t)(node * 40503u + 977u);
    const uint32_t y = (x ^ x >> 15) * 2246822519u;
    const float mantissa = 1 + (float)(y % 512) / 256; /* 9 bits: half of them are ties */
    return ldexpf(y & 1024 ? -mantissa : mantissa, (int)(y >> 16 & 31) - 15);
}

/* To 8 significant bits, ties to even, in double arithmetic. */
static double rounded(double x)
{
    int exponent;
    const double mantissa = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(mantissa, 8)), exponent - 8);
}

/* The shards are shared out; each rank's run has one node or more. */
static void place(iteration *it, int n_ranks)
{
    bdl__ranks *const ranks = it->ranks;
    bdl__reduce *const reduce = &ranks->reduce;
    reduce->n_nodes = 0;
    for (int r = 0; r < n_ranks; r++) {
        int64_t begin, end;
        bdl__split_range(it->job->n_shards, r, n_ranks, &begin, &end);
        ranks->shard_bounds[r] = begin;
        ranks->shard_bounds[r + 1] = end;
        reduce->own_node = r == ranks->rank ? reduce->n_nodes : reduce->own_node;
        ranks->node_counts[r] = bdl__tree_nodes(begin, end, it->nodes + reduce->n_nodes);
        reduce->n_nodes += ranks->node_counts[r];
    }
    reduce->nodes = it->nodes;
    reduce->node_counts = ranks->node_counts;
}

/* The sum of node `at` and those below, as the tree says; *next counts the given nodes. */
static float tree_sum(const iteration *it, bdl__tree_node at, int64_t *next, int64_t i)
{
    if (it->nodes[*next].level == at.level && it->nodes[*next].i == at.i) {
        const int64_t k = (*next)++;
        const float own = partial(k, i);
        return it->job->is_bf16 ? (float)rounded((double)own) : own;
    }
    const float left =
        tree_sum(it, (bdl__tree_node){.level = at.level - 1, .i = 2 * at.i}, next, i);
    if ((2 * at.i + 1) << (at.level - 1) >= it->job->n_shards) {
        return left;
    }
    return left + tree_sum(it, (bdl__tree_node){.level = at.level - 1, .i = 2 * at.i + 1}, next, i);
}

/* The sum without any rounding, and what half of a bf16's last bit is for all that travels. */
static double exact(const iteration *it, int64_t i, double *bound)
{
    double sum = 0;
    *bound = 0;
    for (int64_t k = 0; k < it->ranks->reduce.n_nodes; k++) {
        const double x = (double)partial(k, i);
        sum += x;
        *bound += fabs(x) * (it->job->is_bf16 ? ldexp(1, -8) : 0) + fabs(x) * ldexp(1, -20);
    }
    return sum;
}

/* Own vectors lie `shift` before the whole one. */
static void check_sums(iteration *it, job *j, int64_t begin, int64_t end, int64_t shift)
{
    const bdl__tree_node root = bdl__tree_root(j->n_shards);
    for (int64_t i = begin; i < end; i++) {
        int64_t next = 0;
        double bound;
        const float want = tree_sum(it, root, &next, shift + i);
        const double sum = exact(it, shift + i, &bound);
        j->n_wrong_sums += memcmp(&want, &it->grads[i], sizeof want) != 0;
        j->worst_sum = fmax(j->worst_sum, bound > 0 ? fabs((double)it->grads[i] - sum) / bound : 0);
    }
}

/* A weight's error: that of its gradient, half a last bit of its step, and fp32's own. */
static void check_weights(const iteration *it, job *j)
{
    for (int64_t i = 0; i < j->count; i++) {
        double bound;
        const double sum = exact(it, i, &bound);
        const double step = (double)RATE * sum;
        const double want = (double)j->start[i] - step;
        bound = (double)RATE * bound * 1.01 + fabs(want) * ldexp(1, -22) + fabs(step) * ldexp(1, -22) +
                (j->is_bf16 ? fabs(step) * ldexp(1, -8) * 1.01 : 0);
        const double error = fabs((double)j->weights[it->ranks->rank][i] - want);
        j->worst_weight = fmax(j->worst_weight, bound > 0 ? error / bound : error);
    }
}

/* Updates own buckets from the last on: those that are complete, or all. */
static bdl_status take_buckets(iteration *it, job *j, bool all)
{
    const bdl__bucket *bucket;
    for (;;) {
        BDL__TRY(bdl__shares_next(it->shares, all, &bucket));
        if (!bucket) {
            return BDL_OK;
        }
        const int64_t shift = bucket->begin - bucket->own_at;
        const int64_t begin = bucket->own_at, end = bucket->end - shift;
        float *const weights = (float *)it->model->weights + shift;
        it->n_taken++;
        bdl__shares_sum(it->shares, begin, end, it->grads);
        check_sums(it, j, begin, end, shift);
        for (int64_t i = begin; i < end; i++) {
            weights[i] -= RATE * it->grads[i];
        }
        if (bdl__shares_rounds(it->shares)) {
            bdl__shares_round(it->shares, bucket, begin, end, j->start + shift + begin);
        }
        BDL__TRY(bdl__shares_send(it->shares, bucket));
    }
}

static bdl_status iterate(iteration *it, job *j)
{
    const bdl__graph *const graph = it->model->graph;
    const int64_t own_nodes = it->ranks->node_counts[it->ranks->rank];
    for (int64_t p = 0; p < graph->n_params; p++) {
        it->settled[p] = p;
    }
    const bdl__plan plan = {
        .graph = it->model->graph, .settled = it->settled, .n_settled = graph->n_params};
    BDL__TRY(bdl__shares_begin(it->shares, &plan));
    bdl__reduce *const reduce = &it->ranks->reduce;
    for (int64_t k = 0; k < own_nodes; k++) {
        for (int64_t i = 0; i < j->count; i++) {
            ((float *)reduce->partials)[k * j->count + i] = partial(reduce->own_node + k, i);
        }
    }
    BDL__TRY(take_buckets(it, j, false));
    CHECK_EQ_I64(it->n_taken, 0); /* no own gradient is ready */
    for (int64_t p = graph->n_params - 1; p >= graph->n_params / 2; p--) { /* the rest at the end */
        const bdl__param *const param = &graph->params[p];
        reduce->ready(reduce->arg, param->offset,
                      param->offset + bdl__round_up(param->count, BDL__PARAM_ALIGNMENT));
    }
    BDL__TRY(take_buckets(it, j, false));
    CHECK(it->ranks->n > 1 || j->bucket == 0 || it->n_taken > 0);
    BDL__TRY(take_buckets(it, j, true));
    int64_t n;
    (void)bdl__shares_buckets(it->shares, &n);
    CHECK_EQ_I64(it->n_taken, n);
    BDL__TRY(bdl__shares_end(it->shares));
    if (bdl__shares_rounds(it->shares)) {
        bdl__shares_follow(it->shares, 0, j->count);
    }
    return BDL_OK;
}

static bdl_status run_rank(job *j, test_rank *rank, bdl__saved *saved)
{
    iteration it = {.job = j, .model = saved->model};
    BDL__TRY(bdl__ranks_create(bdl__default_allocator(), rank->group, NULL, &it.ranks));
    place(&it, rank->n_ranks);
    it.grads = calloc((size_t)j->count, sizeof *it.grads);
    bdl_status status =
        bdl__shares_create(it.ranks, saved->model, j->bucket, j->is_bf16, &it.shares);
    if (status == BDL_OK) {
        status = iterate(&it, j);
    }
    memcpy(j->weights[rank->rank], saved->model->weights, (size_t)j->count * sizeof(float));
    if (status == BDL_OK) {
        check_weights(&it, j);
    }
    bdl__shares_free(it.shares);
    bdl__ranks_free(it.ranks);
    free(it.grads);
    return status;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for what all ranks count */

static void train_rank(test_rank *rank)
{
    job *const shared = rank->arg;
    job own = *shared;
    bdl__saved *saved = NULL;
    bdl_status status =
        bdl__saved_open(bdl__default_allocator(), MODEL, 1, BDL_F32, &saved);
    if (status == BDL_OK) {
        memcpy(saved->model->weights, own.start, (size_t)own.count * sizeof(float));
        status = run_rank(&own, rank, saved);
    }
    dist_note(rank, status);
    bdl__saved_free(saved);
    pthread_mutex_lock(&mutex);
    shared->n_wrong_sums += own.n_wrong_sums;
    shared->worst_sum = fmax(shared->worst_sum, own.worst_sum);
    shared->worst_weight = fmax(shared->worst_weight, own.worst_weight);
    pthread_mutex_unlock(&mutex);
}

/* Weights that begin as those of the model, and now and then as a zero with a sign. */
static void prepare(job *j)
{
    bdl__saved *saved = NULL;
    REQUIRE_OK(bdl__saved_open(bdl__default_allocator(), MODEL, 1, BDL_F32, &saved));
    j->count = saved->model->graph->weights_count;
    j->start = calloc((size_t)j->count, sizeof(float));
    memcpy(j->start, saved->model->weights, (size_t)j->count * sizeof(float));
    for (int64_t i = 0; i < j->count; i++) {
        j->start[i] = starts_as_negative_zero(i) ? -0.0f : j->start[i];
    }
    for (int r = 0; r < MOST_TEST_RANKS; r++) {
        j->weights[r] = calloc((size_t)j->count, sizeof(float));
    }
    bdl__saved_free(saved);
}

static void release(job *j)
{
    free(j->start);
    for (int r = 0; r < MOST_TEST_RANKS; r++) {
        free(j->weights[r]);
    }
}

static void check_job(bool is_bf16, int n_ranks, int64_t n_shards, int64_t bucket)
{
    static dist_run run;
    job j = {.is_bf16 = is_bf16, .bucket = bucket, .n_shards = n_shards};
    prepare(&j);
    run = (dist_run){.n_ranks = n_ranks, .fn = train_rank, .arg = &j};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
    CHECK_EQ_I64(j.n_wrong_sums, 0);
    CHECK(j.worst_sum <= 1 && j.worst_weight <= 1);
    CHECK(j.worst_weight > (is_bf16 ? 0.4 : 0)); /* the bound is near what happens */
    for (int r = 1; r < n_ranks; r++) {
        CHECK(memcmp(j.weights[0], j.weights[r], (size_t)j.count * sizeof(float)) == 0);
    }
    for (int64_t i = 0; i < j.count; i++) { /* no step, no change */
        if (starts_as_negative_zero(i)) {
            REQUIRE(memcmp(&j.weights[0][i], &j.start[i], sizeof(float)) == 0);
        }
    }
    release(&j);
}

BDL_TEST(fp32_sums_are_those_of_the_tree)
{
    check_job(false, 2, 4, 4096);
    check_job(false, 3, 7, 0);
}

BDL_TEST(bf16_sums_are_of_rounded_partials_in_fp32)
{
    check_job(true, 2, 4, 0);
    check_job(true, 2, 5, 4096); /* one rank has two nodes */
    check_job(true, 3, 7, 100000);
    check_job(true, 5, 9, 4096);
}

BDL_TEST(one_rank_rounds_nothing)
{
    check_job(false, 1, 3, 0);
    check_job(false, 1, 3, 4096);
    job j = {.is_bf16 = true, .n_shards = 3};
    static dist_run run;
    prepare(&j);
    run = (dist_run){.n_ranks = 1, .fn = train_rank, .arg = &j};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
    for (int64_t i = 0; i < j.count; i++) { /* not one is off by as much as bf16 would give */
        const float step = RATE * (partial(0, i) + partial(1, i));
        const double error = fabs((double)j.weights[0][i] - ((double)j.start[i] - (double)step));
        REQUIRE(error <= (fabs((double)j.start[i]) + fabs((double)step)) * ldexp(1, -22));
    }
    release(&j);
}

BDL_TEST_MAIN(fp32_sums_are_those_of_the_tree, bf16_sums_are_of_rounded_partials_in_fp32,
              one_rank_rounds_nothing)
