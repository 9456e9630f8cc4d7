/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/*
 * What others on the network can do: strangers at the port of a rank are refused and logged while the ranks connect
 * and train unharmed, a recorded handshake is worthless, and with TLS nothing of the data is seen in clear.
 */
#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dist/internal.h"
#include "dist_ranks.h"
#include "test.h"

/* ---- addresses ------------------------------------------------------------------------------------------------ */

static int connect_to(const char *address)
{
    int fd = -1;
    if (bdl__address_dial(address, &fd) != BDL_OK) {
        return -1;
    }
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    (void)poll(&wait, 1, 5000);
    return fd;
}

static void check_bind(const char *where, int first_port, int last_port, const char *wanted)
{
    bdl__group *group = NULL;
    const bdl__group_options options = {.rank = 0,
                                        .n_ranks = 2,
                                        .secret = dist_test_secret,
                                        .bind = where,
                                        .first_port = first_port,
                                        .last_port = last_port};
    const bdl_status status =
        bdl__group_listen(bdl__default_allocator(), &dist_quiet_log, &options, &group);
    if (status == BDL_OK) {
        CHECK_STR_HAS(bdl__group_address(group), wanted);
    } else {
        CHECK_STR_HAS(bdl_last_error(), wanted);
    }
    bdl__group_free(group);
}

BDL_TEST(a_rank_listens_on_one_address_and_a_port_of_the_range)
{
    check_bind(NULL, 0, 0, "127.0.0.1:");
    check_bind("lo", 0, 0, "127.0.0.1:");
    check_bind("::1", 0, 0,
               "::1"); /* "[::1]:port", or an error that names ::1 where there is no IPv6 */
    check_bind("0.0.0.0", 0, 0, "one address");
    check_bind("no.such.host.invalid", 0, 0, "neither an interface of this machine nor an address");
    check_bind("127.0.0.1", 100, 99, "ports must be a range");
    bdl__group *group = NULL;
    bdl__group_options options = {.rank = 0, .n_ranks = 2, .secret = dist_test_secret};
    REQUIRE_OK(bdl__group_listen(bdl__default_allocator(), &dist_quiet_log, &options, &group));
    const int taken = (int)strtol(strrchr(bdl__group_address(group), ':') + 1, NULL, 10);
    check_bind("127.0.0.1", taken, taken, "Address already in use");
    bdl__group_free(group);
}

static void barrier_once(test_rank *r)
{
    dist_note(r, bdl__group_barrier(r->group));
}

static void over_ipv6(bdl__group_options *options, int rank)
{
    options->bind = rank == 2 ? "127.0.0.1" : "::1";
}

BDL_TEST(ranks_meet_over_ipv6)
{
    const int fd = socket(AF_INET6, SOCK_STREAM, 0);
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const bool has_ipv6 =
        fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof loopback) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!has_ipv6) {
        SKIP("this machine has no IPv6");
    }
    dist_run run = {.n_ranks = 3, .fn = barrier_once, .change = over_ipv6};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
}

static void exchange_hellos(test_rank *r)
{
    for (int i = 0; i < r->n_ranks; i++) {
        size_t size = 0;
        const char *const hello = bdl__group_hello(r->group, i, &size);
        CHECK(size == 8 && memcmp(hello, "build-", 6) == 0 && hello[6] == '0' + i);
    }
    dist_note(r, bdl__group_barrier(r->group));
}

static void hello_of_rank(bdl__group_options *options, int rank)
{
    static const char *const hellos[] = {"build-0", "build-1", "build-2"};
    options->hello = hellos[rank];
    options->hello_size = 8;
}

