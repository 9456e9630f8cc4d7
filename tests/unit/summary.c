/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event files, read back by a parser of this test's own: a bitwise CRC-32C, the records' frames and
 * protobuf's wire format, written from their specifications.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "counting_allocator.h"
#include "test.h"
#include "train/train.h"

/* ---- an independent reader ------------------------------------------------------------------ */

static uint32_t crc32c_bitwise(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffffU;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78U : crc >> 1;
        }
    }
    return ~crc;
}

static uint32_t mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

typedef struct reader {
    const uint8_t *at, *end;
    bool failed;
} reader;

static uint64_t take(reader *r, int n_bytes)
{
    uint64_t value = 0;
    if (r->end - r->at < n_bytes) {
        r->failed = true;
        return 0;
    }
    for (int i = 0; i < n_bytes; i++) {
        value |= (uint64_t)*r->at++ << 8 * i;
    }
    return value;
}

static uint64_t take_varint(reader *r)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint64_t byte = take(r, 1);
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    r->failed = true;
    return 0;
}

static reader take_bytes(reader *r)
{
    const uint64_t size = take_varint(r);
    reader inner = {.at = r->at, .end = r->at};
    if (size > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return inner;
    }
    r->at += size;
    inner.end = r->at;
    return inner;
}

typedef struct event {
    double wall_time;
    int64_t step;
    char version[32], tag[300];
    float value;
    int n_values;
} event;

static void copy_text(reader from, char *to, size_t size)
{
    const size_t n = (size_t)(from.end - from.at);
    CHECK(n < size);
    memcpy(to, from.at, n < size ? n : 0);
    to[n < size ? n : 0] = '\0';
}

static void read_value(reader r, event *e)
{
    while (r.at < r.end && !r.failed) {
        const uint64_t key = take_varint(&r);
        if (key == (1 << 3 | 2)) {
            copy_text(take_bytes(&r), e->tag, sizeof e->tag);
        } else if (key == (2 << 3 | 5)) {
            const uint32_t bits = (uint32_t)take(&r, 4);
            memcpy(&e->value, &bits, sizeof bits);
        } else {
            CHECK(false); /* an unknown field of Value */
            return;
        }
    }
    CHECK(!r.failed);
    e->n_values++;
}

static void read_event(reader r, event *e)
{
    *e = (event){.step = 0};
    while (r.at < r.end && !r.failed) {
        const uint64_t key = take_varint(&r);
        if (key == (1 << 3 | 1)) {
            const uint64_t bits = take(&r, 8);
            memcpy(&e->wall_time, &bits, sizeof bits);
        } else if (key == (2 << 3 | 0)) {
            e->step = (int64_t)take_varint(&r);
        } else if (key == (3 << 3 | 2)) {
            copy_text(take_bytes(&r), e->version, sizeof e->version);
        } else if (key == (5 << 3 | 2)) {
            reader summary = take_bytes(&r);
            CHECK(take_varint(&summary) == (1 << 3 | 2));
            read_value(take_bytes(&summary), e);
            CHECK(summary.at == summary.end);
        } else {
            CHECK(false); /* an unknown field of Event */
            return;
        }
    }
    CHECK(!r.failed);
}

