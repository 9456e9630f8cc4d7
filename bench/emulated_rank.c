/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rank of a training whose computation is a sleep: what bench/links starts. Everything else is the real
 * thing: batches, buckets, messages, sums, update. So many ranks can be on a machine with few cores without
 * keeping each other from computing, and what is measured is the network.
 *
 *     emulated_rank RANK N_RANKS SECRET(hex) ADDRESS SECONDS JITTER [OPTION=VALUE ...]
 *
 * SECONDS is the time of a shard (16 samples): a third of it forward, two thirds backward, where each weight takes
 * the same; JITTER the deviation of a step's time, as a share. With SECONDS = 0 it computes. Prints its address, reads a
 * line of JSON with all addresses, and prints the seconds of each step.
 *
 * The linker puts __wrap_bdl__exec_run in the place of bdl__exec_run.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api.h"
#include "base/rng.h"
#include "exec/internal.h"

enum { MOST_LINE = 16384, MOST_STEPS = 4096 };

static double shard_seconds, jitter;
static bdl__rng rng;

bdl_status __real_bdl__exec_run(bdl__exec *exec, const bdl__exec_batch *batch, bdl__exec_hook hook,
                                void *hook_arg);
bdl_status __wrap_bdl__exec_run(bdl__exec *exec, const bdl__exec_batch *batch, bdl__exec_hook hook,
                                void *hook_arg);

static void wait_for(double seconds)
{
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    (void)nanosleep(&time, NULL);
}

/* As run_segment of exec.c, when its work is done. */
static bdl_status meet(bdl__exec *exec, const bdl__segment *segment)
{
    bdl__exec_tell_ready(exec, segment);
    const int64_t n = bdl__exec_sums_size(exec, segment);
    for (int64_t i = 0; i < n * exec->reduce->n_nodes; i++) {
        exec->node_sums[i] = 1;
    }
    return bdl__exec_exchange(exec, segment);
}

bdl_status __wrap_bdl__exec_run(bdl__exec *exec, const bdl__exec_batch *batch, bdl__exec_hook hook,
                                void *hook_arg)
{
    const bdl__plan *const plan = exec->plan;
    if (shard_seconds <= 0) {
        return __real_bdl__exec_run(exec, batch, hook, hook_arg);
    }
    const double own = (double)(plan->shards.end - plan->shards.first);
    const double seconds = own * shard_seconds * fmax(1 + jitter * bdl__rng_normal(&rng), 0);
    int64_t count = 0;
    for (int64_t s = 0; s < plan->n_segments; s++) {
        count += plan->segments[s].leaf_count;
    }
    exec->reduce = batch->reduce;
    BDL__TRY(bdl__exec_reserve_nodes(exec));
    for (int64_t i = 0; i < 2 * plan->options.n_heads; i++) {
        exec->heads[i] = 1;
    }
    bdl__exec_worker worker = {
        .worker = 0, .n_workers = 1, .barrier = &exec->barrier, .heads = exec->heads};
    wait_for(seconds / 3);
    for (int64_t s = 0; s < plan->n_segments; s++) {
        const bdl__segment *const segment = &plan->segments[s];
        wait_for(seconds * 2 / 3 * (double)segment->leaf_count / (double)count);
        BDL__TRY(meet(exec, segment));
        if (segment->leaf_count > 0) {
            hook(hook_arg, &worker);
        }
    }
    worker.is_end = true;
    hook(hook_arg, &worker);
    return BDL_OK;
}

/* ---- the rank ---------------------------------------------------------------------------------------- */

typedef struct steps {
    int64_t n;
    double ends[MOST_STEPS];
} steps;

static void note_step(void *user, const bdl_event *event)
{
    steps *const s = user;
    if (event->kind == BDL_EVENT_STEP && s->n < MOST_STEPS) {
        s->ends[s->n++] = bdl__now();
    }
}

