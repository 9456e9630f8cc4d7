/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved models: the way to files and back, every state that an interrupted save can leave, damage,
 * documents and weights that do not fit, and opening a model by what a user writes.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "counting_allocator.h"
#include "formats/safetensors.h"
#include "test.h"
#include "train/train.h"
#include "zoo/zoo.h"

enum { PATH_SIZE = 512 };

static const char *in(const char *directory, const char *name)
{
    static char paths[8][PATH_SIZE]; /* a path is good for the next seven calls */
    static int next;
    char *const path = paths[next++ % 8];
    const size_t length = strlen(directory), name_size = strlen(name) + 1;
    CHECK(length + 1 + name_size <= PATH_SIZE);
    memcpy(path, directory, length); /* another of the eight */
    path[length] = '/';
    memcpy(path + length + 1, name, name_size);
    return path;
}

/* A directory of the running test's own. */
static const char *place(const char *name)
{
    return in(bdl_test_dir(), name);
}

static bdl__saved *make(const char *model, uint64_t seed, bdl_dtype dtype)
{
    bdl__saved *saved = NULL;
    CHECK_OK(bdl__saved_open(bdl__default_allocator(), model, seed, dtype, &saved));
    return saved;
}

#define SMALL "mlp(hidden=[3], classes=2, shape=[4])"

static const char *const class_names[] = {"cat", "dog \"x\""};

static void describe(bdl__saved *saved)
{
    saved->class_names = class_names;
    saved->n_classes = 2;
    saved->loss = "nll(reduction=mean)";
    CHECK_OK(bdl__chain_from_text(bdl__default_allocator(), "normalize(0.25, 0.5)", &saved->chain));
}

static bdl_status reads(const char *directory, bdl__saved **saved)
{
    *saved = NULL;
    return bdl__saved_read(bdl__default_allocator(), directory, saved);
}

static void check_fails(const char *directory, bdl_status status, const char *error)
{
    bdl__saved *saved = NULL;
    CHECK_EQ_I64(reads(directory, &saved), status);
    CHECK_STR_HAS(bdl_last_error(), error);
    bdl__saved_free(saved);
}

static bool same_weights(const bdl__saved *a, const bdl__saved *b)
{
    const bdl__graph *const graph = a->model->graph;
    const size_t size = bdl__scalar_size(a->model->dtype);
    return a->model->dtype == b->model->dtype &&
           graph->weights_count == b->model->graph->weights_count &&
           memcmp(a->model->weights, b->model->weights, (size_t)graph->weights_count * size) == 0 &&
           memcmp(a->model->buffers, b->model->buffers, (size_t)graph->buffers_count * size) == 0;
}

/* Whether the directory holds this model. */
static bool holds(const char *directory, const bdl__saved *want)
{
    bdl__saved *got = NULL;
    const bool is_same = reads(directory, &got) == BDL_OK && same_weights(want, got);
    bdl__saved_free(got);
    return is_same;
}

static bdl__bytes read_file(const char *path)
{
    bdl__bytes bytes = {0};
    CHECK_OK(bdl__file_read(bdl__default_allocator(), path, SIZE_MAX, &bytes));
    return bytes;
}

/* Writes without the care of bdl__file_write, which would cost seconds here. */
static void put(const char *path, const void *data, size_t size)
{
    FILE *const file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, size, file) == size);
    CHECK(file && fclose(file) == 0);
}

static void copy(const char *from, const char *to)
{
    bdl__bytes bytes = read_file(from);
    put(to, bytes.data, bytes.size);
    bdl__bytes_free(&bytes);
}

static int64_t count_files(const char *directory)
{
    bdl__arena arena;
    const char *const *names;
    int64_t n = 0;
    bdl__arena_init(&arena, bdl__default_allocator());
    CHECK_OK(bdl__list_directory(&arena, directory, &names, &n));
    bdl__arena_free(&arena);
    return n;
}

/* "weights-<12 digits>.safetensors" for the checksum in a directory's model.json. */
static void pending_name(const char *directory, char name[64])
{
    bdl__bytes json = read_file(in(directory, "model.json"));
    const char *const key = strstr((const char *)json.data, "\"sha256\"");
    REQUIRE(key != NULL);
    const char *const digits = strchr(key + 8, '"') + 1;
    snprintf(name, 64, "weights-%.12s.safetensors", digits);
    bdl__bytes_free(&json);
}

