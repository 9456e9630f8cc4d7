/* SPDX-License-Identifier: Apache-2.0 */
/* Data sets whose rows a program pushes: a record of each (records.h), and in memory its key and label: 20 bytes a row. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "data/records.h"
#include "data/rows.h"

typedef struct pushed_state {
    bdl__rows_options options; /* strings in the data set's arena, or not used any more */
    bdl__records *records;     /* owned */
    size_t values_size;        /* bytes of a row's values; 0 = encoded */
    size_t targets_size;
    bdl__key *keys;  /* owned, [capacity] */
    int64_t capacity;
    int32_t *labels; /* owned, [labels_capacity]; with classes */
    int64_t labels_capacity;
    uint32_t *sorted; /* owned, [n_sorted] which record row first_row + i is; NULL = in order */
    int64_t n_sorted;
    int64_t n; /* records */
    int64_t largest; /* class so far, -1 = none */
    bdl__key key_xor, key_sum;
    bool is_finished, is_broken;
} pushed_state;

/* ---- the reader ---- */

/* Which record row i is. */
static int64_t place_of(const bdl__dataset *dataset, int64_t i)
{
    const pushed_state *state = dataset->state;
    return state->sorted != NULL ? state->sorted[i - dataset->first_row] : i;
}

/* Decodes [file][targets]. Decoding uses the sample's scratch, so targets are put there afterwards. */
static bdl_status decode_row(const pushed_state *state, int64_t i, bdl__buffer *buffer,
                             bdl__sample *sample)
{
    bdl__record record;
    BDL__TRY(bdl__records_read(state->records, i, buffer, &record));
    BDL__TRY(bdl__image_decode(record.bytes, record.values_size, state->options.shape.dim[0],
                               "the encoded image", sample));
    if (state->targets_size > 0) {
        BDL__TRY(bdl__buffer_need(&sample->scratch, state->targets_size));
        memcpy(sample->scratch.data, (const char *)record.bytes + record.targets_begin,
               state->targets_size);
        sample->target = sample->scratch.data;
    }
    return BDL_OK;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const pushed_state *state = dataset->state;
    i = place_of(dataset, i);
    sample->label = state->labels != NULL ? state->labels[i] : 0;
    if (state->values_size == 0) {
        bdl__buffer buffer = {.allocator = dataset->allocator};
        const bdl_status status = decode_row(state, i, &buffer, sample);
        bdl__buffer_free(&buffer);
        return status;
    }
    bdl__record record;
    const bool is_packed = bdl__records_is_packed(state->records, i);
    const bool unpacks = is_packed && !sample->takes_packed;
    BDL__TRY(bdl__records_read(state->records, i, unpacks ? &sample->scratch : &sample->buffer,
                               &record));
    if (unpacks) {
        BDL__TRY(bdl__records_unpack(state->records, &sample->buffer, &record));
    }
    sample->element = is_packed && !unpacks ? BDL__ELEMENT_U8 : dataset->element;
    sample->shape = dataset->shape;
    sample->data = record.bytes;
    sample->target = NULL;
    if (state->targets_size > 0) {
        sample->target = (const void *)((const char *)record.bytes + record.targets_begin);
    }
    return BDL_OK;
}

static bdl__key key_of(const bdl__dataset *dataset, int64_t i)
{
    const pushed_state *state = dataset->state;
    return state->keys[place_of(dataset, i)];
}

static void close_set(bdl__dataset *dataset)
{
    pushed_state *state = dataset->state;
    if (state == NULL) {
        return;
    }
    bdl__records_free(state->records);
    bdl__free(dataset->allocator, state->keys, (size_t)state->capacity * sizeof(bdl__key));
    bdl__free(dataset->allocator, state->labels,
              (size_t)state->labels_capacity * sizeof(int32_t));
    bdl__free(dataset->allocator, state->sorted, (size_t)state->n_sorted * sizeof(uint32_t));
}

static const bdl__reader pushed_reader = {
    .name = "pushed", .read = read_row, .key = key_of, .close = close_set};

/* ---- creation ---- */

static const char *directory_of(const bdl__rows_options *options)
{
    if (options->spill_directory != NULL) {
        return options->spill_directory;
    }
    const char *directory = getenv("TMPDIR");
    return directory != NULL && directory[0] != 0 ? directory : "/tmp";
}

