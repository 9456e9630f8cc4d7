/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cifar10:DIR reads CIFAR-10's binary version (https://www.cs.toronto.edu/~kriz/cifar.html):
 * records of a label byte and 3 x 32 x 32 values, planes in the order red, green, blue. The files
 * are mapped.
 */
#include "data/data_private.h"

typedef struct cifar10_params {
    bdl__choice part;
} cifar10_params;

static const bdl__field fields[] = {
    BDL_FIELD(cifar10_params, part, .def.s = "auto", .choices = bdl__part_choices,
              .doc = "Which part: training (data_batch_1 to 5), test (test_batch) or both; auto: "
                     "train reads the training part, eval and --val the test part."),
};

enum { MOST_FILES = 6, N_CLASSES = 10 };

typedef struct cifar10_file {
    bdl__map map;  /* owned */
    int64_t first; /* number of its first sample */
} cifar10_file;

typedef struct cifar10_state {
    cifar10_file files[MOST_FILES];
    int n_files;
} cifar10_state;

static const char *const class_names[N_CLASSES] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

bdl_status bdl__cifar10_check(const uint8_t *bytes, size_t size, const char *where, int64_t *n)
{
    BDL__CHECK(size > 0 && size % BDL__CIFAR10_RECORD == 0, BDL_ERR_FORMAT,
               "%s: expected records of %d bytes, found %zu bytes: %zu records and %zu bytes",
               where, BDL__CIFAR10_RECORD, size, size / BDL__CIFAR10_RECORD,
               size % BDL__CIFAR10_RECORD);
#ifndef BDL_SEEDED_BUGS
    for (size_t at = 0; at < size; at += BDL__CIFAR10_RECORD) {
        BDL__CHECK(bytes[at] < N_CLASSES, BDL_ERR_FORMAT,
                   "%s: offset %zu: expected a label from 0 to 9, found %d", where, at,
                   (int)bytes[at]);
    }
#else
    (void)bytes;
#endif
    *n = (int64_t)(size / BDL__CIFAR10_RECORD);
    return BDL_OK;
}

static bdl_status add_file(bdl__dataset *dataset, const char *path)
{
    cifar10_state *state = dataset->state;
    cifar10_file *file = &state->files[state->n_files];
    BDL__TRY(bdl__file_map(path, &file->map));
    file->first = dataset->n;
    state->n_files++;
    int64_t n = 0;
    BDL__TRY(bdl__cifar10_check(file->map.data, file->map.size, path, &n));
    dataset->n += n;
    return BDL_OK;
}

/* Adds the file of this name if it is there. */
static bdl_status add_if_there(bdl__dataset *dataset, const char *directory, const char *name)
{
    const char *path;
    BDL__TRY(bdl__path_join(&dataset->arena, directory, name, &path));
    return bdl__file_exists(path) ? add_file(dataset, path) : BDL_OK;
}

static bdl_status add_files(bdl__dataset *dataset, const char *source)
{
    if (bdl__file_exists(source) && !bdl__is_directory(source)) {
        return add_file(dataset, source);
    }
    if (dataset->part != BDL__PART_TEST) {
        for (int i = 1; i <= 5; i++) {
            const char *name;
            BDL__TRY(bdl__arena_printf(&dataset->arena, &name, "data_batch_%d.bin", i));
            BDL__TRY(add_if_there(dataset, source, name));
        }
        BDL__CHECK(dataset->n > 0, BDL_ERR_NOT_FOUND,
                   "%s: expected data_batch_1.bin to data_batch_5.bin, found none", source);
    }
    const int64_t n_train = dataset->n;
    if (dataset->part != BDL__PART_TRAIN) {
        BDL__TRY(add_if_there(dataset, source, "test_batch.bin"));
        BDL__CHECK(dataset->n > n_train, BDL_ERR_NOT_FOUND,
                   "%s: expected test_batch.bin, found none", source);
    }
    return BDL_OK;
}

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    const cifar10_params *params = args->params;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(cifar10_state), &dataset->state));
    dataset->part = bdl__part_of(params->part, dataset->part);
    BDL__TRY(add_files(dataset, args->source));
    dataset->shape = (bdl__shape){.rank = 3, .dim = {3, 32, 32}};
    dataset->element = BDL__ELEMENT_U8;
    dataset->label_kind = BDL__LABEL_CLASS;
    dataset->n_classes = N_CLASSES;
    dataset->class_names = class_names;
    /* Mean and standard deviation of the training part, for both parts. */
    dataset->default_transform =
        "normalize(mean=[0.4913996898739353, 0.4821584196221302, 0.44653092422369434], "
        "std=[0.24703223517429462, 0.2434851308749409, 0.26158784442034005], divide=255)";
    return BDL_OK;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const cifar10_state *state = dataset->state;
    int at = state->n_files - 1;
    while (state->files[at].first > i) {
        at--;
    }
    const uint8_t *record =
        state->files[at].map.data + (i - state->files[at].first) * BDL__CIFAR10_RECORD;
    sample->element = BDL__ELEMENT_U8;
    sample->shape = dataset->shape;
    sample->data = record + 1;
    sample->label = record[0];
    return BDL_OK;
}

static void close_set(bdl__dataset *dataset)
{
    cifar10_state *state = dataset->state;
    for (int i = 0; state != NULL && i < state->n_files; i++) {
        bdl__file_unmap(&state->files[i].map);
    }
}

static const bdl__reader cifar10 = {
    .name = "cifar10",
    .source = "DIR",
    .needs_source = true,
    .summary = "CIFAR-10, from its binary files.",
    .doc = "DIR holds data_batch_1.bin to data_batch_5.bin (those that are there are read) and\n"
           "test_batch.bin; one file of that format may be named instead. Samples are 3x32x32 "
           "bytes in\n"
           "the order red, green, blue; ten classes. Without transforms given: x / 255, then the\n"
           "training part's mean and standard deviation of each channel, for both parts.",
    .schema = {.name = "cifar10",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(cifar10_params)},
    .open = open_set,
    .read = read_row,
    .close = close_set,
};
BDL_READER(cifar10, &cifar10);
