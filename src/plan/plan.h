/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: how a graph is run, for given shapes, phase, precision, kernel target and workers. It holds
 * the steps (one a node), the order of their forward and backward calls (ops) cut into segments at
 * sums over the batch, and a place in memory for every tensor. Immutable once made.
 */
#ifndef BDL_PLAN_PLAN_H
#define BDL_PLAN_PLAN_H

#include "graph/graph.h"
#include "plan/tree.h"

/* A criterion or metric on output 0 of the graph and the batch's target. */
typedef struct bdl__head {
    const bdl__layer *layer;
    const void *params;
} bdl__head;

typedef struct bdl__plan_options {
    const bdl__graph *graph;
    bool is_training;
    bdl__precision precision;
    bdl__target target;
    int n_workers;
    int64_t n_slices; /* of this rank; 0 only where other ranks have some */
    /* Copied by the plan. NULL: all slices are here, in as many shards as a batch of them has by default. */
    const bdl__shards *shards;
    /* With other ranks: scalars of gradients after which backward's segments are cut, so that those can travel while
     * others are computed; 0 = not cut for that. */
    int64_t bucket_count;
    int64_t global_batch;
    /* Prediction of one sample by a large net, where 16 lanes would repeat it: the target is lane1, there is
     * one part, and convolutions and products go through oneDNN. */
    bool few_samples;
    const bdl__head *heads; /* in training, heads[0] is the criterion that backward starts from */
    int n_heads;
    bdl__shape target_shape;
    bool target_integer;
    bool external_diffs; /* training without a criterion: gradients of the outputs come from outside */
    bool input_diffs;    /* gradients of the graph's inputs are wanted */
} bdl__plan_options;

/* A tensor's place. PART areas exist for every part of the batch; TEAM areas only for the part that a
 * team is working on, because nothing outside the segment needs them. */
typedef enum bdl__area_kind {
    BDL__AREA_NONE,
    BDL__AREA_INPUT,       /* i_external: the graph's input */
    BDL__AREA_TARGET,      /* the batch's target */
    BDL__AREA_OUTPUT_DIFF, /* i_external: gradient of an output, from outside */
    BDL__AREA_PART,
    BDL__AREA_TEAM
} bdl__area_kind;

typedef struct bdl__area {
    bdl__area_kind kind;
    int32_t alias; /* the area whose memory this one uses, or -1 */
    int32_t i_external;
    size_t size;   /* bytes a part */
    size_t offset; /* within a part's, or a team's, memory */
    int64_t first_op, last_op;
    bool is_pinned; /* read after the last op */
} bdl__area;

typedef struct bdl__sums {
    int64_t n; /* doubles; 0 = none */
    bdl__merge_fn merge;
    int64_t offset; /* of its totals; rows of part i begin at n_parts * offset + i * n */
} bdl__sums;

#define BDL__MAX_PASSES 4

/* A step with what the planner knows beyond the layer's view. */
typedef struct bdl__planned_step {
    bdl__step step;
    bdl__ref *in; /* [n_in]; for heads: the output, then the target as node -2 */
    int i_head;   /* -1 for nodes */
    int64_t first_param, first_buffer;
    size_t saved_size[BDL__MAX_SAVED];
    int32_t saved_area[BDL__MAX_SAVED];
    struct {
        size_t size, offset; /* even areas are read by forward, odd ones by backward */
        int64_t n_units;
        bdl__pack_fn pack;
    } packed[BDL__MAX_SAVED];
    size_t scratch_size;
    bdl__sums sums[2][BDL__MAX_PASSES]; /* [is_backward] */
    int32_t *dst_area;                  /* [n_out] */
    int32_t *diff_dst_area;             /* [n_out], -1 = none */
} bdl__planned_step;

typedef struct bdl__op {
    int64_t i_step;
    bool is_backward;
    int pass;
    bool is_last_pass;
    bool is_dropped;            /* a view whose tensors share memory */
    int32_t *src_area;          /* [n_in] */
    int32_t *diff_src_area;     /* [n_in], -1 = not wanted */
    bdl__write_mode *diff_mode; /* [n_in] */
    int64_t leaf_offset[BDL__MAX_WEIGHTS]; /* in the segment's gradients; -1 = frozen */
    bool leaf_adds[BDL__MAX_WEIGHTS];      /* another user of a shared weight wrote before */
} bdl__op;

/* A weight tensor's gradient within a segment's leaf. */
typedef struct bdl__leaf_range {
    int64_t i_param;
    int64_t offset; /* in the leaf */
    bool adds;      /* an earlier segment wrote this parameter's gradient */
} bdl__leaf_range;

typedef struct bdl__segment {
    int64_t first_op, end_op;
    bool is_breadth; /* op by op over all parts, instead of part by part */
    int n_teams, team_size;
    int64_t first_leaf_range, end_leaf_range;
    int64_t leaf_count; /* scalars */
    bool has_sums;
    int64_t first_settled, end_settled;
} bdl__segment;

typedef struct bdl__plan {
    bdl__arena arena;
    bdl__plan_options options;
    bdl__graph *graph; /* owned reference */
    bdl__failure *failure; /* of a run; all else stays as it was made */
    int lanes;
    size_t real_size, scalar_size;
    int64_t n_parts, n_parts_slice; /* of this rank */
    bdl__shards shards; /* of the step; bounds in the arena */
    int64_t n_steps, n_ops, n_segments, n_areas, n_leaf_ranges;
    bdl__planned_step *steps;
    bdl__op *ops;
    bdl__segment *segments;
    bdl__area *areas;
    bdl__leaf_range *leaf_ranges;
    int64_t n_settled;
    int64_t *settled; /* parameters, by the segment after which nothing reads them or adds to their gradients */
    int32_t *output_area;     /* [graph->n_outputs] */
    int32_t *input_diff_area; /* [graph->n_inputs], -1 */
    /* memory, in bytes */
    size_t part_size, team_size, scratch_size, packed_size;
    bool packs_by_segment; /* weights are packed at the start of each segment, not once a step */
    int64_t sums_count; /* doubles of all totals */
} bdl__plan;

/* Whether a plan with few_samples should predict `n` samples, one by one: few of them, a graph of many
 * multiply-adds, and oneDNN at hand. A function of the graph and the build alone. */
bool bdl__plan_wants_few(const bdl__graph *graph, bdl__precision precision, int64_t n);

bdl_status bdl__plan_create(const bdl_allocator *allocator, const bdl__plan_options *options,
                            bdl__plan **plan);
void bdl__plan_free(bdl__plan *plan);

/* The listing of `bdl inspect --plan`: segments, steps, implementations, memory. */
void bdl__plan_print(const bdl__plan *plan, bdl__text *out);

/* This rank's parts of one of its shards. */
static inline void bdl__plan_shard_parts(const bdl__plan *plan, int64_t i_shard, int64_t *begin,
                                         int64_t *end)
{
    bdl__shards_slices(&plan->shards, i_shard, begin, end);
    *begin = (*begin - plan->shards.bounds[0]) * plan->n_parts_slice;
    *end = BDL__MIN((*end - plan->shards.bounds[0]) * plan->n_parts_slice, plan->n_parts);
}

/* The area that really holds the tensor. */
static inline const bdl__area *bdl__plan_area(const bdl__plan *plan, int32_t i)
{
    while (plan->areas[i].alias >= 0) {
        i = plan->areas[i].alias;
    }
    return &plan->areas[i];
}

#endif
