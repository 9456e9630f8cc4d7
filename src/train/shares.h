/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights shared out among ranks. The flat vector is cut at whole blocks into one range a rank, which owns it: it
 * gets the partial gradients of all ranks for its range, sums them in the order of the tree, updates the weights,
 * and sends the new ones to all. Only the owner keeps the range's gradients and the method's state. A range goes in
 * buckets, so that a bucket can leave while backward still works on others.
 *
 * With bf16 on the wire, partial gradients are rounded when they leave; the owner still sums in fp32. Of the weights
 * their changes travel, rounded: each rank, the owner too, adds the same to fp32 weights, so that all keep the same bits,
 * and no weight loses more than the rounding of its steps.
 *
 * An iteration: bdl__shares_begin, bdl__exec_run (which tells what is ready), then by its hook, for each own
 * bucket, bdl__shares_wait and bdl__shares_sum, the update, bdl__shares_send; at last bdl__shares_end.
 */
#ifndef BDL_TRAIN_SHARES_H
#define BDL_TRAIN_SHARES_H

#include "train/ranks.h"

/* Scalars [begin, end) of the flat vector. */
typedef struct bdl__bucket {
    int64_t begin, end;
    int owner;
    bool is_live;        /* not all frozen: it travels */
    bool has_left;       /* in this iteration */
    int64_t needed, have; /* scalars whose gradients an iteration makes, and those made so far */
} bdl__bucket;

typedef struct bdl__shares bdl__shares;

/* `bucket_size` in bytes of fp32 gradients, 0 = a rank's range is one bucket, and leaves after backward. `is_bf16` is
 * for float32 models; one rank alone rounds nothing. `ranks` and `model` are borrowed. */
bdl_status bdl__shares_create(bdl__ranks *ranks, const bdl__model *model, int64_t bucket_size,
                              bool is_bf16, bdl__shares **shares);
void bdl__shares_free(bdl__shares *shares); /* NULL ok */

/* The range of rank r, in scalars, whole blocks. */
void bdl__shares_range(const bdl__shares *shares, int r, int64_t *begin, int64_t *end);
/* The buckets of the own range. */
const bdl__bucket *bdl__shares_buckets(const bdl__shares *shares, int64_t *n);

/* ---- an iteration; calls by one thread but for bdl__shares_sum ---- */

/* Makes room for the batch's nodes and starts to receive. */
bdl_status bdl__shares_begin(bdl__shares *shares, const bdl__plan *plan);
/* After backward: what has not left yet leaves. */
bdl_status bdl__shares_flush(bdl__shares *shares);
/* Waits until all partial gradients of an own bucket are here. */
bdl_status bdl__shares_wait(bdl__shares *shares, const bdl__bucket *bucket);
/* Writes the sums of scalars [begin, end) of the own range to `grads`, which begins where the range does. */
void bdl__shares_sum(const bdl__shares *shares, int64_t begin, int64_t end, void *grads);
/* Whether weights change by rounded steps: then each update is followed by bdl__shares_round, and bdl__shares_end
 * by bdl__shares_follow. */
bool bdl__shares_rounds(const bdl__shares *shares);
/* Rounds the changes of weights [begin, end) of the own range, which were `old` before. */
void bdl__shares_round(const bdl__shares *shares, int64_t begin, int64_t end, const float *old);
/* Starts to receive the new weights (or their changes) of the others' buckets. */
bdl_status bdl__shares_expect(bdl__shares *shares);
/* Sends the new weights (or their changes) of an own bucket to all. */
bdl_status bdl__shares_send(bdl__shares *shares, const bdl__bucket *bucket);
/* Waits for all that still travels. */
bdl_status bdl__shares_end(bdl__shares *shares);
/* Adds the changes of the others' weights in [begin, end) of the whole vector. */
void bdl__shares_follow(const bdl__shares *shares, int64_t begin, int64_t end);

/* ---- between iterations ---- */

/* A vector laid out as the weights, of which each rank has its own range, on rank 0 in `full`. */
bdl_status bdl__shares_gather(bdl__shares *shares, const void *own, void *full);
/* The ranges of a vector that rank `root` has in `full`. */
bdl_status bdl__shares_scatter(bdl__shares *shares, int root, const void *full, void *own);

#endif
