/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a batch is divided: into slices of 16 samples, these into shards, which are the leaves of the sum's tree, and
 * shards among ranks and their threads. Only the shards have a say in the result.
 */
#include <stdio.h>

#include "train/trainer.h"

/* With `is_short`, the data have less than a batch. */
static bdl_status check_shards(const bdl__trainer *t, bool is_short)
{
    const long long batch = t->params.batch, n_slices = t->n_slices, n = t->n_shards;
    BDL__CHECK(n <= n_slices || is_short, BDL_ERR_INVALID_ARGUMENT,
               "a batch of %lld sample%s cannot be cut into %lld shards of %d or more: use at most %lld shard%s, or a "
               "batch of at least %lld",
               batch, bdl__plural(batch), n, BDL__SLICE, n_slices, bdl__plural(n_slices), n * BDL__SLICE);
    BDL__CHECK(n <= n_slices, BDL_ERR_INVALID_ARGUMENT,
               "%lld sample%s make one step, which cannot be cut into %lld shards of %d or more: use at most %lld "
               "shard%s, or at least %lld samples",
               batch, bdl__plural(batch), n, BDL__SLICE, n_slices, bdl__plural(n_slices), (n - 1) * BDL__SLICE + 1);
    return BDL_OK;
}

/* Each rank needs a shard. */
static bdl_status check_ranks(const bdl__trainer *t, bool is_short)
{
    const int n = t->ranks ? t->ranks->n : 1;
    const long long batch = t->params.batch, n_shards = t->n_shards;
    char more[64] = "";
    if (n > t->n_slices) {
        snprintf(more, sizeof more, " of a batch of at least %lld", (long long)n * BDL__SLICE);
    }
    BDL__CHECK(n <= n_shards || !t->params.shards, BDL_ERR_INVALID_ARGUMENT,
               "a batch in %lld shard%s cannot be shared by %d ranks: use at most %lld rank%s, or %d shards%s",
               n_shards, bdl__plural(n_shards), n, n_shards, bdl__plural(n_shards), n, more);
    BDL__CHECK(n <= n_shards || is_short, BDL_ERR_INVALID_ARGUMENT,
               "a batch of %lld sample%s has %lld shard%s of %d, and cannot be shared by %d ranks: use "
               "at most %lld rank%s, or a batch of at least %lld",
               batch, bdl__plural(batch), n_shards, bdl__plural(n_shards), BDL__SLICE, n, n_shards,
               bdl__plural(n_shards), (long long)n * BDL__SLICE);
    BDL__CHECK(n <= n_shards, BDL_ERR_INVALID_ARGUMENT,
               "%lld sample%s make one step of %lld shard%s of %d, and cannot be shared by %d ranks: use at most %lld "
               "rank%s, or at least %lld samples",
               batch, bdl__plural(batch), n_shards, bdl__plural(n_shards), BDL__SLICE, n, n_shards,
               bdl__plural(n_shards), (long long)(n - 1) * BDL__SLICE + 1);
    return BDL_OK;
}

bdl_status bdl__trainer_divide(bdl__trainer *t, int64_t n_samples)
{
    bdl__train_params *const p = &t->params;
    const bool is_short = p->batch > n_samples;
    p->batch = BDL__MIN(p->batch, n_samples); /* a larger one would only take memory */
    t->n_slices = (p->batch + BDL__SLICE - 1) / BDL__SLICE;
    t->n_shards = p->shards ? p->shards : bdl__n_shards(t->n_slices);
    BDL__TRY(check_shards(t, is_short));
    return check_ranks(t, is_short);
}

/* The most slices that a thread has, where each has a shard or more. */
static int64_t most_slices(const bdl__trainer *t, int n_ranks, int n_threads)
{
    int64_t most = 0;
    for (int r = 0; r < n_ranks; r++) {
        int64_t first, end;
        bdl__split_range(t->n_shards, r, n_ranks, &first, &end);
        for (int thread = 0; thread < n_threads; thread++) {
            int64_t from, to, begins, ends, unused;
            bdl__split_range(end - first, thread, n_threads, &from, &to);
            bdl__shard_slices(first + from, t->n_shards, t->n_slices, &begins, &unused);
            bdl__shard_slices(first + to, t->n_shards, t->n_slices, &ends, &unused);
            most = BDL__MAX(most, ends - begins);
        }
    }
    return most;
}

/* What would do better than an uneven division among so many threads in all. */
static void advise(const bdl__trainer *t, int64_t n_threads, char *text, size_t size)
{
    if (t->n_shards % n_threads != 0 && t->params.shards) {
        snprintf(text, size, "a multiple of %lld shards does better", (long long)n_threads);
        return;
    }
    const int64_t unit = (t->params.shards ? t->n_shards : n_threads) * BDL__SLICE;
    const int64_t below = t->params.batch / unit * unit;
    char less[32] = "";
    if (below > 0) {
        snprintf(less, sizeof less, "%lld or ", (long long)below);
    }
    snprintf(text, size, "a batch of %s%lld divides evenly", less, (long long)(below + unit));
}

void bdl__trainer_say_division(const bdl__trainer *t)
{
    if (!bdl__trainer_is_writer(t) || (!t->ranks && !t->params.shards)) {
        return;
    }
    const int n_ranks = t->ranks ? t->ranks->n : 1, n_threads = bdl__pool_size(t->session.pool);
    const int64_t n_all = (int64_t)n_ranks * n_threads;
    const long long n_shards = t->n_shards, n_slices = t->n_slices;
    char who[64], advice[128];
    const int n = n_ranks > 1 ? snprintf(who, sizeof who, "%d ranks x ", n_ranks) : 0;
    snprintf(who + n, sizeof who - (size_t)n, "%d thread%s", n_threads, bdl__plural(n_threads));
    if (n_shards < n_all) {
        BDL__LOG(t->session.log, BDL__LOG_INFO,
                 "%s: a step has %lld shard%s, so that threads share the samples of a shard, layer by layer, or wait: "
                 "with %lld shards each has its own",
                 who, n_shards, bdl__plural(n_shards), (long long)n_all);
        return;
    }
    const int64_t most = most_slices(t, n_ranks, n_threads);
    if (most * n_all == n_slices) {
        BDL__LOG(t->session.log, BDL__LOG_INFO, "%s: a step's %lld shards divide evenly, %lld for each thread",
                 who, n_shards, n_shards / n_all);
        return;
    }
    advise(t, n_all, advice, sizeof advice);
    BDL__LOG(t->session.log, BDL__LOG_INFO,
             "%s: of a step's %lld slices of %d samples, in %lld shards, a thread has up to %lld, so that %.0f %% of the "
             "time is waiting; %s",
             who, n_slices, BDL__SLICE, n_shards, (long long)most,
             100 * (1 - (double)n_slices / (double)(most * n_all)), advice);
}
