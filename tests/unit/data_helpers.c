/* SPDX-License-Identifier: Apache-2.0 */
#include "data_helpers.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

const char *data_path(const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", bdl_test_dir(), name);
    return path;
}

const char *data_write(const char *name, const void *bytes, size_t size)
{
    const char *path = data_path(name);
    CHECK_OK(bdl__file_write(path, bytes, size));
    return path;
}

const char *data_write_text(const char *name, const char *text)
{
    return data_write(name, text, strlen(text));
}

static void join(char *text, size_t size, const char *prefix, const char *path, const char *suffix)
{
    snprintf(text, size, "%s%s%s", prefix, path, suffix);
}

bdl__dataset *data_open(const char *prefix, const char *path, const char *suffix,
                        bdl__data_part part)
{
    char text[4096];
    join(text, sizeof text, prefix, path, suffix);
    bdl__dataset *dataset = NULL;
    CHECK_OK(bdl__dataset_open(bdl__default_allocator(), NULL, NULL, text, part, &dataset));
    return dataset;
}

void data_fails(const char *prefix, const char *path, const char *suffix, bdl_status code,
                const char *text)
{
    char name[4096];
    join(name, sizeof name, prefix, path, suffix);
    bdl__dataset *dataset = NULL;
    CHECK_EQ_I64(
        bdl__dataset_open(bdl__default_allocator(), NULL, NULL, name, BDL__PART_TRAIN, &dataset),
        code);
    CHECK_STR_HAS(bdl_last_error(), text);
    bdl__dataset_free(dataset);
}

const char *data_write_idx(const char *name, const int *dims, int most)
{
    static uint8_t bytes[65536];
    int rank = 0, count = 1;
    while (dims[rank] != 0) {
        const int dim = dims[rank];
        uint8_t *at = bytes + 4 + 4 * rank;
        at[0] = at[1] = 0;
        at[2] = (uint8_t)(dim >> 8);
        at[3] = (uint8_t)dim;
        count *= dim;
        rank++;
    }
    bytes[0] = bytes[1] = 0;
    bytes[2] = 8;
    bytes[3] = (uint8_t)rank;
    const int header = 4 + 4 * rank;
    for (int i = 0; i < count; i++) {
        bytes[header + i] = (uint8_t)(i * 7 % most);
    }
    return data_write(name, bytes, (size_t)(header + count));
}

static double value_at(const void *data, int64_t stride, const bdl__batch_options *options,
                       int64_t slice, int lane, int64_t element)
{
    const int lanes = options->lanes;
    const int64_t part = slice * (BDL__SLICE_ROWS / lanes) + lane / lanes;
    const char *at = (const char *)data + part * stride;
    if (options->real_size == 8 && lanes == 1) {
        return ((const double *)at)[element];
    }
    return (double)((const float *)at)[element * lanes + lane % lanes];
}

double data_lane(const bdl__batch *batch, const bdl__batch_options *options, int64_t slice,
                 int lane, int64_t element)
{
    return value_at(batch->input, batch->input_stride, options, slice, lane, element);
}

double data_target_lane(const bdl__batch *batch, const bdl__batch_options *options, int64_t slice,
                        int lane, int64_t element)
{
    return value_at(batch->target, batch->target_stride, options, slice, lane, element);
}

int32_t data_class_lane(const bdl__batch *batch, const bdl__batch_options *options, int64_t slice,
                        int lane)
{
    const int lanes = options->lanes;
    const int64_t part = slice * (BDL__SLICE_ROWS / lanes) + lane / lanes;
    const char *at = (const char *)batch->target + part * batch->target_stride;
    return ((const int32_t *)at)[lane % lanes];
}

bdl__batch_options data_options(int64_t batch)
{
    return (bdl__batch_options){.batch = batch, .lanes = 16, .real_size = 64, .n_epochs = 1};
}
