/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How all pairs of ranks come together: each rank dials those below it and accepts those above it. A connection is a
 * *knock* until it has proven the secret; then it becomes the peer's. Strangers are refused and logged. There is a
 * bounded number of knocks; when a new one finds no place, the oldest accepted one has to go (a rank that loses its
 * place dials again), so a flood of silent strangers delays the ranks but does not lock them out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "dist/internal.h"

enum { EXTRA_KNOCKS = 64, MOST_LOGGED_REFUSALS = 100, ACCEPTS_PER_TURN = 64, MOST_MISSING = 3 };
#define DIAL_AGAIN_SECONDS 0.1
#define ACCEPT_AGAIN_SECONDS 0.2

typedef enum knock_stage {
    KNOCK_FREE = 0,
    KNOCK_WAITING,
    KNOCK_DIALING,
    KNOCK_TLS,
    KNOCK_PROOF
} knock_stage;

struct bdl__knock {
    knock_stage stage;
    bool is_dialer;
    int peer;     /* of a dialer */
    double since; /* of this stage WAITING: until */
    double deadline;
    bdl__wire wire;
    short events;
    char address[BDL__ADDRESS_SIZE];
    char why[160]; /* of a dialer: why it failed the last time */
    bdl__handshake handshake;
    uint8_t in[BDL__MOST_HANDSHAKE];
    size_t filled;
    size_t sent;
};

/* ---- open and close -------------------------------------------------------------------------------------------- */

bdl_status bdl__rendezvous_open(bdl__group *group, const char *const *addresses)
{
    bdl__rendezvous *const v = &group->rendezvous;
    void *memory = NULL;
    for (int i = 0; i < group->n_ranks; i++) {
        BDL__CHECK(addresses[i], BDL_ERR_INVALID_ARGUMENT, "the address of rank %d is missing", i);
        const bdl_status status = bdl__address_check(addresses[i]);
        if (status != BDL_OK) {
            return bdl__fail_in(status, "rank %d", i);
        }
    }
    BDL__TRY(bdl__alloc(group->allocator, (size_t)group->n_ranks * sizeof *v->addresses, &memory));
    v->addresses = memory;
    v->most_knocks = group->n_ranks + EXTRA_KNOCKS;
    BDL__TRY(bdl__alloc(group->allocator, (size_t)v->most_knocks * sizeof *v->knocks, &memory));
    v->knocks = memory;
    for (int i = 0; i < v->most_knocks; i++) {
        v->knocks[i].wire.fd = -1;
    }
    for (int i = 0; i < group->n_ranks; i++) {
        (void)snprintf(v->addresses[i], BDL__ADDRESS_SIZE, "%s", addresses[i]);
    }
    const double now = bdl__now();
    v->deadline = now + group->connect_seconds;
    for (int i = 0; i < group->rank; i++) {
        bdl__knock *const k = &v->knocks[i];
        k->stage = KNOCK_WAITING;
        k->is_dialer = true;
        k->peer = i;
        k->since = now;
        (void)snprintf(k->address, sizeof k->address, "%s", addresses[i]);
    }
    return BDL_OK;
}

void bdl__rendezvous_close(bdl__group *group)
{
    bdl__rendezvous *const v = &group->rendezvous;
    if (v->listener >= 0) {
        (void)close(v->listener);
        v->listener = -1;
    }
    for (int i = 0; v->knocks && i < v->most_knocks; i++) {
        bdl__wire_close(&v->knocks[i].wire);
    }
    bdl__free(group->allocator, v->knocks, (size_t)v->most_knocks * sizeof *v->knocks);
    bdl__free(group->allocator, v->addresses, (size_t)group->n_ranks * sizeof *v->addresses);
    v->knocks = NULL;
    v->addresses = NULL;
}

/* ---- knocks -------------------------------------------------------------------------------------------------------- */

