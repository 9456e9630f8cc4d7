/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, plain or through TLS, under one interface.
 *
 * Socket buffers: the kernel grows them by itself (up to net.ipv4.tcp_wmem, tcp_rmem); fixed ones would switch that off. But
 * of what it cannot send yet it takes little (TCP_NOTSENT_LOWAT), so that small messages find no megabytes before them.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dist/internal.h"

enum {
    KEEPALIVE_IDLE = 10,
    KEEPALIVE_INTERVAL = 5,
    KEEPALIVE_COUNT = 3,
    MOST_UNSENT = 256 * 1024, /* bytes */
};

bool bdl__wire_tune(int fd)
{
    const int on = 1;
    const int idle = KEEPALIVE_IDLE;
    const int interval = KEEPALIVE_INTERVAL;
    const int count = KEEPALIVE_COUNT;
    const int most_unsent = MOST_UNSENT;
    const int flags = fcntl(fd, F_GETFL);
    /* The peers' own signs of life decide; the kernel's only end what the other side has forgotten. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most_unsent, sizeof most_unsent);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

ssize_t bdl__wire_read(bdl__wire *wire, const struct iovec *parts, int n_parts)
{
    if (wire->session) {
        const struct iovec *const part = parts[0].iov_len > 0 || n_parts == 1 ? parts : parts + 1;
        return bdl__tls_read(wire->session, part->iov_base, part->iov_len);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)n_parts};
    ssize_t n;
    do {
        n = recvmsg(wire->fd, &message, 0);
    } while (n < 0 && errno == EINTR);
    return n;
}

ssize_t bdl__wire_write(bdl__wire *wire, const struct iovec *parts, int n_parts)
{
    if (wire->session) {
        return bdl__tls_write(wire->session, parts, n_parts);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)n_parts};
    ssize_t n;
    do {
        n = sendmsg(wire->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

void bdl__wire_finish(bdl__wire *wire)
{
    if (wire->session) {
        bdl__tls_finish(wire->session);
    }
    (void)shutdown(wire->fd, SHUT_WR);
}

void bdl__wire_close(bdl__wire *wire)
{
    if (wire->session) {
        bdl__tls_stop(wire->session);
    }
    if (wire->fd >= 0) {
        (void)close(wire->fd);
    }
    *wire = (bdl__wire){.fd = -1};
}
