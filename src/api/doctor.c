/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine offers, what bdl makes of it, and advice. */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "dnnl/dnnl.h"

#define MAX_ADVICE 8

typedef struct findings {
    bdl__cpu_info cpu;
    const char *target;
    int n_threads;
    char library[512];
    char onednn[64];
    int n_advice;
    char advice[MAX_ADVICE][256];
} findings;

static void find_library(char *path, size_t size)
{
    Dl_info info;
    void *address;
    bdl_status (*const function)(bdl_context *, bool, char **) = bdl_doctor;
    memcpy(&address, &function, sizeof address); /* ISO C has no cast for this */
    snprintf(path, size, "%s", dladdr(address, &info) && info.dli_fname ? info.dli_fname : "?");
}

static void advise(findings *f, const char *format, ...) BDL__PRINTF(2, 3);

static void advise(findings *f, const char *format, ...)
{
    va_list args;
    if (f->n_advice < MAX_ADVICE) {
        va_start(args, format);
        vsnprintf(f->advice[f->n_advice++], sizeof f->advice[0], format, args);
        va_end(args);
    }
}

static void look(const bdl_context *context, findings *f)
{
    bdl__cpu_query(&f->cpu);
    f->target = bdl__target_name(context->target);
    f->n_threads = bdl__pool_size(context->pool);
    const bdl__dnnl_table *onednn = NULL;
    if (bdl__dnnl_open(&onednn) == BDL_OK) {
        onednn->version(f->onednn, sizeof f->onednn);
    } else {
        snprintf(f->onednn, sizeof f->onednn, "none");
        advise(f, "no bf16 and slower predictions of few samples: %s", bdl_last_error());
    }
    find_library(f->library, sizeof f->library);
    const int usable =
        f->cpu.cgroup_cpus > 0 && f->cpu.cgroup_cpus < f->cpu.n_online
            ? (int)BDL__MAX(f->cpu.cgroup_cpus, 1.0)
            : f->cpu.n_online;
    if (f->n_threads > usable) {
        advise(f, "%d threads share %d processors: give --threads %d", f->n_threads, usable, usable);
    }
    if (f->n_threads < usable) {
        advise(f, "%d of %d processors are used: leave out --threads to use all", f->n_threads,
               usable);
    }
    bdl__target best = context->target;
    for (int t = 0; t < BDL__N_TARGETS; t++) {
        if (bdl__target_available((bdl__target)t) &&
            bdl__target_lanes((bdl__target)t) > bdl__target_lanes(best)) {
            best = (bdl__target)t;
        }
    }
    if (best != context->target) {
        advise(f, "%s kernels are in use though this processor runs %s: unset BDL_TARGET", f->target,
               bdl__target_name(best));
    }
    if (f->cpu.cgroup_memory > 0 && f->cpu.cgroup_memory < (int64_t)1 << 30) {
        advise(f, "the container may use only %lld MiB of memory",
               (long long)(f->cpu.cgroup_memory >> 20));
    }
}

static void isa_text(const bdl__cpu_info *cpu, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s%s%s%s%s", cpu->sse42 ? "sse4.2 " : "", cpu->avx2 ? "avx2 " : "",
             cpu->fma ? "fma " : "", cpu->avx512 ? "avx512 " : "",
             cpu->avx512_bf16 ? "avx512_bf16 " : "", cpu->amx_bf16 ? "amx_bf16 " : "",
             cpu->neon ? "neon " : "");
    const size_t length = strlen(text);
    if (length > 0) {
        text[length - 1] = '\0';
    }
}

static void print_text(const findings *f, bdl__text *out)
{
    char isa[128];
    isa_text(&f->cpu, isa, sizeof isa);
    bdl__text_append(out, "bdl       %s\n", BDL_VERSION_STRING);
    bdl__text_append(out, "library   %s\n", f->library);
    bdl__text_append(out, "cpu       %s (%s)\n", f->cpu.model, isa);
    bdl__text_append(out, "kernels   %s\n", f->target);
    bdl__text_append(out, "oneDNN    %s\n", f->onednn);
    bdl__text_append(out, "threads   %d of %d processors\n", f->n_threads, f->cpu.n_online);
    if (f->cpu.cgroup_cpus > 0) {
        bdl__text_append(out, "limit     %.2f processors (cgroup)\n", f->cpu.cgroup_cpus);
    }
    if (f->cpu.cgroup_memory > 0) {
        bdl__text_append(out, "limit     %lld MiB of memory (cgroup)\n",
                         (long long)(f->cpu.cgroup_memory >> 20));
    }
    bdl__text_append(out, "L2 cache  %lld KiB\n", (long long)(f->cpu.l2_bytes >> 10));
    for (int i = 0; i < f->n_advice; i++) {
        bdl__text_append(out, "advice    %s\n", f->advice[i]);
    }
    if (f->n_advice == 0) {
        bdl__text_append(out, "all is well\n");
    }
}

static void string_member(bdl__json_writer *w, const char *key, const char *value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_string(w, value);
}

static void number_member(bdl__json_writer *w, const char *key, double value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_f64(w, value);
}

static void print_json(const findings *f, bdl__text *out)
{
    char isa[128];
    bdl__json_writer w;
    isa_text(&f->cpu, isa, sizeof isa);
    bdl__json_writer_init(&w, out, 0);
    bdl__json_open(&w, '{');
    string_member(&w, "version", BDL_VERSION_STRING);
    string_member(&w, "library", f->library);
    string_member(&w, "cpu", f->cpu.model);
    string_member(&w, "isa", isa);
    string_member(&w, "kernels", f->target);
    string_member(&w, "onednn", f->onednn);
    number_member(&w, "threads", f->n_threads);
    number_member(&w, "processors", f->cpu.n_online);
    number_member(&w, "cgroup_processors", f->cpu.cgroup_cpus);
    number_member(&w, "cgroup_memory", (double)f->cpu.cgroup_memory);
    bdl__json_write_key(&w, "advice");
    bdl__json_open(&w, '[');
    for (int i = 0; i < f->n_advice; i++) {
        bdl__json_write_string(&w, f->advice[i]);
    }
    bdl__json_close(&w, ']');
    bdl__json_close(&w, '}');
    bdl__text_append(out, "\n");
}

bdl_status bdl_doctor(bdl_context *context, bool as_json, char **text)
{
    BDL__TRY(bdl__need_arguments(context && text, __func__));
    findings f = {0};
    bdl__text out;
    look(context, &f);
    bdl__text_init(&out, &context->allocator);
    if (as_json) {
        print_json(&f, &out);
    } else {
        print_text(&f, &out);
    }
    return bdl__text_give(&out, text);
}
