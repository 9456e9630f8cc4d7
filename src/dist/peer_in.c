/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes in from a peer. Large messages go straight into the receiver's memory: while a piece is coming, one read
 * fills the rest of it and, behind it, the buffer with the next frames.
 */
#include <errno.h>
#include <string.h>

#include "dist/internal.h"

enum { READS_PER_TURN = 16 };

static const char died[] = "it has closed it, or its process has died";

static void lose(bdl__group *group, bdl__peer *peer, const char *why)
{
    if (peer->has_hello) {
        bdl__group_fail(group, peer->rank, BDL_ERR_IO, "the connection to it (%s) ended: %s",
                        peer->address, why);
    }
    bdl__peer_reset(group, peer);
}

static void reject(bdl__group *group, bdl__peer *peer, const char *why)
{
    bdl__group_fail(group, peer->rank, BDL_ERR_FORMAT, "it sent a frame that is not valid: %s",
                    why);
    bdl__peer_reset(group, peer);
}

static void fail_sizes(bdl__group *group, const bdl__peer *peer, uint64_t tag, uint64_t sent,
                       uint64_t expected)
{
    bdl__group_fail(group, group->rank, BDL_ERR_SHAPE,
                    "message %#llx of rank %d has %llu bytes, rank %d expects %llu",
                    (unsigned long long)tag, peer->rank, (unsigned long long)sent, group->rank,
                    (unsigned long long)expected);
}

/* ---- messages and receives meet ------------------------------------------------------------------------- */

static bdl__request *first_unmet(const bdl__peer *peer, uint64_t tag)
{
    for (bdl__request *r = peer->receives.first; r; r = r->next) {
        if (r->tag == tag && !r->is_started) {
            return r;
        }
    }
    return NULL;
}

static size_t stray_cost(bool is_large, size_t size)
{
    return BDL__ENTRY_COST + (is_large ? 0 : size);
}

/* Notes a message that came before its receive; its data goes to `stray->data`. */
static bdl__stray *add_stray(bdl__group *group, bdl__peer *peer, const bdl__frame *frame)
{
    bdl__stray **end = &peer->strays;
    void *memory = NULL;
    const size_t cost = stray_cost(frame->type == BDL__FRAME_ANNOUNCE, frame->payload);
    if (peer->strays_cost + cost > BDL__EAGER_WINDOW) {
        reject(group, peer, "it sends more messages without a receive than a rank may");
        return NULL;
    }
    while (*end) {
        end = &(*end)->next;
    }
    if (bdl__alloc(group->allocator, sizeof(bdl__stray) + frame->payload, &memory) != BDL_OK) {
        bdl__group_fail(group, group->rank, BDL_ERR_OUT_OF_MEMORY, "%s", bdl_last_error());
        return NULL;
    }
    bdl__stray *const stray = memory;
    stray->tag = frame->tag;
    stray->is_large = frame->type == BDL__FRAME_ANNOUNCE;
    stray->size = stray->is_large ? frame->size : frame->payload;
    stray->is_complete = stray->size == 0 || stray->is_large;
    *end = stray;
    peer->strays_cost += cost;
    return stray;
}

static void remove_stray(bdl__group *group, bdl__peer *peer, bdl__stray *stray)
{
    bdl__stray **place = &peer->strays;
    while (*place != stray) {
        place = &(*place)->next;
    }
    *place = stray->next;
    peer->strays_cost -= stray_cost(stray->is_large, (size_t)stray->size);
    bdl__free(group->allocator, stray,
              sizeof(bdl__stray) + (stray->is_large ? 0 : (size_t)stray->size));
}

static void end_receive(bdl__peer *peer, bdl__request *r)
{
    bdl__list_remove(&peer->receives, r);
    bdl__request_end(r, REQUEST_DONE);
}