BDL_TEST(every_rank_learns_the_others_hello)
{
    dist_run run = {.n_ranks = 3, .fn = exchange_hellos, .change = hello_of_rank};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void exchange_messages(test_rank *r)
{
    enum { SMALL = 1000, LARGE = 900 * 1000, N = 40 };
    bdl__request requests[2 * N];
    uint8_t *const out = calloc(N, LARGE);
    uint8_t *const in = calloc(N, LARGE);
    const int other = 1 - r->rank;
    bdl_status status = BDL_OK;
    for (int i = 0; i < N; i++) {
        memset(out + (size_t)i * LARGE, i + 1, LARGE);
    }
    /* Small and large ones of one tag keep their order; receives come before or after the sends. */
    for (int i = 0; i < N && status == BDL_OK; i++) {
        status = bdl__group_send(r->group, other, (uint64_t)i % 3, out + (size_t)i * LARGE,
                                 i % 2 ? LARGE : SMALL, &requests[i]);
    }
    for (int i = 0; i < N && status == BDL_OK; i++) {
        status = bdl__group_recv(r->group, other, (uint64_t)i % 3, in + (size_t)i * LARGE,
                                 i % 2 ? LARGE : SMALL, &requests[N + i]);
    }
    const bdl_status waited = bdl__group_wait_all(r->group, requests, (int64_t)2 * N);
    int64_t n_wrong = 0;
    for (int i = 0; i < N; i++) {
        const size_t size = i % 2 ? LARGE : SMALL;
        n_wrong += memcmp(in + (size_t)i * LARGE, out + (size_t)i * LARGE, size) != 0;
        n_wrong += !(i % 2) && in[(size_t)i * LARGE + size] != 0;
    }
    CHECK_EQ_I64(n_wrong, 0);
    dist_note(r, status == BDL_OK ? waited : status);
    free(out);
    free(in);
}

BDL_TEST(messages_of_one_tag_keep_their_order)
{
    dist_run run = {.n_ranks = 2, .fn = exchange_messages};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
}

/* Many more small messages than may lie at the other side without a receive. */
static void flood(test_rank *r)
{
    enum { N = 3000, SIZE = 2000 };
    bdl__request *const requests = calloc(N, sizeof *requests);
    uint8_t *const data = calloc(N, SIZE);
    bdl_status status = BDL_OK;
    if (r->rank == 1) {
        (void)usleep(50 * 1000);
    }
    for (int i = 0; i < N && status == BDL_OK; i++) {
        status = r->rank == 0
                     ? bdl__group_send(r->group, 1, 1, data + (size_t)i * SIZE, SIZE, &requests[i])
                     : bdl__group_recv(r->group, 0, 1, data + (size_t)i * SIZE, SIZE, &requests[i]);
    }
    dist_note(r, bdl__group_wait_all(r->group, requests, N));
    free(requests);
    free(data);
}

BDL_TEST(small_messages_wait_for_a_slow_receiver)
{
    dist_run run = {.n_ranks = 2, .fn = flood};
    dist_run_ranks(&run);
    CHECK(dist_all_ok(&run));
}

typedef struct sizes {
    size_t send, receive;
} sizes;

static void differ(test_rank *r)
{
    const sizes *const s = r->arg;
    uint8_t *const data = calloc(1, 200 * 1000);
    bdl__request request;
    bdl_status status = r->rank == 0 ? bdl__group_send(r->group, 1, 3, data, s->send, &request)
                                     : bdl__group_recv(r->group, 0, 3, data, s->receive, &request);
    if (status == BDL_OK) {
        status = bdl__group_wait(r->group, &request);
    }
    dist_note(r, status == BDL_OK ? bdl__group_barrier(r->group) : status);
    free(data);
}

BDL_TEST(sizes_that_differ_are_an_error_with_both)
{
    static const sizes cases[] = {{10, 11}, {0, 1}, {150000, 10}, {10, 150000}, {150000, 160000}};
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        sizes s = cases[i];
        char sent[40];
        char expected[40];
        (void)snprintf(sent, sizeof sent, "has %zu bytes", s.send);
        (void)snprintf(expected, sizeof expected, "expects %zu", s.receive);
        dist_run run = {.n_ranks = 2, .fn = differ, .arg = &s, .options = {.wait_seconds = 20}};
        dist_run_ranks(&run);
        for (int rank = 0; rank < 2; rank++) {
            CHECK_EQ_I64(run.ranks[rank].status, BDL_ERR_SHAPE);
            CHECK_STR_HAS(run.ranks[rank].error, sent);
            CHECK_STR_HAS(run.ranks[rank].error, expected);
        }
    }
}

/* ---- strangers ---------------------------------------------------------------------------------------------------- */

/* Rank 0 of two listens; strangers come first, then rank 1. */
typedef struct siege {
    const uint8_t *bytes; /* what each stranger sends */
    size_t size;
    int n;
    bool then_close;
} siege;

static void connect_main(void *arg)
{
    test_rank *const r = arg;
    dist_note(r, bdl__group_connect(r->group, r->arg));
    if (r->status == BDL_OK) {
        float one = 1;
        dist_note(r, bdl__group_all_reduce(r->group, BDL_F32, &one, 1));
        CHECK(one == 2);
    }
}

