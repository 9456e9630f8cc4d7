/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening libbdl_dnnl.so: beside this library, else where the system looks for libraries, and never in
 * the current folder, which may be a stranger's. This file is part of libbdl, the others of this folder
 * are the library that it opens. Opened once a process and never closed, because OpenMP runtimes do not
 * survive that.
 */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bdl/version.h>

#include "base/cpu.h"
#include "dnnl/dnnl.h"

#define LIBRARY "libbdl_dnnl.so"

static struct {
    pthread_once_t once;
    const bdl__dnnl_table *table; /* NULL = could not be opened, for this reason: */
    char reason[2 * PATH_MAX];
} library = {.once = PTHREAD_ONCE_INIT};

#ifdef BDL_WITH_ONEDNN

/* The folder of the file that this code is in. The loader knows it by the name that it was opened by; a name that
 * depends on the current folder is a program's (libbdl.a) as it was typed, or else of no use. */
static bool find_folder(char folder[PATH_MAX])
{
    Dl_info info;
    void *address;
    bdl_status (*const function)(const bdl__dnnl_table **) = bdl__dnnl_open;
    memcpy(&address, &function, sizeof address); /* ISO C has no cast for this */
    if (dladdr(address, &info) && info.dli_fname && info.dli_fname[0] == '/' &&
        strlen(info.dli_fname) < PATH_MAX) {
        memcpy(folder, info.dli_fname, strlen(info.dli_fname) + 1);
    } else if (!realpath("/proc/self/exe", folder)) {
        return false;
    }
    *strrchr(folder, '/') = '\0';
    return true;
}

static bool fits(const bdl__dnnl_table *table)
{
    return table->abi == BDL__DNNL_ABI && table->conv_size == sizeof(bdl__dnnl_conv) &&
           table->op_size == sizeof(bdl__dnnl_op) && table->call_size == sizeof(bdl__dnnl_call) &&
           strcmp(table->bdl_version, BDL_VERSION_STRING) == 0;
}

static void open_library(void)
{
    char folder[PATH_MAX] = "", path[PATH_MAX + sizeof LIBRARY];
    void *handle = NULL;
    if (find_folder(folder)) {
        snprintf(path, sizeof path, "%s/" LIBRARY, folder);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    handle = handle ? handle : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *const text = dlerror();
        snprintf(library.reason, sizeof library.reason,
                 LIBRARY " not found in %s nor where the system looks (%s)", folder,
                 text ? text : "?");
        return;
    }
    void *const symbol = dlsym(handle, BDL__DNNL_SYMBOL);
    bdl__dnnl_table_fn *table_of = NULL;
    memcpy(&table_of, &symbol, sizeof symbol);
    const bdl__dnnl_table *const table = table_of ? table_of() : NULL;
    if (!table || !fits(table)) {
        snprintf(library.reason, sizeof library.reason,
                 LIBRARY " found for %s is of another build of bdl", folder);
        return;
    }
    library.table = table;
}

#else

static void open_library(void)
{
    snprintf(library.reason, sizeof library.reason, "this build has none");
}

#endif

bdl_status bdl__dnnl_open(const bdl__dnnl_table **table)
{
    pthread_once(&library.once, open_library);
    BDL__CHECK(library.table, BDL_ERR_UNSUPPORTED,
               "oneDNN is needed: build with -DBDL_ONEDNN=ON; %s", library.reason);
    *table = library.table;
    return BDL_OK;
}

/* Asked once, since layers ask again and again while they are planned, and the answer is read from files. */
static struct {
    pthread_once_t once;
    bdl__bf16_kind kind;
} bf16 = {.once = PTHREAD_ONCE_INIT};

static void find_bf16(void)
{
    bdl__cpu_info info;
    bdl__cpu_query(&info);
    bf16.kind = info.amx_bf16 ? BDL__BF16_AMX : info.avx512_bf16 ? BDL__BF16_AVX512 : BDL__BF16_NONE;
}

bdl__bf16_kind bdl__bf16_available(void)
{
    pthread_once(&bf16.once, find_bf16);
    return bf16.kind;
}
