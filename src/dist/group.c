/* SPDX-License-Identifier: Apache-2.0 */
/* Groups as their callers see them: making and freeing, messages, waiting, failures. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dist/internal.h"

#define CANCEL_SECONDS 0.05 /* how often a wait looks at the cancel flag */

/* ---- failures ------------------------------------------------------------------------------------------------ */

void bdl__group_wake(bdl__group *group)
{
    const uint64_t one = 1;
    if (group->wake_fd >= 0 && atomic_exchange(&group->is_asleep, 0)) {
        (void)!write(group->wake_fd, &one, sizeof one);
    }
}

void bdl__group_fail(bdl__group *group, int rank, bdl_status code, const char *format, ...)
{
    char text[BDL__MOST_CAUSE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&group->mutex);
    if (!group->has_failed) {
        group->has_failed = true;
        group->failure_code = code;
        group->failed_rank = rank;
        memcpy(group->failure, text, sizeof text);
    }
    pthread_mutex_unlock(&group->mutex);
    bdl__group_wake(group);
}

void bdl__group_abort(bdl__group *group, bdl_status code, const char *cause)
{
    bdl__group_fail(group, group->rank, code == BDL_OK ? BDL_ERR_INTERNAL : code, "%s", cause);
}

static bdl_status check_not_forked(const bdl__group *group)
{
    BDL__CHECK(getpid() == group->pid, BDL_ERR_FORKED,
               "this group was made in process %ld and cannot be used in its forked child %ld",
               (long)group->pid, (long)getpid());
    return BDL_OK;
}

bdl_status bdl__group_status(bdl__group *group)
{
    BDL__TRY(check_not_forked(group));
    pthread_mutex_lock(&group->mutex);
    const bdl_status status = group->has_failed ? bdl__fail(group->failure_code, "rank %d: %s",
                                                            group->failed_rank, group->failure)
                                                : BDL_OK;
    pthread_mutex_unlock(&group->mutex);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static bdl_status check_seconds(double seconds, const char *name)
{
    BDL__CHECK(seconds >= 0 && seconds <= 1e6, BDL_ERR_INVALID_ARGUMENT,
               "%s must be between 0 and 1e6 seconds, got %g", name, seconds);
    return BDL_OK;
}

static bdl_status check_options(const bdl__group_options *o)
{
    BDL__CHECK(o->n_ranks >= 1 && o->n_ranks <= BDL__MOST_RANKS, BDL_ERR_INVALID_ARGUMENT,
               "the number of ranks must be between 1 and %d, got %d", BDL__MOST_RANKS, o->n_ranks);
    BDL__CHECK(o->rank >= 0 && o->rank < o->n_ranks, BDL_ERR_INVALID_ARGUMENT,
               "the rank must be between 0 and %d, got %d", o->n_ranks - 1, o->rank);
    BDL__CHECK(o->secret || o->n_ranks == 1, BDL_ERR_INVALID_ARGUMENT,
               "ranks need a secret of %d bytes", BDL__SECRET_SIZE);
    BDL__CHECK(o->first_port >= 0 && o->last_port <= 65535 &&
                   (o->first_port > 0 ? o->last_port >= o->first_port : o->last_port == 0),
               BDL_ERR_INVALID_ARGUMENT,
               "ports must be a range between 1 and 65535, or 0 to 0 for any, got %d to %d",
               o->first_port, o->last_port);
    BDL__CHECK(o->hello_size <= BDL__MOST_HELLO, BDL_ERR_INVALID_ARGUMENT,
               "hello has %zu bytes, at most %d fit", o->hello_size, BDL__MOST_HELLO);
    BDL__TRY(check_seconds(o->connect_seconds, "connect_seconds"));
    BDL__TRY(check_seconds(o->handshake_seconds, "handshake_seconds"));
    BDL__TRY(check_seconds(o->wait_seconds, "wait_seconds"));
    return check_seconds(o->silence_seconds, "silence_seconds");
}

static double or_default(double seconds, double preset)
{
    return seconds > 0 ? seconds : preset;
}

static void set_options(bdl__group *group, const bdl__group_options *o)
{
    group->rank = o->rank;
    group->n_ranks = o->n_ranks;
    group->connect_seconds = or_default(o->connect_seconds, 60);
    group->handshake_seconds = or_default(o->handshake_seconds, 10);
    group->wait_seconds = or_default(o->wait_seconds, 600);
    group->silence_seconds = or_default(o->silence_seconds, 30);
    group->cancel = o->cancel;
    group->cancels_connect_only = o->cancels_connect_only;
    group->hello_size = o->hello_size;
    group->pid = getpid();
    group->wake_fd = -1;
    group->rendezvous.listener = -1;
    if (o->secret) {
        memcpy(group->secret, o->secret, BDL__SECRET_SIZE);
    }
    (void)pthread_mutex_init(&group->mutex, NULL);
}

static bdl_status open_group(bdl__group *group, const bdl__group_options *o)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(group->allocator, group->hello_size, &memory));
    group->hello = memory;
    if (group->hello_size > 0) {
        memcpy(group->hello, o->hello, group->hello_size);
    }
    if (group->n_ranks == 1) {
        return BDL_OK;
    }
    BDL__TRY(bdl__alloc(group->allocator, (size_t)group->n_ranks * sizeof *group->peers, &memory));
    group->peers = memory;
    for (int i = 0; i < group->n_ranks; i++) {
        group->peers[i].rank = i;
        group->peers[i].wire.fd = -1;
    }
    if (o->tls) {
        BDL__TRY(bdl__tls_create(group->secret, &group->tls));
    }
    group->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    BDL__CHECK(group->wake_fd >= 0, BDL_ERR_IO, "cannot make an event: %s", strerror(errno));
    return bdl__address_listen(o->bind ? o->bind : "127.0.0.1", o->first_port, o->last_port,
                               &group->rendezvous.listener, group->address);
}