static void check_siege(const siege *s, const char *logged)
{
    enum { MOST = 200 };
    int strangers[MOST];
    test_rank ranks[2] = {{.rank = 0}, {.rank = 1}};
    bdl__thread *threads[2] = {NULL, NULL};
    const char *addresses[2];
    dist_log log;
    dist_log_init(&log);
    for (int i = 0; i < 2; i++) {
        const bdl__group_options options = {.rank = i,
                                            .n_ranks = 2,
                                            .secret = dist_test_secret,
                                            .handshake_seconds = 0.2,
                                            .connect_seconds = 20};
        REQUIRE_OK(
            bdl__group_listen(bdl__default_allocator(), &log.log, &options, &ranks[i].group));
        addresses[i] = bdl__group_address(ranks[i].group);
        ranks[i].arg = addresses;
    }
    REQUIRE_OK(bdl__thread_start(bdl__default_allocator(), connect_main, &ranks[0], &threads[0]));
    for (int i = 0; i < s->n; i++) {
        strangers[i] = connect_to(addresses[0]);
        REQUIRE(strangers[i] >= 0);
        if (s->size > 0) {
            (void)!send(strangers[i], s->bytes, s->size, MSG_NOSIGNAL);
        }
        if (s->then_close) {
            (void)close(strangers[i]);
        }
    }
    for (int i = 0; i < 500 && !dist_log_has(&log, logged); i++) {
        (void)usleep(10 * 1000); /* rank 1 comes after at least one was refused */
    }
    REQUIRE_OK(bdl__thread_start(bdl__default_allocator(), connect_main, &ranks[1], &threads[1]));
    for (int i = 0; i < 2; i++) {
        bdl__thread_join(threads[i]);
        CHECK_STR_EQ(ranks[i].error, "");
    }
    CHECK_STR_HAS(log.text, "refused a connection from 127.0.0.1:");
    CHECK_STR_HAS(log.text, logged);
    const int late = connect_to(addresses[0]); /* nothing listens any more */
    CHECK(late < 0 || bdl__socket_error(late) != 0);
    if (late >= 0) {
        (void)close(late);
    }
    for (int i = 0; i < s->n && !s->then_close; i++) {
        (void)close(strangers[i]);
    }
    for (int i = 0; i < 2; i++) {
        bdl__group_free(ranks[i].group);
    }
}

BDL_TEST(strangers_are_refused_and_the_run_goes_on)
{
    static const uint8_t garbage[200] = "GET / HTTP/1.1\r\n";
    uint8_t intro[BDL__INTRO_SIZE + BDL__PROOF_SIZE] = "bdl-dist\1";
    uint8_t frame[100000];
    memset(frame, 0xBD, sizeof frame);
    intro[16] = 2; /* ranks */
    intro[20] = 1; /* from rank 1 to rank 0 */
    check_siege(&(siege){.bytes = garbage, .size = sizeof garbage, .n = 5}, "does not speak");
    check_siege(&(siege){.bytes = garbage, .size = 10, .n = 1}, "did not prove itself within");
    check_siege(&(siege){.n = 3}, "did not prove itself within");
    check_siege(&(siege){.n = 5, .then_close = true}, "closed the connection before the proof");
    check_siege(&(siege){.bytes = intro, .size = sizeof intro, .n = 3}, "does not know the secret");
    check_siege(&(siege){.bytes = frame, .size = sizeof frame, .n = 2}, "does not speak");
    check_siege(&(siege){.n = 150}, "too many others knock");
}

/* ---- the handshake by itself ---------------------------------------------------------------------------------------- */

static void start_handshake(bdl__handshake *h, int rank, bool is_dialer, uint8_t nonce_byte)
{
    uint8_t nonce[BDL__NONCE_SIZE];
    memset(nonce, nonce_byte, sizeof nonce);
    *h = (bdl__handshake){.secret = dist_test_secret,
                          .rank = rank,
                          .n_ranks = 3,
                          .peer = is_dialer ? 0 : -1,
                          .is_dialer = is_dialer};
    bdl__handshake_start(h, nonce);
}

/* Gives what `from` has to say to `to`; false when refused. */
static bool pass(bdl__handshake *from, bdl__handshake *to, uint8_t *copy)
{
    memcpy(copy, from->out, from->out_size);
    from->out_size = 0;
    return bdl__handshake_feed(to, copy);
}