static bdl_status open_records(bdl__dataset *dataset, const bdl__rows_options *options)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(pushed_state), &memory));
    pushed_state *state = memory;
    dataset->state = state;
    dataset->reader = &pushed_reader;
    state->options = *options;
    state->options.memory_limit =
        options->memory_limit > 0 ? options->memory_limit : bdl__memory_usable() / 2;
    BDL__TRY(bdl__arena_strdup(&dataset->arena, directory_of(options),
                               &state->options.spill_directory));
    state->largest = -1;
    if (!options->is_encoded) {
        const size_t element_size = options->element == BDL__ELEMENT_U8 ? 1 : sizeof(float);
        state->values_size = (size_t)bdl__shape_count(&options->shape) * element_size;
    }
    if (options->label_kind == BDL__LABEL_FLOATS) {
        state->targets_size = (size_t)bdl__shape_count(&options->target_shape) * sizeof(float);
    }
    const bdl__records_options records_options = {.values_size = state->values_size,
                                                  .targets_size = state->targets_size,
                                                  .element = options->element,
                                                  .memory_limit = state->options.memory_limit,
                                                  .directory = state->options.spill_directory};
    return bdl__records_create(dataset->allocator, &records_options, &state->records);
}

bdl_status bdl__rows_create(const bdl_allocator *allocator, const bdl__log *log,
                            const bdl__rows_options *options, bdl__dataset **dataset)
{
    bdl__dataset *made;
    BDL__TRY(bdl__rows_describe(allocator, log, options, &made));
    const bdl_status status = open_records(made, options);
    if (status != BDL_OK) {
        bdl__dataset_free(made);
        return status;
    }
    *dataset = made;
    return BDL_OK;
}

/* ---- pushing ---- */

/* Room for n elements, and for twice as many as before where there was too little. */
static bdl_status grow_array(const bdl_allocator *allocator, void **array, int64_t *capacity,
                             int64_t n, size_t element_size)
{
    if (n <= *capacity) {
        return BDL_OK;
    }
    const int64_t more = BDL__MAX(n, BDL__MAX(INT64_C(1024), *capacity * 2));
    BDL__TRY(bdl__realloc(allocator, (size_t)*capacity * element_size, (size_t)more * element_size,
                          array));
    *capacity = more;
    return BDL_OK;
}

/* Room for the keys and labels of `n` rows in all. */
static bdl_status grow(const bdl__dataset *dataset, pushed_state *state, int64_t n)
{
    void *keys = state->keys, *labels = state->labels;
    bdl_status status = grow_array(dataset->allocator, &keys, &state->capacity, n, sizeof(bdl__key));
    state->keys = keys;
    if (status == BDL_OK && dataset->label_kind == BDL__LABEL_CLASS) {
        status = grow_array(dataset->allocator, &labels, &state->labels_capacity, n, sizeof(int32_t));
        state->labels = labels;
    }
    return status;
}

/* An encoded row's key: of its bytes, then of its labels as float64. */
static bdl_status encoded_key(const bdl__dataset *dataset, const void *file, size_t size,
                              const bdl__sample *sample, bdl__buffer *scratch, bdl__key *key)
{
    const bool is_class = dataset->label_kind == BDL__LABEL_CLASS;
    const int64_t n_labels = is_class                                      ? 1
                             : dataset->label_kind == BDL__LABEL_FLOATS
                                 ? bdl__shape_count(&dataset->target_shape)
                                 : 0;
    const size_t labels_size = (size_t)n_labels * sizeof(double);
    BDL__TRY(bdl__buffer_need(scratch, size + labels_size));
    char *bytes = scratch->data;
    memcpy(bytes, file, size);
    for (int64_t i = 0; i < n_labels; i++) {
        const double label = is_class ? (double)sample->label : (double)sample->target[i];
        memcpy(bytes + size + (size_t)i * sizeof(double), &label, sizeof label);
    }
    *key = bdl__hash128(bytes, size + labels_size);
    return BDL_OK;
}

typedef struct key_work {
    const bdl__dataset *dataset;
    const pushed_state *state;
    const bdl__rows *rows;
    bdl__key *keys;
    _Atomic bool is_failed;
} key_work;

