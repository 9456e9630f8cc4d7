/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group's thread: connects, then moves bytes between the sockets and the memory of the requests, keeps peers
 * sure that this rank lives, finds those that do not, and passes failures on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dist/internal.h"

/* How long a leaving rank waits for the others to hear it; how often time is looked at, at least. */
#define LEAVE_SECONDS 1.0
#define TICK_SECONDS 0.5

/* ---- lists and requests -------------------------------------------------------------------------------------- */

void bdl__list_push(bdl__request_list *list, bdl__request *request)
{
    request->next = NULL;
    if (list->last) {
        list->last->next = request;
    } else {
        list->first = request;
    }
    list->last = request;
}

void bdl__list_remove(bdl__request_list *list, bdl__request *request)
{
    bdl__request *before = NULL;
    bdl__request *r = list->first;
    while (r != request) {
        before = r;
        r = r->next;
    }
    *(before ? &before->next : &list->first) = r->next;
    if (list->last == r) {
        list->last = before;
    }
}

void bdl__request_end(bdl__request *request, request_state state)
{
    /* The owner may take the request back as soon as the state is written. */
    if (atomic_exchange(&request->state, (uint32_t)state) == REQUEST_WATCHED) {
        bdl__word_wake(&request->state);
    }
}

static void drop_list(bdl__request_list *list)
{
    while (list->first) {
        bdl__request *const r = list->first;
        list->first = r->next;
        bdl__request_end(r, REQUEST_FAILED);
    }
    list->last = NULL;
}

void bdl__peer_drop_requests(bdl__peer *peer)
{
    bdl__request *const leaving = peer->out.request;
    bdl__request *const coming = peer->in.request;
    peer->out.payload = peer->out.request ? NULL : peer->out.payload;
    peer->out.request = NULL;
    peer->in.payload = peer->in.request ? NULL : peer->in.payload;
    peer->in.request = NULL;
    if (leaving && leaving->size <= BDL__EAGER_SIZE) { /* large ones are in a list */
        bdl__request_end(leaving, REQUEST_FAILED);
    }
    (void)coming; /* is in `receives` */
    for (bdl__stray *s = peer->strays; s; s = s->next) {
        s->receive = NULL;
    }
    drop_list(&peer->unsent);
    drop_list(&peer->announced);
    drop_list(&peer->receives);
}

void bdl__peer_reset(bdl__group *group, bdl__peer *peer)
{
    const bdl_allocator *const a = group->allocator;
    bdl__wire_close(&peer->wire);
    bdl__peer_drop_requests(peer);
    bdl__free(a, peer->readies, (size_t)peer->readies_capacity * sizeof *peer->readies);
    bdl__free(a, peer->in.buffer, BDL__IN_SIZE);
    peer->readies = NULL;
    peer->in.buffer = NULL;
    peer->readies_capacity = 0;
    peer->n_readies = 0;
}