bdl_status bdl__group_listen(const bdl_allocator *allocator, const bdl__log *log,
                             const bdl__group_options *options, bdl__group **group)
{
    void *memory = NULL;
    BDL__TRY(check_options(options));
    BDL__TRY(bdl__alloc(allocator, sizeof **group, &memory));
    bdl__group *const made = memory;
    made->allocator = allocator;
    made->log = log;
    set_options(made, options);
    const bdl_status status = open_group(made, options);
    if (status != BDL_OK) {
        bdl__group_free(made);
        return status;
    }
    *group = made;
    return BDL_OK;
}

/* The thread has its own deadline; this only adds the cancel flag. */
static void wait_until_connected(bdl__group *group)
{
    while (atomic_load(&group->phase) == BDL__PHASE_CONNECTING) {
        bdl__word_wait(&group->phase, BDL__PHASE_CONNECTING, CANCEL_SECONDS);
        if (bdl__is_cancelled(group->cancel)) {
            bdl__group_fail(group, group->rank, BDL_ERR_CANCELLED, "cancelled");
        }
    }
}

bdl_status bdl__group_connect(bdl__group *group, const char *const *addresses)
{
    void *memory = NULL;
    BDL__TRY(bdl__group_status(group));
    BDL__CHECK(atomic_load(&group->phase) == BDL__PHASE_LISTENING, BDL_ERR_STATE,
               "this group is connected already");
    if (group->n_ranks == 1) {
        atomic_store(&group->phase, BDL__PHASE_CONNECTED);
        return BDL_OK;
    }
    const bdl_status status = bdl__rendezvous_open(group, addresses);
    if (status == BDL_OK) {
        group->most_fds = 2 + group->n_ranks + group->rendezvous.most_knocks;
        BDL__TRY(bdl__alloc(group->allocator, 2 * (size_t)group->most_fds * sizeof *group->fds,
                            &memory));
        group->fds = memory;
        atomic_store(&group->phase, BDL__PHASE_CONNECTING);
        BDL__TRY(bdl__thread_start(group->allocator, bdl__group_run, group, &group->thread));
        wait_until_connected(group);
        group->cancel = group->cancels_connect_only ? NULL : group->cancel;
        return bdl__group_status(group);
    }
    return status;
}

void bdl__group_free(bdl__group *group)
{
    if (!group) {
        return;
    }
    const bdl_allocator *const a = group->allocator;
    if (group->thread && group->pid == getpid()) {
        pthread_mutex_lock(&group->mutex);
        group->is_closing = true;
        pthread_mutex_unlock(&group->mutex);
        bdl__group_wake(group);
    }
    bdl__thread_join(group->thread);
    for (int i = 0; group->peers && i < group->n_ranks; i++) {
        bdl__peer_forget(group, &group->peers[i]);
    }
    bdl__rendezvous_close(group);
    if (group->wake_fd >= 0) {
        (void)close(group->wake_fd);
    }
    bdl__tls_free(group->tls);
    bdl__free(a, group->peers, (size_t)group->n_ranks * sizeof *group->peers);
    bdl__free(a, group->fds, 2 * (size_t)group->most_fds * sizeof *group->fds);
    bdl__free(a, group->hello, group->hello_size);
    (void)pthread_mutex_destroy(&group->mutex);
    explicit_bzero(group->secret, sizeof group->secret);
    bdl__free(a, group, sizeof *group);
}

