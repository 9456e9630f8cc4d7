/* SPDX-License-Identifier: Apache-2.0 */
/* bdl: the command. Finds the verb and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct verb {
    const char *name;
    const char *arguments;
    const char *summary;
    int (*run)(command *c);
} verb;

static const verb verbs[] = {
    {"train", "MODEL --data DATA [--val DATA] [options]", "train a model", cmd_train},
    {"launch", "-n N [--threads T] -- train MODEL ...", "train on N local processes together",
     cmd_launch},
    {"eval", "DIR --data DATA", "measure a saved model on data", cmd_eval},
    {"predict", "DIR FILES... | DIR --data DATA", "predict images or rows", cmd_predict},
    {"inspect", "MODEL|DIR [--plan]", "show layers, shapes, weights and how they are run",
     cmd_inspect},
    {"layers", "[NAME]", "list all layers, or describe one", cmd_layers},
    {"schema", "--json", "everything that has parameters, for machines", cmd_schema},
    {"bench", "[CASE...]", "measure speed on this machine", cmd_bench},
    {"doctor", "", "what this machine offers and what bdl uses", cmd_doctor},
    {"version", "", "print the version", cmd_version},
};
#define N_VERBS ((int)(sizeof verbs / sizeof verbs[0]))

static void print_usage(FILE *out)
{
    fprintf(out, "bdl %s: deep learning on CPUs\n\nusage: bdl VERB [arguments]\n\n", bdl_version());
    for (int i = 0; i < N_VERBS; i++) {
        fprintf(out, "  %-9s %-44s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
    }
    fprintf(out, "\nTry: bdl train lenet --data digits --epochs 2 --save model\n"
                 "     bdl VERB --help\n");
}

/* Number of edits between two short words, for a hint after a misspelt verb. */
static int distance(const char *a, const char *b)
{
    int row[32];
    const int n = (int)strlen(b);
    if (n > 30 || strlen(a) > 30) {
        return 99;
    }
    for (int j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n];
}

static int unknown_verb(const char *name)
{
    int nearest = 0;
    for (int i = 1; i < N_VERBS; i++) {
        if (distance(name, verbs[i].name) < distance(name, verbs[nearest].name)) {
            nearest = i;
        }
    }
    if (distance(name, verbs[nearest].name) <= 2) {
        complain("bdl: unknown verb '%s'; did you mean '%s'?", name, verbs[nearest].name);
    } else {
        complain("bdl: unknown verb '%s'; 'bdl --help' lists them", name);
    }
    return EXIT_USAGE;
}

/* A standard file that the caller has closed stays taken, by one that fails as a closed one does: else the next file
 * that is opened would get its number, and messages would go into a log or a model. */
static bool hold_standard_files(void)
{
    for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++) {
        if (fcntl(file, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY) != file) {
            return false;
        }
    }
    return true;
}

/* Output that could not be written is a failure, however well all else went. */
static int close_stdout(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("bdl: cannot write to standard output");
        return code == EXIT_FINE ? EXIT_FAILED : code;
    }
    return code;
}

/* `arguments` are those after the verb. */
static int run_verb(const char *name, int n, char **arguments)
{
    for (int i = 0; i < N_VERBS; i++) {
        if (strcmp(name, verbs[i].name) == 0 ||
            (strcmp(name, "--version") == 0 && strcmp(verbs[i].name, "version") == 0)) {
            command c = {.verb = verbs[i].name, .argc = n, .argv = arguments};
            const int code = verbs[i].run(&c);
            close_command(&c);
            return close_stdout(code);
        }
    }
    return unknown_verb(name);
}

int main(int argc, char **argv)
{
    if (!hold_standard_files()) {
        return EXIT_FAILED;
    }
    signal(SIGXFSZ, SIG_IGN); /* a write above the limit of a file's size fails, and is told */
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *const name = argv[1];
    const bool is_help = strcmp(name, "help") == 0;
    if (is_help && argc == 3 && argv[2][0] != '-') { /* 'help VERB' is 'VERB --help' */
        return run_verb(argv[2], 1, (char *[]){"--help", NULL});
    }
    if (is_help || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return EXIT_FINE;
    }
    return run_verb(name, argc - 2, argv + 2);
}