/* ---- there and back ------------------------------------------------------------------------- */

BDL_TEST(saved_reads_what_it_wrote)
{
    static const bdl_dtype dtypes[] = {BDL_F32, BDL_F64};
    for (int i = 0; i < 2; i++) {
        char directory[PATH_SIZE];
        snprintf(directory, sizeof directory, "%s", place(i ? "a/b/f64" : "f32"));
        bdl__saved *const saved = make("resnet(8)", 5, dtypes[i]);
        bdl__saved *again = NULL;
        REQUIRE(saved != NULL);
        describe(saved);
        ((float *)saved->model->buffers)[0] = 0.5F;
        REQUIRE_OK(bdl__saved_write(saved, directory));
        REQUIRE_OK(reads(directory, &again));
        CHECK(same_weights(saved, again));
        CHECK_EQ_I64(again->n_classes, 2);
        CHECK_STR_EQ(again->class_names[1], class_names[1]);
        CHECK_STR_EQ(again->loss, "nll(reduction=mean)");
        CHECK_EQ_I64(bdl__chain_size(again->chain), 1);
        CHECK_STR_HAS(again->transform, "normalize(");
        CHECK_STR_EQ(again->model->graph->name, "resnet");
        CHECK_EQ_I64(count_files(directory), 2);
        bdl__saved_free(saved);
        bdl__saved_free(again);
    }
}

BDL_TEST(saved_needs_no_description)
{
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    bdl__saved *again = NULL;
    REQUIRE_OK(bdl__saved_write(saved, place("m")));
    REQUIRE_OK(reads(place("m"), &again));
    CHECK(again->chain == NULL && again->transform == NULL && again->loss == NULL);
    CHECK(again->class_names == NULL && again->n_classes == 0);
    bdl__saved_free(saved);
    bdl__saved_free(again);
    bdl__saved_free(NULL);
}

BDL_TEST(saved_same_model_gives_same_bytes)
{
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    REQUIRE_OK(bdl__saved_write(saved, place("a")));
    REQUIRE_OK(bdl__saved_write(saved, place("b")));
    static const char *const names[] = {"model.json", "weights.safetensors"};
    for (int i = 0; i < 2; i++) {
        bdl__bytes a = read_file(in(place("a"), names[i]));
        bdl__bytes b = read_file(in(place("b"), names[i]));
        CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
        bdl__bytes_free(&a);
        bdl__bytes_free(&b);
    }
    bdl__saved_free(saved);
}

/* ---- interrupted saves ---------------------------------------------------------------------- */

/* With `old` in "old" and `new` in "new": makes of "dir" what a save of `new` over `old` leaves
 * that ended after the weights (1), or after model.json too (2). */
static void interrupt(int n_done)
{
    char pending[64];
    CHECK_OK(bdl__remove_tree(place("dir")));
    CHECK_OK(bdl__make_directories(place("dir")));
    pending_name(place("new"), pending);
    copy(in(place("old"), "weights.safetensors"), in(place("dir"), "weights.safetensors"));
    copy(in(place(n_done == 2 ? "new" : "old"), "model.json"), in(place("dir"), "model.json"));
    copy(in(place("new"), "weights.safetensors"), in(place("dir"), pending));
}

BDL_TEST(saved_interrupted_save_leaves_a_model)
{
    bdl__saved *const old = make(SMALL, 1, BDL_F32);
    bdl__saved *const new = make(SMALL, 2, BDL_F32);
    bdl__saved *const third = make(SMALL, 3, BDL_F32);
    REQUIRE_OK(bdl__saved_write(old, place("old")));
    REQUIRE_OK(bdl__saved_write(new, place("new")));
    interrupt(1);
    CHECK(holds(place("dir"), old));
    interrupt(2);
    CHECK(holds(place("dir"), new));
    for (int n_done = 1; n_done <= 2; n_done++) { /* the next save goes through and cleans up */
        interrupt(n_done);
        put(in(place("dir"), "weights-new.safetensors"), "x", 1);
        put(in(place("dir"), "model.json.tmp-123"), "x", 1);
        put(in(place("dir"), "notes.txt"), "x", 1);
        REQUIRE_OK(bdl__saved_write(third, place("dir")));
        CHECK(holds(place("dir"), third));
        CHECK_EQ_I64(count_files(place("dir")), 3); /* the user's file stays */
    }
    bdl__saved_free(old);
    bdl__saved_free(new);
    bdl__saved_free(third);
}

