/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One slice of a batch: up to 16 samples are read, run through the part of the chain that is not
 * pointwise, and then all written into lanes at once, bytes through the chain's tables.
 *
 * A row whose file is broken is left out, if the user allows that for so large a share of the rows.
 * Which rows are left out depends on the files alone, so a step's samples stay the same on any
 * machine.
 */
#include "data/slice.h"

#include <string.h>

static bool is_in_memory(const bdl__dataset *dataset)
{
    return dataset->reader->name_of == NULL && dataset->is_fixed_shape;
}

bdl_status bdl__slice_plan_init(const bdl_allocator *allocator, const bdl__dataset *dataset,
                                const bdl__chain *chain, const bdl__batch_options *options,
                                bdl__slice_plan *plan)
{
    *plan = (bdl__slice_plan){.dataset = dataset,
                              .chain = chain,
                              .takes_packed = dataset->is_packed && bdl__chain_is_pointwise(chain),
                              .is_training = options->is_training,
                              .seed = options->seed,
                              .most_broken = options->most_broken};
    BDL__TRY(bdl__chain_plan_create(allocator, chain, &dataset->shape,
                                    plan->takes_packed ? BDL__ELEMENT_U8 : dataset->element,
                                    &plan->chain_plan));
    plan->shape = plan->chain_plan.shape;
    const bool is_f64 = options->real_size == 8 && options->lanes == 1;
    const int64_t n = bdl__shape_count(&plan->shape);
    plan->input = (bdl__lanes){.lanes = options->lanes,
                               .is_f64 = is_f64,
                               .n = n,
                               .stride = n * (int64_t)options->real_size};
    const int64_t n_target =
        dataset->label_kind == BDL__LABEL_FLOATS ? bdl__shape_count(&dataset->target_shape) : 0;
    plan->target = plan->input;
    plan->target.n = n_target;
    plan->target.stride = dataset->label_kind == BDL__LABEL_CLASS
                              ? options->lanes * (int64_t)sizeof(int32_t)
                              : n_target * (int64_t)options->real_size;
    if (options->most_broken > 0 && !is_in_memory(dataset)) {
        void *broken = NULL;
        BDL__TRY(bdl__alloc(allocator, (size_t)dataset->n, &broken));
        plan->broken = broken;
    }
    return BDL_OK;
}

void bdl__slice_plan_free(bdl__slice_plan *plan)
{
    bdl__chain_plan_free(&plan->chain_plan);
    if (plan->broken != NULL) {
        bdl__free(plan->dataset->allocator, (void *)plan->broken, (size_t)plan->dataset->n);
    }
    plan->broken = NULL;
}

void bdl__slice_scratch_init(bdl__slice_scratch *scratch, const bdl_allocator *allocator)
{
    *scratch = (bdl__slice_scratch){.rows.allocator = allocator, .targets.allocator = allocator};
    bdl__sample_init(&scratch->sample, allocator);
    bdl__chain_scratch_init(&scratch->chain, allocator);
}

void bdl__slice_scratch_free(bdl__slice_scratch *scratch)
{
    bdl__sample_free(&scratch->sample);
    bdl__chain_scratch_free(&scratch->chain);
    bdl__buffer_free(&scratch->rows);
    bdl__buffer_free(&scratch->targets);
}

/* Counts a row whose file is broken; fails if there are now too many. `reason` is the error's
 * text. */
static bdl_status report_broken(bdl__slice_plan *plan, int64_t row, bdl_status status)
{
    const bdl__dataset *dataset = plan->dataset;
    if (atomic_exchange(&plan->broken[row], 1) != 0) {
        return BDL_OK;
    }
    const int64_t n_broken = atomic_fetch_add(&plan->n_broken, 1) + 1;
    if ((double)n_broken > plan->most_broken * (double)dataset->n) {
        return bdl__fail_in(status,
                            "broken files: %lld of %lld, more than the %g %% allowed; this one",
                            (long long)n_broken, (long long)dataset->n, 100 * plan->most_broken);
    }
    if (dataset->log != NULL) {
        BDL__LOG(dataset->log, BDL__LOG_WARNING, "left out: %s", bdl_last_error());
    }
    return BDL_OK;
}

/* Reads a row; *is_broken tells that it has to be left out. */
static bdl_status read_row(bdl__slice_plan *plan, int64_t row, bdl__sample *sample, bool *is_broken)
{
    *is_broken = plan->broken != NULL && atomic_load(&plan->broken[row]) != 0;
    if (*is_broken) {
        return BDL_OK;
    }
    const bdl_status status = bdl__dataset_read(plan->dataset, row, sample);
    const bool is_file_error =
        status == BDL_ERR_FORMAT || status == BDL_ERR_IO || status == BDL_ERR_NOT_FOUND;
    if (plan->broken == NULL || !is_file_error) {
        return status;
    }
    *is_broken = true;
    return report_broken(plan, row, status);
}

/* Random numbers of a row in an epoch: keyed by content where keys are known, else by number. */
static void row_rng(const bdl__slice_plan *plan, int64_t epoch, int64_t row, bdl__rng *rng)
{
    uint64_t seed = plan->seed;
    uint32_t sub_stream = (uint32_t)row;
    if (plan->order != NULL) {
        const bdl__key *key = bdl__order_key(plan->order, row);
        seed += key->low;
        sub_stream = (uint32_t)key->high;
    }
    bdl__rng_init(rng, seed, BDL__RNG_TRANSFORM, sub_stream, (uint32_t)epoch);
}

