/* SPDX-License-Identifier: Apache-2.0 */
/* A rank that `bdl launch` has started: gets the secret and the others' addresses through pipes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { SECRET_SIZE = 32, ADDRESS_SIZE = 128 };

typedef struct place {
    int rank, n, orders, answers;
} place;

/* What the launcher wrote into the environment; false where there was none. */
static bool find_place(place *p)
{
    const char *const text = getenv("BDL_LAUNCH");
    const bool is_rank = text && sscanf(text, "%d,%d,%d,%d", &p->rank, &p->n, &p->orders,
                                        &p->answers) == 4;
    (void)unsetenv("BDL_LAUNCH");
    return is_rank;
}

static bool read_all(int file, void *data, size_t size)
{
    char *to = data;
    while (size > 0) {
        const ssize_t n = read(file, to, size);
        if (n <= 0) {
            return false;
        }
        to += n;
        size -= (size_t)n;
    }
    return true;
}

static bool read_address(int file, char *line)
{
    for (size_t n = 0; n < ADDRESS_SIZE && read_all(file, line + n, 1); n++) {
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    return false;
}

static int lost_launcher(void)
{
    complain("bdl: another rank did not start");
    return EXIT_FAILED;
}

/* Says where this rank listens, and hears where the others do. */
static int meet_others(const place *p, bdl_group *group)
{
    char own[ADDRESS_SIZE + 1];
    char *const text = calloc((size_t)p->n, ADDRESS_SIZE);
    const char **const addresses = calloc((size_t)p->n, sizeof *addresses);
    int code = EXIT_FINE;
    const int size = snprintf(own, sizeof own, "%s\n", bdl_group_address(group));
    if (!text || !addresses || write(p->answers, own, (size_t)size) != size) {
        code = lost_launcher();
    }
    for (int r = 0; r < p->n && code == EXIT_FINE; r++) {
        addresses[r] = text + (size_t)r * ADDRESS_SIZE;
        if (!read_address(p->orders, text + (size_t)r * ADDRESS_SIZE)) {
            code = lost_launcher();
        }
    }
    if (code == EXIT_FINE) {
        code = finish(bdl_group_connect(group, addresses));
    }
    free(addresses);
    free(text);
    return code;
}

int join_launch(command *c, bdl_group **group)
{
    place p;
    uint8_t secret[SECRET_SIZE];
    if (!find_place(&p)) {
        return EXIT_FINE;
    }
    if (!read_all(p.orders, secret, sizeof secret)) {
        return lost_launcher();
    }
    const bdl_group_options options = {
        .struct_size = sizeof options, .rank = p.rank, .n_ranks = p.n, .secret = secret};
    if (bdl_group_create(c->context, &options, group) != BDL_OK) {
        return report_error(BDL_ERR_IO);
    }
    const int code = meet_others(&p, *group);
    (void)close(p.orders);
    (void)close(p.answers);
    if (code == EXIT_FINE && bdl_options_set_group(c->options, *group) != BDL_OK) {
        return report_error(BDL_ERR_STATE);
    }
    return code;
}
