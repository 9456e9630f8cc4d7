/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights shared out among ranks. The flat vector is cut at whole blocks into buckets, and each has one owner: it
 * gets the partial gradients of all ranks for the bucket, sums them in the order of the tree, updates the weights,
 * and sends the new ones to all. Only the owner keeps gradients and the method's state, in vectors with its buckets
 * one after the other (own vectors). A bucket can leave while backward still works on others.
 *
 * With bf16 on the wire, partial gradients are rounded, and the owner sums them in fp32. Of the weights
 * their changes travel, rounded: each rank, the owner too, adds the same to fp32 weights, so that all keep the same bits,
 * and no weight loses more than the rounding of its steps.
 *
 * An iteration: bdl__shares_begin, bdl__exec_run (which tells what is ready), by its hook for each own bucket
 * bdl__shares_next, bdl__shares_sum, the update, bdl__shares_send; at last bdl__shares_end. While backward works on the
 * first layers, the last ones' weights change already: a bucket leaves when its rank does not read its weights any
 * more, so when the owner has all partial gradients nobody does.
 */
#ifndef BDL_TRAIN_SHARES_H
#define BDL_TRAIN_SHARES_H

#include "train/ranks.h"

/* Scalars [begin, end) of the flat vector. */
typedef struct bdl__bucket {
    int64_t begin, end;
    int owner;
    bool has_left;        /* in this iteration */
    int64_t own_at;       /* its place in the owner's vectors: at most `begin` */
    int64_t needed, have; /* scalars that a run of the plan settles, and those settled so far */
} bdl__bucket;

typedef struct bdl__shares bdl__shares;

/* (buckets.c) Shares out the weights that can change, `bucket_blocks` at a time among all ranks, 0 = all at once. Sorted by
 * owner, then by place. */
bdl_status bdl__buckets_cut(const bdl_allocator *allocator, const bdl__graph *graph, int n_ranks,
                            int64_t bucket_blocks, bdl__bucket **buckets, int64_t *n_buckets);

/* `bucket_size`: bytes of gradients that are shared out among all ranks at a time, 0 = all, which leave after
 * backward. `is_bf16` is for float32 models; one rank alone rounds nothing. `ranks` and `model` are borrowed. */
bdl_status bdl__shares_create(bdl__ranks *ranks, const bdl__model *model, int64_t bucket_size,
                              bool is_bf16, bdl__shares **shares);
void bdl__shares_free(bdl__shares *shares); /* NULL ok */

/* Scalars that rank r owns, whole blocks. */
int64_t bdl__shares_count(const bdl__shares *shares, int r);
/* The own buckets. */
const bdl__bucket *bdl__shares_buckets(const bdl__shares *shares, int64_t *n);

/* ---- an iteration; calls by one thread but for bdl__shares_sum ---- */

/* Makes room for the batch's nodes and starts to receive. */
bdl_status bdl__shares_begin(bdl__shares *shares, const bdl__plan *plan);
/* After backward: what has not left yet leaves. */
bdl_status bdl__shares_flush(bdl__shares *shares);
/* The next own bucket, from the last on, of which all partial gradients are here; NULL if there is none. With `waits`
 * for after backward: waits for it, and NULL means that there are no more. The first call of an iteration starts to
 * receive the new weights of the others' buckets. */
bdl_status bdl__shares_next(bdl__shares *shares, bool waits, const bdl__bucket **bucket);
/* Writes the sums of scalars [begin, end) of the own vector `grads`: of the last bucket of bdl__shares_next. */
void bdl__shares_sum(const bdl__shares *shares, int64_t begin, int64_t end, void *grads);
/* Whether weights change by rounded steps: then each update is followed by bdl__shares_round, and bdl__shares_end
 * by bdl__shares_follow. */
bool bdl__shares_rounds(const bdl__shares *shares);
/* Rounds the changes of an own bucket's weights, [begin, end) in own vectors, which were `old` before. */
void bdl__shares_round(const bdl__shares *shares, const bdl__bucket *bucket, int64_t begin,
                       int64_t end, const float *old);
/* Sends the new weights (or their changes) of an own bucket to all. */
bdl_status bdl__shares_send(bdl__shares *shares, const bdl__bucket *bucket);
/* Ends an iteration that all ranks give up, of which this one has sent `n_sent` own buckets, from the last on: what the
 * others wait for comes, whatever it is worth. Then, own buckets being as they were, gives them to all again. */
bdl_status bdl__shares_give_up(bdl__shares *shares, int64_t n_sent);
bdl_status bdl__shares_share_again(bdl__shares *shares);
/* Waits for all that still travels. */
bdl_status bdl__shares_end(bdl__shares *shares);
/* Adds the changes of the others' weights in [begin, end) of the whole vector. */
void bdl__shares_follow(const bdl__shares *shares, int64_t begin, int64_t end);

/* Numbers of live blocks, in the order of the ranks and of their own vectors, to the blocks' places in the whole vector. */
void bdl__shares_in_order(const bdl__shares *shares, const double *by_owner, double *by_block);

/* ---- between iterations ---- */

/* A vector laid out as the weights, of which each rank has its own, on rank 0 in `full` (zeros where nobody's is). */
bdl_status bdl__shares_gather(bdl__shares *shares, const void *own, void *full);
/* Each rank's own of a vector that rank `root` has in `full`. */
bdl_status bdl__shares_scatter(bdl__shares *shares, int root, const void *full, void *own);

#endif