static bdl_status set_options(bdl_options *options, int n, char *const *settings)
{
    for (int i = 0; i < n; i++) {
        char *const value = strchr(settings[i], '=');
        BDL__CHECK(value, BDL_ERR_INVALID_ARGUMENT, "'%s' is not OPTION=VALUE", settings[i]);
        *value = '\0';
        BDL__TRY(bdl_options_set(options, settings[i], value + 1));
    }
    return BDL_OK;
}

static bdl_status connect_all(bdl_group *group, int n_ranks)
{
    char line[MOST_LINE];
    const char *addresses[BDL__MOST_RANKS];
    bdl__json *json = NULL;
    (void)printf("%s\n", bdl_group_address(group));
    (void)fflush(stdout);
    BDL__CHECK(fgets(line, sizeof line, stdin), BDL_ERR_IO, "no addresses came");
    BDL__TRY(bdl__json_parse(line, strlen(line), "the addresses", &json));
    int n = 0;
    for (const bdl__json *a = bdl__json_first(json); a && n < n_ranks; a = bdl__json_next(a)) {
        addresses[n++] = bdl__json_string(a);
    }
    const bdl_status status =
        n == n_ranks ? bdl_group_connect(group, addresses)
                     : bdl__fail(BDL_ERR_FORMAT, "%d addresses for %d ranks", n, n_ranks);
    bdl__json_free(json);
    return status;
}

static bdl_status train(bdl_context *context, bdl_group *group, int n, char *const *settings, steps *s)
{
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    BDL__TRY(bdl_options_create(context, "train", &options));
    bdl_status status = set_options(options, n, settings);
    if (status == BDL_OK) {
        status = bdl_options_set_group(options, group);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_create(context, options, &trainer);
    }
    if (status == BDL_OK) {
        status = bdl_trainer_run(trainer, note_step, s);
    }
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    return status;
}

static void read_secret(const char *hex, uint8_t secret[BDL__SECRET_SIZE])
{
    for (size_t i = 0; i < BDL__SECRET_SIZE && strlen(hex) == 2 * BDL__SECRET_SIZE; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        secret[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static bdl_status run(int argc, char **argv, steps *s)
{
    uint8_t secret[BDL__SECRET_SIZE] = {0};
    bdl_context *context = NULL;
    bdl_group *group = NULL;
    const bdl_context_options how = {.struct_size = sizeof how, .n_threads = 1};
    read_secret(argv[3], secret);
    const bdl_group_options who = {.struct_size = sizeof who,
                                   .rank = (int)strtol(argv[1], NULL, 10),
                                   .n_ranks = (int)strtol(argv[2], NULL, 10),
                                   .secret = secret,
                                   .bind = argv[4]};
    BDL__TRY(bdl_context_create(&how, &context));
    bdl_status status = bdl_group_create(context, &who, &group);
    if (status == BDL_OK) {
        status = connect_all(group, who.n_ranks);
    }
    if (status == BDL_OK) {
        status = train(context, group, argc - 7, argv + 7, s);
    }
    bdl_group_free(group);
    bdl_context_free(context);
    return status;
}

int main(int argc, char **argv)
{
    static steps s;
    if (argc < 7) {
        (void)fputs("emulated_rank RANK N_RANKS SECRET ADDRESS SECONDS JITTER [OPTION=VALUE ...]\n", stderr);
        return 2;
    }
    shard_seconds = strtod(argv[5], NULL);
    jitter = strtod(argv[6], NULL);
    bdl__rng_init(&rng, (uint64_t)strtol(argv[1], NULL, 10), BDL__RNG_TEST, 0, 0);
    if (run(argc, argv, &s) != BDL_OK) {
        (void)fprintf(stderr, "rank %s: %s\n", argv[1], bdl_last_error());
        return 1;
    }
    for (int64_t i = 1; i < s.n; i++) {
        (void)printf("%.6f\n", s.ends[i] - s.ends[i - 1]);
    }
    return 0;
}
