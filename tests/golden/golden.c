/* SPDX-License-Identifier: Apache-2.0 */
/* See golden.h. */
#include "golden.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 26 };

void *golden_alloc(golden *g, size_t size)
{
    void *memory = NULL;
    if (bdl__arena_alloc(&g->arena, size + BDL__ALIGNMENT, &memory) != BDL_OK) {
        abort();
    }
    const uintptr_t address = (uintptr_t)memory;
    return (char *)memory + (BDL__ALIGNMENT - address % BDL__ALIGNMENT) % BDL__ALIGNMENT;
}

bdl_status golden_open(const char *name, bool has_tensors, golden *g)
{
    const char *const root = getenv("BDL_SOURCE_DIR");
    const char *path;
    *g = (golden){0};
    bdl__arena_init(&g->arena, bdl__default_allocator());
    BDL__TRY(
        bdl__arena_printf(&g->arena, &path, "%s/tests/golden/%s.json", root ? root : ".", name));
    BDL__TRY(bdl__file_read(bdl__default_allocator(), path, MOST_BYTES, &g->text));
    BDL__TRY(bdl__json_parse((const char *)g->text.data, g->text.size, path, &g->json));
    if (!has_tensors) {
        return BDL_OK;
    }
    BDL__TRY(bdl__arena_printf(&g->arena, &path, "%s/tests/golden/%s.safetensors",
                               root ? root : ".", name));
    return bdl__safetensors_open(bdl__default_allocator(), path, &g->file);
}

void golden_close(golden *g)
{
    if (g->file) {
        bdl__safetensors_free(g->file);
    }
    if (g->json) {
        bdl__json_free(g->json);
    }
    bdl__bytes_free(&g->text);
    bdl__arena_free(&g->arena);
}

/* ---- values ------------------------------------------------------------------------------------ */

const bdl__st_tensor *golden_tensor(const golden *g, const char *prefix, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return bdl__safetensors_find(g->file, full);
}

double *golden_values(golden *g, const bdl__st_tensor *tensor)
{
    double *const values = golden_alloc(g, (size_t)tensor->count * sizeof *values);
    if (tensor->dtype == BDL__ST_I64) {
        for (int64_t i = 0; i < tensor->count; i++) {
            int64_t value;
            memcpy(&value, (const char *)tensor->data + i * 8, sizeof value);
            values[i] = (double)value;
        }
    } else if (bdl__safetensors_read(tensor, BDL_F64, values) != BDL_OK) {
        abort();
    }
    return values;
}

double *golden_numbers(golden *g, const bdl__json *array, int64_t *n)
{
    *n = bdl__json_count(array);
    double *const values = golden_alloc(g, (size_t)*n * sizeof *values);
    int64_t i = 0;
    for (const bdl__json *v = bdl__json_first(array); v; v = bdl__json_next(v)) {
        values[i++] = bdl__json_f64(v);
    }
    return values;
}

double golden_unit(const bdl__json *unit_error, const char *key, int64_t i)
{
    const bdl__json *const list = bdl__json_get(unit_error, key);
    if (!list) {
        return NAN;
    }
    const bdl__json *v = bdl__json_first(list);
    for (int64_t k = 0; k < i && bdl__json_next(v); k++) {
        v = bdl__json_next(v);
    }
    return bdl__json_f64(v);
}

/* ---- lanes ------------------------------------------------------------------------------------- */

static size_t scalar_size(bdl__target target)
{
    return target == BDL__TARGET_F64 ? 8 : 4;
}

static double load(bdl__target target, const void *data, int64_t i)
{
    return target == BDL__TARGET_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void store(bdl__target target, void *data, int64_t i, double value)
{
    if (target == BDL__TARGET_F64) {
        ((double *)data)[i] = value;
    } else {
        ((float *)data)[i] = (float)value;
    }
}

golden_lanes golden_pack(golden *g, bdl__target target, golden_kind kind, const double *values,
                         int64_t n, int64_t count)
{
    const int64_t lanes = bdl__target_lanes(target), n_parts = BDL__SLICE / lanes;
    const size_t size = kind == GOLDEN_LABELS ? sizeof(int32_t) : scalar_size(target);
    golden_lanes batch = {.stride = count * lanes * (int64_t)size,
                          .n_slices = (n + BDL__SLICE - 1) / BDL__SLICE};
    batch.data = golden_alloc(g, (size_t)(batch.n_slices * n_parts * batch.stride));
    batch.valid = golden_alloc(g, (size_t)batch.n_slices * sizeof *batch.valid);
    for (int64_t slot = 0; slot < batch.n_slices * BDL__SLICE; slot++) {
        const int64_t first = slot / BDL__SLICE * BDL__SLICE;
        const int64_t sample = slot < n ? slot : first;
        char *const part = (char *)batch.data + slot / lanes * batch.stride;
        batch.valid[slot / BDL__SLICE] = (int32_t)BDL__MIN(n - first, BDL__SLICE);
        for (int64_t i = 0; i < count; i++) {
            const int64_t at = i * lanes + slot % lanes;
            const bool is_zero = slot >= n && kind == GOLDEN_GRADIENTS;
            const double value = is_zero ? 0 : values[sample * count + i];
            if (kind == GOLDEN_LABELS) {
                ((int32_t *)(void *)part)[at] = (int32_t)value;
            } else {
                store(target, part, at, value);
            }
        }
    }
    return batch;
}

double *golden_unpack(golden *g, bdl__target target, bdl__span span, int64_t n, int64_t count)
{
    const int64_t lanes = bdl__target_lanes(target);
    double *const values = golden_alloc(g, (size_t)(n * count) * sizeof *values);
    for (int64_t sample = 0; sample < n; sample++) {
        for (int64_t i = 0; i < count; i++) {
            values[sample * count + i] =
                load(target, bdl__span_part(span, sample / lanes), i * lanes + sample % lanes);
        }
    }
    return values;
}

double *golden_scalars(golden *g, bdl__target target, const void *data, int64_t n)
{
    double *const values = golden_alloc(g, (size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = load(target, data, i);
    }
    return values;
}

void golden_set_scalars(bdl__target target, void *data, const double *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        store(target, data, i, values[i]);
    }
}

/* ---- comparing --------------------------------------------------------------------------------- */

void golden_near(const char *where, const char *what, const double *got, double scale,
                 const double *want, int64_t n, double bound)
{
    int64_t worst = -1;
    double largest = bound;
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs(got[i] * scale - want[i]);
        if (!(difference <= largest)) {
            largest = difference;
            worst = i;
        }
    }
    if (worst >= 0) {
        printf("%s: %s[%" PRId64 "] is %.9g, PyTorch has %.9g: %.3g apart, at most %.3g\n", where,
               what, worst, got[worst] * scale, want[worst], largest, bound);
        CHECK(worst < 0);
    }
}

double golden_rounding(bdl__target target)
{
    return target == BDL__TARGET_F64 ? ldexp(1, -29) : 1;
}

int golden_targets(bdl__target targets[BDL__N_TARGETS])
{
    int n = 0;
    for (int i = 0; i < BDL__N_TARGETS; i++) {
        if (bdl__target_available((bdl__target)i)) {
            targets[n++] = (bdl__target)i;
        }
    }
    return n;
}