static bdl_status key_of_pushed(const key_work *work, int64_t i, bdl__sample *sample)
{
    const bdl__dataset *dataset = work->dataset;
    const bdl__rows *rows = work->rows;
    if (rows->keys != NULL) {
        work->keys[i] = bdl__key_from_bytes(rows->keys + 16 * i);
        return BDL_OK;
    }
    sample->label = rows->labels != NULL ? (int32_t)rows->labels[i] : 0;
    if (work->state->targets_size > 0) {
        sample->target = rows->targets + (size_t)i * work->state->targets_size / sizeof(float);
    }
    if (work->state->values_size == 0) {
        return encoded_key(dataset, rows->files[i], (size_t)rows->sizes[i], sample, &sample->scratch,
                           &work->keys[i]);
    }
    sample->data = (const char *)rows->values + (size_t)i * work->state->values_size;
    return bdl__row_key(dataset, sample, &sample->scratch, &work->keys[i]);
}

static void compute_keys(void *arg, int64_t begin, int64_t end, int worker)
{
    key_work *work = arg;
    bdl__sample sample;
    (void)worker;
    bdl__sample_init(&sample, work->dataset->allocator);
    sample.element = work->dataset->element;
    sample.shape = work->dataset->shape;
    for (int64_t i = begin; i < end; i++) {
        if (key_of_pushed(work, i, &sample) != BDL_OK) {
            atomic_store(&work->is_failed, true);
            break;
        }
    }
    bdl__sample_free(&sample);
}

static bdl_status append_rows(pushed_state *state, const bdl__rows *rows)
{
    for (int64_t i = 0; i < rows->n; i++) {
        const bool is_encoded = state->values_size == 0;
        const size_t size = is_encoded ? (size_t)rows->sizes[i] : state->values_size;
        const void *values =
            is_encoded ? rows->files[i] : (const char *)rows->values + (size_t)i * size;
        const void *targets = state->targets_size > 0
                                  ? (const char *)rows->targets + (size_t)i * state->targets_size
                                  : NULL;
        BDL__TRY(bdl__records_append(state->records, values, size, targets));
    }
    return BDL_OK;
}

static void count_key(pushed_state *state, bdl__key key)
{
    state->key_xor.high ^= key.high;
    state->key_xor.low ^= key.low;
    bdl__key_add(&state->key_sum, key);
}

/* The new rows' labels and keys are part of the data set from here on. */
static void count_rows(bdl__dataset *dataset, pushed_state *state, const bdl__rows *rows)
{
    for (int64_t i = 0; i < rows->n; i++) {
        count_key(state, state->keys[state->n + i]);
        if (state->labels != NULL) {
            state->labels[state->n + i] = (int32_t)rows->labels[i];
        }
    }
    if (state->labels != NULL) {
        const int64_t largest = bdl__rows_largest(rows->labels, rows->n);
        state->largest = BDL__MAX(state->largest, largest);
    }
    state->n += rows->n;
    dataset->n = state->n;
}

static bdl_status need_open(const bdl__dataset *dataset)
{
    BDL__CHECK(dataset->reader == &pushed_reader, BDL_ERR_STATE,
               "data '%s' was not made for pushing", dataset->text);
    const pushed_state *state = dataset->state;
    BDL__CHECK(!state->is_finished, BDL_ERR_STATE, "data '%s' is finished and takes no more rows",
               dataset->text);
    BDL__CHECK(!state->is_broken, BDL_ERR_STATE,
               "data '%s' lost rows in a push that failed and can only be freed", dataset->text);
    return BDL_OK;
}

bdl_status bdl__rows_push(bdl__dataset *dataset, bdl__pool *pool, const bdl__rows *rows)
{
    BDL__TRY(need_open(dataset));
    pushed_state *state = dataset->state;
    if (rows->n == 0) {
        return BDL_OK;
    }
    BDL__TRY(bdl__rows_check(dataset, &state->options, pool, state->n, rows));
    BDL__TRY(grow(dataset, state, state->n + rows->n));
    key_work work = {
        .dataset = dataset, .state = state, .rows = rows, .keys = state->keys + state->n};
    BDL__TRY(bdl__data_parallel(pool, rows->n, 64, compute_keys, &work));
    BDL__CHECK(!atomic_load(&work.is_failed), BDL_ERR_OUT_OF_MEMORY,
               "data '%s': no memory for the keys of rows", dataset->text);
    const bdl_status status = append_rows(state, rows);
    if (status != BDL_OK) {
        state->is_broken = true;
        return bdl__fail_in(status, "data '%s'", dataset->text);
    }
    count_rows(dataset, state, rows);
    return BDL_OK;
}