static bdl_status check_shape(const bdl__slice_plan *plan, int64_t row, const bdl__shape *shape)
{
    if (bdl__shape_equal(shape, &plan->shape)) {
        return BDL_OK;
    }
    char got[BDL__SHAPE_TEXT_SIZE], expected[BDL__SHAPE_TEXT_SIZE];
    const char *name = bdl__dataset_name_of(plan->dataset, row);
    BDL__FAIL(BDL_ERR_SHAPE,
              "data '%s': sample %lld%s%s is %s where the first one is %s; make sizes equal with "
              "the transforms resize([height, width]), or resize(shorter) and crop(size)",
              plan->dataset->text, (long long)row, name != NULL ? " " : "",
              name != NULL ? name : "", bdl__shape_text(shape, got, sizeof got),
              bdl__shape_text(&plan->shape, expected, sizeof expected));
}

/* Where the values of row number i of the slice stay until all are written: in the data set's
 * memory if they are there, else in the scratch. */
static bdl_status keep_row(const bdl__slice_plan *plan, bdl__slice_scratch *scratch, int i,
                           const bdl__sample *result, const void **values)
{
    const bool is_stable = result == &scratch->sample && result->data != result->buffer.data;
    if (is_stable) {
        *values = result->data;
        return BDL_OK;
    }
    const size_t element_size = result->element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
    const size_t size = (size_t)plan->input.n * element_size;
    BDL__TRY(bdl__buffer_need(&scratch->rows, size * BDL__SLICE_ROWS));
    char *kept = (char *)scratch->rows.data + size * (size_t)i;
    memcpy(kept, result->data, size);
    *values = kept;
    return BDL_OK;
}

typedef struct gathered {
    const void *values[BDL__SLICE_ROWS];
    const float *targets[BDL__SLICE_ROWS];
    int32_t labels[BDL__SLICE_ROWS];
} gathered;

/* Reads and transforms one row as number i of the slice. */
static bdl_status gather_row(bdl__slice_plan *plan, bdl__slice_scratch *scratch, int64_t epoch,
                             int64_t row, int i, gathered *all, bool *is_broken)
{
    bdl__sample *sample = &scratch->sample;
    sample->takes_packed = plan->takes_packed;
    BDL__TRY(read_row(plan, row, sample, is_broken));
    if (*is_broken) {
        return BDL_OK;
    }
    const bdl__sample *result = sample;
    if (plan->chain_plan.n_prefix > 0) {
        bdl__rng rng;
        const bool draws = plan->is_training && plan->chain_plan.is_random;
        if (draws) {
            row_rng(plan, epoch, row, &rng);
        }
        BDL__TRY(bdl__chain_run(plan->chain, 0, plan->chain_plan.n_prefix, sample, &scratch->chain,
                                draws ? &rng : NULL, &result));
    }
    BDL__TRY(check_shape(plan, row, &result->shape));
    all->labels[i] = sample->label;
    if (plan->target.n > 0) {
        const size_t size = (size_t)plan->target.n * sizeof(float);
        BDL__TRY(bdl__buffer_need(&scratch->targets, size * BDL__SLICE_ROWS));
        float *kept = (float *)scratch->targets.data + plan->target.n * i;
        memcpy(kept, sample->target, size);
        all->targets[i] = kept;
    }
    return keep_row(plan, scratch, i, result, &all->values[i]);
}

static void write_lanes(const bdl__slice_plan *plan, const gathered *all, void *input, void *target)
{
    const bdl__chain_plan *chain_plan = &plan->chain_plan;
    if (chain_plan->tables != NULL) {
        const uint8_t *rows[BDL__SLICE_ROWS];
        for (int i = 0; i < BDL__SLICE_ROWS; i++) {
            rows[i] = all->values[i];
        }
        bdl__lanes_from_u8(&plan->input, rows, chain_plan->tables, chain_plan->n_channels, input);
    } else {
        const float *rows[BDL__SLICE_ROWS];
        for (int i = 0; i < BDL__SLICE_ROWS; i++) {
            rows[i] = all->values[i];
        }
        bdl__lanes_from_f32(&plan->input, rows, input);
    }
    if (plan->dataset->label_kind == BDL__LABEL_CLASS) {
        memcpy(target, all->labels, sizeof all->labels); /* parts of classes have no gaps */
    } else if (plan->target.n > 0) {
        bdl__lanes_from_f32(&plan->target, all->targets, target);
    }
}

bdl_status bdl__slice_fill(bdl__slice_plan *plan, bdl__slice_scratch *scratch, int64_t epoch,
                           int64_t rows[BDL__SLICE_ROWS], int32_t *n_valid, void *input,
                           void *target)
{
    gathered all = {0};
    int n = 0;
    for (int i = 0; i < *n_valid; i++) {
        bool is_broken;
        BDL__TRY(gather_row(plan, scratch, epoch, rows[i], n, &all, &is_broken));
        rows[n] = rows[i];
        n += is_broken ? 0 : 1;
    }
    *n_valid = n;
    for (int i = n; i < BDL__SLICE_ROWS; i++) {
        rows[i] = -1;
        all.values[i] = all.values[0];
        all.targets[i] = all.targets[0];
        all.labels[i] = all.labels[0];
    }
    if (n > 0) {
        write_lanes(plan, &all, input, target);
    }
    return BDL_OK;
}
