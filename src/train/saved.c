/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved models: a directory with model.json (graph, dtype, preprocessing, names of classes,
 * checksum of the weights) and weights.safetensors.
 *
 * A model replaces another one without a moment at which neither can be loaded. The new weights
 * first appear under a name of their own, weights-<12 digits of their SHA-256>.safetensors; then
 * model.json is renamed over the old one, and from then on the new model counts; then the weights
 * are renamed to weights.safetensors. A reader that finds model.json without the last rename
 * takes the weights under the name that the checksum gives. So of a crash nothing remains but a
 * file that the next save removes.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "train/train.h"
#include "train/vectors.h"
#include "zoo/zoo.h"

#define FORMAT_NAME "bdl-model"
#define FORMAT_VERSION 1
#define WEIGHTS_NAME "weights.safetensors"
#define PENDING_PREFIX "weights-"
#define PENDING_SUFFIX ".safetensors"
#define PENDING_DIGITS 12
#define NEW_WEIGHTS_NAME "weights-new.safetensors"
#define MOST_JSON ((size_t)64 << 20)
#define MOST_CLASSES (1 << 24)

static const char *dtype_name(bdl_dtype dtype)
{
    return dtype == BDL_F64 ? "float64" : "float32";
}

/* ---- names of files ------------------------------------------------------------------------- */

static bdl_status pending_path(bdl__arena *arena, const char *directory, const char *sha256,
                               const char **path)
{
    const char *name;
    BDL__TRY(bdl__arena_printf(arena, &name, PENDING_PREFIX "%.*s" PENDING_SUFFIX, PENDING_DIGITS,
                               sha256));
    return bdl__path_join(arena, directory, name, path);
}

/* Whether only an interrupted save leaves a file of this name. */
static bool is_left_over(const char *name)
{
    static const char *const starts[] = {"model.json.tmp-", WEIGHTS_NAME ".tmp-",
                                         NEW_WEIGHTS_NAME ".tmp-"};
    for (int64_t i = 0; i < BDL__COUNT_OF(starts); i++) {
        const size_t n = strlen(starts[i]);
        if (strncmp(name, starts[i], n) == 0 && name[n + strspn(name + n, "0123456789")] == '\0') {
            return true;
        }
    }
    const size_t n = strlen(PENDING_PREFIX);
    return strcmp(name, NEW_WEIGHTS_NAME) == 0 ||
           (strncmp(name, PENDING_PREFIX, n) == 0 &&
            strspn(name + n, "0123456789abcdef") == PENDING_DIGITS &&
            strcmp(name + n + PENDING_DIGITS, PENDING_SUFFIX) == 0);
}

static bdl_status hash_file(const char *path, char hex[65])
{
    bdl__map map;
    bdl__sha256 hash;
    uint8_t digest[32];
    BDL__TRY(bdl__file_map(path, &map));
    bdl__sha256_init(&hash);
    bdl__sha256_update(&hash, map.data, map.size);
    bdl__sha256_final(&hash, digest);
    bdl__file_unmap(&map);
    bdl__sha256_hex(digest, hex);
    return BDL_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void write_member(bdl__json_writer *w, const char *key, const char *value)
{
    bdl__json_write_key(w, key);
    bdl__json_write_string(w, value);
}

static void write_document(const bdl__saved *saved, const char *sha256, bdl__json_writer *w)
{
    bdl__json_open(w, '{');
    write_member(w, "format", FORMAT_NAME);
    bdl__json_write_key(w, "format_version");
    bdl__json_write_i64(w, FORMAT_VERSION);
    write_member(w, "bdl_version", BDL_VERSION_STRING);
    bdl__json_write_key(w, "graph");
    bdl__graph_to_json(saved->model->graph, w);
    write_member(w, "dtype", dtype_name(saved->model->dtype));
    if (saved->chain) {
        bdl__json_write_key(w, "preprocessing");
        bdl__chain_to_json(saved->chain, w);
    }
    if (saved->n_classes > 0 && saved->class_names) {
        bdl__json_write_key(w, "classes");
        bdl__json_open(w, '[');
        for (int64_t i = 0; i < saved->n_classes; i++) {
            bdl__json_write_string(w, saved->class_names[i]);
        }
        bdl__json_close(w, ']');
    }
    if (saved->loss) {
        write_member(w, "loss", saved->loss);
    }
    bdl__json_write_key(w, "weights");
    bdl__json_open(w, '{');
    write_member(w, "file", WEIGHTS_NAME);
    write_member(w, "sha256", sha256);
    bdl__json_close(w, '}');
    bdl__json_close(w, '}');
}

static bdl_status write_json(const bdl__saved *saved, const char *path, const char *sha256)
{
    bdl__text text;
    bdl__json_writer writer;
    bdl__text_init(&text, saved->model->allocator);
    bdl__json_writer_init(&writer, &text, 1);
    write_document(saved, sha256, &writer);
    bdl__text_append(&text, "\n");
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__file_write(path, text.data, text.size);
    }
    bdl__text_free(&text);
    return status;
}