static void log_refusal(bdl__group *group, const bdl__knock *k, const char *why)
{
    bdl__rendezvous *const v = &group->rendezvous;
    if (v->n_refusals++ < MOST_LOGGED_REFUSALS) {
        BDL__LOG(group->log, BDL__LOG_WARNING, "rank %d refused a connection from %s: %s",
                 group->rank, k->address, why);
    } else if (v->n_refusals == MOST_LOGGED_REFUSALS + 1) {
        BDL__LOG(group->log, BDL__LOG_WARNING,
                 "rank %d refused more than %d connections; the next are not logged", group->rank,
                 MOST_LOGGED_REFUSALS);
    }
}

/* A dialer tries again a little later; an accepted connection is forgotten. */
static void end_knock(bdl__group *group, bdl__knock *k, const char *why)
{
    bdl__wire_close(&k->wire);
    if (k->is_dialer) {
        (void)snprintf(k->why, sizeof k->why, "%s", why);
        k->stage = KNOCK_WAITING;
        k->since = bdl__now() + DIAL_AGAIN_SECONDS;
    } else {
        log_refusal(group, k, why);
        k->stage = KNOCK_FREE;
    }
    explicit_bzero(&k->handshake, sizeof k->handshake);
}

static void begin_proof(bdl__group *group, bdl__knock *k)
{
    uint8_t nonce[BDL__NONCE_SIZE];
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce) {
        bdl__group_fail(group, group->rank, BDL_ERR_IO, "the system has no random numbers: %s",
                        strerror(errno));
        return;
    }
    bdl__handshake *const h = &k->handshake;
    *h = (bdl__handshake){.secret = group->secret,
                          .rank = group->rank,
                          .n_ranks = group->n_ranks,
                          .peer = k->peer,
                          .is_dialer = k->is_dialer,
                          .is_tls = group->tls != NULL};
    if (k->wire.session && !bdl__tls_binding(k->wire.session, h->binding)) {
        end_knock(group, k, "TLS gives no keying material");
        return;
    }
    bdl__handshake_start(h, nonce);
    k->stage = KNOCK_PROOF;
    k->filled = 0;
    k->sent = 0;
}

/* The socket is connected: TLS first if it is on. */
static void begin_knock(bdl__group *group, bdl__knock *k, double now)
{
    k->deadline = now + group->handshake_seconds;
    k->events = POLLIN;
    if (!group->tls) {
        begin_proof(group, k);
        return;
    }
    k->stage = KNOCK_TLS;
    if (bdl__tls_start(group->tls, k->wire.fd, k->is_dialer, &k->wire.session) != BDL_OK) {
        end_knock(group, k, bdl_last_error());
    }
}

static void dial(bdl__group *group, bdl__knock *k, double now)
{
    if (bdl__address_dial(k->address, &k->wire.fd) != BDL_OK) {
        end_knock(group, k, bdl_last_error());
        return;
    }
    k->stage = KNOCK_DIALING;
    k->deadline = now + group->handshake_seconds;
    k->events = POLLOUT;
}

/* The place for a new connection: a free one, else that of the oldest stranger. */
static bdl__knock *find_place(bdl__group *group)
{
    bdl__rendezvous *const v = &group->rendezvous;
    bdl__knock *oldest = NULL;
    for (int i = group->rank; i < v->most_knocks; i++) {
        bdl__knock *const k = &v->knocks[i];
        if (k->stage == KNOCK_FREE) {
            return k;
        }
        oldest = !oldest || k->deadline < oldest->deadline ? k : oldest;
    }
    end_knock(group, oldest, "too many others knock");
    return oldest;
}

static void accept_some(bdl__group *group, double now)
{
    bdl__rendezvous *const v = &group->rendezvous;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        char address[BDL__ADDRESS_SIZE];
        const int fd = bdl__address_accept(v->listener, address);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ECONNABORTED &&
                errno != EINTR) {
                BDL__LOG(group->log, BDL__LOG_WARNING, "rank %d cannot accept connections: %s",
                         group->rank, strerror(errno));
                v->listen_again = now + ACCEPT_AGAIN_SECONDS;
            }
            return;
        }
        bdl__knock *const k = find_place(group);
        *k = (bdl__knock){.wire = {.fd = fd}, .peer = -1};
        memcpy(k->address, address, sizeof address);
        begin_knock(group, k, now);
    }
}

