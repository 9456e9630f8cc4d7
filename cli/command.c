/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of arguments, signals, errors: what all commands share. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static bdl_context *volatile watched;
static volatile sig_atomic_t came; /* the signal that cancelled, or 0 */

enum { LOG_WARNINGS = 1, LOG_INFORMATION = 2 };

void complain(const char *format, ...)
{
    char text[2048];
    va_list args;
    fflush(stdout);
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7F ? '?' : *c; /* as in a file's name: one error is one line */
    }
    fprintf(stderr, "%s\n", text);
}

int report_error(bdl_status status)
{
    complain("bdl: %s", bdl_last_error());
    return status == BDL_OK ? EXIT_FINE : EXIT_FAILED;
}

int finish(bdl_status status)
{
    const int code = status == BDL_OK ? EXIT_FINE : report_error(status);
    return status == BDL_ERR_CANCELLED && came ? 128 + (int)came : code;
}

int usage_error(const command *c, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    complain("bdl %s: %s (bdl %s --help)", c->verb, text, c->verb);
    return EXIT_USAGE;
}

/* Usage is wrong as the library has said, whose text begins with the verb already. */
static int option_error(const command *c)
{
    complain("bdl: %s (bdl %s --help)", bdl_last_error(), c->verb);
    return EXIT_USAGE;
}

/* ---- signals ------------------------------------------------------------------------------------ */

static void on_signal(int number)
{
    if (came) {
        _exit(128 + number);
    }
    came = number;
    bdl_context_cancel(watched);
}