void bdl__peer_forget(bdl__group *group, bdl__peer *peer)
{
    const bdl_allocator *const a = group->allocator;
    bdl__peer_reset(group, peer);
    while (peer->strays) {
        bdl__stray *const s = peer->strays;
        peer->strays = s->next;
        bdl__free(a, s, sizeof *s + (s->is_large ? 0 : (size_t)s->size));
    }
    bdl__free(a, peer->hello, peer->hello_size);
    peer->hello = NULL;
    peer->hello_size = 0;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static bool is_open(const bdl__peer *peer)
{
    return peer->wire.fd >= 0;
}

/* A rank that has left takes nothing more, but what it sent before may be here. */
static void take_request(bdl__group *group, bdl__request *r)
{
    bdl__peer *const peer = &group->peers[r->peer];
    const bool is_send = r->is_send;
    const bool is_gone = !is_open(peer) || peer->has_left;
    if (!is_send) {
        bdl__peer_take_receive(group, peer, r);
    } else if (!is_gone) {
        bdl__peer_take_send(peer, r);
    } else {
        bdl__request_end(r, REQUEST_FAILED);
    }
    if (is_gone && (is_send || peer->receives.first)) {
        bdl__group_fail(group, peer->rank, BDL_ERR_STATE,
                        "it left the run while rank %d still needed it", group->rank);
    }
}

static void take_posted(bdl__group *group)
{
    pthread_mutex_lock(&group->mutex);
    bdl__request *r = group->posted.first;
    group->posted = (bdl__request_list){NULL, NULL};
    const bool has_failed = group->has_failed;
    const bool is_closing = group->is_closing;
    pthread_mutex_unlock(&group->mutex);
    while (r) {
        bdl__request *const next = r->next;
        if (has_failed) {
            bdl__request_end(r, REQUEST_FAILED);
        } else {
            take_request(group, r);
        }
        r = next;
    }
    if (is_closing && !group->is_leaving) {
        group->is_leaving = true;
        group->leave_deadline = bdl__now() + LEAVE_SECONDS;
        for (int i = 0; i < group->n_ranks; i++) {
            group->peers[i].owes_goodbye = !group->has_told;
        }
    }
}

/* A failure that is new here: everybody who waits is told, the other ranks are. */
static void pass_failure_on(bdl__group *group)
{
    pthread_mutex_lock(&group->mutex);
    const bool is_new = group->has_failed && !group->has_told;
    pthread_mutex_unlock(&group->mutex);
    if (!is_new) {
        return;
    }
    group->has_told = true;
    for (int i = 0; i < group->n_ranks; i++) {
        bdl__peer *const peer = &group->peers[i];
        bdl__peer_drop_requests(peer);
        peer->owes_abort = is_open(peer) && !peer->is_finished;
        peer->owes_goodbye = false;
    }
    bdl__rendezvous_close(group);
    atomic_store(&group->phase, BDL__PHASE_FAILED);
    bdl__word_wake(&group->phase);
}

static void watch_life(bdl__group *group, double now)
{
    for (int i = 0; i < group->n_ranks; i++) {
        bdl__peer *const peer = &group->peers[i];
        if (!is_open(peer) || !peer->has_hello || peer->has_left || group->has_told) {
            continue;
        }
        if (now - peer->last_said > group->silence_seconds / 4) {
            peer->owes_ping = true;
        }
        if (now - peer->last_heard > group->silence_seconds) {
            bdl__group_fail(group, i, BDL_ERR_IO,
                            "nothing came from it (%s) for %.3g seconds: its process hangs, or its "
                            "machine or network is gone",
                            peer->address, group->silence_seconds);
        }
    }
}

static int poll_milliseconds(const bdl__group *group, double now)
{
    double seconds = BDL__MIN(TICK_SECONDS, group->silence_seconds / 8);
    seconds = BDL__MIN(seconds, bdl__rendezvous_pause(group, now));
    if (group->is_leaving) {
        seconds = BDL__MIN(seconds, BDL__MAX(group->leave_deadline - now, 0.0));
    }
    for (int i = 0; i < group->n_ranks; i++) {
        if (group->peers[i].may_have_more && is_open(&group->peers[i])) {
            return 0;
        }
    }
    return (int)(seconds * 1e3 + 0.999);
}

/* poll of the open files among `fds` alone: it refuses more entries than the process may have files. */
static void poll_open(const bdl__group *group, struct pollfd *fds, int n, int milliseconds)
{
    struct pollfd *const open = fds + group->most_fds;
    int n_open = 0, k = 0;
    for (int i = 0; i < n; i++) {
        fds[i].revents = 0;
        if (fds[i].fd >= 0) {
            open[n_open++] = fds[i];
        }
    }
    const bool is_ready = poll(open, (nfds_t)n_open, milliseconds) > 0;
    for (int i = 0; i < n && is_ready; i++) {
        if (fds[i].fd >= 0) {
            fds[i].revents = open[k++].revents;
        }
    }
}

/* Sleeps until something can be done; fds[0] is the wake-up, then one for each peer. Returns how many. */
static int wait_for_events(bdl__group *group)
{
    struct pollfd *const fds = group->fds;
    const double now = bdl__now();
    int n = 1 + group->n_ranks;
    fds[0] = (struct pollfd){.fd = group->wake_fd, .events = POLLIN};
    for (int i = 0; i < group->n_ranks; i++) {
        const bdl__peer *const peer = &group->peers[i];
        const short events = (short)(POLLIN | (peer->wants_out ? POLLOUT : 0));
        fds[1 + i] = (struct pollfd){.fd = peer->wire.fd, .events = events};
    }
    n += bdl__rendezvous_watch(group, fds + n, now);
    atomic_store(&group->is_asleep, 1);
    pthread_mutex_lock(&group->mutex);
    const bool has_work = group->posted.first || (group->is_closing && !group->is_leaving) ||
                          (group->has_failed && !group->has_told);
    pthread_mutex_unlock(&group->mutex);
    poll_open(group, fds, n, has_work ? 0 : poll_milliseconds(group, now));
    atomic_store(&group->is_asleep, 0);
    if (fds[0].revents & POLLIN) {
        uint64_t count;
        (void)!read(group->wake_fd, &count, sizeof count);
    }
    return n;
}

/* Whether nothing is left to be said or heard. */
static bool has_left(const bdl__group *group, double now)
{
    if (!group->is_leaving) {
        return false;
    }
    bool any = false;
    for (int i = 0; i < group->n_ranks; i++) {
        any = any || is_open(&group->peers[i]);
    }
    return !any || now >= group->leave_deadline;
}

void bdl__group_run(void *arg)
{
    bdl__group *const group = arg;
    double now = bdl__now();
    while (!has_left(group, now)) {
        const int n_fds = wait_for_events(group);
        now = bdl__now();
        for (int i = 0; i < group->n_ranks; i++) {
            bdl__peer *const peer = &group->peers[i];
            if (is_open(peer) && group->fds[1 + i].fd == peer->wire.fd &&
                (group->fds[1 + i].revents & (POLLIN | POLLHUP | POLLERR) || peer->may_have_more)) {
                bdl__peer_receive(group, peer, now);
            }
        }
        bdl__rendezvous_go_on(group, group->fds + 1 + group->n_ranks, n_fds - 1 - group->n_ranks,
                              now);
        take_posted(group);
        watch_life(group, now);
        pass_failure_on(group);
        for (int i = 0; i < group->n_ranks; i++) {
            if (is_open(&group->peers[i])) {
                bdl__peer_flush(group, &group->peers[i], now);
            }
        }
    }
    for (int i = 0; i < group->n_ranks; i++) {
        bdl__peer_reset(group, &group->peers[i]);
    }
    bdl__rendezvous_close(group);
}