/* ---- the proof ------------------------------------------------------------------------------------------------------ */

/* The connection has proven itself: it is the peer's from now on. */
static void promote(bdl__group *group, bdl__knock *k, double now)
{
    bdl__peer *const peer = &group->peers[k->handshake.peer];
    void *buffer = NULL;
    if (peer->has_hello) {
        end_knock(group, k, "this rank is connected already");
        return;
    }
    bdl__peer_forget(group, peer); /* an older connection that did not get so far */
    if (bdl__alloc(group->allocator, BDL__IN_SIZE, &buffer) != BDL_OK) {
        bdl__group_fail(group, group->rank, BDL_ERR_OUT_OF_MEMORY, "%s", bdl_last_error());
        return;
    }
    *peer = (bdl__peer){.wire = k->wire,
                        .rank = k->handshake.peer,
                        .last_heard = now,
                        .last_said = now,
                        .owes_hello = true,
                        .in = {.buffer = buffer}};
    memcpy(peer->address, k->address, sizeof peer->address);
    k->wire = (bdl__wire){.fd = -1};
    k->stage = KNOCK_FREE;
    k->filled = 0;
    explicit_bzero(&k->handshake, sizeof k->handshake);
    peer->may_have_more = true; /* in TLS's own buffer */
}

static bool send_proof(bdl__group *group, bdl__knock *k)
{
    bdl__handshake *const h = &k->handshake;
    while (k->sent < h->out_size) {
        const struct iovec part = {.iov_base = h->out + k->sent, .iov_len = h->out_size - k->sent};
        const ssize_t n = bdl__wire_write(&k->wire, &part, 1);
        if (n < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                k->events = POLLIN | POLLOUT;
            } else {
                end_knock(group, k, strerror(errno));
            }
            return false;
        }
        k->sent += (size_t)n;
    }
    h->out_size = 0;
    k->sent = 0;
    k->events = POLLIN;
    return true;
}

/* Reads no byte beyond the message that is expected: what follows belongs to the frames. */
static bool read_proof(bdl__group *group, bdl__knock *k)
{
    bdl__handshake *const h = &k->handshake;
    const struct iovec part = {.iov_base = k->in + k->filled, .iov_len = h->expected - k->filled};
    const ssize_t n = bdl__wire_read(&k->wire, &part, 1);
    if (n <= 0) {
        if (n == 0) {
            end_knock(group, k,
                      k->is_dialer ? "it closed the connection before the proof, so the secrets "
                                     "or settings of the two differ"
                                   : "it closed the connection before the proof");
        } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
            end_knock(group, k, strerror(errno));
        }
        return false;
    }
    k->filled += (size_t)n;
    if (k->filled == h->expected) {
        k->filled = 0;
        if (!bdl__handshake_feed(h, k->in)) {
            char why[sizeof h->reason];
            memcpy(why, h->reason, sizeof why);
            end_knock(group, k, why);
            return false;
        }
    }
    return true;
}

static void go_on_proof(bdl__group *group, bdl__knock *k, double now)
{
    do {
        if (!send_proof(group, k)) {
            return;
        }
        if (k->handshake.is_done) {
            promote(group, k, now);
            return;
        }
    } while (read_proof(group, k));
}

