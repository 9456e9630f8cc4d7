/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed rows: equal to what readers give, beyond memory, and when the file for spilled rows cannot be had. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "counting_allocator.h"
#include "data/data_private.h"
#include "data/store.h"
#include "test.h"
#include "train/train.h"

enum { COUNT = 784, MIB = 1 << 20 };

static bdl__rows_options float_rows(int64_t count)
{
    return (bdl__rows_options){.name = "rows",
                               .shape = {.rank = 1, .dim = {count}},
                               .element = BDL__ELEMENT_F32,
                               .label_kind = BDL__LABEL_CLASS};
}

/* Row i's value k. */
static float value_of(int64_t i, int64_t k)
{
    return (float)((i * 7919 + k * 31) % 10007);
}

/* Pushes rows [0, n) of COUNT values, 256 at a time. */
static bdl_status push_many(bdl__dataset *data, int64_t n)
{
    enum { AT_ONCE = 256 };
    float *const values = malloc(sizeof(float) * AT_ONCE * COUNT);
    double labels[AT_ONCE];
    bdl_status status = values ? BDL_OK : bdl__out_of_memory(AT_ONCE);
    for (int64_t at = 0; at < n && status == BDL_OK; at += AT_ONCE) {
        const bdl__rows rows = {
            .n = BDL__MIN((int64_t)AT_ONCE, n - at), .values = values, .labels = labels};
        for (int64_t i = 0; i < rows.n; i++) {
            labels[i] = (double)((at + i) % 10);
            for (int64_t k = 0; k < COUNT; k++) {
                values[i * COUNT + k] = value_of(at + i, k);
            }
        }
        status = bdl__rows_push(data, NULL, &rows);
    }
    free(values);
    return status;
}