/* ---- finishing ---- */

static bdl_status sort_records(const bdl__dataset *dataset, pushed_state *state,
                               const bdl__cancel *cancel)
{
    const size_t size = (size_t)state->n * sizeof(uint32_t);
    void *order = NULL, *scratch = NULL;
    bdl_status status;
    BDL__TRY_DONE(status, bdl__alloc(dataset->allocator, size, &order));
    BDL__TRY_DONE(status, bdl__alloc(dataset->allocator, size, &scratch));
    BDL__TRY_DONE(status, bdl__sort_keys(dataset->allocator, state->keys, state->n, order, scratch));
    BDL__TRY_DONE(status, bdl__records_sort(state->records, order, state->n, cancel));
done:
    bdl__free(dataset->allocator, order, size);
    bdl__free(dataset->allocator, scratch, size);
    return status;
}

bdl_status bdl__rows_sort(bdl__dataset *dataset, int64_t least, const bdl__cancel *cancel)
{
    BDL__TRY(need_open(dataset));
    pushed_state *state = dataset->state;
    if (bdl__records_spilled(state->records) < BDL__MAX(least, INT64_C(1)) || state->n >= UINT32_MAX) {
        return BDL_OK;
    }
    const bdl_status status = sort_records(dataset, state, cancel);
    if (status == BDL_ERR_IO) { /* nothing is lost */
        if (dataset->log != NULL) {
            BDL__LOG(dataset->log, BDL__LOG_WARNING,
                     "data '%s': rows stay in the order of their arrival, which may be slow to read: %s",
                     dataset->text, bdl_last_error());
        }
        return BDL_OK;
    }
    return status == BDL_OK ? BDL_OK : bdl__fail_in(status, "data '%s'", dataset->text);
}

/* Images are described by the first one, as those of files are. */
static bdl_status describe_first_image(bdl__dataset *dataset)
{
    bdl__sample sample;
    bdl__sample_init(&sample, dataset->allocator);
    const bdl_status status = read_row(dataset, 0, &sample);
    if (status == BDL_OK) {
        dataset->shape = sample.shape;
    }
    bdl__sample_free(&sample);
    return status == BDL_OK ? BDL_OK : bdl__fail_in(status, "row 0");
}

bdl_status bdl__rows_finish(bdl__dataset *dataset)
{
    BDL__TRY(need_open(dataset));
    pushed_state *state = dataset->state;
    bdl_status status = bdl__records_seal(state->records);
    state->is_broken = status != BDL_OK;
    if (dataset->label_kind == BDL__LABEL_CLASS && state->options.n_classes == 0) {
        dataset->n_classes = state->largest + 1;
    }
    if (status == BDL_OK && state->options.is_encoded && state->n > 0) {
        status = describe_first_image(dataset);
    }
    if (status != BDL_OK) {
        return bdl__fail_in(status, "data '%s'", dataset->text);
    }
    dataset->is_packed = bdl__records_are_packed(state->records);
    state->is_finished = true;
    return BDL_OK;
}

/* ---- records ---- */

/* Options that make a data set for the same rows. */
static bdl__rows_options options_like(const bdl__dataset *dataset)
{
    bdl__rows_options options = {.shape = dataset->shape, .element = dataset->element};
    if (dataset->reader == &pushed_reader) {
        const pushed_state *state = dataset->state;
        const int64_t left = state->options.memory_limit - bdl__records_memory(state->records);
        options = state->options;
        options.memory_limit = BDL__MAX(left, INT64_C(1));
    }
    options.name = dataset->text;
    options.label_kind = dataset->label_kind;
    options.n_classes = dataset->n_classes;
    options.class_names = dataset->class_names;
    options.target_shape = dataset->target_shape;
    options.transform = dataset->default_transform;
    return options;
}

bdl_status bdl__rows_create_like(const bdl__dataset *dataset, bdl__dataset **like)
{
    const bdl__rows_options options = options_like(dataset);
    return bdl__rows_create(dataset->allocator, dataset->log, &options, like);
}

