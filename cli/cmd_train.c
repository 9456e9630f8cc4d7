/* SPDX-License-Identifier: Apache-2.0 */
/* bdl train: progress, summary, and the exit codes of signals. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct progress {
    const command *command;
    bool is_terminal;
    bool has_live_line; /* the cursor stands behind one */
    double last_line; /* seconds of the last progress line */
    int64_t first;    /* iterations before this run */
    bdl_event end;    /* the last event, for the summary */
    char metrics[256];
    char reason[32], condition[256];
} progress;

/* Seconds between progress lines: a terminal is redrawn, programs want to know soon, other outputs get
 * few lines. */
static double interval(const progress *p)
{
    return p->command->json ? 1.0 : p->is_terminal ? 0.1 : 10.0;
}

static void print_duration(FILE *out, double seconds)
{
    if (seconds < 60) {
        fprintf(out, "%.1f s", seconds);
    } else if (seconds < 3600) {
        fprintf(out, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    } else {
        fprintf(out, "%d h %02d min", (int)seconds / 3600, (int)seconds % 3600 / 60);
    }
}

static void format_metrics(const bdl_event *e, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < e->n_metrics && used < size; i++) {
        if (isnan(e->metrics[i])) {
            continue;
        }
        const bool is_share = strncmp(e->metric_names[i], "top", 3) == 0;
        const int n = snprintf(text + used, size - used, is_share ? ", %s %.2f %%" : ", %s %.4f",
                               e->metric_names[i], is_share ? 100 * e->metrics[i] : e->metrics[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void print_json(const bdl_event *e, const char *kind)
{
    printf("{\"event\":\"%s\",\"epoch\":%lld,\"iteration\":%lld,\"loss\":", kind, (long long)e->epoch,
           (long long)e->iteration);
    printf(isfinite(e->loss) ? "%.9g" : "null", e->loss);
    printf(",\"rate\":%.9g,\"samples_per_second\":%.6g,\"seconds\":%.3f", e->rate,
           e->samples_per_second, e->seconds);
    for (int32_t i = 0; i < e->n_metrics; i++) {
        if (isfinite(e->metrics[i])) {
            printf(",\"val_%s\":%.9g", e->metric_names[i], e->metrics[i]);
        }
    }
}

static void print_json_tick(const bdl_event *e, const char *kind)
{
    print_json(e, kind);
    if (e->kind == BDL_EVENT_STEP && isfinite(e->seconds_left)) {
        printf(",\"seconds_left\":%.1f", e->seconds_left);
    }
    printf("}\n");
    fflush(stdout);
}

static void print_step(progress *p, const bdl_event *e)
{
    if (e->seconds - p->last_line < interval(p)) {
        return;
    }
    p->last_line = e->seconds;
    if (p->command->json) {
        print_json_tick(e, "step");
        return;
    }
    char epochs[32] = "";
    if (e->epochs > 0) {
        snprintf(epochs, sizeof epochs, "/%lld", (long long)e->epochs);
    }
    fprintf(stderr, "%sepoch %lld%s  %3.0f %%  loss %.4f  %.0f samples/s  ", p->is_terminal ? "\r" : "",
            (long long)e->epoch + 1, epochs, 100.0 * (double)e->step / (double)e->steps, e->loss,
            e->samples_per_second);
    print_duration(stderr, e->seconds_left);
    fprintf(stderr, p->is_terminal ? " left\033[K" : " left\n");
    p->has_live_line = p->is_terminal;
}

/* Only where it will be overwritten. */
static void print_validating(progress *p, const bdl_event *e)
{
    if (!p->is_terminal || p->command->json || e->seconds - p->last_line < interval(p)) {
        return;
    }
    p->last_line = e->seconds;
    fprintf(stderr, "\rvalidating  %lld of %lld samples\033[K", (long long)e->step, (long long)e->steps);
    p->has_live_line = true;
}

static void print_epoch(progress *p, const bdl_event *e)
{
    format_metrics(e, p->metrics, sizeof p->metrics);
    if (p->command->json) {
        print_json_tick(e, "epoch");
        return;
    }
    fprintf(stderr, "%sepoch %lld  loss %.4f%s%s  %.0f samples/s  ", p->is_terminal ? "\r\033[K" : "",
            (long long)e->epoch, e->loss, p->metrics[0] ? "; validation: " : "",
            p->metrics[0] ? p->metrics + 2 : "", e->samples_per_second);
    print_duration(stderr, e->seconds);
    fprintf(stderr, "\n");
    p->has_live_line = false;
}

static void on_event(void *user, const bdl_event *e)
{
    progress *const p = user;
    switch ((bdl_event_kind)e->kind) {
    case BDL_EVENT_STEP:
        if (!p->command->quiet) {
            print_step(p, e);
        }
        break;
    case BDL_EVENT_EPOCH:
        if (!p->command->quiet) {
            print_epoch(p, e);
        }
        break;
    case BDL_EVENT_VALIDATING:
        if (!p->command->quiet) {
            print_validating(p, e);
        }
        break;
    case BDL_EVENT_END:
        p->end = *e;
        format_metrics(e, p->metrics, sizeof p->metrics);
        snprintf(p->reason, sizeof p->reason, "%s", e->reason ? e->reason : "");
        snprintf(p->condition, sizeof p->condition, "%s", e->condition ? e->condition : "");
        break;
    case BDL_EVENT_START:
        p->first = e->iteration;
        break;
    case BDL_EVENT_VALIDATION:
    case BDL_EVENT_CHECKPOINT:
        break;
    }
}

static void print_member(const char *key, const char *value)
{
    if (value) {
        printf(",\"%s\":", key);
        print_quoted(stdout, value);
    }
}

static void print_json_summary(const progress *p, const char *hex, const char *saved,
                               const char *checkpoint)
{
    print_json(&p->end, "end");
    printf(",\"reason\":\"%s\"", p->reason);
    print_member("condition", p->condition[0] ? p->condition : NULL);
    printf(",\"shards\":%lld,\"fingerprint\":\"%s\"", (long long)p->end.shards, hex);
    print_member("model", saved);
    print_member("checkpoint", checkpoint);
    printf("}\n");
}

/* "2 epochs, 939 iterations"; before the first epoch's end iterations alone. */
static void print_extent(const bdl_event *e)
{
    if (e->epoch > 0) {
        printf("%lld epoch%s, ", (long long)e->epoch, e->epoch == 1 ? "" : "s");
    }
    printf("%lld iteration%s", (long long)e->iteration, e->iteration == 1 ? "" : "s");
}

/* What was learned and how fast; a resumed run tells its own part first. */
static void print_training(const progress *p)
{
    const bdl_event *const e = &p->end;
    const int64_t n = e->iteration - p->first;
    if (n == 0) {
        printf("nothing was trained");
        if (p->first > 0) {
            printf(": ");
            print_extent(e);
            printf(" were before");
        }
    } else {
        printf("trained ");
        if (p->first > 0) {
            printf("%lld iteration%s more (in all ", (long long)n, n == 1 ? "" : "s");
        }
        print_extent(e);
        printf("%s", p->first > 0 ? ")" : "");
        printf(" in ");
        print_duration(stdout, e->seconds);
        printf(" (%.0f samples/s); loss %.4f", e->samples_per_second, e->loss);
    }
    printf("%s%s\n", p->metrics[0] ? "; validation: " : "", p->metrics[0] ? p->metrics + 2 : "");
}

static void print_summary(const progress *p, const bdl_trainer *trainer)
{
    const bool is_cancelled = strcmp(p->reason, "cancelled") == 0;
    const bool is_kept = !is_cancelled || p->end.iteration > p->first;
    const char *const saved = is_cancelled ? NULL : option_value(p->command, "save");
    const char *const checkpoint = is_kept ? option_value(p->command, "checkpoint") : NULL;
    char hex[65];
    bdl_trainer_fingerprint(trainer, hex);
    if (p->command->json) {
        print_json_summary(p, hex, saved, checkpoint);
        return;
    }
    if (p->command->quiet || !is_kept) { /* the error says that nothing was trained */
        return;
    }
    print_training(p);
    if (p->condition[0]) {
        printf("stopped by --until: %s\n", p->condition);
    } else if (strcmp(p->reason, "seconds") == 0) {
        printf("stopped by --seconds\n");
    }
    if (saved) {
        printf("model: %s (model.json, weights.safetensors)\n", saved);
    }
    if (checkpoint) {
        printf("checkpoints: %s\n", checkpoint);
    }
    printf("fingerprint: %.16s\n", hex);
}

int cmd_train(command *c)
{
    const int code = open_command(c, "model");
    if (code != EXIT_FINE || c->help) {
        return code;
    }
    if (c->n_rest > 0) {
        return usage_error(c, "does not understand '%s'", c->rest[0]);
    }
    progress p = {.command = c, .is_terminal = isatty(STDERR_FILENO) != 0};
    bdl_trainer *trainer = NULL;
    bdl_group *group = NULL;
    watch_signals(c->context);
    const int join = join_launch(c, &group);
    if (join != EXIT_FINE) {
        bdl_group_free(group);
        return join;
    }
    bdl_status status = bdl_trainer_create(c->context, c->options, &trainer);
    if (status == BDL_OK) {
        status = bdl_trainer_run(trainer, on_event, &p);
        if (p.has_live_line) {
            fprintf(stderr, "\n");
        }
        if (status == BDL_OK || (status == BDL_ERR_CANCELLED && p.reason[0])) {
            print_summary(&p, trainer);
        }
    }
    bdl_trainer_free(trainer);
    bdl_group_free(group);
    return finish(status);
}