BDL_TEST(a_recorded_handshake_is_worthless)
{
    bdl__handshake dialer;
    bdl__handshake acceptor;
    uint8_t intro[BDL__MOST_HANDSHAKE];
    uint8_t answer[BDL__MOST_HANDSHAKE];
    uint8_t proof[BDL__MOST_HANDSHAKE];
    uint8_t last[BDL__MOST_HANDSHAKE];
    start_handshake(&dialer, 1, true, 10);
    start_handshake(&acceptor, 0, false, 20);
    REQUIRE(pass(&dialer, &acceptor, intro));
    REQUIRE(pass(&acceptor, &dialer, answer));
    REQUIRE(pass(&dialer, &acceptor, proof));
    CHECK(acceptor.is_done && acceptor.peer == 1);
    REQUIRE(pass(&acceptor, &dialer, last));
    CHECK(dialer.is_done);

    start_handshake(&acceptor, 0, false, 21); /* fresh nonce: the old proof is wrong */
    CHECK(bdl__handshake_feed(&acceptor, intro));
    CHECK(!bdl__handshake_feed(&acceptor, proof));
    CHECK_STR_HAS(acceptor.reason, "does not know the secret");

    start_handshake(&dialer, 1, true, 11);
    CHECK(bdl__handshake_feed(&dialer, answer));
    CHECK(!bdl__handshake_feed(&dialer, last));
}

BDL_TEST(a_proof_cannot_be_sent_back)
{
    bdl__handshake dialer;
    uint8_t proof[BDL__PROOF_SIZE];
    uint8_t intro[BDL__INTRO_SIZE];
    start_handshake(&dialer, 1, true, 10);
    memcpy(intro, dialer.out, sizeof intro);
    CHECK(!bdl__handshake_feed(&dialer, intro)); /* its own introduction: wrong ranks */
    start_handshake(&dialer, 1, true, 10);
    intro[20] = 0; /* as rank 0 would say it, with the same nonce */
    intro[24] = 1;
    CHECK(bdl__handshake_feed(&dialer, intro));
    memcpy(proof, dialer.out, sizeof proof);
    CHECK(!bdl__handshake_feed(&dialer, proof));
    CHECK_STR_HAS(dialer.reason, "does not know the secret");
}

BDL_TEST(the_binding_to_a_tls_session_counts)
{
    bdl__handshake dialer;
    bdl__handshake acceptor;
    uint8_t copy[BDL__MOST_HANDSHAKE];
    start_handshake(&dialer, 1, true, 10);
    start_handshake(&acceptor, 0, false, 20);
    acceptor.binding[5] = 1; /* somebody sits between two sessions */
    CHECK(pass(&dialer, &acceptor, copy));
    CHECK(pass(&acceptor, &dialer, copy));
    CHECK(!pass(&dialer, &acceptor, copy));
}

/* ---- a recording relay ----------------------------------------------------------------------------------------------- */

enum { RECORD_SIZE = 4 * 1024 * 1024, PAYLOAD = 300 * 1000 };

typedef struct recorder {
    int listener;
    char target[BDL__ADDRESS_SIZE];
    uint8_t *bytes;
    size_t n;
} recorder;

