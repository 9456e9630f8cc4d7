/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of readers and transforms, made by CMake from the lines BDL_READER and
 * BDL_TRANSFORM. */
#include "data/data.h"

#include <string.h>

#define BDL_ENTRY(name) extern const bdl__reader *const bdl__reader_##name;
#include "readers_gen.inc"
#undef BDL_ENTRY
#define BDL_ENTRY(name) extern const bdl__transform *const bdl__transform_##name;
#include "transforms_gen.inc"
#undef BDL_ENTRY

enum {
#define BDL_ENTRY(name) READER_##name,
#include "readers_gen.inc"
#undef BDL_ENTRY
    N_READERS
};
enum {
#define BDL_ENTRY(name) TRANSFORM_##name,
#include "transforms_gen.inc"
#undef BDL_ENTRY
    N_TRANSFORMS
};

/* The pointers are constants of other files, hence a table of their addresses and one more step. */
static const bdl__reader *const *const reader_table[] = {
#define BDL_ENTRY(name) &bdl__reader_##name,
#include "readers_gen.inc"
#undef BDL_ENTRY
};
static const bdl__transform *const *const transform_table[] = {
#define BDL_ENTRY(name) &bdl__transform_##name,
#include "transforms_gen.inc"
#undef BDL_ENTRY
};

int64_t bdl__readers_count(void)
{
    return N_READERS;
}

const bdl__reader *bdl__reader_at(int64_t i)
{
    return *reader_table[i];
}

int64_t bdl__transforms_count(void)
{
    return N_TRANSFORMS;
}

const bdl__transform *bdl__transform_at(int64_t i)
{
    return *transform_table[i];
}

/* The error for a name that is not in the list. */
static bdl_status unknown(const char *what, const char *name, const char *const *names, int64_t n)
{
    const char *nearest = bdl__nearest_name(name, names, n);
    if (nearest != NULL) {
        BDL__FAIL(BDL_ERR_NOT_FOUND, "unknown %s '%s'; did you mean '%s'?", what, name, nearest);
    }
    bdl__text list;
    bdl__text_init(&list, bdl__default_allocator());
    for (int64_t i = 0; i < n; i++) {
        bdl__text_append(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const bdl_status status = bdl__fail(BDL_ERR_NOT_FOUND, "unknown %s '%s'; there are: %s", what,
                                        name, bdl__text_get(&list));
    bdl__text_free(&list);
    return status;
}

bdl_status bdl__reader_find(const char *name, const bdl__reader **reader)
{
    const char *names[N_READERS];
    for (int64_t i = 0; i < N_READERS; i++) {
        names[i] = bdl__reader_at(i)->name;
        if (strcmp(names[i], name) == 0) {
            *reader = bdl__reader_at(i);
            return BDL_OK;
        }
    }
    return unknown("data set", name, names, N_READERS);
}

bdl_status bdl__transform_find(const char *name, const bdl__transform **transform)
{
    const char *names[N_TRANSFORMS];
    for (int64_t i = 0; i < N_TRANSFORMS; i++) {
        names[i] = bdl__transform_at(i)->name;
        if (strcmp(names[i], name) == 0) {
            *transform = bdl__transform_at(i);
            return BDL_OK;
        }
    }
    return unknown("transform", name, names, N_TRANSFORMS);
}