static bdl_status list_tensors(const bdl__model *model, bdl__arena *arena, bdl__st_tensor **tensors,
                               int64_t *n)
{
    const bdl__vector vectors[] = {{.prefix = "", .data = model->weights},
                                   {.prefix = "", .data = model->buffers, .is_buffers = true}};
    return bdl__vectors_list(model, vectors, BDL__COUNT_OF(vectors), arena, tensors, n);
}

static bdl_status write_weights(const bdl__model *model, const char *path, bdl__arena *arena)
{
    static const bdl__st_pair metadata = {.key = "format", .value = FORMAT_NAME};
    bdl__st_tensor *tensors = NULL;
    int64_t n = 0;
    BDL__TRY(list_tensors(model, arena, &tensors, &n));
    return bdl__safetensors_write(model->allocator, path, tensors, n, &metadata, 1);
}

/* Failures are of no account: the next save tries again. */
static void remove_left_overs(bdl__arena *arena, const char *directory)
{
    const char *const *names;
    const char *path;
    int64_t n = 0;
    if (bdl__list_directory(arena, directory, &names, &n) != BDL_OK) {
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (is_left_over(names[i]) && bdl__path_join(arena, directory, names[i], &path) == BDL_OK) {
            (void)unlink(path);
        }
    }
}

static bdl_status write_all(const bdl__saved *saved, const char *directory, bdl__arena *arena)
{
    const char *new_path, *weights_path, *json_path, *pending;
    char sha256[65];
    BDL__TRY(bdl__path_join(arena, directory, NEW_WEIGHTS_NAME, &new_path));
    BDL__TRY(bdl__path_join(arena, directory, WEIGHTS_NAME, &weights_path));
    BDL__TRY(bdl__path_join(arena, directory, "model.json", &json_path));
    BDL__TRY(bdl__make_directories(directory));
    BDL__TRY(write_weights(saved->model, new_path, arena));
    BDL__TRY(hash_file(new_path, sha256));
    BDL__TRY(pending_path(arena, directory, sha256, &pending));
    BDL__TRY(bdl__file_rename(new_path, pending));
    BDL__TRY(write_json(saved, json_path, sha256));
    BDL__TRY(bdl__file_rename(pending, weights_path));
    remove_left_overs(arena, directory);
    return BDL_OK;
}

bdl_status bdl__saved_write(const bdl__saved *saved, const char *directory)
{
    bdl__arena arena;
    bdl__arena_init(&arena, saved->model->allocator);
    bdl_status status = write_all(saved, directory, &arena);
    bdl__arena_free(&arena);
    return status == BDL_OK ? BDL_OK : bdl__fail_in(status, "cannot save the model");
}

/* ---- reading model.json --------------------------------------------------------------------- */

static bdl_status check_format(const bdl__json *root, const char *where)
{
    static const char *const known[] = {"format",  "format_version", "bdl_version",
                                        "graph",   "dtype",          "preprocessing",
                                        "classes", "loss",           "weights"};
    const char *format;
    int64_t version = 0;
    BDL__TRY(bdl__json_need_string(root, "format", where, &format));
    BDL__CHECK(strcmp(format, FORMAT_NAME) == 0, BDL_ERR_FORMAT,
               "%s: expected the format '" FORMAT_NAME "', found '%.100s'", where, format);
    BDL__TRY(bdl__json_need_i64(root, "format_version", where, &version));
    BDL__CHECK(version == FORMAT_VERSION, BDL_ERR_UNSUPPORTED,
               "%s: expected format version %d, found %lld: it was written by another version of "
               "bdl",
               where, FORMAT_VERSION, (long long)version);
    return bdl__json_check_members(root, known, BDL__COUNT_OF(known), where);
}