/* Passes on one connection until both ends have closed it. */
static void record(void *arg)
{
    recorder *const r = arg;
    char address[BDL__ADDRESS_SIZE];
    int ends[2] = {-1, connect_to(r->target)};
    struct pollfd fds[2] = {{.fd = r->listener, .events = POLLIN}};
    bool is_open[2] = {true, true};
    (void)poll(fds, 1, 10000);
    ends[0] = bdl__address_accept(r->listener, address);
    while (is_open[0] || is_open[1]) {
        for (int i = 0; i < 2; i++) {
            fds[i] = (struct pollfd){.fd = is_open[i] ? ends[i] : -1, .events = POLLIN};
        }
        (void)poll(fds, 2, 10000);
        for (int i = 0; i < 2; i++) {
            const size_t space = RECORD_SIZE - r->n;
            const ssize_t n = fds[i].revents ? recv(ends[i], r->bytes + r->n, space, 0) : -1;
            if (fds[i].revents && n <= 0) {
                is_open[i] = false;
                (void)shutdown(ends[1 - i], SHUT_WR);
            }
            for (ssize_t sent = 0; sent < n;) {
                struct pollfd out = {.fd = ends[1 - i], .events = POLLOUT};
                (void)poll(&out, 1, 10000);
                const ssize_t m =
                    send(ends[1 - i], r->bytes + r->n + sent, (size_t)(n - sent), MSG_NOSIGNAL);
                sent += m > 0 ? m : out.revents & POLLOUT ? 0 : n;
            }
            r->n += n > 0 ? (size_t)n : 0;
        }
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static uint8_t payload_byte(size_t i)
{
    return (uint8_t)(i * i * 31 + (i >> 7) * 57);
}

static void exchange_payload(void *arg)
{
    test_rank *const r = arg;
    bdl__request request;
    uint8_t *const data = malloc(PAYLOAD);
    for (size_t i = 0; i < PAYLOAD; i++) {
        data[i] = r->rank == 1 ? payload_byte(i) : 0;
    }
    dist_note(r, bdl__group_connect(r->group, r->arg));
    for (int i = 0; i < 2 && r->status == BDL_OK; i++) { /* a small and a large message */
        const size_t size = i == 0 ? 1000 : PAYLOAD;
        dist_note(r, r->rank == 1 ? bdl__group_send(r->group, 0, 1, data, size, &request)
                                  : bdl__group_recv(r->group, 1, 1, data, size, &request));
        dist_note(r, r->status == BDL_OK ? bdl__group_wait(r->group, &request) : r->status);
    }
    CHECK(r->rank == 1 || r->status != BDL_OK || data[PAYLOAD - 1] == payload_byte(PAYLOAD - 1));
    free(data);
    bdl__group_free(r->group);
}

/* Runs of 16 bytes of the payload, one in 61, that the recording has. */
static int64_t count_seen(const recorder *r)
{
    int64_t n = 0;
    for (size_t at = 0; at + 16 <= PAYLOAD; at += 16 * 61) {
        uint8_t run[16];
        for (size_t i = 0; i < sizeof run; i++) {
            run[i] = payload_byte(at + i);
        }
        n += memmem(r->bytes, r->n, run, sizeof run) != NULL;
    }
    return n;
}

static void record_ranks(bool tls, recorder *r)
{
    test_rank ranks[2] = {{.rank = 0}, {.rank = 1}};
    bdl__thread *threads[3] = {NULL};
    char relay[BDL__ADDRESS_SIZE];
    const char *addresses[2];
    REQUIRE_OK(bdl__address_listen("127.0.0.1", 0, 0, &r->listener, relay));
    for (int i = 0; i < 2; i++) {
        const bdl__group_options options = {
            .rank = i, .n_ranks = 2, .secret = dist_test_secret, .connect_seconds = 20, .tls = tls};
        REQUIRE_OK(bdl__group_listen(bdl__default_allocator(), &dist_quiet_log, &options,
                                     &ranks[i].group));
        addresses[i] = bdl__group_address(ranks[i].group);
        ranks[i].arg = addresses;
    }
    (void)snprintf(r->target, sizeof r->target, "%s", addresses[0]);
    addresses[0] = relay; /* rank 1 dials the relay */
    REQUIRE_OK(bdl__thread_start(bdl__default_allocator(), record, r, &threads[2]));
    for (int i = 0; i < 2; i++) {
        REQUIRE_OK(
            bdl__thread_start(bdl__default_allocator(), exchange_payload, &ranks[i], &threads[i]));
    }
    for (int i = 0; i < 3; i++) {
        bdl__thread_join(threads[i]);
    }
    (void)close(r->listener);
    for (int i = 0; i < 2; i++) {
        CHECK_STR_EQ(ranks[i].error, "");
    }
    CHECK(r->n > PAYLOAD);
}

BDL_TEST(a_relay_sees_the_data_without_tls_and_not_with_it)
{
    recorder r = {.bytes = malloc(RECORD_SIZE)};
    record_ranks(false, &r);
    CHECK(count_seen(&r) > 100);
    CHECK(!memmem(r.bytes, r.n, dist_test_secret, 16));
#ifdef BDL_WITH_TLS
    r.n = 0;
    record_ranks(true, &r);
    CHECK_EQ_I64(count_seen(&r), 0);
#endif
    free(r.bytes);
}

BDL_TEST_MAIN(a_rank_listens_on_one_address_and_a_port_of_the_range, ranks_meet_over_ipv6,
              every_rank_learns_the_others_hello, messages_of_one_tag_keep_their_order,
              small_messages_wait_for_a_slow_receiver, sizes_that_differ_are_an_error_with_both,
              strangers_are_refused_and_the_run_goes_on, a_recorded_handshake_is_worthless,
              a_proof_cannot_be_sent_back, the_binding_to_a_tls_session_counts,
              a_relay_sees_the_data_without_tls_and_not_with_it)