static void copy_stray(bdl__group *group, bdl__peer *peer, bdl__stray *stray, bdl__request *r)
{
    if (r->size > 0) {
        memcpy(r->data, stray->data, r->size);
    }
    remove_stray(group, peer, stray);
    end_receive(peer, r);
}

void bdl__peer_take_receive(bdl__group *group, bdl__peer *peer, bdl__request *r)
{
    bdl__stray *stray = peer->strays;
    bdl__list_push(&peer->receives, r);
    while (stray && (stray->tag != r->tag || stray->receive)) {
        stray = stray->next;
    }
    if (!stray) {
        return;
    }
    r->is_started = true;
    if (stray->size != r->size) {
        fail_sizes(group, peer, r->tag, stray->size, r->size);
        return;
    }
    peer->owes_credit += BDL__ENTRY_COST + (stray->is_large ? 0 : r->size);
    if (stray->is_large) {
        remove_stray(group, peer, stray);
    } else if (stray->is_complete) {
        copy_stray(group, peer, stray, r);
    } else {
        stray->receive = r;
    }
}

void bdl__peer_match_ready(bdl__group *group, bdl__peer *peer, bdl__request *r,
                           const bdl__ready *ready)
{
    if (ready->size != r->size) {
        bdl__group_fail(group, peer->rank, BDL_ERR_SHAPE,
                        "message %#llx of rank %d has %llu bytes, rank %d expects %llu",
                        (unsigned long long)r->tag, group->rank, (unsigned long long)r->size,
                        peer->rank, (unsigned long long)ready->size);
        return;
    }
    r->id = ready->id;
    r->is_started = true;
}

void bdl__peer_take_send(bdl__peer *peer, bdl__request *r)
{
    bdl__list_push(&peer->unsent, r);
}

/* ---- one frame after the other ------------------------------------------------------------------------------ */

static void begin_hello(bdl__group *group, bdl__peer *peer, const bdl__frame *frame)
{
    void *memory = NULL;
    if (peer->has_hello || peer->hello) {
        reject(group, peer, "it introduced itself twice");
        return;
    }
    if (bdl__alloc(group->allocator, frame->payload, &memory) != BDL_OK) {
        bdl__group_fail(group, group->rank, BDL_ERR_OUT_OF_MEMORY, "%s", bdl_last_error());
        return;
    }
    peer->hello = memory;
    peer->hello_size = frame->payload;
    peer->in.payload = memory;
}

static void begin_eager(bdl__group *group, bdl__peer *peer, const bdl__frame *frame)
{
    bdl__request *const r = first_unmet(peer, frame->tag);
    if (!r) {
        peer->in.stray = add_stray(group, peer, frame);
        peer->in.payload = peer->in.stray ? peer->in.stray->data : NULL;
        return;
    }
    r->is_started = true;
#if !defined(BDL_SEEDED_BUGS)
    if (r->size != frame->payload) {
        fail_sizes(group, peer, frame->tag, frame->payload, r->size);
        return;
    }
#endif
    peer->owes_credit += BDL__ENTRY_COST + r->size;
    peer->in.request = r;
    peer->in.payload = r->data;
}

static void take_announce(bdl__group *group, bdl__peer *peer, const bdl__frame *frame)
{
    bdl__request *const r = first_unmet(peer, frame->tag);
    if (!r) {
        (void)add_stray(group, peer, frame);
        return;
    }
    r->is_started = true;
    peer->owes_credit += BDL__ENTRY_COST;
    if (r->size != frame->size) {
        fail_sizes(group, peer, frame->tag, frame->size, r->size);
    }
}

