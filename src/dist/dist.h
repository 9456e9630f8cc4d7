/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Communication between the ranks of one training run: rendezvous, authenticated connections between all
 * pairs of ranks, asynchronous messages, and collectives with a fixed order of sums.
 *
 *     bdl__group_listen      opens a port; bdl__group_address says which
 *     (the front end exchanges the addresses by its own means)
 *     bdl__group_connect     connects all pairs, or fails within the deadline
 *     bdl__group_send ...    messages and collectives
 *     bdl__group_free        says goodbye and closes everything
 *
 * Failure. A group works until its first failure and then never again: a lost or silent peer, a deadline, a
 * cancel, messages that do not fit each other, or bdl__group_abort on any rank. That first cause, with the
 * number of the rank that failed, reaches every rank, and every call that waits or comes later, on every
 * rank, fails with its text. Text and code: bdl__group_status.
 *
 * Threads. Any thread may call send, recv, test, wait, status and abort. Collectives are called by one thread at a
 * time, in the same order on all ranks. One background thread moves the bytes while callers compute.
 */
#ifndef BDL_DIST_DIST_H
#define BDL_DIST_DIST_H

#include <stdatomic.h>

#include "base/cancel.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    BDL__SECRET_SIZE = 32,
    BDL__MOST_RANKS = 4096,
    BDL__MOST_HELLO = 64 * 1024, /* bytes of options.hello */
};

/* Bit 63 of a tag belongs to the collectives. */
#define BDL__MOST_TAG (UINT64_MAX >> 1)

typedef struct bdl__group bdl__group;

typedef struct bdl__group_options {
    int rank; /* 0 .. n_ranks - 1 */
    int n_ranks;
    const uint8_t
        *secret; /* BDL__SECRET_SIZE random bytes, the same on all ranks; copied, wiped by free */
    const char *bind; /* address, host or interface (eth0) to listen on; NULL = 127.0.0.1 */
    int first_port;   /* ports to try, both ends included; 0, 0 = any */
    int last_port;
    double connect_seconds;   /* for all ranks to have come and connected; 0 = 60 */
    double handshake_seconds; /* for one connection to prove itself; 0 = 10 */
    double wait_seconds;      /* for one wait or collective; 0 = 600 */
    double
        silence_seconds; /* a peer that says nothing for so long is dead (peers that only compute say that
                                 they live, by themselves); 0 = 30 */
    bool tls;            /* encrypt by TLS 1.3; BDL_ERR_UNSUPPORTED in builds without it */
    const void *hello; /* data for bdl__group_hello of the others, copied; may be NULL */
    size_t hello_size;
    const bdl__cancel *cancel; /* ends every wait with BDL_ERR_CANCELLED; may be NULL */
    bool cancels_connect_only; /* later waits do not look at it: the ranks agree on a cancel among themselves */
} bdl__group_options;

/* Opens a port (not with one rank: that needs no socket and no thread). `allocator` and `log` are borrowed until
 * free. */
bdl_status bdl__group_listen(const bdl_allocator *allocator, const bdl__log *log,
                             const bdl__group_options *options, bdl__group **group);

/* Where this rank listens: "10.0.0.7:41234" or "[fe80::1]:41234"; with one rank "". Lives as long as the group. */
const char *bdl__group_address(const bdl__group *group);

/* `addresses[rank]` is what bdl__group_address said there. Returns when this rank is connected with all others;
 * strangers that knock are refused and logged. After it nothing listens any more. */
bdl_status bdl__group_connect(bdl__group *group, const char *const *addresses);

/* What `peer` gave as options.hello; valid after connect, as long as the group. Its own for the own rank. */
const void *bdl__group_hello(const bdl__group *group, int peer, size_t *size);

int bdl__group_rank(const bdl__group *group);
int bdl__group_size(const bdl__group *group);

/* Ends the run on all ranks with this text as the cause; the first cause stays. Does not wait. */
void bdl__group_abort(bdl__group *group, bdl_status code, const char *cause);