static int64_t resident_bytes(void)
{
    FILE *const file = fopen("/proc/self/statm", "r");
    long long pages = 0, resident = 0;
    if (file) {
        if (fscanf(file, "%lld %lld", &pages, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return (int64_t)resident * (int64_t)sysconf(_SC_PAGESIZE);
}

static int64_t count_entries(const char *directory)
{
    bdl__arena arena;
    const char *const *names = NULL;
    int64_t n = -1;
    bdl__arena_init(&arena, bdl__default_allocator());
    CHECK_OK(bdl__list_directory(&arena, directory, &names, &n));
    bdl__arena_free(&arena);
    return n;
}

/* One epoch of batches; gives the most memory that was in use. */
static int64_t read_epoch(const bdl__dataset *data, int64_t *n_read, bool *is_right)
{
    const bdl__batch_options options = {
        .batch = 128, .lanes = 4, .real_size = 16, .is_training = true, .n_epochs = 1, .n_threads = 1};
    bdl__batcher *batcher = NULL;
    const bdl__batch *batch = NULL;
    int64_t most = 0;
    *n_read = 0;
    *is_right = true;
    CHECK_OK(bdl__batcher_create(bdl__default_allocator(), data, NULL, NULL, &options, &batcher));
    while (batcher && bdl__batcher_next(batcher, &batch) == BDL_OK && batch) {
        const float *const input = batch->input;
        for (int64_t k = 0; k < COUNT; k++) { /* the first lane */
            *is_right = *is_right && input[4 * k] == value_of(batch->rows[0], k);
        }
        *n_read += batch->n_samples;
        const int64_t now = resident_bytes();
        most = BDL__MAX(most, now);
        bdl__batcher_release(batcher, batch);
    }
    bdl__batcher_free(batcher);
    return most;
}

/* AddressSanitizer sets freed memory aside for a while. */
#if defined(__has_feature)
#define KEEPS_FREED_MEMORY __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define KEEPS_FREED_MEMORY 1
#else
#define KEEPS_FREED_MEMORY 0
#endif

BDL_TEST(memory_stays_below_the_limit_with_four_times_the_rows)
{
    enum { LIMIT = 16 * MIB, N = 4 * LIMIT / (COUNT * 4) };
    bdl__rows_options options = float_rows(COUNT);
    bdl__dataset *data = NULL;
    bdl__rows_stats stats;
    const int64_t size = (int64_t)N * COUNT * 4;
    int64_t n_read;
    bool is_right;
    options.memory_limit = LIMIT;
    options.spill_directory = bdl_test_dir();
    const int64_t before = resident_bytes();
    REQUIRE_OK(bdl__rows_create(bdl__default_allocator(), NULL, &options, &data));
    REQUIRE_OK(push_many(data, N));
    const int64_t pushed = resident_bytes();
    REQUIRE_OK(bdl__rows_finish(data));
    CHECK_EQ_I64(count_entries(bdl_test_dir()), 0); /* the file has no name */
    REQUIRE_OK(bdl__rows_get_stats(data, &stats));
    CHECK(stats.memory_size <= LIMIT + 24 * 2 * (int64_t)N);
    CHECK(stats.spilled_size >= size - LIMIT && stats.spilled_size < size);
    const int64_t most = read_epoch(data, &n_read, &is_right);
    CHECK_EQ_I64(n_read, N);
    CHECK(is_right);
    if (!bdl_test_small() && !KEEPS_FREED_MEMORY) { /* instrumented memory is another matter */
        CHECK(pushed - before < LIMIT + 8 * MIB);
        CHECK(most - before < LIMIT + 16 * MIB);
    }
    bdl__dataset_free(data);
}

/* Runs `fn` in a child and gives its exit code, or -1 if a signal ended it. */
static int in_child(int (*fn)(const char *directory), const char *directory)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        _exit(fn(directory));
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                                : -1;
}

static bdl_status spill(const char *directory, int64_t n, bdl__dataset **data)
{
    bdl__rows_options options = float_rows(COUNT);
    options.memory_limit = 1;
    options.spill_directory = directory;
    BDL__TRY(bdl__rows_create(bdl__default_allocator(), NULL, &options, data));
    return push_many(*data, n);
}

static int be_killed(const char *directory)
{
    bdl__dataset *data = NULL;
    if (spill(directory, 1000, &data) != BDL_OK) {
        return 1;
    }
    (void)kill(getpid(), SIGKILL);
    return 2;
}

BDL_TEST(nothing_is_left_of_a_killed_process)
{
    CHECK_EQ_I64(in_child(be_killed, bdl_test_dir()), -1);
    CHECK_EQ_I64(count_entries(bdl_test_dir()), 0);
}

/* A limit on the size of files stands for a disk that is full. */
static int fill_disk(const char *directory)
{
    const struct rlimit limit = {2 * MIB, 2 * MIB};
    bdl__dataset *data = NULL;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 1;
    }
    const bdl_status status = spill(directory, 2000, &data);
    const bool says = strstr(bdl_last_error(), "data 'rows'") && strstr(bdl_last_error(), directory) &&
                      strstr(bdl_last_error(), strerror(EFBIG)) &&
                      strstr(bdl_last_error(), "2097152 bytes are there already");
    bdl__rows_stats stats;
    if (bdl__rows_finish(data) != BDL_ERR_STATE || bdl__rows_get_stats(data, &stats) != BDL_OK) {
        return 2;
    }
    bdl__dataset_free(data);
    return status == BDL_ERR_IO && says ? 0 : 3;
}

BDL_TEST(a_full_disk_is_an_error_that_says_where)
{
    CHECK_EQ_I64(in_child(fill_disk, bdl_test_dir()), 0);
    CHECK_EQ_I64(count_entries(bdl_test_dir()), 0);
}

BDL_TEST(a_directory_that_is_none_is_named)
{
    char path[600];
    bdl__dataset *data = NULL;
    snprintf(path, sizeof path, "%s/file", bdl_test_dir());
    REQUIRE_OK(bdl__file_write(path, "x", 1));
    CHECK_EQ_I64(spill(path, 10, &data), BDL_ERR_IO);
    CHECK_STR_HAS(bdl_last_error(), path);
    CHECK_STR_HAS(bdl_last_error(), strerror(ENOTDIR));
    bdl__dataset_free(data);
}

BDL_TEST(rows_stay_in_memory_where_no_file_may_be_made)
{
    bdl__dataset *data = NULL;
    CHECK_EQ_I64(spill("", 10, &data), BDL_ERR_OUT_OF_MEMORY);
    CHECK_STR_HAS(bdl_last_error(), "may not go to a file");
    bdl__dataset_free(data);
}

BDL_TEST(rows_of_any_size_come_back)
{
    enum { N = 3000 };
    const bdl__store_options options = {.memory_limit = 3 * MIB, .directory = bdl_test_dir()};
    bdl__store *store = NULL;
    bdl__buffer buffer = {.allocator = bdl__default_allocator()};
    uint8_t *const row = malloc(3 * MIB);
    REQUIRE(row != NULL);
    REQUIRE_OK(bdl__store_create(bdl__default_allocator(), &options, &store));
    for (int64_t i = 0; i < N; i++) { /* most are small; some are larger than a block */
        const size_t size = i % 1000 == 999 ? (size_t)(2 * MIB + i) : (size_t)(i * 37 % 4001);
        memset(row, (int)(i % 251), size);
        REQUIRE_OK(bdl__store_append(store, row, size));
    }
    REQUIRE_OK(bdl__store_seal(store));
    CHECK(bdl__store_spilled(store) > 0);
    for (int64_t i = N - 1; i >= 0; i--) {
        const size_t want = i % 1000 == 999 ? (size_t)(2 * MIB + i) : (size_t)(i * 37 % 4001);
        const void *bytes = NULL;
        size_t size = 0;
        REQUIRE_OK(bdl__store_read(store, i, &buffer, &bytes, &size));
        REQUIRE(size == want);
        for (size_t k = 0; k < size; k++) {
            REQUIRE(((const uint8_t *)bytes)[k] == i % 251);
        }
    }
    bdl__buffer_free(&buffer);
    bdl__store_free(store);
    free(row);
}

/* ---- sorted files ----------------------------------------------------------------------------- */

enum { SORTED_N = 1000, SORTED_SIZE = 24, RUN = 16, FIRST = 50 };

static void sorted_row(int64_t i, char row[SORTED_SIZE])
{
    memset(row, 0, SORTED_SIZE);
    snprintf(row, SORTED_SIZE, "row %lld", (long long)i);
}

/* A store whose first rows are in memory, and an order of its rows among others: 0 .. FIRST are elsewhere. */
static bdl_status make_sorted(const bdl_allocator *allocator, uint32_t order[FIRST + SORTED_N],
                              bdl__store **store)
{
    const bdl__store_options options = {
        .row_size = SORTED_SIZE, .memory_limit = MIB / SORTED_SIZE * SORTED_SIZE, .directory = bdl_test_dir()};
    char row[SORTED_SIZE];
    BDL__TRY(bdl__store_create(allocator, &options, store));
    const int64_t n_memory = MIB / SORTED_SIZE;
    for (int64_t i = 0; i < n_memory + SORTED_N; i++) {
        sorted_row(i, row);
        BDL__TRY(bdl__store_append(*store, row, sizeof row));
    }
    for (int64_t i = 0; i < FIRST + SORTED_N; i++) {
        order[i] = (uint32_t)(i * 457 % (FIRST + SORTED_N)); /* 457 and 1,050 have no divisor in common */
        order[i] += order[i] < FIRST ? 0 : (uint32_t)n_memory;
    }
    return BDL_OK;
}

static bool has_all_rows(const bdl__store *store)
{
    bdl__buffer buffer = {.allocator = bdl__default_allocator()};
    bool has_all = true;
    for (int64_t i = 0; i < bdl__store_count(store) && has_all; i++) {
        char want[SORTED_SIZE];
        const void *row = NULL;
        size_t size = 0;
        sorted_row(i, want);
        has_all = bdl__store_read(store, i, &buffer, &row, &size) == BDL_OK && size == SORTED_SIZE &&
                  memcmp(row, want, size) == 0;
    }
    bdl__buffer_free(&buffer);
    return has_all;
}

/* The bytes of the one file without a name that this process has below the test's directory. */
static int64_t read_unnamed(char *bytes, size_t size)
{
    int64_t n = -1;
    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[600] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0 && strstr(target, "/bdl-rows-")) {
            CHECK_EQ_I64(n, -1);
            n = (int64_t)pread(fd, bytes, size, 0);
        }
    }
    return n;
}

