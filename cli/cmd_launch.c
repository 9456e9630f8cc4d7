/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bdl launch -n N -- train ...: N ranks on this host, each a process of this program, that train together. Rank 0 has
 * the user's terminal; lines of the others come prefixed. Secret and addresses travel through pipes, never as
 * arguments. When one rank ends badly, all end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

enum {
    MOST_RANKS = 256,
    SECRET_SIZE = 32,
    ADDRESS_SIZE = 128,
    LINE_SIZE = 2048,
    ERRORS_SIZE = 4096,
    JOIN_MILLISECONDS = 60000, /* for a rank to say where it listens */
    END_SECONDS = 15           /* for the others, after one rank has failed */
};

typedef struct child {
    pid_t pid;    /* 0 = has ended */
    int orders;   /* to it: secret, addresses */
    int answers;  /* from it: its address */
    int messages; /* from it: its stderr; -1 for rank 0, and at its end */
    char address[ADDRESS_SIZE];
    char line[LINE_SIZE]; /* what has come of one */
    size_t line_size;
    char errors[ERRORS_SIZE]; /* its error lines, for the case that rank 0 has none */
    int status;               /* of waitpid */
} child;

typedef struct launch {
    int n;
    int threads;
    char **args; /* of the verb, which comes first */
    int n_args;
    bool quiet;
    uint8_t secret[SECRET_SIZE];
    child children[MOST_RANKS];
    bool has_met;    /* every rank knows where the others are */
    double deadline; /* for all to end, once one has failed; 0 = none has */
} launch;

static volatile sig_atomic_t
    signals[2];                       /* SIGINTs and SIGTERMs that came and are not passed on yet */
static volatile sig_atomic_t stopped; /* the first of them */

static void on_signal(int number)
{
    signals[number == SIGTERM]++;
    stopped = stopped ? stopped : number;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const char *what)
{
    complain("bdl launch: %s: %s", what, strerror(errno));
    return EXIT_FAILED;
}

/* ---- arguments ---------------------------------------------------------------------------------- */

static int parse_number(const command *c, const char *name, const char *text, int most, int *value)
{
    char *end = NULL;
    const long n = text ? strtol(text, &end, 10) : 0;
    if (!text || !*text || *end || n < 1 || n > most) {
        return usage_error(c, "%s needs a number from 1 to %d, got '%s'", name, most,
                           text ? text : "");
    }
    *value = (int)n;
    return EXIT_FINE;
}

static void print_help(void)
{
    printf("usage: bdl launch -n N [--threads T] -- train MODEL [--option VALUE ...]\n\n"
           "Trains on N local processes (ranks) that share each batch; the result is that of 'bdl "
           "train', to\n"
           "the last bit. For tests, and for machines with several memory nodes; on clusters use "
           "Spark.\n\n"
           "  -n N         Ranks, at most as many as shards: one for each 16 samples of the batch, or --shards.\n"
           "  --threads T  Workers of each rank; by default the processors divided by N.\n\n"
           "Ctrl-C ends all ranks after the same iteration, with a checkpoint if there is "
           "--checkpoint.\n");
}

static int parse(command *c, launch *l)
{
    int i = 0;
    for (; i < c->argc && strcmp(c->argv[i], "--") != 0 && c->argv[i][0] == '-'; i++) {
        const char *const name = c->argv[i];
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            c->help = true;
            return EXIT_FINE;
        }
        int *const value = strcmp(name, "-n") == 0          ? &l->n
                           : strcmp(name, "--threads") == 0 ? &l->threads
                                                            : NULL;
        if (!value) {
            return usage_error(c, "unknown option '%s'", name);
        }
        const char *const text = i + 1 < c->argc ? c->argv[++i] : NULL;
        const int code = parse_number(c, name, text, value == &l->n ? MOST_RANKS : 1024, value);
        if (code != EXIT_FINE) {
            return code;
        }
    }
    i += i < c->argc && strcmp(c->argv[i], "--") == 0;
    l->args = c->argv + i;
    l->n_args = c->argc - i;
    if (l->n == 0) {
        return usage_error(c, "needs -n, the number of ranks");
    }
    if (l->n_args == 0 || strcmp(l->args[0], "train") != 0) {
        return usage_error(c,
                           "starts 'train', as in: bdl launch -n 2 -- train lenet --data digits");
    }
    for (int k = 0; k < l->n_args; k++) {
        l->quiet = l->quiet || strcmp(l->args[k], "--quiet") == 0;
    }
    return EXIT_FINE;
}

/* ---- starting ----------------------------------------------------------------------------------- */