/* ---- damage --------------------------------------------------------------------------------- */

BDL_TEST(saved_finds_any_flipped_byte_of_the_weights)
{
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s", in(place("m"), "weights.safetensors"));
    REQUIRE_OK(bdl__saved_write(saved, place("m")));
    bdl__bytes bytes = read_file(path);
    for (size_t i = 0; i < bytes.size; i += 1 + bdl_test_random() % 13) {
        bytes.data[i] ^= 0x10;
        put(path, bytes.data, bytes.size);
        check_fails(place("m"), BDL_ERR_FORMAT, "weights.safetensors' is damaged");
        bytes.data[i] ^= 0x10;
    }
    put(path, bytes.data, bytes.size - 1);
    check_fails(place("m"), BDL_ERR_FORMAT, "expected SHA-256");
    put(path, bytes.data, 0);
    check_fails(place("m"), BDL_ERR_FORMAT, "expected SHA-256");
    CHECK(unlink(path) == 0);
    check_fails(place("m"), BDL_ERR_NOT_FOUND, "weights.safetensors");
    bdl__bytes_free(&bytes);
    bdl__saved_free(saved);
}

/* Replaces the first `from` in model.json. */
static void edit(const char *directory, const char *from, const char *to)
{
    bdl__text text;
    bdl__bytes json = read_file(in(directory, "model.json"));
    const char *const start = (const char *)json.data;
    const char *const at = strstr(start, from);
    CHECK(at != NULL);
    if (at) {
        bdl__text_init(&text, bdl__default_allocator());
        bdl__text_append(&text, "%.*s%s%s", (int)(at - start), start, to, at + strlen(from));
        put(in(directory, "model.json"), text.data, text.size);
        bdl__text_free(&text);
    }
    bdl__bytes_free(&json);
}

BDL_TEST(saved_document_errors_say_where)
{
    static const struct {
        const char *from, *to, *error;
        bdl_status status;
    } edits[] = {
        {"bdl-model", "other", "expected the format 'bdl-model', found 'other'", BDL_ERR_FORMAT},
        {"\"format_version\": 1", "\"format_version\": 2", "expected format version 1, found 2",
         BDL_ERR_UNSUPPORTED},
        {"\"dtype\"", "\"dtipe\"", "unknown member 'dtipe'; did you mean 'dtype'?", BDL_ERR_FORMAT},
        {"float32", "float16", "found 'float16'", BDL_ERR_FORMAT},
        {"\"graph\": {", "\"graph\": 3, \"loss2\": {", "unknown member 'loss2'", BDL_ERR_FORMAT},
        {"\"classes\"", "\"classes\": [1], \"bdl_version\"", "", BDL_ERR_FORMAT},
        {"\"cat\"", "7", "classes[0]: expected a string", BDL_ERR_FORMAT},
        {"weights.safetensors", "../x.safetensors", "found '../x.safetensors'", BDL_ERR_FORMAT},
        {"\"sha256\": \"", "\"sha256\": \"zz", "expected 64 hexadecimal digits", BDL_ERR_FORMAT},
        {"\"file\"", "\"flie\"", "unknown member 'flie'", BDL_ERR_FORMAT},
        {"\"linear\"", "\"linea\"", "nodes[1]", BDL_ERR_NOT_FOUND},
        {"\"normalize\"", "\"normalise\"", "preprocessing", BDL_ERR_NOT_FOUND},
        {"{", "{{", "model.json", BDL_ERR_FORMAT},
    };
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    describe(saved);
    REQUIRE_OK(bdl__saved_write(saved, place("m")));
    copy(in(place("m"), "model.json"), place("good.json"));
    for (int64_t i = 0; i < BDL__COUNT_OF(edits); i++) {
        bdl__saved *again = NULL;
        copy(place("good.json"), in(place("m"), "model.json"));
        edit(place("m"), edits[i].from, edits[i].to);
        CHECK_EQ_I64(reads(place("m"), &again), edits[i].status);
        CHECK_STR_HAS(bdl_last_error(), edits[i].error);
        CHECK_STR_HAS(bdl_last_error(), "model.json");
    }
    bdl__saved_free(saved);
}

