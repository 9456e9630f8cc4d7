/* SPDX-License-Identifier: Apache-2.0 */
/* bdl eval, predict and inspect: using a model. */
#include <errno.h>
#include <string.h>

#include "cli.h"

int cmd_eval(command *c)
{
    int code = open_command(c, "model");
    if (code != EXIT_FINE || c->help) {
        return code;
    }
    code = check_rest(c, 0);
    if (code != EXIT_FINE) {
        return code;
    }
    char *json = NULL;
    watch_signals(c->context);
    const bdl_status status = bdl_evaluate(c->context, c->options, &json);
    if (status != BDL_OK) {
        return finish(status);
    }
    printf("%s\n", json);
    bdl_text_free(json);
    return EXIT_FINE;
}

int cmd_inspect(command *c)
{
    int code = open_command(c, "model");
    if (code != EXIT_FINE || c->help) {
        return code;
    }
    code = check_rest(c, 0);
    if (code != EXIT_FINE) {
        return code;
    }
    char *text = NULL;
    const bdl_status status = bdl_inspect(c->context, c->options, &text);
    return print_text(status, text);
}

/* ---- predict ------------------------------------------------------------------------------------ */

typedef enum format { FORMAT_TABLE, FORMAT_CSV, FORMAT_JSONL } format;

typedef struct printer {
    FILE *out;
    format format;
    bool has_header;
    int error; /* errno of the first failed write */
} printer;

/* A CSV field: quoted where it must be, quotes doubled. */
static void print_csv(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (const char *c = text; *c; c++) {
        if (*c == '"') {
            fputc('"', out);
        }
        fputc(*c, out);
    }
    fputc('"', out);
}

static void class_text(const bdl_prediction *p, int32_t i, char *text, size_t size)
{
    if (p->class_names) {
        snprintf(text, size, "%s", p->class_names[i]);
    } else {
        snprintf(text, size, "%d", (int)p->order[i]);
    }
}

static void print_jsonl(const printer *to, const bdl_prediction *p)
{
    fprintf(to->out, "{\"row\":%lld", (long long)p->row);
    if (p->name) {
        fprintf(to->out, ",\"name\":");
        print_quoted(to->out, p->name);
    }
    fprintf(to->out, p->is_class ? ",\"classes\":[" : ",\"values\":[");
    for (int32_t i = 0; i < p->n; i++) {
        char text[256];
        fprintf(to->out, i ? "," : "");
        if (!p->is_class) {
            fprintf(to->out, "%.9g", p->scores[i]);
            continue;
        }
        class_text(p, i, text, sizeof text);
        fprintf(to->out, "{\"class\":%d,\"name\":", (int)p->order[i]);
        print_quoted(to->out, text);
        fprintf(to->out, ",\"probability\":%.6g}", p->scores[i]);
    }
    fprintf(to->out, "]}\n");
}

static void print_row(const printer *to, const bdl_prediction *p)
{
    const bool is_csv = to->format == FORMAT_CSV;
    char text[256];
    if (p->name) {
        is_csv ? print_csv(to->out, p->name) : (void)fprintf(to->out, "%-32s", p->name);
    } else {
        fprintf(to->out, is_csv ? "%lld" : "%-10lld", (long long)p->row);
    }
    for (int32_t i = 0; i < p->n; i++) {
        if (!p->is_class) {
            fprintf(to->out, is_csv ? ",%.9g" : " %12.6g", p->scores[i]);
            continue;
        }
        class_text(p, i, text, sizeof text);
        if (is_csv) {
            fputc(',', to->out);
            print_csv(to->out, text);
            fprintf(to->out, ",%.6g", p->scores[i]);
        } else {
            fprintf(to->out, "  %s %.2f %%", text, 100 * p->scores[i]);
        }
    }
    fputc('\n', to->out);
}

static void print_csv_header(const printer *to, const bdl_prediction *p)
{
    fprintf(to->out, p->name ? "name" : "row");
    for (int32_t i = 0; i < p->n; i++) {
        if (p->is_class) {
            fprintf(to->out, ",class%d,probability%d", (int)i + 1, (int)i + 1);
        } else {
            fprintf(to->out, ",value%d", (int)i);
        }
    }
    fputc('\n', to->out);
}

/* Remembers why a write failed: errno is soon another's. */
static bool check_written(printer *to, bool is_fine)
{
    is_fine = is_fine && !ferror(to->out);
    if (!is_fine && !to->error) {
        to->error = errno;
    }
    return is_fine;
}

static bdl_status on_prediction(void *user, const bdl_prediction *p)
{
    printer *const to = user;
    if (to->format == FORMAT_JSONL) {
        print_jsonl(to, p);
    } else {
        if (to->format == FORMAT_CSV && !to->has_header) {
            print_csv_header(to, p);
            to->has_header = true;
        }
        print_row(to, p);
    }
    return check_written(to, true) ? BDL_OK : BDL_ERR_IO;
}

static int choose_format(const command *c, printer *to)
{
    const char *const name = c->format ? c->format : c->json ? "jsonl" : "table";
    static const char *const names[] = {"table", "csv", "jsonl"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            to->format = (format)i;
            return EXIT_FINE;
        }
    }
    return usage_error(c, "--format is table, csv or jsonl, not '%s'", name);
}

int cmd_predict(command *c)
{
    printer to = {.out = stdout};
    int code = open_command(c, "model");
    if (code != EXIT_FINE || c->help) {
        return code;
    }
    code = choose_format(c, &to);
    if (code != EXIT_FINE) {
        return code;
    }
    if ((c->n_rest > 0) == (option_value(c, "data") != NULL)) {
        return usage_error(c, "needs image files, or --data, and not both");
    }
    if (c->out) {
        to.out = fopen(c->out, "w");
        if (!to.out) {
            complain("bdl: cannot write '%s': %s", c->out, strerror(errno));
            return EXIT_FAILED;
        }
    }
    watch_signals(c->context);
    const bdl_status status =
        bdl_predict(c->context, c->options, c->rest, c->n_rest, on_prediction, &to);
    const bool is_written = check_written(&to, fflush(to.out) == 0);
    if (c->out) {
        fclose(to.out);
    }
    if (!is_written) {
        complain("bdl: cannot write the predictions: %s", strerror(to.error));
        return EXIT_FAILED;
    }
    return finish(status);
}