/* In the child: becomes a rank. Only what may be called after a fork. */
static void become_rank(const launch *l, int rank, char **argv, char *join, pid_t parent)
{
    const child *const self = &l->children[rank];
    (void)setpgid(0, 0); /* signals of the terminal come through the parent, once */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(EXIT_FAILED);
    }
    if (self->messages >= 0) {
        const int nowhere = open("/dev/null", O_RDWR);
        (void)dup2(nowhere, STDIN_FILENO);
        (void)dup2(nowhere, STDOUT_FILENO);
        (void)dup2(self->messages, STDERR_FILENO);
    }
    (void)fcntl(self->orders, F_SETFD, 0);
    (void)fcntl(self->answers, F_SETFD, 0);
    (void)setenv("BDL_LAUNCH", join, 1);
    (void)execv("/proc/self/exe", argv);
    _exit(127);
}

/* What has not been started has no files either. */
static void forget_files(launch *l)
{
    for (int r = 0; r < MOST_RANKS; r++) {
        child *const c = &l->children[r];
        c->orders = c->answers = c->messages = -1;
    }
}

/* Neither end stays open in the other ranks. */
static bool make_pipe(int ends[2])
{
    return pipe(ends) == 0 && fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0 &&
           fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0;
}

static int start_rank(launch *l, int rank, char **argv)
{
    int orders[2], answers[2], messages[2] = {-1, -1};
    char join[64];
    child *const self = &l->children[rank];
    if (!make_pipe(orders) || !make_pipe(answers) || (rank > 0 && !make_pipe(messages))) {
        return fail("cannot make a pipe");
    }
    snprintf(join, sizeof join, "%d,%d,%d,%d", rank, l->n, orders[0], answers[1]);
    self->orders = orders[0];
    self->answers = answers[1];
    self->messages = messages[1];
    const pid_t parent = getpid();
    fflush(NULL);
    self->pid = fork();
    if (self->pid == 0) {
        become_rank(l, rank, argv, join, parent);
    }
    (void)close(orders[0]);
    (void)close(answers[1]);
    if (messages[1] >= 0) {
        (void)close(messages[1]);
    }
    self->orders = orders[1];
    self->answers = answers[0];
    self->messages = messages[0];
    if (self->pid < 0) {
        self->pid = 0;
        return fail("cannot start a process");
    }
    (void)setpgid(self->pid, self->pid);
    return EXIT_FINE;
}

static int start_all(launch *l)
{
    char threads[16];
    char **const argv = calloc((size_t)l->n_args + 6, sizeof *argv);
    if (!argv) {
        complain("bdl launch: out of memory");
        return EXIT_FAILED;
    }
    int n = 0, code = EXIT_FINE;
    argv[n++] = (char[]){"bdl"};
    argv[n++] = l->args[0];
    snprintf(threads, sizeof threads, "%d", l->threads);
    argv[n++] = (char[]){"--threads"};
    argv[n++] = threads;
    for (int i = 1; i < l->n_args; i++) {
        argv[n++] = l->args[i];
    }
    for (int rank = 0; rank < l->n && code == EXIT_FINE; rank++) {
        argv[n] = rank > 0 && !l->quiet ? (char[]){"--quiet"} : NULL;
        code = start_rank(l, rank, argv);
    }
    free(argv);
    return code;
}

/* ---- introducing the ranks ---------------------------------------------------------------------- */

/* Reads a line; false if none comes in time, as from a rank that has ended. */
static bool read_line(int file, char *line, size_t size)
{
    size_t n = 0;
    const double deadline = now() + JOIN_MILLISECONDS / 1000.0;
    while (n + 1 < size && now() < deadline && !stopped) {
        struct pollfd ready = {.fd = file, .events = POLLIN};
        if (poll(&ready, 1, 100) <= 0) {
            continue;
        }
        if (read(file, line + n, 1) != 1) {
            return false;
        }
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
        n++;
    }
    return false;
}