/* Flips bytes all over model.json: an error or a model, never worse. */
BDL_TEST(saved_survives_any_damage_of_the_document)
{
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    describe(saved);
    REQUIRE_OK(bdl__saved_write(saved, place("m")));
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s", in(place("m"), "model.json"));
    bdl__bytes bytes = read_file(path);
    for (size_t i = 0; i < bytes.size; i += 1 + bdl_test_random() % 19) {
        bdl__saved *again = NULL;
        bytes.data[i] ^= 1;
        put(path, bytes.data, bytes.size);
        (void)reads(place("m"), &again);
        bdl__saved_free(again);
        bytes.data[i] ^= 1;
    }
    bdl__bytes_free(&bytes);
    bdl__saved_free(saved);
}

/* Writes weights of one model under the document of another, with the right checksum. */
static void mix(const bdl__saved *document, const bdl__saved *weights)
{
    char sha256[96] = "", other[96] = "";
    CHECK_OK(bdl__saved_write(weights, place("w")));
    CHECK_OK(bdl__saved_write(document, place("d")));
    bdl__bytes json = read_file(in(place("w"), "model.json"));
    snprintf(sha256, sizeof sha256, "%.76s", strstr((const char *)json.data, "\"sha256\""));
    bdl__bytes_free(&json);
    json = read_file(in(place("d"), "model.json"));
    snprintf(other, sizeof other, "%.76s", strstr((const char *)json.data, "\"sha256\""));
    bdl__bytes_free(&json);
    edit(place("d"), other, sha256);
    copy(in(place("w"), "weights.safetensors"), in(place("d"), "weights.safetensors"));
}

BDL_TEST(saved_checks_every_tensor)
{
    static const struct {
        const char *document, *weights, *error;
    } rows[] = {
        {SMALL, "mlp(hidden=[5], classes=2, shape=[4])",
         "tensor 'fc1.weight': expected shape 3x4, found 5x4"},
        {SMALL, "linear(classes=2, shape=[4])",
         "expected a tensor 'fc1.weight' of 3x4, found none"},
        {SMALL, "mlp(hidden=[3,2], classes=2, shape=[4])", ""},
        {"linear(2, [4])", SMALL, "expected a tensor 'fc.weight' of 2x4, found none; the nearest"},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        bdl__saved *const document = make(rows[i].document, 1, BDL_F32);
        bdl__saved *const weights = make(rows[i].weights, 1, BDL_F32);
        mix(document, weights);
        check_fails(place("d"), BDL_ERR_SHAPE, rows[i].error);
        bdl__saved_free(document);
        bdl__saved_free(weights);
    }
    bdl__saved *const narrow = make(SMALL, 1, BDL_F32);
    bdl__saved *const wide = make(SMALL, 1, BDL_F64);
    mix(narrow, wide);
    check_fails(place("d"), BDL_ERR_FORMAT, "tensor 'fc1.weight': expected F32, found F64");
    bdl__saved_free(narrow);
    bdl__saved_free(wide);
}

BDL_TEST(saved_names_a_tensor_too_many)
{
    bdl__saved *const small = make("mlp(hidden=[3], classes=2, shape=[4])", 1, BDL_F32);
    bdl__saved *const large = make("mlp(hidden=[3,2], classes=2, shape=[4])", 1, BDL_F32);
    mix(small, large);
    check_fails(place("d"), BDL_ERR_SHAPE, "fc");
    bdl__saved_free(small);
    bdl__saved_free(large);
}

/* ---- opening -------------------------------------------------------------------------------- */

BDL_TEST(saved_opens_what_the_user_writes)
{
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    bdl__saved *const zoo = make("lenet(classes=3)", 9, BDL_F64);
    bdl__saved *got = NULL, *fresh = NULL;
    describe(saved);
    CHECK(zoo->model->dtype == BDL_F64);
    REQUIRE_OK(bdl__saved_write(saved, place("m")));
    REQUIRE_OK(bdl__saved_open(bdl__default_allocator(), place("m"), 7, BDL_F32, &got));
    CHECK(same_weights(saved, got));
    REQUIRE_OK(bdl__saved_open(bdl__default_allocator(), in(place("m"), "model.json"), 7, BDL_F64,
                               &fresh));
    CHECK(fresh->model->dtype == BDL_F64 && fresh->n_classes == 2 && fresh->chain);
    bdl__saved_free(saved);
    bdl__saved_free(zoo);
    bdl__saved_free(got);
    bdl__saved_free(fresh);
}