/* BDL_OK, or the failure of the group as this thread's error. Never waits. */
bdl_status bdl__group_status(bdl__group *group);

/* Tells the others that this rank leaves (or, after a failure, why), closes all and frees. All requests must have
 * been waited for, except after a failure. Waits for the others for a second at most. NULL ok. */
void bdl__group_free(bdl__group *group);

/* ---- messages ------------------------------------------------------------------------------------ */

/*
 * A message on its way. The caller owns the struct, which must stay where it is, as must the data, until
 * bdl__group_wait has returned for it (with whatever status) or bdl__group_free has.
 *
 * Messages are matched by peer and tag; those of one peer and tag in the order of the calls. A receive must have
 * exactly the size of its send, else the group fails with both sizes in the text. Sends do not need the receive
 * to be there first, but large ones (above 64 KiB) leave only when it is; so post receives early.
 */
typedef struct bdl__request {
    struct bdl__request *next; /* everything here belongs to src/dist */
    uint8_t *data;
    uint64_t tag;
    size_t size;
    size_t n_done; /* bytes moved so far */
    uint32_t id;
    int peer;
    bool is_send;
    bool is_started;        /* send: has the right to leave; receive: data has begun to come */
    _Atomic uint32_t state; /* request_state of internal.h */
} bdl__request;

/* Starts a message to or from `peer`, not this rank itself. A size of 0 is a message, too. On failure nothing
 * was started and there is nothing to wait for. */
bdl_status bdl__group_send(bdl__group *group, int peer, uint64_t tag, const void *data, size_t size,
                           bdl__request *request);
bdl_status bdl__group_recv(bdl__group *group, int peer, uint64_t tag, void *data, size_t size,
                           bdl__request *request);

/* Whether the request has ended (well or not): bdl__group_wait will not wait. */
bool bdl__group_test(const bdl__request *request);

/* Waits until a receive has all its data, or a send's data may be written again. A wait longer than
 * options.wait_seconds aborts the group. A request that was never started counts as ended well if it is all zeros. */
bdl_status bdl__group_wait(bdl__group *group, bdl__request *request);
bdl_status bdl__group_wait_all(bdl__group *group, bdl__request *requests, int64_t n);

/* ---- collectives --------------------------------------------------------------------------------- */

/*
 * Elements are BDL_F32 or BDL_BF16, in memory and on the wire. Rank r owns the part [begin, end) of n elements that
 * bdl__group_part gives. Sums over ranks are taken by the owner of the element in the order of one fixed tree: the
 * sum of ranks [a, b) is the sum of [a, m) plus that of [m, b), where m - a is the largest power of two below
 * b - a; bf16 is added in float32 and rounded once. So the bits depend on nothing but the data and n_ranks.
 */
void bdl__group_part(const bdl__group *group, int rank, int64_t n, int64_t *begin, int64_t *end);

/* data[begin, end) of the own part := sum over ranks; the rest of data is kept. */
bdl_status bdl__group_reduce_scatter(bdl__group *group, bdl_dtype dtype, void *data, int64_t n);
/* Every part of data := that part of the rank that owns it. */
bdl_status bdl__group_all_gather(bdl__group *group, bdl_dtype dtype, void *data, int64_t n);
/* data := sum over ranks, the same bits on all. */
bdl_status bdl__group_all_reduce(bdl__group *group, bdl_dtype dtype, void *data, int64_t n);
/* data := that of rank `root`; any bytes. */
bdl_status bdl__group_broadcast(bdl__group *group, int root, void *data, size_t size);
/* Returns when all ranks have called it. */
bdl_status bdl__group_barrier(bdl__group *group);

/* ---- measuring ----------------------------------------------------------------------------------- */

/* Seconds that a plain loopback connection takes for `size` bytes in both directions at once: from data[0] to data[3]
 * and from data[2] to data[1]. */
bdl_status bdl__plain_copy(const bdl_allocator *allocator, uint8_t *const data[4], size_t size,
                           double *seconds);

#endif