static bool write_all(int file, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        const ssize_t n = write(file, from, size);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        from += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Gives all the secret, hears where each listens, and tells all. A rank that does not answer has ended, or will
 * see that nobody comes: what it says about that is enough. */
static void introduce(launch *l)
{
    bool is_complete = true;
    for (int r = 0; r < l->n; r++) {
        is_complete = write_all(l->children[r].orders, l->secret, SECRET_SIZE) && is_complete;
    }
    for (int r = 0; r < l->n && is_complete; r++) {
        is_complete = read_line(l->children[r].answers, l->children[r].address, ADDRESS_SIZE);
    }
    for (int r = 0; r < l->n; r++) {
        for (int i = 0; i < l->n && is_complete; i++) {
            const char *const address = l->children[i].address;
            (void)(write_all(l->children[r].orders, address, strlen(address)) &&
                   write_all(l->children[r].orders, "\n", 1));
        }
        (void)close(l->children[r].orders);
        (void)close(l->children[r].answers);
    }
    l->has_met = is_complete;
}

/* ---- watching ----------------------------------------------------------------------------------- */

/* Error lines are kept: rank 0 says the first cause itself, in most cases. Others are shown. */
static void take_line(child *c, int rank)
{
    c->line[c->line_size] = '\0';
    if (strncmp(c->line, "bdl", 3) == 0) {
        const size_t used = strlen(c->errors);
        snprintf(c->errors + used, sizeof c->errors - used, "rank %d: %s\n", rank, c->line);
    } else if (c->line_size > 0) {
        fprintf(stderr, "rank %d: %s\n", rank, c->line);
    }
    c->line_size = 0;
}

static void take_messages(child *c, int rank)
{
    char data[1024];
    const ssize_t n = read(c->messages, data, sizeof data);
    for (ssize_t i = 0; i < n; i++) {
        if (data[i] == '\n' || c->line_size + 1 == LINE_SIZE) {
            take_line(c, rank);
        }
        if (data[i] != '\n') {
            c->line[c->line_size++] = data[i];
        }
    }
    if (n <= 0 && !(n < 0 && errno == EINTR)) {
        take_line(c, rank);
        (void)close(c->messages);
        c->messages = -1;
    }
}

static void tell_all(const launch *l, int number)
{
    for (int r = 0; r < l->n; r++) {
        if (l->children[r].pid > 0) {
            (void)kill(l->children[r].pid, number);
        }
    }
}

static void pass_signals(const launch *l)
{
    for (int i = 0; i < 2; i++) {
        if (signals[i] > 0) {
            signals[i] = 0;
            tell_all(l, i ? SIGTERM : SIGINT);
        }
    }
}

/* Notes who has ended; returns how many still run. */
static int reap(launch *l)
{
    int n_running = 0;
    for (int r = 0; r < l->n; r++) {
        child *const c = &l->children[r];
        if (c->pid > 0 && waitpid(c->pid, &c->status, WNOHANG) == c->pid) {
            c->pid = 0;
            const bool is_bad = !WIFEXITED(c->status) || WEXITSTATUS(c->status) != 0;
            if (is_bad && l->deadline <= 0) {
                l->deadline = now() + END_SECONDS;
            }
            if (WIFSIGNALED(c->status)) {
                fprintf(stderr, "bdl launch: rank %d was killed by signal %d (%s)\n", r,
                        WTERMSIG(c->status), strsignal(WTERMSIG(c->status)));
            }
        }
        n_running += c->pid > 0;
    }
    return n_running;
}

/* Waits a little for lines of the ranks; returns how many ranks may still send some. Files that are closed are left out,
 * as poll refuses more entries than the process may have files. */
static int hear(launch *l)
{
    struct pollfd files[MOST_RANKS];
    int n = 0, i = 0;
    for (int r = 0; r < l->n; r++) {
        if (l->children[r].messages >= 0) {
            files[n++] = (struct pollfd){.fd = l->children[r].messages, .events = POLLIN};
        }
    }
    const bool is_ready = poll(files, (nfds_t)n, 50) > 0;
    for (int r = 0; r < l->n && is_ready; r++) {
        if (l->children[r].messages >= 0 && files[i++].revents) {
            take_messages(&l->children[r], r);
        }
    }
    return n;
}

static void watch(launch *l)
{
    while (reap(l) + hear(l) > 0) {
        pass_signals(l);
        if (l->deadline > 0 && now() > l->deadline) {
            tell_all(l, SIGKILL);
        }
    }
}

/* Rank 0's code; of a rank that failed alone, that one's; of ranks that a signal kept from meeting, the signal's. */
static int exit_code(const launch *l)
{
    int code = !l->has_met && stopped ? 128 + (int)stopped : EXIT_FINE;
    for (int r = 0; r < l->n && code == EXIT_FINE; r++) {
        const int status = l->children[r].status;
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    const int first = l->children[0].status;
    const bool has_said = WIFEXITED(first) && WEXITSTATUS(first) != 0;
    for (int r = 1; r < l->n && code != EXIT_FINE && !has_said; r++) {
        fputs(l->children[r].errors, stderr);
    }
    return code;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int cmd_launch(command *c)
{
    static launch l;
    int code = parse(c, &l);
    if (code != EXIT_FINE || c->help) {
        if (c->help) {
            print_help();
        }
        return code;
    }
    if (getrandom(l.secret, sizeof l.secret, 0) != (ssize_t)sizeof l.secret) {
        return fail("no random numbers for the secret");
    }
    if (l.threads == 0) {
        const long n = sysconf(_SC_NPROCESSORS_ONLN) / l.n;
        l.threads = n > 0 ? (int)n : 1;
    }
    for (int r = 0; r < l.n; r++) {
        l.children[r].messages = -1; /* until it is started */
    }
    catch_signals();
    forget_files(&l);
    code = start_all(&l);
    if (code == EXIT_FINE) {
        introduce(&l);
    } else {
        tell_all(&l, SIGKILL);
    }
    watch(&l);
    return code == EXIT_FINE ? exit_code(&l) : code;
}