static bdl_status read_dtype(const bdl__json *root, const char *where, bdl_dtype *dtype)
{
    const char *name;
    BDL__TRY(bdl__json_need_string(root, "dtype", where, &name));
    const bool is_f64 = strcmp(name, dtype_name(BDL_F64)) == 0;
    BDL__CHECK(is_f64 || strcmp(name, dtype_name(BDL_F32)) == 0, BDL_ERR_FORMAT,
               "%s: expected dtype '%s' or '%s', found '%.40s'", where, dtype_name(BDL_F32),
               dtype_name(BDL_F64), name);
    *dtype = is_f64 ? BDL_F64 : BDL_F32;
    return BDL_OK;
}

static bdl_status read_chain(const bdl__json *root, const char *where, bdl__saved *saved)
{
    const bdl__json *array;
    if (!bdl__json_get(root, "preprocessing")) {
        return BDL_OK;
    }
    BDL__TRY(bdl__json_need(root, "preprocessing", BDL__JSON_ARRAY, where, &array));
    BDL__TRY(bdl__arena_printf(&saved->arena, &where, "%s: preprocessing", where));
    const bdl_status made = bdl__chain_from_json(saved->allocator, array, where, &saved->chain);
    if (made != BDL_OK) {
        return strstr(bdl_last_error(), where) ? made : bdl__fail_in(made, "%s", where);
    }
    bdl__text text;
    bdl__text_init(&text, saved->allocator);
    bdl__chain_to_text(saved->chain, &text);
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__arena_strdup(&saved->arena, bdl__text_get(&text), &saved->transform);
    }
    bdl__text_free(&text);
    return status;
}

static bdl_status read_classes(const bdl__json *root, const char *where, bdl__saved *saved)
{
    const bdl__json *array;
    void *memory = NULL;
    if (!bdl__json_get(root, "classes")) {
        return BDL_OK;
    }
    BDL__TRY(bdl__json_need(root, "classes", BDL__JSON_ARRAY, where, &array));
    const int64_t n = bdl__json_count(array);
    BDL__CHECK(n >= 1 && n <= MOST_CLASSES, BDL_ERR_FORMAT,
               "%s: expected 1 to %d classes, found %lld", where, MOST_CLASSES, (long long)n);
    BDL__TRY(bdl__arena_alloc(&saved->arena, (size_t)n * sizeof(char *), &memory));
    const char **const names = memory;
    for (const bdl__json *e = bdl__json_first(array); e; e = bdl__json_next(e)) {
        BDL__CHECK(bdl__json_kind_of(e) == BDL__JSON_STRING, BDL_ERR_FORMAT,
                   "%s: classes[%lld]: expected a string, found %s", where,
                   (long long)saved->n_classes, bdl__json_kind_name(bdl__json_kind_of(e)));
        BDL__TRY(bdl__arena_strdup(&saved->arena, bdl__json_string(e), &names[saved->n_classes++]));
    }
    saved->class_names = names;
    return BDL_OK;
}

/* Everything but graph and weights. */
static bdl_status read_description(const bdl__json *root, const char *where, bdl__saved *saved)
{
    BDL__TRY(read_chain(root, where, saved));
    BDL__TRY(read_classes(root, where, saved));
    if (bdl__json_get(root, "loss")) {
        const char *loss;
        BDL__TRY(bdl__json_need_string(root, "loss", where, &loss));
        BDL__TRY(bdl__arena_strdup(&saved->arena, loss, &saved->loss));
    }
    return BDL_OK;
}

/* A model of the graph in `object`, its weights by their initialisers. */
static bdl_status read_model(const bdl__json *object, const char *where, bdl_dtype dtype,
                             uint64_t seed, bdl__saved *saved)
{
    bdl__graph *graph = NULL;
    BDL__TRY(bdl__graph_from_json(saved->allocator, object, where, &graph));
    const bdl_status status =
        bdl__model_create(saved->allocator, graph, dtype, seed, &saved->model);
    bdl__graph_release(graph);
    return status;
}

