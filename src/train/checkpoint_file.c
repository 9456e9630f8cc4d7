/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint: a safetensors file with the tensors weights/<name>, buffers/<name>,
 * state<i>/<name>, and the metadata "bdl", a JSON document with everything else, and "sha256", a
 * checksum over the document and over name, dtype, shape and data of each tensor.
 */
#include "train/checkpoint_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "train/vectors.h"

#define FORMAT_NAME "bdl-checkpoint"
#define FORMAT_VERSION 1
#define DOCUMENT_KEY "bdl"
#define CHECKSUM_KEY "sha256"
#define WEIGHTS "weights/"
#define BUFFERS "buffers/"

/* ---- what both directions share ------------------------------------------------------------- */

static bdl_status list_tensors(const bdl__checkpoint_io *io, bdl__arena *arena,
                               bdl__st_tensor **tensors, int64_t *n)
{
    const int n_states = bdl__optim_n_states(io->optim);
    static const char *const prefixes[BDL__MAX_OPTIM_STATES] = {"state0/", "state1/", "state2/"};
    bdl__vector vectors[2 + BDL__MAX_OPTIM_STATES] = {
        {.prefix = WEIGHTS, .data = io->model->weights},
        {.prefix = BUFFERS, .data = io->model->buffers, .is_buffers = true}};
    for (int i = 0; i < n_states; i++) {
        vectors[2 + i] = (bdl__vector){.prefix = prefixes[i], .data = io->states[i]};
    }
    return bdl__vectors_list(io->model, vectors, 2 + n_states, arena, tensors, n);
}

static void hash_text(bdl__sha256 *hash, const char *text)
{
    bdl__sha256_update(hash, text, strlen(text) + 1);
}

static void hash_tensor(bdl__sha256 *hash, const bdl__st_tensor *tensor)
{
    char shape[BDL__SHAPE_TEXT_SIZE];
    hash_text(hash, tensor->name);
    hash_text(hash, bdl__st_dtype_name(tensor->dtype));
    hash_text(hash, bdl__shape_text(&tensor->shape, shape, sizeof shape));
    bdl__sha256_update(hash, tensor->data, tensor->size);
}

