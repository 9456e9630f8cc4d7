/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h: what the cases of bdl bench share. */
#ifndef BDL_API_BENCH_H
#define BDL_API_BENCH_H

#include "api/api.h"

#define BDL__BENCH_MAX 4096

/* What a case measured: figures in the case's unit, and lines of JSON that go before the result. */
typedef struct bdl__measured {
    double value[BDL__BENCH_MAX];
    int64_t n;
    bdl__text lines;
} bdl__measured;

/* Sorts n numbers. */
void bdl__bench_sort(double *values, int64_t n);

/* The heavy kernels: bench_conv.c. Values are shares of the multiply-add peak. */
bdl_status bdl__bench_conv(bdl_context *context, double seconds, bdl__measured *measured);

/* Pushing rows into memory, or through it into the file: bench_push.c. Values are MB/s. */
bdl_status bdl__bench_push(bdl_context *context, bool spills, double seconds,
                           bdl__measured *measured);

/* Communication between ranks over loopback: bench_dist.c. Shares of a plain copy's speed; milliseconds. */
bdl_status bdl__bench_allreduce_100mb(bdl_context *context, double seconds,
                                      bdl__measured *measured);
bdl_status bdl__bench_allreduce_4b(bdl_context *context, double seconds, bdl__measured *measured);

#endif