/* A saved model's document; `dtype` NULL = the document's own. */
static bdl_status read_document(const bdl__json *root, const char *where, const bdl_dtype *dtype,
                                uint64_t seed, bdl__saved *saved)
{
    const bdl__json *graph;
    bdl_dtype own_dtype = BDL_F32;
    BDL__TRY(check_format(root, where));
    BDL__TRY(read_dtype(root, where, &own_dtype));
    BDL__TRY(bdl__json_need(root, "graph", BDL__JSON_OBJECT, where, &graph));
    BDL__TRY(read_description(root, where, saved));
    BDL__TRY(bdl__arena_printf(&saved->arena, &where, "%s: graph", where));
    return read_model(graph, where, dtype ? *dtype : own_dtype, seed, saved);
}

/* ---- reading the weights -------------------------------------------------------------------- */

static bdl_status find_checksum(const bdl__json *root, const char *where, const char **sha256)
{
    static const char *const known[] = {"file", "sha256"};
    const bdl__json *object;
    const char *name;
    BDL__TRY(bdl__json_need(root, "weights", BDL__JSON_OBJECT, where, &object));
    BDL__TRY(bdl__json_check_members(object, known, BDL__COUNT_OF(known), where));
    BDL__TRY(bdl__json_need_string(object, "file", where, &name));
    BDL__CHECK(strcmp(name, WEIGHTS_NAME) == 0, BDL_ERR_FORMAT,
               "%s: expected the weights in '" WEIGHTS_NAME "', found '%.100s'", where, name);
    BDL__TRY(bdl__json_need_string(object, "sha256", where, sha256));
    BDL__CHECK(strlen(*sha256) == 64 && strspn(*sha256, "0123456789abcdef") == 64, BDL_ERR_FORMAT,
               "%s: expected 64 hexadecimal digits as sha256, found '%.80s'", where, *sha256);
    return BDL_OK;
}

static bdl_status check_hash(const char *path, const char *sha256)
{
    char found[65];
    BDL__TRY(hash_file(path, found));
    BDL__CHECK(strcmp(found, sha256) == 0, BDL_ERR_FORMAT,
               "'%s' is damaged or of another model: expected SHA-256 %s, found %s", path, sha256,
               found);
    return BDL_OK;
}

/* Where the weights with this checksum are: under the pending name after an interrupted save. */
static bdl_status locate_weights(const char *directory, const char *sha256, bdl__arena *arena,
                                 const char **path)
{
    const char *pending;
    BDL__TRY(bdl__path_join(arena, directory, WEIGHTS_NAME, path));
    BDL__TRY(pending_path(arena, directory, sha256, &pending));
    if (bdl__file_exists(pending)) {
        *path = pending;
    }
    return BDL_OK;
}

static bdl_status read_weights(const char *path, bdl__saved *saved)
{
    bdl__safetensors *file = NULL;
    bdl__st_tensor *tensors = NULL;
    int64_t n = 0;
    BDL__TRY(list_tensors(saved->model, &saved->arena, &tensors, &n));
    BDL__TRY(bdl__safetensors_open(saved->allocator, path, &file));
    const bdl_status status = bdl__vectors_check(file, tensors, n, path, &saved->arena);
    if (status == BDL_OK) {
        bdl__vectors_copy(file, tensors, n);
        saved->model->weights_version++;
    }
    bdl__safetensors_free(file);
    return status;
}

/* ---- whole models --------------------------------------------------------------------------- */

static bdl_status create(const bdl_allocator *allocator, bdl__saved **saved)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **saved, &memory));
    *saved = memory;
    (*saved)->allocator = allocator;
    bdl__arena_init(&(*saved)->arena, allocator);
    return BDL_OK;
}

void bdl__saved_free(bdl__saved *saved)
{
    if (saved) {
        const bdl_allocator *const allocator = saved->allocator;
        bdl__model_free(saved->model);
        bdl__chain_free(saved->chain);
        bdl__arena_free(&saved->arena);
        bdl__free(allocator, saved, sizeof *saved);
    }
}

