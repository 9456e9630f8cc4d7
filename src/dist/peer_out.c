/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out to a peer. Frames are chosen one at a time, most urgent first: signs of life and failures, receives
 * that are ready, small messages and announcements in the order of the calls, then pieces of large messages. So a
 * large message never keeps a small one waiting for longer than one piece.
 */
#include <errno.h>
#include <string.h>

#include "dist/internal.h"

/* Bytes written to one peer before others have their turn. */
enum { BYTES_PER_TURN = 4 * 1024 * 1024 };

/* As long as a TLS record: a write that is tried again must offer no less than the first time. */
static const uint8_t zeros[16 * 1024];

static void begin_frame(bdl__out *out, bdl__frame frame, const void *payload, bdl__request *request)
{
    bdl__frame_write(&frame, out->head);
    out->head_done = 0;
    out->payload = payload;
    out->payload_size = frame.payload;
    out->payload_done = 0;
    out->request = request;
    out->is_active = true;
    out->is_last = frame.type == BDL__FRAME_ABORT || frame.type == BDL__FRAME_GOODBYE;
}

static bool begin_control(bdl__group *group, bdl__peer *peer)
{
    bdl__out *const out = &peer->out;
    if (peer->owes_hello) {
        peer->owes_hello = false;
        begin_frame(out,
                    (bdl__frame){.type = BDL__FRAME_HELLO, .payload = (uint32_t)group->hello_size},
                    group->hello, NULL);
        return true;
    }
    if (peer->owes_abort) { /* the failure's text does not change any more */
        peer->owes_abort = false;
        begin_frame(out,
                    (bdl__frame){.type = BDL__FRAME_ABORT,
                                 .payload = (uint32_t)strlen(group->failure),
                                 .tag = (uint64_t)group->failed_rank,
                                 .id = (uint32_t)group->failure_code},
                    group->failure, NULL);
        return true;
    }
    if (peer->owes_ping) {
        peer->owes_ping = false;
        begin_frame(out, (bdl__frame){.type = BDL__FRAME_PING}, NULL, NULL);
        return true;
    }
    if (peer->owes_credit >= BDL__EAGER_WINDOW / 4) {
        begin_frame(out, (bdl__frame){.type = BDL__FRAME_CREDIT, .size = peer->owes_credit}, NULL,
                    NULL);
        peer->owes_credit = 0;
        return true;
    }
    return false;
}

/* Tells the sender of the first large receive that it may send. */
static bool begin_ready(bdl__peer *peer)
{
    for (bdl__request *r = peer->receives.first; r; r = r->next) {
        if (r->size > BDL__EAGER_SIZE && r->id == 0) {
            peer->next_id += peer->next_id == UINT32_MAX ? 2 : 1;
            r->id = peer->next_id;
            begin_frame(
                &peer->out,
                (bdl__frame){.type = BDL__FRAME_READY, .tag = r->tag, .size = r->size, .id = r->id},
                NULL, NULL);
            return true;
        }
    }
    return false;
}

static bool begin_announced(bdl__group *group, bdl__peer *peer, bdl__request *r)
{
    begin_frame(&peer->out,
                (bdl__frame){.type = BDL__FRAME_ANNOUNCE, .tag = r->tag, .size = r->size}, NULL,
                NULL);
    peer->in_flight += BDL__ENTRY_COST;
    bdl__list_push(&peer->announced, r);
    for (int64_t i = 0; i < peer->n_readies; i++) {
        if (peer->readies[i].tag == r->tag) {
            const bdl__ready ready = peer->readies[i];
            peer->n_readies--;
            memmove(&peer->readies[i], &peer->readies[i + 1],
                    (size_t)(peer->n_readies - i) * sizeof ready);
            bdl__peer_match_ready(group, peer, r, &ready);
            break;
        }
    }
    return true;
}

/* The next send in order: the message itself if small, else that it is there. */
static bool begin_unsent(bdl__group *group, bdl__peer *peer)
{
    bdl__request *const r = peer->unsent.first;
    if (!r) {
        return false;
    }
    const bool is_large = r->size > BDL__EAGER_SIZE;
    const size_t cost = BDL__ENTRY_COST + (is_large ? 0 : r->size);
    if (peer->in_flight + cost > BDL__EAGER_WINDOW) {
        return false; /* until the other side has caught up */
    }
    bdl__list_remove(&peer->unsent, r);
    if (is_large) {
        return begin_announced(group, peer, r);
    }
    peer->in_flight += cost;
    begin_frame(&peer->out,
                (bdl__frame){.type = BDL__FRAME_EAGER, .payload = (uint32_t)r->size, .tag = r->tag},
                r->data, r);
    return true;
}

