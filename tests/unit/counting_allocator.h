/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator for tests: it counts what is in use, checks the sizes that come back, fills fresh
 * memory with rubbish and can be told to fail at the n-th request.
 *
 *     counting_allocator counter;
 *     for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
 *         ... use &counter.allocator; expect BDL_ERR_OUT_OF_MEMORY or BDL_OK, then free everything ...
 *     }
 *
 * The loop ends after the first round in which no request was refused.
 */
#ifndef BDL_TESTS_UNIT_COUNTING_ALLOCATOR_H
#define BDL_TESTS_UNIT_COUNTING_ALLOCATOR_H

#include <bdl/bdl.h>

typedef struct counting_allocator {
    bdl_allocator allocator; /* give this to the code under test */
    int64_t fail_at;         /* number of the request that fails, from 1; 0 = none */
    int64_t n_requests;
    int64_t n_live;     /* blocks in use */
    int64_t bytes_live; /* bytes in use */
    bool refused;       /* a request was refused */
    bool wrong_size;    /* a block was freed with another size than it was asked for with */
} counting_allocator;

void counting_allocator_init(counting_allocator *counter);

/* Starts a round that fails at request `fail_at`; false if the round before refused nothing. Checks
 * that nothing was left over. Before the first round (fail_at == 1) it also initializes. */
bool counting_allocator_start(counting_allocator *counter, int64_t fail_at);

#endif