static void finish_hash(bdl__sha256 *hash, char hex[65])
{
    uint8_t digest[32];
    bdl__sha256_final(hash, digest);
    bdl__sha256_hex(digest, hex);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void write_string(bdl__json_writer *w, const char *key, const char *value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_string(w, value);
}

static void write_i64(bdl__json_writer *w, const char *key, int64_t value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_i64(w, value);
}

static void write_position(const bdl__position *position, bdl__json_writer *w)
{
    bdl__json_write_key(w, "position");
    bdl__json_open(w, '{');
    write_i64(w, "epoch", position->epoch);
    write_i64(w, "step", position->step);
    write_i64(w, "iteration", position->iteration);
    bdl__json_write_key(w, "epoch_loss");
    bdl__json_write_f64(w, position->epoch_loss);
    bdl__json_write_key(w, "epoch_divisor");
    bdl__json_write_f64(w, position->epoch_divisor);
    bdl__json_write_key(w, "validation_due");
    bdl__json_write_bool(w, position->validation_due);
    write_i64(w, "results_key", position->results_key);
    bdl__json_write_key(w, "results");
    bdl__json_open(w, '[');
    for (int64_t i = 0; i < position->n_results; i++) {
        bdl__json_write_f64(w, position->results[i]);
    }
    bdl__json_close(w, ']');
    bdl__json_close(w, '}');
}

static void write_document(const bdl__checkpoint_io *io, const bdl__position *position,
                           const char *optim, bdl__json_writer *w)
{
    bdl__json_open(w, '{');
    write_string(w, "format", FORMAT_NAME);
    write_i64(w, "format_version", FORMAT_VERSION);
    write_string(w, "bdl_version", BDL_VERSION_STRING);
    write_string(w, "target", bdl__target_name(io->target));
    write_string(w, "model", io->model->graph->name);
    write_position(position, w);
    write_string(w, "method", bdl__optim_method_of(io->optim)->name);
    write_string(w, "optim", optim);
    write_i64(w, "states", bdl__optim_n_states(io->optim));
    bdl__json_write_key(w, "schedule");
    bdl__schedule_state_to_json(io->schedule, w);
    write_string(w, "settings", io->settings);
    bdl__json_close(w, '}');
}

/* The document's text, in the arena. */
static bdl_status make_document(const bdl__checkpoint_io *io, const bdl__position *position,
                                bdl__arena *arena, const char **document)
{
    bdl__text optim, text;
    bdl__json_writer writer;
    bdl__text_init(&optim, io->allocator);
    bdl__text_init(&text, io->allocator);
    bdl__optim_to_text(io->optim, &optim);
    bdl__json_writer_init(&writer, &text, 0);
    write_document(io, position, bdl__text_get(&optim), &writer);
    bdl_status status;
    BDL__TRY_DONE(status, bdl__text_status(&optim));
    BDL__TRY_DONE(status, bdl__text_status(&text));
    status = bdl__arena_strdup(arena, bdl__text_get(&text), document);
done:
    bdl__text_free(&optim);
    bdl__text_free(&text);
    return status;
}

static bdl_status write_file(const bdl__checkpoint_io *io, const bdl__position *position,
                             const char *path, bdl__arena *arena)
{
    bdl__st_tensor *tensors = NULL;
    int64_t n = 0;
    const char *document;
    char hex[65];
    bdl__sha256 hash;
    BDL__CHECK(isfinite(position->epoch_loss) && isfinite(position->epoch_divisor), BDL_ERR_NUMERIC,
               "the epoch's loss is not a finite number");
    BDL__TRY(list_tensors(io, arena, &tensors, &n));
    BDL__TRY(make_document(io, position, arena, &document));
    bdl__sha256_init(&hash);
    hash_text(&hash, document);
    for (int64_t i = 0; i < n; i++) {
        hash_tensor(&hash, &tensors[i]);
    }
    finish_hash(&hash, hex);
    const bdl__st_pair metadata[] = {{.key = DOCUMENT_KEY, .value = document},
                                     {.key = CHECKSUM_KEY, .value = hex}};
    return bdl__safetensors_write(io->allocator, path, tensors, n, metadata,
                                  BDL__COUNT_OF(metadata));
}

bdl_status bdl__checkpoint_file_write(const bdl__checkpoint_io *io, const bdl__position *position,
                                      const char *path)
{
    bdl__arena arena;
    bdl__arena_init(&arena, io->allocator);
    const bdl_status status = write_file(io, position, path, &arena);
    bdl__arena_free(&arena);
    return status;
}

/* ---- reading: is the file whole? ------------------------------------------------------------ */

bdl_status bdl__checkpoint_file_check(const bdl__safetensors *file, const char *path)
{
    const char *const document = bdl__safetensors_metadata(file, DOCUMENT_KEY);
    const char *const want = bdl__safetensors_metadata(file, CHECKSUM_KEY);
    char found[65];
    bdl__sha256 hash;
#if !defined(BDL_SEEDED_BUGS)
    BDL__CHECK(document && want, BDL_ERR_FORMAT,
               "%s: expected the metadata '" DOCUMENT_KEY "' and '" CHECKSUM_KEY
               "' of a checkpoint, found %s",
               path, document || want ? "one of them" : "none of them");
#endif
    bdl__sha256_init(&hash);
    hash_text(&hash, document);
    for (int64_t i = 0; i < bdl__safetensors_count(file); i++) {
        hash_tensor(&hash, bdl__safetensors_at(file, i));
    }
    finish_hash(&hash, found);
    BDL__CHECK(strcmp(found, want) == 0, BDL_ERR_FORMAT,
               "%s: expected SHA-256 %.64s, found %s: its content has changed", path, want, found);
    return BDL_OK;
}

/* ---- reading: does it fit? ------------------------------------------------------------------ */

/* A checkpoint while it is read. */
typedef struct reading {
    const bdl__checkpoint_io *io;
    const bdl__log *log;
    const char *path;
    bdl__position position;
} reading;

static bdl_status check_format(const bdl__json *root, const char *where)
{
    static const char *const known[] = {"format",   "format_version", "bdl_version", "target",
                                        "model",    "position",       "method",      "optim",
                                        "states",   "schedule",       "settings"};
    const char *format;
    int64_t version = 0;
    BDL__TRY(bdl__json_need_string(root, "format", where, &format));
    BDL__CHECK(strcmp(format, FORMAT_NAME) == 0, BDL_ERR_FORMAT,
               "%s: expected the format '" FORMAT_NAME "', found '%.100s'", where, format);
    BDL__TRY(bdl__json_need_i64(root, "format_version", where, &version));
    BDL__CHECK(version == FORMAT_VERSION, BDL_ERR_UNSUPPORTED,
               "%s: expected format version %d, found %lld: another version of bdl wrote it", where,
               FORMAT_VERSION, (long long)version);
    return bdl__json_check_members(root, known, BDL__COUNT_OF(known), where);
}

static bdl_status need_count(const bdl__json *object, const char *key, const char *where,
                             int64_t *value)
{
    BDL__TRY(bdl__json_need_i64(object, key, where, value));
    BDL__CHECK(*value >= 0, BDL_ERR_FORMAT, "%s: expected %s >= 0, found %lld", where, key,
               (long long)*value);
    return BDL_OK;
}

static bdl_status need_f64(const bdl__json *object, const char *key, const char *where,
                           double *value)
{
    const bdl__json *member;
    BDL__TRY(bdl__json_need(object, key, BDL__JSON_NUMBER, where, &member));
    *value = bdl__json_f64(member);
    return BDL_OK;
}

/* Numbers, and null for what was not measured. */
static bdl_status read_results(const bdl__json *object, const char *where, bdl__position *position)
{
    const bdl__json *list;
    BDL__TRY(need_count(object, "results_key", where, &position->results_key));
    BDL__TRY(bdl__json_need(object, "results", BDL__JSON_ARRAY, where, &list));
    position->n_results = 0;
    for (const bdl__json *m = bdl__json_first(list); m; m = bdl__json_next(m)) {
        const bdl__json_kind kind = bdl__json_kind_of(m);
        BDL__CHECK(position->n_results < BDL__COUNT_OF(position->results) &&
                       (kind == BDL__JSON_NUMBER || kind == BDL__JSON_NULL),
                   BDL_ERR_FORMAT, "%s: expected up to %d numbers as results, found more or %s", where,
                   (int)BDL__COUNT_OF(position->results), bdl__json_kind_name(kind));
        position->results[position->n_results++] =
            kind == BDL__JSON_NUMBER ? bdl__json_f64(m) : NAN;
    }
    return BDL_OK;
}

static bdl_status read_position(const bdl__json *root, const char *where, bdl__position *position)
{
    static const char *const known[] = {"epoch", "step", "iteration", "epoch_loss",
                                        "epoch_divisor", "validation_due", "results_key",
                                        "results"};
    const bdl__json *object, *due;
    BDL__TRY(bdl__json_need(root, "position", BDL__JSON_OBJECT, where, &object));
    BDL__TRY(bdl__json_check_members(object, known, BDL__COUNT_OF(known), where));
    BDL__TRY(need_count(object, "epoch", where, &position->epoch));
    BDL__TRY(need_count(object, "step", where, &position->step));
    BDL__TRY(need_count(object, "iteration", where, &position->iteration));
    BDL__TRY(need_f64(object, "epoch_loss", where, &position->epoch_loss));
    BDL__TRY(need_f64(object, "epoch_divisor", where, &position->epoch_divisor));
    BDL__TRY(bdl__json_need(object, "validation_due", BDL__JSON_BOOL, where, &due));
    position->validation_due = bdl__json_bool(due);
    return read_results(object, where, position);
}

/* Tensors of the file that are a model's, and how many weights they hold. */
static int64_t count_tensors(const bdl__safetensors *file, int64_t *n_weights)
{
    int64_t n = 0;
    *n_weights = 0;
    for (int64_t i = 0; i < bdl__safetensors_count(file); i++) {
        const bdl__st_tensor *const tensor = bdl__safetensors_at(file, i);
        const bool is_weight = strncmp(tensor->name, WEIGHTS, strlen(WEIGHTS)) == 0;
        n += is_weight || strncmp(tensor->name, BUFFERS, strlen(BUFFERS)) == 0;
        *n_weights += is_weight ? tensor->count : 0;
    }
    return n;
}

/* `tensors` begin with the model's. */
static bdl_status check_model(const reading *r, const bdl__json *root, const bdl__safetensors *file,
                              const bdl__st_tensor *tensors, bdl__arena *arena)
{
    const bdl__graph *const graph = r->io->model->graph;
    const int64_t n = graph->n_params + graph->n_buffers;
    const char *name;
    char reason[512] = "";
    int64_t was_weights, now_weights = 0;
    BDL__TRY(bdl__json_need_string(root, "model", r->path, &name));
    bdl_status status = bdl__vectors_find(file, tensors, n, "the first difference", arena);
    if (status != BDL_OK) {
        snprintf(reason, sizeof reason, ": %s", bdl_last_error());
    }
    const int64_t n_found = count_tensors(file, &was_weights);
    if (status == BDL_OK && n_found == n) {
        return BDL_OK;
    }
    for (int64_t i = 0; i < graph->n_params; i++) {
        now_weights += graph->params[i].count;
    }
    BDL__FAIL(status == BDL_OK ? BDL_ERR_SHAPE : status,
              "%s is of another model: '%.100s' with %lld weights (%lld tensors with the buffers), expected '%.100s' with "
              "%lld (%lld)%s",
              r->path, name, (long long)was_weights, (long long)n_found, graph->name, (long long)now_weights,
              (long long)n, reason);
}

static bdl_status check_method(const reading *r, const bdl__json *root, const char *now)
{
    const char *method, *was;
    int64_t n_states = 0;
    BDL__TRY(bdl__json_need_string(root, "method", r->path, &method));
    BDL__TRY(bdl__json_need_string(root, "optim", r->path, &was));
    BDL__TRY(need_count(root, "states", r->path, &n_states));
    const bool is_same = strcmp(method, bdl__optim_method_of(r->io->optim)->name) == 0 &&
                         n_states == bdl__optim_n_states(r->io->optim);
    BDL__CHECK(is_same, BDL_ERR_STATE,
               "%s was trained with %.200s, whose state %s cannot take over: resume with the same "
               "method, or start from a saved model",
               r->path, was, now);
    if (r->log && strcmp(was, now) != 0) {
        BDL__LOG(r->log, BDL__LOG_INFO, "%s: the method was %s and is now %s", r->path, was, now);
    }
    return BDL_OK;
}

static bdl_status check_optim(const reading *r, const bdl__json *root)
{
    bdl__text now;
    bdl__text_init(&now, r->io->allocator);
    bdl__optim_to_text(r->io->optim, &now);
    bdl_status status = bdl__text_status(&now);
    if (status == BDL_OK) {
        status = check_method(r, root, bdl__text_get(&now));
    }
    bdl__text_free(&now);
    return status;
}

/* ---- reading: settings ---------------------------------------------------------------------- */

/* A setting has changed: an error in mid-epoch, a line on the log at an epoch's end. */
static bdl_status report_change(const reading *r, const char *name, const char *was,
                                const char *now)
{
    BDL__CHECK(
        r->position.step == 0, BDL_ERR_STATE,
        "%s stands in the middle of an epoch (epoch %lld, step %lld), where %s must stay: it "
        "was %.200s and is now %.200s",
        r->path, (long long)r->position.epoch + 1, (long long)r->position.step, name, was, now);
    if (r->log) {
        BDL__LOG(r->log, BDL__LOG_INFO, "%s: %s was %.200s and is now %.200s", r->path, name, was,
                 now);
    }
    return BDL_OK;
}

/* A setting's value as text, for comparing and printing. */
static const char *setting_text(const bdl__json *value, char buffer[32])
{
    int64_t number = 0;
    if (!value) {
        return "not given";
    }
    switch (bdl__json_kind_of(value)) {
    case BDL__JSON_STRING:
        return bdl__json_string(value);
    case BDL__JSON_BOOL:
        return bdl__json_bool(value) ? "true" : "false";
    case BDL__JSON_NUMBER:
        if (bdl__json_i64(value, &number)) {
            snprintf(buffer, 32, "%lld", (long long)number);
        } else {
            bdl__format_f64(bdl__json_f64(value), buffer, 32);
        }
        return buffer;
    case BDL__JSON_NULL:
    case BDL__JSON_ARRAY:
    case BDL__JSON_OBJECT:
        break;
    }
    return bdl__json_kind_name(bdl__json_kind_of(value));
}

/* Members of `a` that `b` has otherwise; the target is compared by itself. With `only_missing`,
 * those that `b` lacks. */
static bdl_status compare_members(const reading *r, const bdl__json *a, const bdl__json *b,
                                  bool only_missing)
{
    for (const bdl__json *m = bdl__json_first(a); m; m = bdl__json_next(m)) {
        char first[32], second[32];
        const char *const key = bdl__json_key(m);
        const bdl__json *const other = bdl__json_get(b, key);
        const char *const now = setting_text(m, first);
        const char *const was = setting_text(other, second);
        if (strcmp(key, "target") == 0 || strcmp(now, was) == 0 || (only_missing && other)) {
            continue;
        }
        BDL__TRY(only_missing ? report_change(r, key, now, was) : report_change(r, key, was, now));
    }
    return BDL_OK;
}

static bdl_status parse_object(const char *text, const char *where, bdl__json **object)
{
    BDL__TRY(bdl__json_parse(text, strlen(text), where, object));
    if (bdl__json_kind_of(*object) != BDL__JSON_OBJECT) {
        const bdl__json_kind kind = bdl__json_kind_of(*object);
        bdl__json_free(*object);
        *object = NULL;
        BDL__FAIL(BDL_ERR_FORMAT, "%s: expected an object, found %s", where,
                  bdl__json_kind_name(kind));
    }
    return BDL_OK;
}

static bdl_status compare_settings(const reading *r, const char *old_text)
{
    bdl__json *was = NULL, *now = NULL;
    bdl_status status;
    BDL__TRY_DONE(status, parse_object(old_text, r->path, &was));
    BDL__TRY_DONE(status, parse_object(r->io->settings, "settings", &now));
    BDL__TRY_DONE(status, compare_members(r, now, was, false));
    BDL__TRY_DONE(status, compare_members(r, was, now, true));
done:
    bdl__json_free(was);
    bdl__json_free(now);
    return status;
}

static bdl_status check_settings(const reading *r, const bdl__json *root)
{
    const char *target, *settings;
    const char *const now = bdl__target_name(r->io->target);
    BDL__TRY(bdl__json_need_string(root, "target", r->path, &target));
    BDL__TRY(bdl__json_need_string(root, "settings", r->path, &settings));
    if (strcmp(target, now) != 0) {
        BDL__TRY(report_change(r, "the kernel target", target, now));
    }
    return compare_settings(r, settings);
}

/* ---- reading: all of it --------------------------------------------------------------------- */

static bdl_status check_document(reading *r, const bdl__json *root, const bdl__safetensors *file,
                                 const bdl__st_tensor *tensors, bdl__arena *arena)
{
    BDL__TRY(check_format(root, r->path));
    BDL__TRY(read_position(root, r->path, &r->position));
    BDL__TRY(check_model(r, root, file, tensors, arena));
    BDL__TRY(check_optim(r, root));
    return check_settings(r, root);
}

/* Everything is checked before the first change, and what changes cannot fail half-way. */
static bdl_status take_over(reading *r, const bdl__json *root, const bdl__safetensors *file,
                            bdl__arena *arena)
{
    bdl__st_tensor *tensors = NULL;
    int64_t n = 0;
    const bdl__json *schedule;
    BDL__TRY(list_tensors(r->io, arena, &tensors, &n));
    BDL__TRY(check_document(r, root, file, tensors, arena));
    BDL__TRY(bdl__vectors_check(file, tensors, n, r->path, arena));
    BDL__TRY(bdl__json_need(root, "schedule", BDL__JSON_ARRAY, r->path, &schedule));
    BDL__TRY(bdl__schedule_state_from_json(r->io->schedule, schedule, r->path));
    bdl__vectors_copy(file, tensors, n);
    r->io->model->weights_version++;
    return BDL_OK;
}

bdl_status bdl__checkpoint_file_take(const bdl__checkpoint_io *io, const bdl__log *log,
                                     const bdl__safetensors *file, const char *document,
                                     const char *path, bdl__position *position)
{
    reading r = {.io = io, .log = log, .path = path};
    bdl__json *root = NULL;
    bdl__arena arena;
    BDL__TRY(parse_object(document, path, &root));
    bdl__arena_init(&arena, io->allocator);
    const bdl_status status = take_over(&r, root, file, &arena);
    bdl__arena_free(&arena);
    bdl__json_free(root);
    if (status == BDL_OK) {
        *position = r.position;
    }
    return status;
}

/* A failure that another file would not share. */
static bool is_of_the_file(bdl_status status)
{
    return status == BDL_ERR_FORMAT || status == BDL_ERR_UNSUPPORTED;
}

bdl_status bdl__checkpoint_file_read(const bdl__checkpoint_io *io, const bdl__log *log,
                                     const char *path, bdl__position *position, bool *is_damaged)
{
    bdl__safetensors *file = NULL;
    bdl_status status = bdl__safetensors_open(io->allocator, path, &file);
    if (status == BDL_OK) {
        status = bdl__checkpoint_file_check(file, path);
    }
    *is_damaged = is_of_the_file(status);
    if (status == BDL_OK) {
        status = bdl__checkpoint_file_take(
            io, log, file, bdl__safetensors_metadata(file, DOCUMENT_KEY), path, position);
    }
    bdl__safetensors_free(file);
    return status;
}
