/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of exec/ share. */
#ifndef BDL_EXEC_INTERNAL_H
#define BDL_EXEC_INTERNAL_H

#include "exec/exec.h"
#include "exec/reduce.h"

struct bdl__workspace {
    const bdl_allocator *allocator;
    void *data;
    size_t size;
};

/* A team's run of shards and its partial gradient sums. */
typedef struct bdl__team {
    int64_t first_shard, end_shard;
    int8_t slot[BDL__TREE_PLACES];
    size_t leaf_size; /* bytes of the segment's gradients */
    char *slots;      /* leaves */
    char *carry;      /* one leaf: a sum on its way up */
} bdl__team;

/* Where a takes_many step's gradients go: handed to layers as cx->grad_sink. */
struct bdl__grad_sink {
    bdl__exec *exec;
    bdl__team *team;
    const bdl__op *op;
};

typedef struct bdl__worker_state {
    bdl__cx cx;
    struct bdl__grad_sink sink;
    void *scratch;
    bdl__node_grads *held; /* room for what the teams hold */
    char padding[64];
} bdl__worker_state;

struct bdl__exec {
    const bdl_allocator *allocator;
    const bdl__plan *plan;
    bdl__pool *pool;
    bdl__model *model;
    bdl__workspace *workspace;
    void *grads;

    bdl__team **teams; /* [n_segments][n_teams of it] */
    bdl__worker_state *workers;
    bdl__barrier *team_barriers; /* [n_workers] */
    bdl__barrier barrier;
    void *packed; /* persistent packed weights */
    uint64_t packed_version;
    double *sums;   /* rows of all parts: see bdl__sums */
    double *totals; /* [sums_count] */
    double *head_rows; /* [n_heads][n_parts][2] */
    double *heads;     /* [n_heads][2] */
    bdl__arena arena;

    /* of the current run */
    char *part_memory, *team_memory;
    bdl__exec_batch batch; /* its spans are copies: */
    bdl__span inputs[BDL__MAX_PORTS], output_diffs[BDL__MAX_PORTS];
    const bdl__reduce *reduce; /* NULL = alone */
    bdl__exec_hook hook;
    void *hook_arg;
    bdl_status status; /* of the exchanges with other ranks; written by worker 0 between meetings */
    bool calls_hook;   /* after this meeting with other ranks; as status */
    _Atomic bool is_cancelled; /* calls were left out */
    void *buffers_before; /* [graph's buffers_count scalars] of the model, of a training plan */
    bool stop_at_nonfinite;
    _Atomic int64_t i_nonfinite; /* step, -1 = none */

    /* with other ranks */
    double *node_sums;     /* [nodes of all ranks][doubles of a segment] */
    int64_t *value_counts; /* [n_ranks] doubles of an exchange */
    int64_t nodes_capacity, ranks_capacity;
};

/* Calls one op on parts [i_part, i_part + n_parts) of a team (call.c). */
void bdl__exec_call(bdl__exec *exec, const bdl__segment *segment, int i_team, int worker,
                    const bdl__op *op, int64_t i_part, int64_t n_parts, int team_rank, int team_size);
/* Adds a finished leaf of shard `i_shard`, scalars [offset, offset + count), into the team's tree;
 * `values` (clobbered) holds them (grads.c). */
void bdl__exec_push(bdl__exec *exec, bdl__team *team, int64_t i_shard, int64_t offset, int64_t count,
                    void *values);
/* The shard of a slice, numbered within this rank. */
static inline int64_t bdl__exec_shard_of(const bdl__exec *exec, int64_t i_slice)
{
    const bdl__shards *const shards = &exec->plan->shards;
    return bdl__shards_find(shards, shards->bounds[0] + i_slice);
}

/* Where the leaf of a shard is written: the slot it will stay in, or the carry. */
void *bdl__exec_leaf(bdl__team *team, int64_t i_shard);
/* One worker's share of the segment's sums over all teams: into exec->grads, or, with other ranks, the sums
 * of this rank's nodes into the partials. */
void bdl__exec_reduce(bdl__exec *exec, const bdl__segment *segment, bdl__team *teams, int worker,
                      int n_workers);

/* Tells what has settled after a segment (worker 0). */
void bdl__exec_tell_ready(const bdl__exec *exec, const bdl__segment *segment);

/* ---- sums.c ---- */

/* Doubles of a node's small vectors in a segment. */
int64_t bdl__exec_sums_size(const bdl__exec *exec, const bdl__segment *segment);
/* One worker's share of the segment's small vectors: the totals, or with other ranks this rank's nodes. */
void bdl__exec_sum(bdl__exec *exec, const bdl__segment *segment, int worker, int n_workers);
/* With other ranks: exchanges the nodes (worker 0); then each worker makes its share of the totals. */
bdl_status bdl__exec_exchange(bdl__exec *exec, const bdl__segment *segment);
void bdl__exec_finish_sums(bdl__exec *exec, const bdl__segment *segment, int worker, int n_workers);
/* Makes room for the nodes of all ranks of this batch. */
bdl_status bdl__exec_reserve_nodes(bdl__exec *exec);
void bdl__exec_free_nodes(bdl__exec *exec);

#endif
