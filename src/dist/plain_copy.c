/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's loopback gives without bdl: the yardstick of the bench allreduce_100mb. Two ends of one TCP
 * connection, at each a thread that writes and one that reads, blocking, 1 MiB a call.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dist/internal.h"

enum { CALL_SIZE = 1024 * 1024, ACCEPT_MILLISECONDS = 5000 };

typedef struct stream {
    int fd;
    uint8_t *data;
    size_t size;
    bool is_writer;
    bdl__thread *thread;
    int error;
} stream;

static void move_all(void *arg)
{
    stream *const s = arg;
    for (size_t at = 0; at < s->size && s->error == 0;) {
        const size_t most = BDL__MIN(s->size - at, (size_t)CALL_SIZE);
        const ssize_t n = s->is_writer ? send(s->fd, s->data + at, most, MSG_NOSIGNAL)
                                       : recv(s->fd, s->data + at, most, 0);
        if (n > 0) {
            at += (size_t)n;
        } else {
            s->error = n == 0 ? ECONNRESET : errno;
        }
    }
}

/* Two ends of a connection, blocking. */
static bdl_status connect_ends(int ends[2])
{
    char address[BDL__ADDRESS_SIZE];
    int listener = -1;
    BDL__TRY(bdl__address_listen("127.0.0.1", 0, 0, &listener, address));
    bdl_status status = bdl__address_dial(address, &ends[0]);
    if (status == BDL_OK) {
        struct pollfd fd = {.fd = listener, .events = POLLIN};
        (void)poll(&fd, 1, ACCEPT_MILLISECONDS);
        ends[1] = bdl__address_accept(listener, address);
        if (ends[1] < 0) {
            status = bdl__fail(BDL_ERR_IO, "cannot accept: %s", strerror(errno));
        }
    }
    for (int i = 0; i < 2 && status == BDL_OK; i++) {
        (void)fcntl(ends[i], F_SETFL, fcntl(ends[i], F_GETFL) & ~O_NONBLOCK);
    }
    (void)close(listener);
    return status;
}

bdl_status bdl__plain_copy(const bdl_allocator *allocator, uint8_t *const data[4], size_t size,
                           double *seconds)
{
    int ends[2] = {-1, -1};
    stream streams[4];
    bdl_status status = connect_ends(ends);
    const double start = bdl__now();
    for (int i = 0; i < 4; i++) {
        streams[i] =
            (stream){.fd = ends[i / 2], .data = data[i], .size = size, .is_writer = i % 2 == 0};
        if (status == BDL_OK) {
            status = bdl__thread_start(allocator, move_all, &streams[i], &streams[i].thread);
        }
    }
    for (int i = 0; i < 2 && status != BDL_OK; i++) {
        (void)shutdown(ends[i], SHUT_RDWR); /* lets those that run end */
    }
    for (int i = 0; i < 4; i++) {
        bdl__thread_join(streams[i].thread);
        if (status == BDL_OK && streams[i].error != 0) {
            status = bdl__fail(BDL_ERR_IO, "copying failed: %s", strerror(streams[i].error));
        }
    }
    *seconds = bdl__now() - start;
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) {
            (void)close(ends[i]);
        }
    }
    return status;
}
