/* SPDX-License-Identifier: Apache-2.0 */
/* Filling one slice of a batch: read, transform, write into lanes. */
#ifndef BDL_DATA_SLICE_H
#define BDL_DATA_SLICE_H

#include "data/data_private.h"

/* What all slices of a batcher have in common. Immutable but for `broken` and n_broken. */
typedef struct bdl__slice_plan {
    const bdl__dataset *dataset; /* borrowed */
    const bdl__chain *chain;     /* borrowed */
    const bdl__order *order;     /* borrowed; NULL without shuffling */
    bool takes_packed;           /* values of a packed data set are read as bytes */
    bdl__chain_plan chain_plan;  /* owned */
    bdl__shape shape;            /* after the chain */
    bdl__lanes input;
    bdl__lanes target; /* n = 0: none, or classes */
    bool is_training;
    uint64_t seed;
    double most_broken;
    _Atomic uint8_t *broken; /* owned, [n]; NULL where no row may be broken */
    _Atomic int64_t n_broken;
} bdl__slice_plan;

bdl_status bdl__slice_plan_init(const bdl_allocator *allocator, const bdl__dataset *dataset,
                                const bdl__chain *chain, const bdl__batch_options *options,
                                bdl__slice_plan *plan);
void bdl__slice_plan_free(bdl__slice_plan *plan);

/* What one thread needs. */
typedef struct bdl__slice_scratch {
    bdl__sample sample;
    bdl__chain_scratch chain;
    bdl__buffer rows;    /* 16 rows that do not stay in the data set's memory */
    bdl__buffer targets; /* 16 rows of target values */
} bdl__slice_scratch;

void bdl__slice_scratch_init(bdl__slice_scratch *scratch, const bdl_allocator *allocator);
void bdl__slice_scratch_free(bdl__slice_scratch *scratch);

/* Fills the slice whose `*n_valid` rows are given; rows that turn out to be broken are taken out of
 * `rows` and counted. With *n_valid = 0 nothing was written. */
bdl_status bdl__slice_fill(bdl__slice_plan *plan, bdl__slice_scratch *scratch, int64_t epoch,
                           int64_t rows[BDL__SLICE_ROWS], int32_t *n_valid, void *input,
                           void *target);

#endif
