/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A planner and an executor of one step for tests of heavy kernels: everything a layer books is
 * allocated, and forward and backward run over a whole batch by any cut into parts, calls and team
 * members. Include it in one file of an executable only: it defines what plan/ and exec/ define.
 */
#ifndef BDL_TESTS_UNIT_FAKE_PLANNER_H
#define BDL_TESTS_UNIT_FAKE_PLANNER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers/layer.h"
#include "test.h"

struct bdl__planner {
    void *state;
    size_t scratch_size;
    void *packed[BDL__MAX_SAVED];
    size_t packed_size[BDL__MAX_SAVED];
    int64_t n_units[BDL__MAX_SAVED];
    bdl__pack_fn pack[BDL__MAX_SAVED];
};

/* Gradients of each slice: leaf[weight][slice]. */
struct bdl__grad_sink {
    char *leaf[BDL__MAX_WEIGHTS];
    int64_t count[BDL__MAX_WEIGHTS];
    int64_t n_slices;
    size_t scalar_size;
    bool checks; /* that every gradient is committed once */
};

bdl_status bdl__plan_alloc(bdl__planner *planner, size_t size, void **memory)
{
    *memory = planner->state = calloc(1, size);
    return BDL_OK;
}

bdl_status bdl__plan_save(bdl__planner *planner, bdl__step *step, int i_saved, size_t size)
{
    (void)planner, (void)step, (void)i_saved, (void)size;
    return BDL_OK;
}

bdl_status bdl__plan_scratch(bdl__planner *planner, bdl__step *step, size_t size)
{
    (void)step;
    planner->scratch_size = BDL__MAX(planner->scratch_size, size);
    return BDL_OK;
}

bdl_status bdl__plan_packed(bdl__planner *planner, bdl__step *step, int i_packed, size_t size,
                            int64_t n_units, bdl__pack_fn pack)
{
    (void)step;
    planner->packed_size[i_packed] = size;
    planner->n_units[i_packed] = n_units;
    planner->pack[i_packed] = pack;
    return BDL_OK;
}

bdl_status bdl__plan_sums(bdl__planner *planner, bdl__step *step, bool is_backward, int i_pass,
                          int64_t n, bdl__merge_fn merge)
{
    (void)planner, (void)step, (void)is_backward, (void)i_pass, (void)n, (void)merge;
    return BDL_OK;
}

void bdl__grad_commit(bdl__cx *cx, int i_weight, int64_t offset, int64_t count, int64_t i_slice,
                      void *values)
{
    bdl__grad_sink *sink = cx->grad_sink;
    const size_t size = sink->scalar_size;
    char *to = sink->leaf[i_weight] + (size_t)(i_slice * sink->count[i_weight] + offset) * size;
    if (sink->checks) {
        for (int64_t i = 0; i < count; i++) {
            double old = 0;
            memcpy(&old, to + (size_t)i * size, size);
            CHECK(old == 0); /* committed once */
        }
    }
    memcpy(to, values, (size_t)count * size);
    memset(values, 0xff, (size_t)count * size); /* the sink may clobber it */
}

/* A step with its data. Tensors hold n_samples samples, a multiple of 16. */
struct fake {
    bdl__step step;
    bdl__planner planner;
    bdl__decl decl;
    bdl__shape src_shape;
    int64_t n_samples;
    void *weights[BDL__MAX_WEIGHTS];
    char *src, *dst, *diff_dst, *diff_src;
    bdl__grad_sink sink;
};

/* How a batch is cut. */
struct cut {
    int64_t parts_per_call;
    int team_size;
    bool many;
    bool add_src; /* add to diff_src */
};

static void *aligned(size_t size)
{
    void *memory = aligned_alloc(64, (size + 127) / 64 * 64);
    memset(memory, 0, size);
    return memory;
}

static double fake_random(void)
{
    return (double)(float)((double)(bdl_test_random() >> 40) / (double)(1 << 24) * 2 - 1);
}