BDL_TEST(neighbours_lie_together_in_a_sorted_file)
{
    uint32_t order[FIRST + SORTED_N];
    static char bytes[(SORTED_N + 1) * SORTED_SIZE];
    bdl__store *store = NULL;
    REQUIRE_OK(make_sorted(bdl__default_allocator(), order, &store));
    REQUIRE_OK(bdl__store_sort(store, order, FIRST + SORTED_N, FIRST, RUN, NULL));
    CHECK(has_all_rows(store));
    CHECK_EQ_I64(read_unnamed(bytes, sizeof bytes), SORTED_N * SORTED_SIZE);
    int64_t at = 0;
    for (int64_t i = 0; i < FIRST + SORTED_N; i++) { /* each row in the run of its place in the order */
        const int64_t row = (int64_t)order[i] - FIRST;
        char want[SORTED_SIZE];
        if (row < MIB / SORTED_SIZE) {
            continue;
        }
        sorted_row(row, want);
        const int64_t begin = at / RUN * RUN, end = BDL__MIN(begin + RUN, (int64_t)SORTED_N);
        bool is_there = false;
        for (int64_t k = begin; k < end; k++) {
            is_there = is_there || memcmp(bytes + k * SORTED_SIZE, want, SORTED_SIZE) == 0;
        }
        CHECK(is_there);
        at++;
    }
    CHECK_EQ_I64(count_entries(bdl_test_dir()), 0);
    bdl__store_free(store);
}

