/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: "10.0.0.7:41234", "[::1]:41234". A listener is bound to one address, never to all of a machine; what
 * ranks dial are numbers, so that no name server can hold them up.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "dist/internal.h"

enum { BACKLOG = 1024, PORT_SIZE = 8 };

typedef struct any_address {
    struct sockaddr_storage storage;
    socklen_t size;
} any_address;

static void print_address(const any_address *a, char text[BDL__ADDRESS_SIZE])
{
    char host[64] = "?";
    char port[PORT_SIZE] = "?";
    (void)getnameinfo((const struct sockaddr *)&a->storage, a->size, host, sizeof host, port,
                      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    const bool is_v6 = a->storage.ss_family == AF_INET6;
    (void)snprintf(text, BDL__ADDRESS_SIZE, is_v6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void set_port(any_address *a, int port)
{
    if (a->storage.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&a->storage)->sin6_port = htons((uint16_t)port);
    } else {
        ((struct sockaddr_in *)&a->storage)->sin_port = htons((uint16_t)port);
    }
}

static bool is_any(const any_address *a)
{
    static const struct in6_addr any_v6 = IN6ADDR_ANY_INIT;
    return a->storage.ss_family == AF_INET6
               ? memcmp(&((const struct sockaddr_in6 *)&a->storage)->sin6_addr, &any_v6,
                        sizeof any_v6) == 0
               : ((const struct sockaddr_in *)&a->storage)->sin_addr.s_addr == INADDR_ANY;
}

/* The address of the interface `name`, IPv4 before IPv6. */
static bool find_interface(const char *name, any_address *found)
{
    struct ifaddrs *all = NULL;
    found->size = 0;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || strcmp(i->ifa_name, name) != 0) {
            continue;
        }
        const bool is_v4 = i->ifa_addr->sa_family == AF_INET;
        if (is_v4 || (i->ifa_addr->sa_family == AF_INET6 && found->size == 0)) {
            found->size = is_v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
            memcpy(&found->storage, i->ifa_addr, found->size);
        }
        if (is_v4) {
            break;
        }
    }
    freeifaddrs(all);
    return found->size > 0;
}

static bdl_status find_bind_address(const char *bind_to, any_address *found)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (find_interface(bind_to, found)) {
        return BDL_OK;
    }
    const int error = getaddrinfo(bind_to, NULL, &hints, &list);
    if (error != 0) {
        BDL__FAIL(BDL_ERR_INVALID_ARGUMENT,
                  "cannot listen on '%s': neither an interface of this machine nor an address (%s)",
                  bind_to, gai_strerror(error));
    }
    memcpy(&found->storage, list->ai_addr, list->ai_addrlen);
    found->size = list->ai_addrlen;
    freeaddrinfo(list);
    BDL__CHECK(!is_any(found), BDL_ERR_INVALID_ARGUMENT,
               "cannot listen on '%s': ranks listen on one address, give that of the network "
               "between the ranks",
               bind_to);
    return BDL_OK;
}

/* A listening socket on this port, or -1 with errno. */
static int listen_on(any_address *a, int port)
{
    const int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    set_port(a, port);
    if (bind(fd, (const struct sockaddr *)&a->storage, a->size) != 0 || listen(fd, BACKLOG) != 0) {
        const int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

bdl_status bdl__address_listen(const char *bind_to, int first_port, int last_port, int *fd,
                               char address[BDL__ADDRESS_SIZE])
{
    any_address a = {.size = 0};
    BDL__TRY(find_bind_address(bind_to, &a));
    int found = -1;
    int port = first_port;
    do {
        found = listen_on(&a, port);
    } while (found < 0 && (errno == EADDRINUSE || errno == EACCES) && ++port <= last_port);
    if (found < 0) {
        BDL__FAIL(BDL_ERR_IO, "cannot listen on %s, ports %d to %d: %s", bind_to, first_port,
                  last_port, strerror(errno));
    }
    a.size = sizeof a.storage;
    (void)getsockname(found, (struct sockaddr *)&a.storage, &a.size);
    print_address(&a, address);
    *fd = found;
    return BDL_OK;
}

/* "host:port" or "[host]:port" in numbers. */
static bdl_status parse_address(const char *text, any_address *parsed)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    char host[BDL__ADDRESS_SIZE] = "";
    struct addrinfo *list = NULL;
    const char *const colon = strrchr(text, ':');
    const bool is_v6 = text[0] == '[';
    const size_t begin = is_v6;
    const size_t end = colon ? (size_t)(colon - text) - is_v6 : 0;
    int64_t port = 0;
    bool is_good = colon && end > begin && end - begin < sizeof host &&
                   (!is_v6 || text[end] == ']') && bdl__parse_i64(colon + 1, &port) && port >= 1 &&
                   port <= 65535;
    if (is_good) {
        memcpy(host, text + begin, end - begin);
        is_good = getaddrinfo(host, colon + 1, &hints, &list) == 0;
    }
    BDL__CHECK(is_good, BDL_ERR_INVALID_ARGUMENT,
               "'%.90s' is not the address of a rank: expected numbers as in 10.0.0.7:41234 or "
               "[::1]:41234",
               text);
    memcpy(&parsed->storage, list->ai_addr, list->ai_addrlen);
    parsed->size = list->ai_addrlen;
    freeaddrinfo(list);
    return BDL_OK;
}

bdl_status bdl__address_check(const char *address)
{
    any_address a;
    return parse_address(address, &a);
}

bdl_status bdl__address_dial(const char *address, int *fd)
{
    any_address a = {.size = 0};
    BDL__TRY(parse_address(address, &a));
    const int made = socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made >= 0 && bdl__wire_tune(made) &&
        (connect(made, (const struct sockaddr *)&a.storage, a.size) == 0 || errno == EINPROGRESS)) {
        *fd = made;
        return BDL_OK;
    }
    const int error = errno;
    if (made >= 0) {
        (void)close(made);
    }
    BDL__FAIL(BDL_ERR_IO, "%s", strerror(error));
}

int bdl__address_accept(int listener, char address[BDL__ADDRESS_SIZE])
{
    any_address a = {.size = sizeof a.storage};
    const int fd = accept4(listener, (struct sockaddr *)&a.storage, &a.size, SOCK_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    print_address(&a, address);
    if (!bdl__wire_tune(fd)) {
        (void)close(fd);
        errno = EAGAIN;
        return -1;
    }
    return fd;
}

int bdl__socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}
