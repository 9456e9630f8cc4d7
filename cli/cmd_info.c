/* SPDX-License-Identifier: Apache-2.0 */
/* bdl layers, schema, bench, doctor, version. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define BENCH_SECONDS 3.0

int cmd_version(command *c)
{
    int code = open_command(c, NULL);
    code = code == EXIT_FINE ? check_rest(c, 0) : code;
    if (code != EXIT_FINE) {
        return code;
    }
    if (c->help) {
        printf("usage: bdl version\n\nPrints the version.\n");
        print_own_options(c);
        return EXIT_FINE;
    }
    printf("bdl %s\n", bdl_version());
    return EXIT_FINE;
}

int cmd_layers(command *c)
{
    int code = open_command(c, NULL);
    code = code == EXIT_FINE ? check_rest(c, 1) : code;
    if (code != EXIT_FINE) {
        return code;
    }
    if (c->help) {
        printf("usage: bdl layers [NAME]\n\nLists all layers, or describes one.\n");
        print_own_options(c);
        return EXIT_FINE;
    }
    char *text = NULL;
    const bdl_status status =
        bdl_layers_text(c->context, c->n_rest ? c->rest[0] : NULL, &text);
    return print_text(status, text);
}

int cmd_schema(command *c)
{
    int code = open_command(c, NULL);
    code = code == EXIT_FINE ? check_rest(c, 0) : code;
    if (code != EXIT_FINE) {
        return code;
    }
    if (c->help) {
        printf("usage: bdl schema --json\n\nPrints all field tables as one JSON object.\n");
        print_own_options(c);
        return EXIT_FINE;
    }
    char *json = NULL;
    const bdl_status status = bdl_schema_json(c->context, &json);
    return print_text(status, json);
}

int cmd_doctor(command *c)
{
    int code = open_command(c, NULL);
    code = code == EXIT_FINE ? check_rest(c, 0) : code;
    if (code != EXIT_FINE) {
        return code;
    }
    if (c->help) {
        printf("usage: bdl doctor [--json]\n\nSays what this machine offers and what bdl uses.\n");
        print_own_options(c);
        return EXIT_FINE;
    }
    char *text = NULL;
    const bdl_status status = bdl_doctor(c->context, c->json, &text);
    return print_text(status, text);
}

int cmd_bench(command *c)
{
    int code = open_command(c, NULL);
    if (code != EXIT_FINE) {
        return code;
    }
    char *text = NULL;
    if (c->help || c->n_rest == 0) {
        const bdl_status status = bdl_bench_list(c->context, &text);
        printf("usage: bdl bench CASE... [--option VALUE ...]\n\n");
        code = print_text(status, text);
        print_own_options(c);
        return code;
    }
    watch_signals(c->context);
    for (int64_t i = 0; i < c->n_rest && code == EXIT_FINE; i++) {
        const bdl_status status = bdl_bench(c->context, c->rest[i], BENCH_SECONDS, &text);
        code = print_text(status, text);
    }
    return code;
}