bdl_status bdl__rows_record(const bdl__dataset *dataset, int64_t i, bdl__sample *sample,
                            bdl__row_record *record)
{
    BDL__TRY(bdl__dataset_key(dataset, i, sample, &record->key));
    if (dataset->reader == &pushed_reader) {
        const pushed_state *state = dataset->state;
        const int64_t place = place_of(dataset, i);
        record->label = state->labels != NULL ? state->labels[place] : 0;
        bdl__record kept;
        BDL__TRY(bdl__records_read(state->records, place, &sample->buffer, &kept));
        record->bytes = kept.bytes;
        record->size = kept.size;
        return BDL_OK;
    }
    BDL__TRY(bdl__dataset_read(dataset, i, sample));
    const size_t values_size = (size_t)bdl__shape_count(&sample->shape) *
                               (sample->element == BDL__ELEMENT_U8 ? 1 : sizeof(float));
    record->label = sample->label;
    record->bytes = sample->data;
    record->size = values_size;
    if (dataset->label_kind == BDL__LABEL_FLOATS) { /* as a pushed row is kept */
        const size_t begin = bdl__align_up(values_size, sizeof(float));
        const size_t size = (size_t)bdl__shape_count(&dataset->target_shape) * sizeof(float);
        BDL__TRY(bdl__buffer_need(&sample->scratch, begin + size));
        memcpy(sample->scratch.data, sample->data, values_size);
        memcpy((char *)sample->scratch.data + begin, sample->target, size);
        record->bytes = sample->scratch.data;
        record->size = begin + size;
    }
    return BDL_OK;
}

bdl_status bdl__rows_add_record(bdl__dataset *dataset, const bdl__row_record *record)
{
    pushed_state *state = dataset->state;
    BDL__TRY(grow(dataset, state, state->n + 1));
    const bdl_status status = bdl__records_append_record(state->records, record->bytes, record->size);
    if (status != BDL_OK) {
        return bdl__fail_in(status, "data '%s'", dataset->text);
    }
    if (state->labels != NULL) {
        state->labels[state->n] = record->label;
    }
    state->keys[state->n] = record->key;
    count_key(state, record->key);
    dataset->n = ++state->n;
    return BDL_OK;
}

bdl_status bdl__rows_finish_sorted(bdl__dataset *dataset, int64_t n, int64_t first, int64_t n_classes,
                                   const bdl__shape *shape)
{
    pushed_state *state = dataset->state;
    void *sorted = NULL, *scratch = NULL;
    const size_t size = (size_t)state->n * sizeof(uint32_t);
    BDL__TRY(bdl__records_seal(state->records));
    BDL__TRY(bdl__alloc(dataset->allocator, size, &sorted));
    state->sorted = sorted;
    state->n_sorted = state->n;
    BDL__TRY(bdl__alloc(dataset->allocator, size, &scratch));
    const bdl_status status =
        bdl__sort_keys(dataset->allocator, state->keys, state->n, state->sorted, scratch);
    bdl__free(dataset->allocator, scratch, size);
    dataset->n = n;
    dataset->first_row = first;
    dataset->end_row = first + state->n;
    dataset->is_sorted = true;
    dataset->n_classes = n_classes;
    dataset->shape = *shape;
    dataset->is_packed = bdl__records_are_packed(state->records);
    state->is_finished = true;
    return status;
}

bool bdl__rows_is_finished(const bdl__dataset *dataset)
{
    const pushed_state *state = dataset->state;
    return dataset->reader != &pushed_reader || state->is_finished;
}

bdl_status bdl__rows_get_stats(const bdl__dataset *dataset, bdl__rows_stats *stats)
{
    *stats = (bdl__rows_stats){.n = dataset->n, .n_classes = dataset->n_classes};
    if (dataset->reader != &pushed_reader) {
        return BDL_OK;
    }
    const pushed_state *state = dataset->state;
    stats->memory_size = bdl__records_memory(state->records) +
                         state->capacity * (int64_t)sizeof(bdl__key) +
                         state->labels_capacity * (int64_t)sizeof(int32_t);
    stats->spilled_size = bdl__records_spilled(state->records);
    stats->key_xor = state->key_xor;
    stats->key_sum = state->key_sum;
    return BDL_OK;
}