/* The file's events; checks both checksums of each record. */
static int64_t read_events(const char *path, event *events, int64_t most)
{
    bdl__bytes bytes = {0};
    int64_t n = 0;
    CHECK_OK(bdl__file_read(bdl__default_allocator(), path, SIZE_MAX, &bytes));
    reader r = {.at = bytes.data, .end = bytes.data + bytes.size};
    while (r.at < r.end && n < most && !r.failed) {
        const uint8_t *const head = r.at;
        const uint64_t size = take(&r, 8);
        CHECK(take(&r, 4) == mask(crc32c_bitwise(head, 8)));
        CHECK(size <= (uint64_t)(r.end - r.at));
        if (size > (uint64_t)(r.end - r.at)) {
            break;
        }
        const reader data = {.at = r.at, .end = r.at + size};
        r.at += size;
        CHECK(take(&r, 4) == mask(crc32c_bitwise(data.at, size)));
        read_event(data, &events[n++]);
    }
    CHECK(!r.failed && r.at == r.end);
    bdl__bytes_free(&bytes);
    return n;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* The i-th file of DIR/part, in the caller's buffer. */
static const char *file_of(const char *part, int64_t i, char path[512])
{
    bdl__arena arena;
    const char *const *names;
    char folder[256];
    int64_t n = 0;
    path[0] = '\0';
    bdl__arena_init(&arena, bdl__default_allocator());
    snprintf(folder, sizeof folder, "%s/%s", bdl_test_dir(), part);
    CHECK_OK(bdl__list_directory(&arena, folder, &names, &n));
    CHECK(i < n);
    if (i < n) {
        CHECK(strncmp(names[i], "bdl.tfevents.", 13) == 0);
        snprintf(path, 512, "%s/%s", folder, names[i]);
    }
    bdl__arena_free(&arena);
    return path;
}

BDL_TEST(summary_files_read_back)
{
    enum { N = 500 };
    event *const events = calloc(N + 2, sizeof *events);
    bdl__summary *summary = NULL;
    char path[512], long_tag[256];
    REQUIRE(events != NULL);
    memset(long_tag, 't', 255);
    long_tag[255] = '\0';
    const double before = (double)time(NULL) - 1;
    REQUIRE_OK(bdl__summary_create(bdl__default_allocator(), bdl_test_dir(), "train", &summary));
    for (int64_t i = 0; i < N; i++) {
        CHECK_OK(bdl__summary_scalar(summary, i % 2 ? long_tag : "Loss", i * i * i * i,
                                     1.0 / (double)(i + 1)));
    }
    REQUIRE_OK(bdl__summary_flush(summary));
    CHECK_EQ_I64(read_events(file_of("train", 0, path), events, N + 2), N + 1);
    CHECK_STR_EQ(events[0].version, "brain.Event:2");
    for (int64_t i = 0; i < N; i++) {
        const event *const e = &events[i + 1];
        CHECK_EQ_I64(e->step, i * i * i * i);
        CHECK_STR_EQ(e->tag, i % 2 ? long_tag : "Loss");
        CHECK_NEAR(e->value, (float)(1.0 / (double)(i + 1)), 0);
        CHECK_EQ_I64(e->n_values, 1);
        CHECK(e->wall_time >= events[i].wall_time && e->wall_time >= before);
    }
    CHECK(events[N].wall_time <= (double)time(NULL) + 1);
    bdl__summary_free(summary);
    free(events);
}

BDL_TEST(summary_waits_and_then_writes)
{
    event events[4];
    bdl__summary *summary = NULL;
    char path[512];
    REQUIRE_OK(bdl__summary_create(bdl__default_allocator(), bdl_test_dir(), "a/b", &summary));
    CHECK_OK(bdl__summary_scalar(summary, "x", 1, 2));
    CHECK_EQ_I64(read_events(file_of("a/b", 0, path), events, 4), 1); /* the version alone */
    bdl__summary_free(summary);
    CHECK_EQ_I64(read_events(path, events, 4), 2);
    bdl__summary_free(NULL);
}

BDL_TEST(summary_never_writes_into_an_older_file)
{
    event events[4];
    bdl__summary *summaries[3] = {NULL};
    char path[512];
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(
            bdl__summary_create(bdl__default_allocator(), bdl_test_dir(), "v", &summaries[i]));
        CHECK_OK(bdl__summary_scalar(summaries[i], "x", i, i));
    }
    for (int i = 0; i < 3; i++) {
        bdl__summary_free(summaries[i]);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_I64(read_events(file_of("v", i, path), events, 4), 2);
    }
}

BDL_TEST(summary_reports_errors)
{
    bdl__summary *summary = NULL;
    char path[512], tag[300];
    snprintf(path, sizeof path, "%s/file", bdl_test_dir());
    REQUIRE_OK(bdl__file_write(path, "x", 1));
    CHECK_EQ_I64(bdl__summary_create(bdl__default_allocator(), path, "train", &summary),
                 BDL_ERR_IO);
    CHECK(summary == NULL);
    REQUIRE_OK(bdl__summary_create(bdl__default_allocator(), bdl_test_dir(), "t", &summary));
    memset(tag, 't', sizeof tag - 1);
    tag[sizeof tag - 1] = '\0';
    CHECK_EQ_I64(bdl__summary_scalar(summary, tag, 1, 1), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl__summary_scalar(summary, "", 1, 1), BDL_ERR_INVALID_ARGUMENT);
    bdl__summary_free(summary);
}

BDL_TEST(summary_survives_failing_allocations)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__summary *summary = NULL;
        bdl_status status =
            bdl__summary_create(&counter.allocator, bdl_test_dir(), "train", &summary);
        for (int i = 0; i < 100 && status == BDL_OK; i++) {
            status = bdl__summary_scalar(summary, "x", i, i);
        }
        if (status == BDL_OK) {
            status = bdl__summary_flush(summary);
        }
        CHECK(status == (counter.refused ? BDL_ERR_OUT_OF_MEMORY : BDL_OK));
        bdl__summary_free(summary);
    }
}

BDL_TEST_MAIN(summary_files_read_back, summary_waits_and_then_writes,
              summary_never_writes_into_an_older_file, summary_reports_errors,
              summary_survives_failing_allocations)