void watch_signals(bdl_context *context)
{
    /* restarting: a line that is being written to a slow log must not be lost */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    watched = context;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- arguments ---------------------------------------------------------------------------------- */

/* Options of the command rather than of the library. tools/gen_reference.py reads them from the help. */
typedef struct own_option {
    const char *name, *value; /* value NULL = a switch */
    const char *verbs;
    const char *doc;
} own_option;

static const own_option own_options[] = {
    {"json", NULL, "train", "One JSON object a line on standard output, the last one the result."},
    {"json", NULL, "eval predict bench", "Results as JSON on standard output."},
    {"json", NULL, "doctor schema", "The same as JSON."},
    {"format", "F", "predict", "table, csv or jsonl; by default table."},
    {"out", "FILE", "predict", "File for the predictions, instead of standard output."},
    {"threads", "N", "train eval predict inspect bench doctor",
     "Workers; by default one for each processor."},
    {"quiet", NULL, "train eval predict inspect bench", "No progress, and no messages but warnings and errors."},
    {"help", NULL, "train eval predict inspect layers schema bench doctor version", "This text."},
};
#define N_OWN_OPTIONS ((int)(sizeof own_options / sizeof own_options[0]))

static bool is_for(const own_option *option, const char *verb)
{
    const size_t n = strlen(verb);
    for (const char *at = strstr(option->verbs, verb); at; at = strstr(at + 1, verb)) {
        if ((at == option->verbs || at[-1] == ' ') && (at[n] == ' ' || !at[n])) {
            return true;
        }
    }
    return false;
}

void print_own_options(const command *c)
{
    printf("\n");
    for (int i = 0; i < N_OWN_OPTIONS; i++) {
        const own_option *const o = &own_options[i];
        if (is_for(o, c->verb)) {
            char head[32];
            snprintf(head, sizeof head, "--%s %s", o->name, o->value ? o->value : "");
            printf("  %-13s %s\n", head, o->doc);
        }
    }
}

static const own_option *find_own(const command *c, const char *name)
{
    for (int i = 0; i < N_OWN_OPTIONS; i++) {
        if (strcmp(own_options[i].name, name) == 0 && is_for(&own_options[i], c->verb)) {
            return &own_options[i];
        }
    }
    return NULL;
}

static int set_threads(command *c, const char *value)
{
    char *end;
    const long n = strtol(value, &end, 10);
    c->threads = (int32_t)n;
    if (!*value || *end || n < 1 || n > 1024) {
        return usage_error(c, "--threads needs a number from 1 to 1024, got '%s'", value);
    }
    return EXIT_FINE;
}

static int set_own(command *c, const own_option *option, const char *value)
{
    const char *const name = option->name;
    if (option->value && !value) {
        return usage_error(c, "--%s needs a value", name);
    }
    if (strcmp(name, "threads") == 0) {
        return set_threads(c, value);
    }
    if (strcmp(name, "format") == 0) {
        c->format = value;
    } else if (strcmp(name, "out") == 0) {
        c->out = value;
    } else if (strcmp(name, "json") == 0) {
        c->json = true;
    } else if (strcmp(name, "quiet") == 0) {
        c->quiet = true;
    } else {
        c->help = true;
    }
    return EXIT_FINE;
}

/* One "--name", "--name=value" or "--name value"; gives how many arguments it took, or -1. */
static int parse_one(command *c, int i, int *error)
{
    char name[64];
    const char *const text = c->argv[i] + 2;
    const char *const equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : strlen(text);
    if (length == 0 || length >= sizeof name) {
        *error = usage_error(c, "unknown option '%s'", c->argv[i]);
        return -1;
    }
    memcpy(name, text, length);
    name[length] = '\0';
    const char *value = equals ? equals + 1 : i + 1 < c->argc ? c->argv[i + 1] : NULL;
    const own_option *const own = find_own(c, name);
    if (own) {
        *error = set_own(c, own, value);
        return *error ? -1 : 1 + (own->value && !equals);
    }
    if (!c->options) {
        *error = usage_error(c, "unknown option '--%s'", name);
        return -1;
    }
    const bool is_switch = bdl_options_is_switch(c->options, name);
    if (is_switch) {
        value = equals ? equals + 1 : "true";
    }
    const bdl_status status = bdl_options_set(c->options, name, value ? value : "");
    if (!value && status != BDL_ERR_NOT_FOUND) {
        *error = usage_error(c, "--%s needs a value", name);
        return -1;
    }
    if (status != BDL_OK) {
        *error = option_error(c);
        return -1;
    }
    return 1 + (!equals && !is_switch);
}

int parse_options(command *c, const char *first)
{
    c->rest = calloc((size_t)c->argc + 1, sizeof *c->rest);
    if (!c->rest) {
        complain("bdl: out of memory");
        return EXIT_FAILED;
    }
    bool only_rest = false;
    for (int i = 0; i < c->argc;) {
        int error = 0;
        const char *const argument = c->argv[i];
        if (!only_rest && strcmp(argument, "--") == 0) {
            only_rest = true;
            i++;
        } else if (!only_rest && strcmp(argument, "-h") == 0) {
            c->help = true;
            i++;
        } else if (!only_rest && argument[0] == '-' && argument[1] == '-') {
            const int n = parse_one(c, i, &error);
            if (n < 0) {
                return error;
            }
            i += n;
        } else if (!only_rest && argument[0] == '-' && argument[1]) {
            return usage_error(c, "unknown option '%s'; options have two hyphens", argument);
        } else {
            c->rest[c->n_rest++] = argument;
            i++;
        }
    }
    if (first && c->n_rest > 0) {
        if (bdl_options_set(c->options, first, c->rest[0]) != BDL_OK) {
            return report_error(BDL_ERR_OUT_OF_MEMORY);
        }
        for (int64_t i = 1; i < c->n_rest; i++) {
            c->rest[i - 1] = c->rest[i];
        }
        c->n_rest--;
    } else if (first && !c->help) {
        return usage_error(c, "needs a model");
    }
    return EXIT_FINE;
}

/* What must be known before there is a context to parse options with; parse_options complains. */
static void find_early(command *c)
{
    for (int i = 0; i < c->argc; i++) {
        if (strcmp(c->argv[i], "--quiet") == 0) {
            c->quiet = true;
        }
        if (strncmp(c->argv[i], "--threads", 9) != 0) {
            continue;
        }
        const char *const value = c->argv[i][9] == '=' ? c->argv[i] + 10
                                  : i + 1 < c->argc    ? c->argv[i + 1]
                                                       : "";
        const long n = strtol(value, NULL, 10);
        if (n >= 1 && n <= 1024) {
            c->threads = (int32_t)n;
        }
    }
}

int open_command(command *c, const char *first)
{
    find_early(c);
    const bdl_context_options options = {.struct_size = sizeof options,
                                         .n_threads = c->threads,
                                         .log_level = c->quiet ? LOG_WARNINGS : LOG_INFORMATION};
    bdl_status status = bdl_context_create(&options, &c->context);
    if (status != BDL_OK) {
        return report_error(status);
    }
    if (first) {
        status = bdl_options_create(c->context, c->verb, &c->options);
        if (status != BDL_OK) {
            return report_error(status);
        }
    }
    const int code = parse_options(c, first);
    if (code == EXIT_FINE && c->help && first) {
        char *text = NULL;
        status = bdl_options_help(c->options, &text);
        printf("usage: bdl %s MODEL %s[--option VALUE ...]\n\n", c->verb,
               strcmp(c->verb, "predict") == 0 ? "[FILES...] " : "");
        const int printed = print_text(status, text);
        print_own_options(c);
        return printed;
    }
    if (code == EXIT_FINE && first && bdl_options_check(c->options) != BDL_OK) {
        return option_error(c);
    }
    return code;
}

const char *option_value(const command *c, const char *name)
{
    const char *found = NULL;
    const size_t length = strlen(name);
    for (int i = 0; i < c->argc; i++) {
        const char *const a = c->argv[i];
        if (strncmp(a, "--", 2) != 0 || strncmp(a + 2, name, length) != 0) {
            continue;
        }
        if (a[2 + length] == '=') {
            found = a + 3 + length;
        } else if (!a[2 + length] && i + 1 < c->argc) {
            found = c->argv[i + 1];
        }
    }
    return found;
}

void close_command(command *c)
{
    bdl_options_free(c->options);
    bdl_context_free(c->context);
    free(c->rest);
}

int print_text(bdl_status status, char *text)
{
    if (status != BDL_OK) {
        return finish(status);
    }
    fputs(text, stdout);
    bdl_text_free(text);
    return EXIT_FINE;
}

/* A JSON string with its quotes; file names may hold anything. */
void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(out, "\\%c", *c);
        } else if (*c < 32) {
            fprintf(out, "\\u%04x", *c);
        } else {
            fputc(*c, out);
        }
    }
    fputc('"', out);
}

int check_rest(const command *c, int64_t most)
{
    return c->n_rest > most ? usage_error(c, "does not understand '%s'", c->rest[most]) : EXIT_FINE;
}
