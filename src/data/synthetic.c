/* SPDX-License-Identifier: Apache-2.0 */
/*
 * synthetic(shape=..., classes=...): random samples of any shape, for benchmarks and tests. Each
 * class has a mean pattern, so that there is something to learn. Rows are made when they are read.
 */
#include "data/data_private.h"

typedef struct synthetic_params {
    bdl__i64s shape;
    int64_t classes;
    int64_t count;
    double noise;
    int64_t seed;
} synthetic_params;

static const bdl__field fields[] = {
    BDL_FIELD(synthetic_params, shape, .def.s = "1,28,28", .range = BDL_IN(1, 1 << 30),
              .least_n = 1, .most_n = BDL_MAX_RANK - 1, .doc = "Shape of a sample."),
    BDL_FIELD(synthetic_params, classes, .def.i64 = 10, .range = BDL_IN(0, 1000000),
              .doc = "Number of classes; 0 = the target is one value, the sample's first one."),
    BDL_FIELD(synthetic_params, count, .def.i64 = 10000, .range = BDL_IN(1, 2e9),
              .doc = "Number of samples."),
    BDL_FIELD(synthetic_params, noise, .def.f64 = 1, .range = BDL_IN(0, 1e6),
              .doc =
                  "Half the width of the uniform noise around a class's pattern, whose values are "
                  "in [-1, 1]."),
    BDL_FIELD(synthetic_params, seed, .def.i64 = 0, .range = BDL_IN(0, 9e15),
              .doc = "Other seeds give other patterns and samples."),
};

enum { PATTERN_STREAM = 0x40000000, TEST_STREAM = 0x20000000 };

typedef struct synthetic_state {
    uint64_t seed;
    double noise;
    uint32_t stream; /* of the part */
} synthetic_state;

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    const synthetic_params *params = args->params;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(synthetic_state), &memory));
    synthetic_state *state = memory;
    *state = (synthetic_state){.seed = (uint64_t)params->seed,
                               .noise = params->noise,
                               .stream = dataset->part == BDL__PART_TEST ? TEST_STREAM : 0};
    dataset->state = state;
    dataset->n = params->count;
    dataset->shape.rank = params->shape.n;
    for (int32_t i = 0; i < params->shape.n; i++) {
        dataset->shape.dim[i] = params->shape.v[i];
    }
    dataset->element = BDL__ELEMENT_F32;
    dataset->n_classes = params->classes;
    dataset->label_kind = params->classes > 0 ? BDL__LABEL_CLASS : BDL__LABEL_FLOATS;
    dataset->target_shape = (bdl__shape){.rank = 1, .dim = {1}};
    return BDL_OK;
}

static float signed_unit(bdl__rng *rng)
{
    return (float)(int32_t)(bdl__rng_u32(rng) & 0xffffff) * 0x1p-23F - 1;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const synthetic_state *state = dataset->state;
    const int64_t n = bdl__shape_count(&dataset->shape);
    BDL__TRY(bdl__buffer_need(&sample->buffer, (size_t)n * sizeof(float)));
    bdl__rng rng, pattern;
    bdl__rng_init(&rng, state->seed, BDL__RNG_DIGITS, state->stream + 1, (uint32_t)i);
    const int64_t n_classes = BDL__MAX(dataset->n_classes, INT64_C(1));
    sample->label = (int32_t)bdl__rng_below(&rng, (uint64_t)n_classes);
    bdl__rng_init(&pattern, state->seed, BDL__RNG_DIGITS, PATTERN_STREAM, (uint32_t)sample->label);
    float *values = sample->buffer.data;
    for (int64_t k = 0; k < n; k++) {
        values[k] = signed_unit(&pattern) + (float)state->noise * signed_unit(&rng);
    }
    sample->element = BDL__ELEMENT_F32;
    sample->shape = dataset->shape;
    sample->data = values;
    sample->target = values;
    return BDL_OK;
}

static bdl__key key_of(const bdl__dataset *dataset, int64_t i)
{
    const synthetic_state *state = dataset->state;
    const uint64_t id[2] = {(uint64_t)i, state->stream};
    return bdl__hash128(id, sizeof id);
}

static const bdl__reader synthetic = {
    .name = "synthetic",
    .summary = "Random samples of any shape, with something to learn.",
    .doc = "Float samples: a pattern for each class plus uniform noise. For benchmarks and tests. "
           "Rows\n"
           "are made when they are read; the training and the test part differ in their noise.",
    .schema = {.name = "synthetic",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(synthetic_params)},
    .open = open_set,
    .read = read_row,
    .key = key_of,
};
BDL_READER(synthetic, &synthetic);