static bdl_status parse_object(const void *text, size_t size, const char *where, bdl__json **root)
{
    bdl__json *made = NULL;
    BDL__TRY(bdl__json_parse(text, size, where, &made));
    if (bdl__json_kind_of(made) != BDL__JSON_OBJECT) {
        const bdl__json_kind kind = bdl__json_kind_of(made);
        bdl__json_free(made);
        BDL__FAIL(BDL_ERR_FORMAT, "%s: expected an object, found %s", where,
                  bdl__json_kind_name(kind));
    }
    *root = made;
    return BDL_OK;
}

static bdl_status parse_file(const bdl_allocator *allocator, const char *path, bdl__json **root)
{
    bdl__bytes bytes;
    BDL__TRY(bdl__file_read(allocator, path, MOST_JSON, &bytes));
    const bdl_status status = parse_object(bytes.data, bytes.size, path, root);
    bdl__bytes_free(&bytes);
    return status;
}

static bdl_status read_parts(const bdl__json *root, const char *json_path, const char *directory,
                             bdl__saved *saved)
{
    const char *sha256, *path;
    BDL__TRY(check_format(root, json_path));
    BDL__TRY(find_checksum(root, json_path, &sha256));
    BDL__TRY(locate_weights(directory, sha256, &saved->arena, &path));
    BDL__TRY(check_hash(path, sha256));
    BDL__TRY(read_document(root, json_path, NULL, 0, saved));
    return read_weights(path, saved);
}

static bdl_status read_directory(const char *directory, bdl__saved *saved)
{
    const char *path;
    bdl__json *root = NULL;
    BDL__TRY(bdl__path_join(&saved->arena, directory, "model.json", &path));
    BDL__CHECK(bdl__file_exists(path), BDL_ERR_NOT_FOUND, "%s '%.500s'%s",
               bdl__is_directory(directory) ? "not a saved model:" : "there is no directory",
               directory, bdl__is_directory(directory) ? " has no model.json" : "");
    BDL__TRY(parse_file(saved->allocator, path, &root));
    const bdl_status status = read_parts(root, path, directory, saved);
    bdl__json_free(root);
    return status;
}

bdl_status bdl__saved_read(const bdl_allocator *allocator, const char *directory,
                           bdl__saved **saved)
{
    bdl__saved *made = NULL;
    BDL__TRY(create(allocator, &made));
    const bdl_status status = read_directory(directory, made);
    if (status != BDL_OK) {
        bdl__saved_free(made);
        return status;
    }
    *saved = made;
    return BDL_OK;
}

/* ---- by what the user wrote ----------------------------------------------------------------- */

/* A graph alone, or the document of a saved model, with fresh weights. */
static bdl_status open_text_of_json(const void *text, size_t size, const char *where, uint64_t seed,
                                    bdl_dtype dtype, bdl__saved *saved)
{
    bdl__json *root = NULL;
    BDL__TRY(parse_object(text, size, where, &root));
    const bdl_status status = bdl__json_get(root, "format")
                                  ? read_document(root, where, &dtype, seed, saved)
                                  : read_model(root, where, dtype, seed, saved);
    bdl__json_free(root);
    return status;
}

static bdl_status open_json(const char *path, uint64_t seed, bdl_dtype dtype, bdl__saved *saved)
{
    bdl__bytes bytes;
    BDL__TRY(bdl__file_read(saved->allocator, path, MOST_JSON, &bytes));
    const bdl_status status = open_text_of_json(bytes.data, bytes.size, path, seed, dtype, saved);
    bdl__bytes_free(&bytes);
    return status;
}

#define MOST_ZOO 256

static int64_t zoo_names(const char *names[MOST_ZOO])
{
    int64_t n = 0;
    for (const bdl__zoo_model *m = bdl__zoo_at(0); m && n < MOST_ZOO; m = bdl__zoo_at(n)) {
        names[n++] = m->name;
    }
    return n;
}