BDL_TEST(saved_opens_a_bare_graph)
{
    static const char text[] =
        "{\"inputs\": [{\"name\": \"x\", \"shape\": [4]}], \"nodes\": [{\"name\": "
        "\"t\", \"type\": \"tanh\", \"inputs\": [\"x\"]}]}";
    bdl__saved *saved = NULL;
    put(place("net.json"), text, strlen(text));
    REQUIRE_OK(bdl__saved_open(bdl__default_allocator(), place("net.json"), 1, BDL_F32, &saved));
    CHECK_EQ_I64(saved->model->graph->n_nodes, 1);
    bdl__saved_free(saved);
}

static void check_open_fails(const char *text, bdl_status status, const char *error)
{
    bdl__saved *saved = NULL;
    CHECK_EQ_I64(bdl__saved_open(bdl__default_allocator(), text, 1, BDL_F32, &saved), status);
    CHECK_STR_HAS(bdl_last_error(), error);
    bdl__saved_free(saved);
}

BDL_TEST(saved_says_what_it_cannot_open)
{
    CHECK_OK(bdl__make_directories(place("empty")));
    put(place("file"), "x", 1);
    put(place("list.json"), "[]", 2);
    check_open_fails("lenut", BDL_ERR_NOT_FOUND,
                     "no model, file or directory 'lenut'; did you mean 'lenet'?");
    check_open_fails("quite_another_thing", BDL_ERR_NOT_FOUND, "no model, file or directory");
    check_open_fails("lenet(3", BDL_ERR_FORMAT, "");
    check_open_fails(place("none"), BDL_ERR_NOT_FOUND, "there is no file or directory");
    check_open_fails(place("none.json"), BDL_ERR_NOT_FOUND, "none.json");
    check_open_fails(place("empty"), BDL_ERR_NOT_FOUND, "it has no model.json");
    check_open_fails(place("file"), BDL_ERR_INVALID_ARGUMENT, "is no model");
    check_open_fails(place("list.json"), BDL_ERR_FORMAT, "expected an object");
    check_fails(place("empty"), BDL_ERR_NOT_FOUND, "has no model.json");
    check_fails(place("none"), BDL_ERR_NOT_FOUND, "there is no directory");
}

BDL_TEST(saved_reports_a_directory_it_cannot_write)
{
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    put(place("file"), "x", 1);
    CHECK_EQ_I64(bdl__saved_write(saved, place("file")), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), "cannot save the model");
    bdl__saved_free(saved);
}

BDL_TEST(saved_reading_survives_failing_allocations)
{
    counting_allocator counter;
    bdl__saved *const saved = make(SMALL, 1, BDL_F32);
    describe(saved);
    REQUIRE_OK(bdl__saved_write(saved, place("m")));
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__saved *again = NULL;
        const bdl_status status = bdl__saved_read(&counter.allocator, place("m"), &again);
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        bdl__saved_free(again);
    }
    bdl__saved_free(saved);
}

/* Whatever fails, the directory holds the old model or the new one. */
BDL_TEST(saved_writing_survives_failing_allocations)
{
    counting_allocator counter;
    bdl__saved *const old = make(SMALL, 1, BDL_F32);
    REQUIRE_OK(bdl__saved_write(old, place("m")));
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__saved *new = NULL;
        counter.fail_at = 0;
        CHECK_OK(bdl__saved_open(&counter.allocator, SMALL, 2, BDL_F32, &new));
        counter.n_requests = 0;
        counter.fail_at = n;
        const bdl_status status = bdl__saved_write(new, place("m"));
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        CHECK(holds(place("m"), old) || holds(place("m"), new));
        bdl__saved_free(new);
    }
    bdl__saved_free(old);
}

BDL_TEST_MAIN(saved_reads_what_it_wrote, saved_needs_no_description,
              saved_same_model_gives_same_bytes, saved_interrupted_save_leaves_a_model,
              saved_finds_any_flipped_byte_of_the_weights, saved_document_errors_say_where,
              saved_survives_any_damage_of_the_document, saved_checks_every_tensor,
              saved_names_a_tensor_too_many, saved_opens_what_the_user_writes,
              saved_opens_a_bare_graph, saved_says_what_it_cannot_open,
              saved_reports_a_directory_it_cannot_write, saved_reading_survives_failing_allocations,
              saved_writing_survives_failing_allocations)
