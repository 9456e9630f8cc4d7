/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzer of what ranks read from sockets. The first byte chooses: even, a handshake as acceptor (0) or dialer (2), in
 * which whoever does not have the secret must never be taken for a rank; odd, frames from a rank that has proven
 * itself, which may say anything but must not lead out of the memory of the receives.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dist/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_STREAM = 128 * 1024, N_RECEIVES = 4 };

static const uint8_t secret[BDL__SECRET_SIZE] = {42};

static void shake_hands(const uint8_t *data, size_t size, bool is_dialer)
{
    const uint8_t nonce[BDL__NONCE_SIZE] = {7};
    bdl__handshake h = {.secret = secret,
                        .rank = is_dialer ? 2 : 1,
                        .n_ranks = 3,
                        .peer = is_dialer ? 1 : -1,
                        .is_dialer = is_dialer};
    bdl__handshake_start(&h, nonce);
    while (h.expected > 0 && h.expected <= size) {
        const size_t n = h.expected;
        if (!bdl__handshake_feed(&h, data)) {
            break;
        }
        data += n;
        size -= n;
    }
    if (h.is_done) {
        abort(); /* no input can know the secret */
    }
}

static void drop_line(void *user, int level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
}

/* Receives of tags 0 to 3 with these sizes; guard bytes behind each must stay. */
static const size_t sizes[N_RECEIVES] = {0, 16, 1000, 100000};

static void read_stream(const uint8_t *data, size_t size)
{
    static uint8_t memory[N_RECEIVES][100000 + 1];
    static const bdl__log log = {.fn = drop_line};
    const bdl__group_options options = {.rank = 0, .n_ranks = 2, .secret = secret};
    bdl__request requests[N_RECEIVES];
    bdl__group *group = NULL;
    void *buffer = NULL;
    int ends[2];
    if (bdl__group_listen(bdl__default_allocator(), &log, &options, &group) != BDL_OK) {
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0 ||
        bdl__alloc(bdl__default_allocator(), BDL__IN_SIZE, &buffer) != BDL_OK) {
        bdl__group_free(group);
        return;
    }
    bdl__peer *const peer = &group->peers[1];
    peer->wire.fd = ends[0];
    peer->in.buffer = buffer;
    for (int i = 0; i < N_RECEIVES; i++) {
        memory[i][sizes[i]] = 0x5A;
        requests[i] = (bdl__request){.data = memory[i],
                                     .tag = (uint64_t)i,
                                     .size = sizes[i],
                                     .peer = 1,
                                     .id = sizes[i] > BDL__EAGER_SIZE ? 9 : 0};
        bdl__peer_take_receive(group, peer, &requests[i]);
    }
    for (size_t at = 0; at < size && peer->wire.fd >= 0 && !group->has_failed;) {
        const ssize_t n = write(ends[1], data + at, size - at);
        at += n > 0 ? (size_t)n : 0;
        bdl__peer_receive(group, peer, 0);
        bdl__peer_flush(group, peer, 0);
    }
    for (int i = 0; i < N_RECEIVES; i++) {
        if (memory[i][sizes[i]] != 0x5A) {
            abort();
        }
    }
    (void)close(ends[1]);
    bdl__group_free(group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MOST_STREAM) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        shake_hands(data + 1, size - 1, (data[0] & 2) != 0);
    } else {
        read_stream(data + 1, size - 1);
    }
    return 0;
}
