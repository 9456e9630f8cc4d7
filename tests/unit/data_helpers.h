/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/data share: small files, opening data sets, taking lanes apart. */
#ifndef BDL_TESTS_UNIT_DATA_HELPERS_H
#define BDL_TESTS_UNIT_DATA_HELPERS_H

#include "data/data_private.h"

/* A path in the test's folder; valid until the call after the next seven. */
const char *data_path(const char *name);
/* Writes a file there; gives its path. */
const char *data_write(const char *name, const void *bytes, size_t size);
const char *data_write_text(const char *name, const char *text);

/* Opens "<prefix><path><suffix>", for example "csv:", a path and "(label=0)"; NULL on failure. */
bdl__dataset *data_open(const char *prefix, const char *path, const char *suffix,
                        bdl__data_part part);
/* Expects the same to fail with this code and a text in the error. */
void data_fails(const char *prefix, const char *path, const char *suffix, bdl_status code,
                const char *text);

/* An IDX file of the given dimensions (0-terminated); values are i * 7 % most. */
const char *data_write_idx(const char *name, const int *dims, int most);

/* Value `element` of sample `lane` of a slice, wherever the lanes put it. */
double data_lane(const bdl__batch *batch, const bdl__batch_options *options, int64_t slice,
                 int lane, int64_t element);
/* The same of targets that are floats, and of classes. */
double data_target_lane(const bdl__batch *batch, const bdl__batch_options *options, int64_t slice,
                        int lane, int64_t element);
int32_t data_class_lane(const bdl__batch *batch, const bdl__batch_options *options, int64_t slice,
                        int lane);

/* Options for 16 lanes of floats. */
bdl__batch_options data_options(int64_t batch);

#endif