BDL_TEST(sorting_that_finds_no_memory_leaves_rows_as_they_are)
{
    counting_allocator counter;
    uint32_t order[FIRST + SORTED_N];
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__store *store = NULL;
        bdl_status status = make_sorted(&counter.allocator, order, &store);
        if (status == BDL_OK) {
            status = bdl__store_sort(store, order, FIRST + SORTED_N, FIRST, RUN, NULL);
            CHECK(has_all_rows(store));
        }
        CHECK_EQ_I64(status, counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK);
        bdl__store_free(store);
    }
}

static void keep_line(void *user, int level, const char *line)
{
    (void)level;
    snprintf(user, 1000, "%s", line);
}

/* Pushes rows, then sorts them where files may have `most` bytes, after a try that is cancelled: gives whether rows are
 * right, and the log's line. */
static bool sort_within(const char *directory, rlim_t most, char line[1000])
{
    enum { N = 1700 };
    const bdl__log log = {.fn = keep_line, .user = line, .level = BDL__LOG_WARNING};
    bdl__rows_options options = float_rows(COUNT);
    bdl__dataset *data = NULL;
    const struct rlimit limit = {most, most};
    const bdl__cancel cancel = {.is_asked = 1};
    int64_t n_read = 0;
    bool is_right = false;
    options.memory_limit = MIB; /* rows in memory, too */
    options.spill_directory = directory;
    CHECK_OK(bdl__rows_create(bdl__default_allocator(), &log, &options, &data));
    CHECK_OK(push_many(data, N));
    CHECK_EQ_I64(bdl__rows_sort(data, 0, &cancel), BDL_ERR_CANCELLED);
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ_I64(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_OK(bdl__rows_sort(data, 0, NULL));
    CHECK_OK(bdl__rows_finish(data));
    (void)read_epoch(data, &n_read, &is_right);
    bdl__dataset_free(data);
    return is_right && n_read == N;
}

BDL_TEST(pushed_rows_are_the_same_in_a_sorted_file)
{
    char line[1000] = "";
    CHECK(sort_within(bdl_test_dir(), RLIM_INFINITY, line));
    CHECK_STR_EQ(line, "");
}

static int sort_on_full_disk(const char *directory)
{
    char line[1000] = "";
    const bool is_right = sort_within(directory, MIB, line);
    return is_right && strstr(line, "data 'rows': rows stay in the order of their arrival") &&
                   strstr(line, strerror(EFBIG)) && strstr(line, directory)
               ? 0
               : 1;
}

BDL_TEST(a_disk_too_small_to_sort_on_is_a_warning)
{
    CHECK_EQ_I64(in_child(sort_on_full_disk, bdl_test_dir()), 0);
    CHECK_EQ_I64(count_entries(bdl_test_dir()), 0);
}

/* ---- pushed rows train what the reader's train ------------------------------------------------ */

static bdl_status train_on(const bdl__dataset *data, bdl__pool *pool, char hex[65])
{
    bdl__arena arena;
    bdl__train_params params;
    bdl__trainer *trainer = NULL;
    const bdl__train_sources sources = {.data = data};
    const bdl__log log = {0};
    bdl__session session = {.allocator = bdl__default_allocator(), .log = &log, .pool = pool};
    BDL__TRY(bdl__target_choose(&session.target));
    bdl__arena_init(&arena, session.allocator);
    bdl_status status = bdl__params_default(&bdl__train_schema, &arena, &params);
    if (status == BDL_OK) {
        params.model = "lenet";
        params.batch = 48;
        params.iterations = 6;
        params.transform = "pad(2), crop(28), normalize(mean=[0.1], std=[0.3], divide=255)";
        params.data = "given";
        status = bdl__trainer_create(&session, &params, &sources, &trainer);
    }
    if (status == BDL_OK) {
        status = bdl__trainer_run(trainer, NULL, NULL);
    }
    if (status == BDL_OK) {
        bdl__trainer_fingerprint(trainer, hex);
    }
    bdl__trainer_free(trainer);
    bdl__arena_free(&arena);
    return status;
}

static void store_key(bdl__key key, uint8_t bytes[16])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(key.high >> 8 * i);
        bytes[8 + i] = (uint8_t)(key.low >> 8 * i);
    }
}

