/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digits: 28 x 28 handwritten-like digits, drawn by bdl itself, so that training needs no file.
 * 60,000 for training and 10,000 for testing, drawn once at the start by all workers (under a
 * second), kept as bytes. Sample i of a part depends on (seed, part, i) alone.
 */
#include "data/digits.h"
#include "data/data_private.h"

typedef struct digits_params {
    bdl__choice part;
    int64_t seed;
    int64_t count;
} digits_params;

static const bdl__field fields[] = {
    BDL_FIELD(digits_params, part, .def.s = "auto", .choices = bdl__part_choices,
              .doc = "Which part: training (60,000), test (10,000) or both; auto: train reads the "
                     "training part, eval and --val the test part."),
    BDL_FIELD(digits_params, seed, .def.i64 = 0, .range = BDL_IN(0, 9e15),
              .doc = "Other seeds draw other digits of the same kind."),
    BDL_FIELD(digits_params, count, .def.i64 = 0, .range = BDL_IN(0, 10000000),
              .doc = "How many digits a part has; 0 = 60,000 for training, 10,000 for testing."),
};

enum { N_TRAIN = 60000, N_TEST = 10000, TEST_STREAM = 0x40000000 };

typedef struct digits_state {
    uint64_t seed;
    int64_t n_first; /* samples of the first part; further ones are of the test part */
    bool begins_with_test;
    uint8_t *pixels; /* owned, [n][28 * 28] */
    uint8_t *labels; /* owned, [n] */
    size_t n;
} digits_state;

/* The number of sample i within its part, and the part's random stream. */
static int64_t place_in_part(const digits_state *state, int64_t i, uint32_t *stream)
{
    const bool is_test = state->begins_with_test || i >= state->n_first;
    *stream = is_test ? TEST_STREAM : 0;
    return i < state->n_first ? i : i - state->n_first;
}

static void draw_range(void *arg, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const digits_state *state = arg;
    for (int64_t i = begin; i < end; i++) {
        uint32_t stream;
        const int64_t at = place_in_part(state, i, &stream);
        bdl__rng rng;
        bdl__rng_init(&rng, state->seed, BDL__RNG_DIGITS, stream, (uint32_t)at);
        const int digit = (int)bdl__rng_below(&rng, 10);
        state->labels[i] = (uint8_t)digit;
        bdl__digit_draw(digit, &rng, state->pixels + i * BDL__DIGIT_PIXELS);
    }
}

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    const digits_params *params = args->params;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(digits_state), &memory));
    digits_state *state = memory;
    dataset->state = state;
    dataset->part = bdl__part_of(params->part, dataset->part);
    const int64_t n_train = params->count > 0 ? params->count : N_TRAIN;
    const int64_t n_test = params->count > 0 ? params->count : N_TEST;
    state->seed = (uint64_t)params->seed;
    state->begins_with_test = dataset->part == BDL__PART_TEST;
    state->n_first = state->begins_with_test ? n_test : n_train;
    dataset->n = state->n_first + (dataset->part == BDL__PART_ALL ? n_test : 0);
    state->n = (size_t)dataset->n;
    BDL__TRY(bdl__alloc(dataset->allocator, state->n * BDL__DIGIT_PIXELS, &memory));
    state->pixels = memory;
    BDL__TRY(bdl__alloc(dataset->allocator, state->n, &memory));
    state->labels = memory;
    BDL__TRY(bdl__data_parallel(args->pool, dataset->n, 64, draw_range, state));
    dataset->shape = (bdl__shape){.rank = 3, .dim = {1, BDL__DIGIT_SIDE, BDL__DIGIT_SIDE}};
    dataset->element = BDL__ELEMENT_U8;
    dataset->label_kind = BDL__LABEL_CLASS;
    dataset->n_classes = 10;
    dataset->class_names = bdl__digit_names;
    dataset->default_transform = "normalize(mean=0.1085, std=0.23, divide=255)";
    return BDL_OK;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const digits_state *state = dataset->state;
    sample->element = BDL__ELEMENT_U8;
    sample->shape = dataset->shape;
    sample->data = state->pixels + i * BDL__DIGIT_PIXELS;
    sample->label = state->labels[i];
    return BDL_OK;
}

static bdl__key key_of(const bdl__dataset *dataset, int64_t i)
{
    uint32_t stream;
    const int64_t at = place_in_part(dataset->state, i, &stream);
    const uint64_t id[2] = {(uint64_t)at, stream};
    return bdl__hash128(id, sizeof id);
}

static void close_set(bdl__dataset *dataset)
{
    digits_state *state = dataset->state;
    if (state != NULL && state->pixels != NULL) {
        bdl__free(dataset->allocator, state->pixels, state->n * BDL__DIGIT_PIXELS);
    }
    if (state != NULL && state->labels != NULL) {
        bdl__free(dataset->allocator, state->labels, state->n);
    }
}

static const bdl__reader digits = {
    .name = "digits",
    .summary = "Handwritten-like digits that bdl draws itself; needs no files.",
    .doc = "Samples are 1x28x28 bytes, white on black, classes 0 to 9: 60,000 for training and "
           "10,000\n"
           "for testing. Strokes of several handwritings are shaken, bent, slanted, turned, "
           "stretched,\n"
           "drawn with pens of different widths, and covered with noise. Sample i of a part is the "
           "same\n"
           "on every machine. Without transforms given: (x / 255 - 0.1085) / 0.23.",
    .schema = {.name = "digits",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(digits_params)},
    .open = open_set,
    .read = read_row,
    .key = key_of,
    .close = close_set,
};
BDL_READER(digits, &digits);