/* ---- what is known ------------------------------------------------------------------------------------------------ */

const char *bdl__group_address(const bdl__group *group)
{
    return group->address;
}

int bdl__group_rank(const bdl__group *group)
{
    return group->rank;
}

int bdl__group_size(const bdl__group *group)
{
    return group->n_ranks;
}

const void *bdl__group_hello(const bdl__group *group, int peer, size_t *size)
{
    const bool is_own = peer == group->rank;
    *size = is_own ? group->hello_size : group->peers[peer].hello_size;
    return is_own ? group->hello : group->peers[peer].hello;
}

/* ---- messages --------------------------------------------------------------------------------------------------------- */

static bdl_status post(bdl__group *group, bool is_send, int peer, uint64_t tag, void *data,
                       size_t size, bdl__request *request)
{
    BDL__TRY(check_not_forked(group));
    BDL__CHECK(peer >= 0 && peer < group->n_ranks && peer != group->rank, BDL_ERR_INVALID_ARGUMENT,
               "rank %d of %d has no peer %d", group->rank, group->n_ranks, peer);
    BDL__CHECK(group->thread, BDL_ERR_STATE, "this group is not connected yet");
    *request =
        (bdl__request){.data = data, .tag = tag, .size = size, .peer = peer, .is_send = is_send};
    pthread_mutex_lock(&group->mutex);
    const bool has_failed = group->has_failed;
    if (!has_failed) {
        atomic_store(&request->state, REQUEST_PENDING);
        bdl__list_push(&group->posted, request);
    }
    pthread_mutex_unlock(&group->mutex);
    if (has_failed) {
        return bdl__group_status(group);
    }
    bdl__group_wake(group);
    return BDL_OK;
}

bdl_status bdl__group_send(bdl__group *group, int peer, uint64_t tag, const void *data, size_t size,
                           bdl__request *request)
{
    return post(group, true, peer, tag, (void *)data, size, request);
}

bdl_status bdl__group_recv(bdl__group *group, int peer, uint64_t tag, void *data, size_t size,
                           bdl__request *request)
{
    return post(group, false, peer, tag, data, size, request);
}

bool bdl__group_test(const bdl__request *request)
{
    const uint32_t state = atomic_load(&request->state);
    return state != REQUEST_PENDING && state != REQUEST_WATCHED;
}

/* What keeps the wait too long is a failure of the whole group; the thread then ends the request at once. */
static void wait_for_request(bdl__group *group, bdl__request *request)
{
    const double deadline = bdl__now() + group->wait_seconds;
    bool has_given_up = false;
    while (!bdl__group_test(request)) {
        uint32_t pending = REQUEST_PENDING;
        if (bdl__word_spin(&request->state, pending) && bdl__group_test(request)) {
            return;
        }
        (void)atomic_compare_exchange_strong(&request->state, &pending, REQUEST_WATCHED);
        bdl__word_wait(&request->state, REQUEST_WATCHED, CANCEL_SECONDS);
        if (has_given_up) {
            continue;
        }
        if (bdl__is_cancelled(group->cancel)) {
            bdl__group_fail(group, group->rank, BDL_ERR_CANCELLED, "cancelled");
            has_given_up = true;
        } else if (bdl__now() > deadline) {
            bdl__group_fail(group, group->rank, BDL_ERR_IO,
                            "it waited for %.3g seconds %s message %#llx %s rank %d",
                            group->wait_seconds, request->is_send ? "to send" : "for",
                            (unsigned long long)request->tag, request->is_send ? "to" : "of",
                            request->peer);
            has_given_up = true;
        }
    }
}

bdl_status bdl__group_wait(bdl__group *group, bdl__request *request)
{
    BDL__TRY(check_not_forked(group));
    wait_for_request(group, request);
    const uint32_t state = atomic_load(&request->state);
    atomic_store(&request->state, REQUEST_NONE);
    return state == REQUEST_FAILED ? bdl__group_status(group) : BDL_OK;
}

bdl_status bdl__group_wait_all(bdl__group *group, bdl__request *requests, int64_t n)
{
    bdl_status status = BDL_OK;
    for (int64_t i = 0; i < n; i++) {
        const bdl_status one = bdl__group_wait(group, &requests[i]);
        status = status == BDL_OK ? one : status;
    }
    return status;
}