/* Pushes what a reader gives, the last row first, with the reader's keys. */
static bdl_status push_all(const bdl__dataset *from, int64_t memory_limit, bdl__dataset **to)
{
    const bdl__rows_options options = {.shape = from->shape,
                                       .element = from->element,
                                       .label_kind = from->label_kind,
                                       .n_classes = from->n_classes,
                                       .memory_limit = memory_limit,
                                       .spill_directory = bdl_test_dir()};
    bdl__sample sample;
    bdl_status status = bdl__rows_create(bdl__default_allocator(), NULL, &options, to);
    bdl__sample_init(&sample, bdl__default_allocator());
    for (int64_t i = from->n - 1; i >= 0 && status == BDL_OK; i--) {
        bdl__key key;
        uint8_t bytes[16];
        double label;
        status = bdl__dataset_key(from, i, &sample, &key);
        if (status == BDL_OK) {
            status = bdl__dataset_read(from, i, &sample);
        }
        store_key(key, bytes);
        label = sample.label;
        const bdl__rows row = {.n = 1, .values = sample.data, .labels = &label, .keys = bytes};
        status = status == BDL_OK ? bdl__rows_push(*to, NULL, &row) : status;
    }
    bdl__sample_free(&sample);
    return status == BDL_OK ? bdl__rows_finish(*to) : status;
}

BDL_TEST(pushed_rows_train_what_a_reader_trains)
{
    bdl__pool *pool = NULL;
    bdl__dataset *digits = NULL, *pushed = NULL;
    char want[65], got[65];
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 2, &pool));
    REQUIRE_OK(bdl__dataset_open(bdl__default_allocator(), NULL, pool, "digits(count=300)",
                                 BDL__PART_TRAIN, &digits));
    REQUIRE_OK(train_on(digits, pool, want));
    for (int64_t limit = 0; limit < 2; limit++) { /* in memory, then spilled */
        REQUIRE_OK(push_all(digits, limit, &pushed));
        REQUIRE_OK(train_on(pushed, pool, got));
        CHECK_STR_EQ(got, want);
        bdl__dataset_free(pushed);
    }
    bdl__dataset_free(digits);
    bdl__pool_free(pool);
}

BDL_TEST_MAIN(memory_stays_below_the_limit_with_four_times_the_rows,
              nothing_is_left_of_a_killed_process, a_full_disk_is_an_error_that_says_where,
              a_directory_that_is_none_is_named,
              rows_stay_in_memory_where_no_file_may_be_made, rows_of_any_size_come_back,
              neighbours_lie_together_in_a_sorted_file,
              sorting_that_finds_no_memory_leaves_rows_as_they_are,
              pushed_rows_are_the_same_in_a_sorted_file, a_disk_too_small_to_sort_on_is_a_warning,
              pushed_rows_train_what_a_reader_trains)