/* Whether the text is "name" or "name(...)" of a model in the zoo. */
static bool is_in_zoo(const char *text)
{
    const char *names[MOST_ZOO];
    const int64_t n = zoo_names(names);
    const size_t length = strcspn(text, "(: ");
    for (int64_t i = 0; i < n; i++) {
        if (strlen(names[i]) == length && strncmp(names[i], text, length) == 0) {
            return true;
        }
    }
    return false;
}

static bdl_status open_zoo(const char *text, uint64_t seed, bdl_dtype dtype, bdl__saved *saved)
{
    bdl__graph *graph = NULL;
    BDL__TRY(bdl__zoo_build(saved->allocator, text, &graph));
    const bdl_status status =
        bdl__model_create(saved->allocator, graph, dtype, seed, &saved->model);
    bdl__graph_release(graph);
    return status;
}

static bdl_status fail_unknown(const char *text, bdl__arena *arena)
{
    const char *name, *args;
    const char *names[MOST_ZOO];
    BDL__CHECK(!bdl__is_directory(text), BDL_ERR_NOT_FOUND,
               "'%.500s' is not a saved model: it has no model.json", text);
    BDL__CHECK(
        !bdl__file_exists(text), BDL_ERR_INVALID_ARGUMENT,
        "'%.500s' is no model: expected the directory of a saved model, a .json file, or the "
        "name of a ready-made model",
        text);
    BDL__CHECK(!strchr(text, '/'), BDL_ERR_NOT_FOUND, "there is no file or directory '%.500s'",
               text);
    BDL__TRY(bdl__split_call(arena, text, &name, &args));
    const char *const nearest = bdl__nearest_name(name, names, zoo_names(names));
    BDL__FAIL(BDL_ERR_NOT_FOUND, "there is no model, file or directory '%.200s'%s%s%s", name,
              nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static bool has_model(const char *directory)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/model.json", directory);
    return n > 0 && (size_t)n < sizeof path && bdl__file_exists(path);
}

static bdl_status open_text(const char *text, uint64_t seed, bdl_dtype dtype, bdl__saved *saved)
{
    if (bdl__is_directory(text) && has_model(text)) {
        return read_directory(text, saved);
    }
    if (ends_with(text, ".json")) {
        return open_json(text, seed, dtype, saved);
    }
    return is_in_zoo(text) ? open_zoo(text, seed, dtype, saved) : fail_unknown(text, &saved->arena);
}

bdl_status bdl__saved_open(const bdl_allocator *allocator, const char *text, uint64_t seed,
                           bdl_dtype dtype, bdl__saved **saved)
{
    bdl__saved *made = NULL;
    BDL__TRY(create(allocator, &made));
    const bdl_status status = open_text(text, seed, dtype, made);
    if (status != BDL_OK) {
        bdl__saved_free(made);
        return status;
    }
    *saved = made;
    return BDL_OK;
}

bdl_status bdl__saved_parse(const bdl_allocator *allocator, const char *text, size_t size,
                            const char *where, uint64_t seed, bdl_dtype dtype, bdl__saved **saved)
{
    bdl__saved *made = NULL;
    BDL__TRY(create(allocator, &made));
    const bdl_status status = open_text_of_json(text, size, where, seed, dtype, made);
    if (status != BDL_OK) {
        bdl__saved_free(made);
        return status;
    }
    *saved = made;
    return BDL_OK;
}

bdl_status bdl__saved_clone(const bdl__saved *saved, bdl__saved **clone)
{
    const bdl__model *const model = saved->model;
    const size_t size = bdl__scalar_size(model->dtype);
    bdl__saved *made = NULL;
    bdl__text text;
    bdl__json_writer writer;
    bdl__text_init(&text, saved->allocator);
    bdl__json_writer_init(&writer, &text, 0);
    write_document(saved, "", &writer);
    bdl_status status = bdl__text_status(&text);
    if (status == BDL_OK) {
        status = bdl__saved_parse(saved->allocator, text.data, text.size, "the model", 1,
                                  model->dtype, &made);
    }
    bdl__text_free(&text);
    BDL__TRY(status);
    memcpy(made->model->weights, model->weights, (size_t)model->graph->weights_count * size);
    memcpy(made->model->buffers, model->buffers, (size_t)model->graph->buffers_count * size);
    *clone = made;
    return BDL_OK;
}