static void take_ready(bdl__group *group, bdl__peer *peer, const bdl__frame *frame)
{
    const bdl__ready ready = {.tag = frame->tag, .size = frame->size, .id = frame->id};
    for (bdl__request *r = peer->announced.first; r; r = r->next) {
        if (r->tag == ready.tag && !r->is_started) {
            bdl__peer_match_ready(group, peer, r, &ready);
            return;
        }
    }
    if (peer->n_readies >= BDL__MOST_READIES) {
        reject(group, peer, "it waits for more messages than a rank may");
        return;
    }
    if (peer->n_readies == peer->readies_capacity) {
        const int64_t more = BDL__MAX(2 * peer->readies_capacity, INT64_C(16));
        void *memory = peer->readies;
        if (bdl__realloc(group->allocator, (size_t)peer->readies_capacity * sizeof ready,
                         (size_t)more * sizeof ready, &memory) != BDL_OK) {
            bdl__group_fail(group, group->rank, BDL_ERR_OUT_OF_MEMORY, "%s", bdl_last_error());
            return;
        }
        peer->readies = memory;
        peer->readies_capacity = more;
    }
    peer->readies[peer->n_readies++] = ready;
}

static void begin_data(bdl__group *group, bdl__peer *peer, const bdl__frame *frame)
{
    bdl__request *r = peer->receives.first;
    while (r && (r->id != frame->id || r->id == 0)) {
        r = r->next;
    }
    if (!r || frame->size != r->n_done || frame->payload > r->size - r->n_done ||
        frame->payload == 0) {
        reject(group, peer, "a piece of a message that was not asked for");
        return;
    }
    peer->in.request = r;
    peer->in.payload = r->data + r->n_done;
}

static void begin_frame(bdl__group *group, bdl__peer *peer)
{
    bdl__in *const in = &peer->in;
    const bdl__frame *const frame = &in->frame;
    in->is_active = true;
    in->payload_left = frame->payload;
    in->payload = NULL;
    in->request = NULL;
    in->stray = NULL;
    if (group->has_told && frame->type != BDL__FRAME_ABORT) {
        return; /* only read and forgotten */
    }
    if (!peer->has_hello && frame->type != BDL__FRAME_HELLO && frame->type != BDL__FRAME_ABORT) {
        reject(group, peer, "it did not introduce itself first");
        return;
    }
    switch (frame->type) {
    case BDL__FRAME_HELLO:
        begin_hello(group, peer, frame);
        break;
    case BDL__FRAME_EAGER:
        begin_eager(group, peer, frame);
        break;
    case BDL__FRAME_ANNOUNCE:
        take_announce(group, peer, frame);
        break;
    case BDL__FRAME_READY:
        take_ready(group, peer, frame);
        break;
    case BDL__FRAME_DATA:
        begin_data(group, peer, frame);
        break;
    case BDL__FRAME_ABORT:
        in->payload = in->cause;
        break;
    case BDL__FRAME_CREDIT:
        peer->in_flight -= BDL__MIN((size_t)frame->size, peer->in_flight);
        break;
    case BDL__FRAME_PING:
    case BDL__FRAME_GOODBYE:
        break;
    }
}

static void take_abort(bdl__group *group, bdl__peer *peer)
{
    const bdl__frame *const frame = &peer->in.frame;
    const int rank = frame->tag < (uint64_t)group->n_ranks ? (int)frame->tag : peer->rank;
    const bool is_known = frame->id > BDL_OK && frame->id <= BDL_ERR_INTERNAL;
    peer->in.cause[frame->payload] = '\0';
    for (uint32_t i = 0; i < frame->payload; i++) {
        if (peer->in.cause[i] > 0 && peer->in.cause[i] < ' ') {
            peer->in.cause[i] = ' '; /* it goes into logs */
        }
    }
    bdl__group_fail(group, rank, is_known ? (bdl_status)frame->id : BDL_ERR_INTERNAL, "%s",
                    (const char *)peer->in.cause);
}

static void take_goodbye(bdl__group *group, bdl__peer *peer)
{
    peer->has_left = true;
    if (peer->receives.first || peer->unsent.first || peer->announced.first) {
        bdl__group_fail(group, peer->rank, BDL_ERR_STATE,
                        "it left the run while rank %d was waiting for it", group->rank);
    }
    peer->owes_goodbye = true;
}