static double get(const void *data, int64_t i, size_t scalar_size)
{
    return scalar_size == 4 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void put(void *data, int64_t i, size_t scalar_size, double value)
{
    if (scalar_size == 4) {
        ((float *)data)[i] = (float)value;
    } else {
        ((double *)data)[i] = value;
    }
}

/* Where element `i` of a sample is. */
static int64_t lane_at(const struct fake *f, int64_t sample, int64_t count, int64_t i)
{
    return (sample / f->step.lanes * count + i) * f->step.lanes + sample % f->step.lanes;
}

static void fill(void *data, int64_t n, size_t scalar_size)
{
    for (int64_t i = 0; i < n; i++) {
        put(data, i, scalar_size, fake_random());
    }
}

static bool fake_make(struct fake *f, const bdl__layer *layer, const void *params,
                      const bdl__shape *src, int64_t n_samples, bdl__target target,
                      bdl__precision precision)
{
    static const bool no_integers[1] = {false};
    memset(f, 0, sizeof *f);
    f->src_shape = *src;
    f->n_samples = n_samples;
    const bdl__infer_in in = {.n = 1, .shape = &f->src_shape, .integer = no_integers};
    if (layer->infer(params, &in, &f->decl) != BDL_OK) {
        return false;
    }
    static bdl__shape weights_shape[BDL__MAX_WEIGHTS];
    for (int i = 0; i < f->decl.n_weights; i++) {
        weights_shape[i] = f->decl.weights[i].shape;
    }
    const size_t scalar_size = target == BDL__TARGET_F64 ? 8 : 4;
    f->step = (bdl__step){.layer = layer, .params = params, .name = "test", .n_in = 1, .n_out = 1,
                          .n_weights = f->decl.n_weights, .src_shape = &f->src_shape,
                          .dst_shape = f->decl.out, .weights_shape = weights_shape,
                          .is_training = true, .needs_diff_src = {true},
                          .needs_diff_weights = true, .precision = precision, .target = target,
                          .lanes = bdl__target_lanes(target), .scalar_size = scalar_size,
                          .global_batch = n_samples};
    f->step.real_size = scalar_size * (size_t)f->step.lanes;
    const int64_t n_src = bdl__shape_count(src) * n_samples;
    const int64_t n_dst = bdl__shape_count(&f->decl.out[0]) * n_samples;
    f->src = aligned((size_t)n_src * scalar_size);
    f->diff_src = aligned((size_t)n_src * scalar_size);
    f->dst = aligned((size_t)n_dst * scalar_size);
    f->diff_dst = aligned((size_t)n_dst * scalar_size);
    fill(f->src, n_src, scalar_size);
    fill(f->diff_dst, n_dst, scalar_size);
    f->sink.scalar_size = scalar_size;
    f->sink.n_slices = n_samples / BDL__SLICE;
    for (int i = 0; i < f->step.n_weights; i++) {
        const int64_t n = bdl__shape_count(&weights_shape[i]);
        f->weights[i] = aligned((size_t)n * scalar_size);
        fill(f->weights[i], n, scalar_size);
        f->sink.count[i] = n;
        f->sink.leaf[i] = aligned((size_t)(n * f->sink.n_slices) * scalar_size);
    }
    if (layer->plan(&f->planner, &f->step) != BDL_OK) {
        return false;
    }
    for (int i = 0; i < BDL__MAX_SAVED; i++) {
        if (f->planner.packed_size[i] > 0) {
            const int64_t half = f->planner.n_units[i] / 2;
            f->planner.packed[i] = aligned(f->planner.packed_size[i]);
            f->planner.pack[i](&f->step, (const void *const *)f->weights, f->planner.packed[i],
                               half, f->planner.n_units[i]);
            f->planner.pack[i](&f->step, (const void *const *)f->weights, f->planner.packed[i], 0,
                               half);
        }
    }
    return true;
}

static void fake_free(struct fake *f)
{
    for (int i = 0; i < f->step.n_weights; i++) {
        free(f->weights[i]);
        free(f->sink.leaf[i]);
    }
    for (int i = 0; i < BDL__MAX_SAVED; i++) {
        free(f->planner.packed[i]);
    }
    free(f->planner.state);
    free(f->src);
    free(f->dst);
    free(f->diff_dst);
    free(f->diff_src);
}

/* Position and pointers of the call that starts at part `i`. */
static void fake_cx(struct fake *f, const struct cut *cut, int64_t i, void *scratch, bdl__cx *cx)
{
    const int64_t n = f->n_samples / f->step.lanes;
    const int64_t src_size = bdl__shape_count(&f->src_shape) * (int64_t)f->step.real_size;
    const int64_t dst_size = bdl__shape_count(&f->decl.out[0]) * (int64_t)f->step.real_size;
    *cx = (bdl__cx){.n_parts = BDL__MIN(cut->parts_per_call, n - i), .i_part = i,
                    .n_valid = f->step.lanes, .team_size = cut->team_size, .scratch = scratch,
                    .src = {{f->src + i * src_size, src_size}},
                    .dst = {{f->dst + i * dst_size, dst_size}},
                    .diff_dst = {{f->diff_dst + i * dst_size, dst_size}},
                    .diff_src = {{f->diff_src + i * src_size, src_size}},
                    .diff_src_mode = {cut->add_src ? BDL__ADD : BDL__WRITE},
                    .grad_sink = &f->sink};
    const int64_t parts_per_slice = BDL__SLICE / f->step.lanes;
    for (int w = 0; w < f->step.n_weights; w++) {
        cx->weights[w] = f->weights[w];
        cx->diff_weights[w] = cut->many ? NULL
                                        : f->sink.leaf[w] + (size_t)(i / parts_per_slice *
                                                                     f->sink.count[w]) *
                                                                f->step.scalar_size;
        cx->diff_weights_mode[w] = i % parts_per_slice == 0 ? BDL__WRITE : BDL__ADD;
    }
    for (int k = 0; k < BDL__MAX_SAVED; k++) {
        cx->packed[k] = f->planner.packed[k];
    }
}

/* Forward and backward of the whole batch. Scratch gets `slack` bytes more than booked. */
static void fake_run(struct fake *f, const struct cut *cut, size_t slack)
{
    const bool planned = f->step.takes_many;
    f->sink.checks = true;
    f->step.takes_many = cut->many;
    const size_t size = f->planner.scratch_size + slack;
    void *scratch = aligned(size + 64);
    memset((char *)scratch + size, 0x55, 64);
    for (int w = 0; w < f->step.n_weights; w++) {
        memset(f->sink.leaf[w], cut->many ? 0 : 0x7f,
               (size_t)(f->sink.count[w] * f->sink.n_slices) * f->step.scalar_size);
    }
    for (int64_t i = 0; i < f->n_samples / f->step.lanes; i += cut->parts_per_call) {
        for (int rank = 0; rank < cut->team_size; rank++) {
            bdl__cx cx;
            memset(scratch, 0xff, size);
            fake_cx(f, cut, i, scratch, &cx);
            cx.team_rank = rank;
            f->step.layer->forward(&f->step, &cx);
            memset(scratch, 0xff, size);
            f->step.layer->backward(&f->step, &cx);
            CHECK(((char *)scratch)[size] == 0x55);
        }
    }
    free(scratch);
    f->step.takes_many = planned;
}

/* A copy of everything that a run wrote. */
static char *snapshot(const struct fake *f, size_t *size)
{
    const size_t each = f->step.scalar_size;
    const size_t n_dst = (size_t)(bdl__shape_count(&f->decl.out[0]) * f->n_samples) * each;
    const size_t n_src = (size_t)(bdl__shape_count(&f->src_shape) * f->n_samples) * each;
    *size = n_dst + n_src;
    for (int w = 0; w < f->step.n_weights; w++) {
        *size += (size_t)(f->sink.count[w] * f->sink.n_slices) * each;
    }
    char *copy = malloc(*size);
    char *to = copy;
    memcpy(to, f->dst, n_dst);
    memcpy(to += n_dst, f->diff_src, n_src);
    to += n_src;
    for (int w = 0; w < f->step.n_weights; w++) {
        const size_t n = (size_t)(f->sink.count[w] * f->sink.n_slices) * each;
        memcpy(to, f->sink.leaf[w], n);
        to += n;
    }
    return copy;
}

/* Sets a number, or all numbers of a list field. */
static void set_param(const bdl__schema *schema, void *params, const char *name, int64_t a,
                      int64_t b)
{
    for (int64_t i = 0; i < schema->n_fields; i++) {
        const bdl__field *field = &schema->fields[i];
        char *at = (char *)params + field->offset;
        if (strcmp(field->name, name) == 0) {
            if (field->kind == BDL__FIELD_I64) {
                memcpy(at, &a, sizeof a);
            } else if (field->kind == BDL__FIELD_BOOL) {
                const bool yes = a != 0;
                memcpy(at, &yes, sizeof yes);
            } else if (field->kind == BDL__FIELD_CHOICE) {
                const bdl__choice choice = {(int32_t)a};
                memcpy(at, &choice, sizeof choice);
            } else {
                const bdl__i64s list = {.n = 2, .v = {a, b}};
                memcpy(at, &list, sizeof list);
            }
        }
    }
}

#endif
