/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mnist:DIR reads MNIST and sets in its form (Fashion-MNIST, KMNIST): four IDX files, plain or .gz.
 * Images stay in memory as bytes, 47 MB for 60,000 of 28 x 28.
 */
#include "data/data_private.h"

typedef struct mnist_params {
    bdl__choice part;
} mnist_params;

static const bdl__field fields[] = {
    BDL_FIELD(mnist_params, part, .def.s = "auto", .choices = bdl__part_choices,
              .doc = "Which part: training (60,000), test (10,000) or both; auto: train reads the "
                     "training part, eval and --val the test part."),
};

/* One part's two files and what they hold. */
typedef struct part_data {
    bdl__bytes image_bytes, label_bytes; /* owned */
    bdl__idx images, labels;
} part_data;

typedef struct mnist_state {
    part_data parts[2];
    int n_parts;
    int64_t sample_size;
} mnist_state;

enum { MOST_BYTES = 0x7fffffff };

/* Finds "train-images-idx3-ubyte" under its usual spellings; reads and parses it. */
static bdl_status read_idx(bdl__dataset *dataset, const char *directory, const char *stem,
                           int32_t rank, bdl__bytes *bytes, bdl__idx *idx)
{
    static const char separators[] = {'-', '.'};
    static const char *const endings[] = {"", ".gz"};
    for (int i = 0; i < 4; i++) {
        const char *name, *path;
        BDL__TRY(bdl__arena_printf(&dataset->arena, &name, "%s%cidx%d-ubyte%s", stem,
                                   separators[i / 2], (int)rank, endings[i % 2]));
        BDL__TRY(bdl__path_join(&dataset->arena, directory, name, &path));
        if (bdl__file_exists(path)) {
            BDL__TRY(bdl__file_read_gz(dataset->allocator, path, MOST_BYTES, bytes));
            return bdl__idx_parse(bytes->data, bytes->size, rank, path, idx);
        }
    }
    BDL__FAIL(BDL_ERR_NOT_FOUND, "%s: expected a file %s-idx%d-ubyte, plain or .gz, found none",
              directory, stem, (int)rank);
}

static bdl_status read_part(bdl__dataset *dataset, const char *directory, const char *prefix,
                            part_data *part)
{
    const char *stem;
    BDL__TRY(bdl__arena_printf(&dataset->arena, &stem, "%s-images", prefix));
    BDL__TRY(read_idx(dataset, directory, stem, 3, &part->image_bytes, &part->images));
    BDL__TRY(bdl__arena_printf(&dataset->arena, &stem, "%s-labels", prefix));
    BDL__TRY(read_idx(dataset, directory, stem, 1, &part->label_bytes, &part->labels));
    const int64_t n = part->images.shape.dim[0];
    BDL__CHECK(n == part->labels.shape.dim[0], BDL_ERR_FORMAT,
               "%s: %s-images has %lld images, but %s-labels %lld labels", directory, prefix,
               (long long)n, prefix, (long long)part->labels.shape.dim[0]);
    for (int64_t i = 0; i < n; i++) {
        BDL__CHECK(part->labels.data[i] < 10, BDL_ERR_FORMAT,
                   "%s: %s-labels: offset %lld: expected a label from 0 to 9, found %d", directory,
                   prefix, (long long)i + 8, (int)part->labels.data[i]);
    }
    return BDL_OK;
}

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    const mnist_params *params = args->params;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(mnist_state), &memory));
    mnist_state *state = memory;
    dataset->state = state;
    dataset->part = bdl__part_of(params->part, dataset->part);
    if (dataset->part != BDL__PART_TEST) {
        BDL__TRY(read_part(dataset, args->source, "train", &state->parts[state->n_parts++]));
    }
    if (dataset->part != BDL__PART_TRAIN) {
        BDL__TRY(read_part(dataset, args->source, "t10k", &state->parts[state->n_parts++]));
    }
    const bdl__shape *first = &state->parts[0].images.shape;
    const bdl__shape *last = &state->parts[state->n_parts - 1].images.shape;
    BDL__CHECK(first->dim[1] == last->dim[1] && first->dim[2] == last->dim[2], BDL_ERR_FORMAT,
               "%s: training images are %lldx%lld, test images %lldx%lld", args->source,
               (long long)first->dim[1], (long long)first->dim[2], (long long)last->dim[1],
               (long long)last->dim[2]);
    dataset->n = first->dim[0] + (state->n_parts == 2 ? last->dim[0] : 0);
    dataset->shape = (bdl__shape){.rank = 3, .dim = {1, first->dim[1], first->dim[2]}};
    state->sample_size = first->dim[1] * first->dim[2];
    dataset->element = BDL__ELEMENT_U8;
    dataset->label_kind = BDL__LABEL_CLASS;
    dataset->n_classes = 10;
    dataset->class_names = bdl__digit_names;
    /* Mean and standard deviation of the training part, for both parts. */
    dataset->default_transform = "normalize(mean=0.13066047740239506, std=0.3081078, divide=255)";
    return BDL_OK;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const mnist_state *state = dataset->state;
    const part_data *part = &state->parts[0];
    if (i >= part->images.shape.dim[0]) {
        i -= part->images.shape.dim[0];
        part = &state->parts[1];
    }
    sample->element = BDL__ELEMENT_U8;
    sample->shape = dataset->shape;
    sample->data = part->images.data + i * state->sample_size;
    sample->label = part->labels.data[i];
    return BDL_OK;
}

static void close_set(bdl__dataset *dataset)
{
    mnist_state *state = dataset->state;
    if (state == NULL) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        bdl__bytes_free(&state->parts[i].image_bytes);
        bdl__bytes_free(&state->parts[i].label_bytes);
    }
}

static const bdl__reader mnist = {
    .name = "mnist",
    .source = "DIR",
    .needs_source = true,
    .summary = "MNIST and sets in its form, from IDX files.",
    .doc =
        "DIR holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and\n"
        "t10k-labels-idx1-ubyte, plain or with .gz; '.' may stand for the '-' before idx. Samples\n"
        "are 1x28x28 bytes, classes 0 to 9. Without transforms given: (x / 255 - 0.13066) / "
        "0.30811,\n"
        "the training part's mean and standard deviation, for both parts.",
    .schema = {.name = "mnist",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(mnist_params)},
    .open = open_set,
    .read = read_row,
    .close = close_set,
};
BDL_READER(mnist, &mnist);