static void end_frame(bdl__group *group, bdl__peer *peer)
{
    bdl__in *const in = &peer->in;
    bdl__request *const r = in->request;
    in->is_active = false;
    in->request = NULL;
    if (r) {
        r->n_done += in->frame.payload;
        if (r->n_done == r->size) {
            end_receive(peer, r);
        }
    } else if (in->stray) {
        bdl__stray *const stray = in->stray;
        in->stray = NULL;
        stray->is_complete = true;
        if (stray->receive) {
            copy_stray(group, peer, stray, stray->receive);
        }
    } else if (in->frame.type == BDL__FRAME_HELLO) {
        peer->has_hello = true;
    } else if (in->frame.type == BDL__FRAME_ABORT) {
        take_abort(group, peer);
    } else if (in->frame.type == BDL__FRAME_GOODBYE && !group->has_told) {
        take_goodbye(group, peer);
    }
}

/* Takes `n` bytes at `bytes` that follow what was taken before; false when the peer is gone. */
static bool take_buffered(bdl__group *group, bdl__peer *peer)
{
    bdl__in *const in = &peer->in;
    size_t at = 0;
    while (peer->wire.fd >= 0) {
        if (!in->is_active) {
            if (in->filled - at < BDL__FRAME_SIZE) {
                break;
            }
            const char *const why = bdl__frame_read(in->buffer + at, &in->frame);
            if (why) {
                reject(group, peer, why);
                return false;
            }
            at += BDL__FRAME_SIZE;
            begin_frame(group, peer);
            continue;
        }
        const size_t n = BDL__MIN(in->payload_left, in->filled - at);
        if (in->payload && n > 0) {
            memcpy(in->payload, in->buffer + at, n);
            in->payload += n;
        }
        in->payload_left -= n;
        at += n;
        if (in->payload_left > 0) {
            break;
        }
        end_frame(group, peer);
    }
    if (peer->wire.fd < 0) {
        return false;
    }
    memmove(in->buffer, in->buffer + at, in->filled - at);
    in->filled -= at;
    return true;
}

/* Also gives how many bytes it asked for. */
static ssize_t read_some(bdl__peer *peer, size_t *asked)
{
    bdl__in *const in = &peer->in;
    struct iovec parts[2];
    int n = 0;
    size_t direct = 0;
    if (in->is_active && in->payload && in->payload_left > 0) {
        direct = in->payload_left;
        parts[n++] = (struct iovec){.iov_base = in->payload, .iov_len = direct};
    }
    parts[n++] =
        (struct iovec){.iov_base = in->buffer + in->filled, .iov_len = BDL__IN_SIZE - in->filled};
    *asked = direct + BDL__IN_SIZE - in->filled;
    const ssize_t got = bdl__wire_read(&peer->wire, parts, n);
    if (got > 0) {
        const size_t of_payload = BDL__MIN((size_t)got, direct);
        if (of_payload > 0) {
            in->payload += of_payload;
            in->payload_left -= of_payload;
        }
        in->filled += (size_t)got - of_payload;
    }
    return got;
}

void bdl__peer_receive(bdl__group *group, bdl__peer *peer, double now)
{
    peer->may_have_more = false;
    for (int i = 0; i < READS_PER_TURN; i++) {
        size_t asked = 0;
        const ssize_t n = read_some(peer, &asked);
        if (n == 0) {
            if (peer->has_left || group->has_told) {
                bdl__peer_reset(group, peer);
            } else {
                lose(group, peer, died);
            }
            return;
        }
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                lose(group, peer, errno == ECONNRESET ? died : strerror(errno));
            }
            return;
        }
        peer->last_heard = now;
        const bool is_empty = !peer->wire.session && (size_t)n < asked;
        if (!take_buffered(group, peer) || is_empty) {
            return;
        }
    }
    peer->may_have_more = true;
}
