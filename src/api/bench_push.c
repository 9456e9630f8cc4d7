/* SPDX-License-Identifier: Apache-2.0 */
/* bdl bench push, push_spilled: rows of 784 floats with a class, pushed 1,000 at a time, keys and checks included. */
#include "api/bench.h"

enum { N_ROWS = 1000, COUNT = 784, N_PUSHES = 80 }; /* 251 MB a data set */

#define WARM_UP_SECONDS 0.5

static bdl_status push_one_set(bdl_context *context, const bdl_data_options *options,
                               const float *values, const double *labels, double *rate)
{
    bdl_data *data = NULL;
    BDL__TRY(bdl_data_create(context, options, &data));
    const double start = bdl__now();
    bdl_status status = BDL_OK;
    for (int i = 0; i < N_PUSHES && status == BDL_OK; i++) {
        status = bdl_data_push(data, N_ROWS, values, labels, NULL, NULL);
    }
    if (status == BDL_OK) {
        status = bdl_data_finish(data);
    }
    *rate = 1e-6 * N_PUSHES * N_ROWS * COUNT * sizeof(float) / (bdl__now() - start);
    bdl_data_free(data);
    return status;
}

bdl_status bdl__bench_push(bdl_context *context, bool spills, double seconds,
                           bdl__measured *measured)
{
    const bdl_data_options options = {.struct_size = sizeof options,
                                      .dtype = BDL_F32,
                                      .rank = 1,
                                      .shape = {COUNT},
                                      .check_finite = true,
                                      .label_kind = BDL_LABEL_CLASS,
                                      .memory_limit = spills ? 1 << 24 : INT64_C(1) << 30};
    const size_t values_size = (size_t)N_ROWS * COUNT * sizeof(float);
    double labels[N_ROWS], rate = 0;
    void *memory = NULL;
    BDL__TRY(bdl__alloc(&context->allocator, values_size, &memory));
    float *const values = memory;
    for (int64_t i = 0; i < (int64_t)N_ROWS * COUNT; i++) {
        values[i] = (float)(i % 8191);
    }
    for (int i = 0; i < N_ROWS; i++) {
        labels[i] = i % 10;
    }
    const double start = bdl__now();
    bdl_status status = BDL_OK;
    while (status == BDL_OK && bdl__now() - start < seconds + WARM_UP_SECONDS &&
           measured->n < BDL__BENCH_MAX) {
        const bool counts = bdl__now() - start >= WARM_UP_SECONDS;
        status = push_one_set(context, &options, values, labels, &rate);
        if (counts) {
            measured->value[measured->n++] = rate;
        }
        status = status == BDL_OK && bdl__is_cancelled(&context->cancel) ? bdl__fail(BDL_ERR_CANCELLED, "cancelled") : status;
    }
    bdl__free(&context->allocator, memory, values_size);
    return status;
}