static void go_on_knock(bdl__group *group, bdl__knock *k, short revents, double now)
{
    if (k->stage == KNOCK_DIALING && revents) {
        const int error = bdl__socket_error(k->wire.fd);
        if (error != 0) {
            end_knock(group, k, strerror(error));
            return;
        }
        begin_knock(group, k, now);
    }
    if (k->stage == KNOCK_TLS) {
        const int done = bdl__tls_handshake(k->wire.session, &k->events);
        if (done < 0) {
            end_knock(group, k, "TLS was refused: another secret, or not TLS at all");
            return;
        }
        if (done > 0) {
            begin_proof(group, k);
        }
    }
    if (k->stage == KNOCK_PROOF) {
        go_on_proof(group, k, now);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

int bdl__rendezvous_watch(bdl__group *group, struct pollfd *fds, double now)
{
    const bdl__rendezvous *const v = &group->rendezvous;
    if (!v->knocks) {
        return 0;
    }
    fds[0] = (struct pollfd){.fd = now >= v->listen_again ? v->listener : -1, .events = POLLIN};
    for (int i = 0; i < v->most_knocks; i++) {
        fds[1 + i] = (struct pollfd){.fd = v->knocks[i].wire.fd, .events = v->knocks[i].events};
    }
    return 1 + v->most_knocks;
}

double bdl__rendezvous_pause(const bdl__group *group, double now)
{
    const bdl__rendezvous *const v = &group->rendezvous;
    double pause = v->knocks ? DIAL_AGAIN_SECONDS : 1e9; /* deadlines are seen in time */
    for (int i = 0; v->knocks && i < group->rank; i++) {
        if (v->knocks[i].stage == KNOCK_WAITING) {
            pause = BDL__MIN(pause, BDL__MAX(v->knocks[i].since - now, 0.0));
        }
    }
    return pause;
}

static void go_on_knocks(bdl__group *group, const struct pollfd *fds, double now)
{
    bdl__rendezvous *const v = &group->rendezvous;
    for (int i = 0; i < v->most_knocks; i++) {
        bdl__knock *const k = &v->knocks[i];
        if (k->stage == KNOCK_WAITING && now >= k->since) {
            dial(group, k, now);
        } else if (k->wire.fd >= 0 && fds[1 + i].fd == k->wire.fd && fds[1 + i].revents) {
            go_on_knock(group, k, fds[1 + i].revents, now);
        }
        if (k->wire.fd >= 0 && now > k->deadline) {
            char why[80];
            (void)snprintf(why, sizeof why, "it did not prove itself within %.3g seconds",
                           group->handshake_seconds);
            end_knock(group, k, why);
        }
    }
}

static const char *why_missing(const bdl__group *group, int rank)
{
    const bdl__knock *const k = &group->rendezvous.knocks[rank];
    return rank < group->rank && k->why[0] ? k->why : "no connection from it";
}

/* The deadline has passed: says who is missing. */
static void fail_missing(bdl__group *group)
{
    char missing[BDL__MOST_CAUSE / 2] = "";
    size_t size = 0;
    int n = 0;
    for (int i = 0; i < group->n_ranks; i++) {
        if (i == group->rank || group->peers[i].has_hello || n++ >= MOST_MISSING) {
            continue;
        }
        size += (size_t)snprintf(missing + size, sizeof missing - size, "%srank %d at %s (%.100s)",
                                 size ? ", " : "", i, group->rendezvous.addresses[i],
                                 why_missing(group, i));
        size = BDL__MIN(size, sizeof missing - 1);
    }
    bdl__group_fail(group, group->rank, BDL_ERR_IO,
                    "%d of %d ranks did not connect with it within %.3g seconds: %s%s", n,
                    group->n_ranks - 1, group->connect_seconds, missing,
                    n > MOST_MISSING ? " ..." : "");
}

void bdl__rendezvous_go_on(bdl__group *group, const struct pollfd *fds, int n_fds, double now)
{
    bdl__rendezvous *const v = &group->rendezvous;
    if (n_fds == 0 || !v->knocks) {
        return;
    }
    go_on_knocks(group, fds, now);
    if (v->listener >= 0 && fds[0].revents) {
        accept_some(group, now);
    }
    int n_missing = 0;
    for (int i = 0; i < group->n_ranks; i++) {
        n_missing += i != group->rank && !group->peers[i].has_hello;
    }
    if (n_missing == 0) {
        bdl__rendezvous_close(group);
        atomic_store(&group->phase, BDL__PHASE_CONNECTED);
        bdl__word_wake(&group->phase);
    } else if (now > v->deadline) {
        fail_missing(group);
    }
}