/* A piece of the first large message whose receive is there. */
static bool begin_piece(bdl__peer *peer)
{
    for (bdl__request *r = peer->announced.first; r; r = r->next) {
        if (r->is_started) {
            const size_t left = r->size - r->n_done;
            const size_t n = BDL__MIN(left, (size_t)BDL__CHUNK_SIZE);
            begin_frame(&peer->out,
                        (bdl__frame){.type = BDL__FRAME_DATA,
                                     .payload = (uint32_t)n,
                                     .size = r->n_done,
                                     .id = r->id},
                        r->data + r->n_done, r);
            return true;
        }
    }
    return false;
}

static bool begin_next(bdl__group *group, bdl__peer *peer)
{
    if (begin_control(group, peer)) {
        return true;
    }
    if (group->has_told) {
        return false; /* after a failure only what control frames say */
    }
    if (begin_ready(peer) || begin_unsent(group, peer) || begin_piece(peer)) {
        return true;
    }
    if (peer->owes_goodbye) {
        peer->owes_goodbye = false;
        begin_frame(&peer->out, (bdl__frame){.type = BDL__FRAME_GOODBYE}, NULL, NULL);
        return true;
    }
    return false;
}

static void end_frame(bdl__peer *peer)
{
    bdl__out *const out = &peer->out;
    bdl__request *const r = out->request;
    out->is_active = false;
    out->request = NULL;
    if (r) {
        r->n_done += out->payload_size;
        if (r->n_done == r->size) {
            if (r->size > BDL__EAGER_SIZE) {
                bdl__list_remove(&peer->announced, r);
            }
            bdl__request_end(r, REQUEST_DONE);
        }
    }
    if (out->is_last) {
        peer->is_finished = true;
        bdl__wire_finish(&peer->wire);
    }
}

/* Writes of the active frame; bytes written, or -1 as bdl__wire_write. */
static ssize_t write_some(bdl__peer *peer)
{
    bdl__out *const out = &peer->out;
    struct iovec parts[2];
    int n = 0;
    if (out->head_done < BDL__FRAME_SIZE) {
        parts[n++] = (struct iovec){.iov_base = out->head + out->head_done,
                                    .iov_len = BDL__FRAME_SIZE - out->head_done};
    }
    const size_t left = out->payload_size - out->payload_done;
    if (left > 0 && out->payload) {
        parts[n++] = (struct iovec){.iov_base = (uint8_t *)out->payload + out->payload_done,
                                    .iov_len = left};
    } else if (left > 0) {
        parts[n++] =
            (struct iovec){.iov_base = (uint8_t *)zeros, .iov_len = BDL__MIN(left, sizeof zeros)};
    }
    const ssize_t written = bdl__wire_write(&peer->wire, parts, n);
    if (written > 0) {
        const size_t of_head = BDL__MIN((size_t)written, BDL__FRAME_SIZE - out->head_done);
        out->head_done += of_head;
        out->payload_done += (size_t)written - of_head;
    }
    return written;
}

/* A peer that goes because of a failure says so first: that is read before the broken connection counts. */
static void lose(bdl__group *group, bdl__peer *peer, int error, double now)
{
    do {
        bdl__peer_receive(group, peer, now);
    } while (peer->wire.fd >= 0 && peer->may_have_more);
    if (peer->wire.fd < 0) {
        return;
    }
    if (!peer->has_left) {
        bdl__group_fail(group, peer->rank, BDL_ERR_IO, "the connection to it (%s) broke: %s",
                        peer->address, strerror(error));
    }
    bdl__peer_reset(group, peer);
}

void bdl__peer_flush(bdl__group *group, bdl__peer *peer, double now)
{
    size_t budget = BYTES_PER_TURN;
    peer->wants_out = true;
    while (peer->wire.fd >= 0 && budget > 0) {
        if (peer->is_finished || (!peer->out.is_active && !begin_next(group, peer))) {
            peer->wants_out = false;
            return;
        }
        const ssize_t n = write_some(peer);
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                lose(group, peer, errno, now);
            }
            return;
        }
        peer->last_said = now;
        budget -= BDL__MIN((size_t)n, budget);
        if (peer->out.head_done == BDL__FRAME_SIZE &&
            peer->out.payload_done == peer->out.payload_size) {
            end_frame(peer);
        }
    }
}
