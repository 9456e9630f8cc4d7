/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event files for TensorBoard. A file is a row of records (TFRecord):
 *
 *     uint64 length, uint32 masked CRC-32C of the length, data, uint32 masked CRC-32C of the data
 *
 * little-endian, with mask(crc) = rotate_right(crc, 15) + 0xa282ead8. Data are messages `Event`
 * of tensorflow/core/util/event.proto in protobuf's wire format:
 *
 *     Event: 1 wall_time (double), 2 step (int64), 3 file_version (string), 5 summary (Summary)
 *     Summary: 1 value (repeated Value)      Value: 1 tag (string), 2 simple_value (float)
 *
 * The first event holds file_version "brain.Event:2". Events are written every few seconds, so
 * that a run can be watched and training does not wait for the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/thread.h"
#include "train/train.h"

#define FLUSH_SECONDS 5.0
#define FLUSH_BYTES ((size_t)64 << 10)
#define HOST_SIZE 65
#define TAG_SIZE 256 /* longer tags are refused */
#define EVENT_SIZE (TAG_SIZE + 64)

struct bdl__summary {
    const bdl_allocator *allocator;
    bdl__arena arena;
    const char *path; /* in the arena */
    int fd;
    bdl__text pending; /* records that are not written yet */
    double last_flush; /* seconds, monotonic */
    double last_time;  /* wall time of the last event: never runs backwards */
};

/* ---- protobuf's wire format ----------------------------------------------------------------- */

/* A message that is put together in a fixed buffer; callers bound what they put in. */
typedef struct message {
    uint8_t bytes[EVENT_SIZE];
    size_t size;
} message;

typedef enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 } wire;

static void put_varint(message *m, uint64_t value)
{
    while (value >= 0x80) {
        m->bytes[m->size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    m->bytes[m->size++] = (uint8_t)value;
}

static void put_key(message *m, uint32_t field, wire kind)
{
    put_varint(m, field << 3 | (uint32_t)kind);
}

static void put_little_endian(message *m, uint64_t bits, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) {
        m->bytes[m->size++] = (uint8_t)(bits >> 8 * i);
    }
}

static void put_double(message *m, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, FIXED64);
    put_little_endian(m, bits, 8);
}

static void put_float(message *m, uint32_t field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, FIXED32);
    put_little_endian(m, bits, 4);
}

static void put_bytes(message *m, uint32_t field, const void *bytes, size_t size)
{
    put_key(m, field, BYTES);
    put_varint(m, size);
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

/* ---- records -------------------------------------------------------------------------------- */

static uint32_t masked_crc(const void *data, size_t size)
{
    const uint32_t crc = bdl__crc32c(0, data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

static void append_record(bdl__text *out, const message *event)
{
    message frame = {.size = 0};
    put_little_endian(&frame, event->size, 8);
    put_little_endian(&frame, masked_crc(frame.bytes, 8), 4);
    bdl__text_append_bytes(out, frame.bytes, frame.size);
    bdl__text_append_bytes(out, event->bytes, event->size);
    frame.size = 0;
    put_little_endian(&frame, masked_crc(event->bytes, event->size), 4);
    bdl__text_append_bytes(out, frame.bytes, frame.size);
}

static double wall_time(bdl__summary *summary)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) == 0) {
        const double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
        summary->last_time = BDL__MAX(summary->last_time, seconds);
    }
    return summary->last_time;
}

/* ---- the file ------------------------------------------------------------------------------- */

static bdl_status fail_write(const bdl__summary *summary)
{
    BDL__FAIL(BDL_ERR_IO, "cannot write the summary '%s': %s", summary->path, strerror(errno));
}

bdl_status bdl__summary_flush(bdl__summary *summary)
{
    bdl__text *const pending = &summary->pending;
    BDL__TRY(bdl__text_status(pending));
    size_t done = 0;
    bool is_ok = true;
    while (done < pending->size && is_ok) {
        const ssize_t n = write(summary->fd, pending->data + done, pending->size - done);
        is_ok = n >= 0 || errno == EINTR;
        done += n > 0 ? (size_t)n : 0;
    }
    if (done > 0) { /* what is left after a failure begins where the file ends */
        memmove(pending->data, pending->data + done, pending->size - done);
        pending->size -= done;
    }
    summary->last_flush = bdl__now();
    return is_ok ? BDL_OK : fail_write(summary);
}

bdl_status bdl__summary_scalar(bdl__summary *summary, const char *tag, int64_t step, double value)
{
    const size_t n_tag = strlen(tag);
    BDL__CHECK(n_tag > 0 && n_tag < TAG_SIZE, BDL_ERR_INVALID_ARGUMENT,
               "a summary's tag has 1 to %d bytes, got %zu", TAG_SIZE - 1, n_tag);
    message inner = {.size = 0}, list = {.size = 0}, event = {.size = 0};
    put_bytes(&inner, 1, tag, n_tag);
    put_float(&inner, 2, (float)value);
    put_bytes(&list, 1, inner.bytes, inner.size);
    put_double(&event, 1, wall_time(summary));
    put_key(&event, 2, VARINT);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, list.bytes, list.size);
    append_record(&summary->pending, &event);
    const bool is_due =
        summary->pending.size >= FLUSH_BYTES || bdl__now() - summary->last_flush >= FLUSH_SECONDS;
    return is_due ? bdl__summary_flush(summary) : bdl__text_status(&summary->pending);
}

static bdl_status write_version(bdl__summary *summary)
{
    static const char version[] = "brain.Event:2";
    message event = {.size = 0};
    put_double(&event, 1, wall_time(summary));
    put_bytes(&event, 3, version, sizeof version - 1);
    append_record(&summary->pending, &event);
    return bdl__summary_flush(summary);
}

/* The host's name as a part of a file's name. */
static void host_name(char host[HOST_SIZE])
{
    if (gethostname(host, HOST_SIZE - 1) != 0) {
        host[0] = '\0';
    }
    host[HOST_SIZE - 1] = '\0';
    for (char *c = host; *c; c++) {
        *c = *c == '/' ? '_' : *c;
    }
    if (host[0] == '\0') {
        memcpy(host, "host", 5);
    }
}

/* A file that did not exist: a second run in the same second gets a number behind its name. */
static bdl_status create_file(bdl__summary *summary, const char *directory, const char *part)
{
    enum { MOST_TRIES = 1000 };
    const char *folder;
    char host[HOST_SIZE];
    host_name(host);
    BDL__TRY(bdl__path_join(&summary->arena, directory, part, &folder));
    BDL__TRY(bdl__make_directories(folder));
    const long long seconds = (long long)wall_time(summary);
    for (int i = 0; i < MOST_TRIES && summary->fd < 0; i++) {
        char number[16] = "";
        if (i > 0) {
            snprintf(number, sizeof number, ".%d", i);
        }
        BDL__TRY(bdl__arena_printf(&summary->arena, &summary->path, "%s/bdl.tfevents.%lld.%s%s",
                                   folder, seconds, host, number));
        summary->fd = open(summary->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (summary->fd < 0 && errno != EEXIST) {
            break;
        }
    }
    return summary->fd < 0 ? fail_write(summary) : write_version(summary);
}

bdl_status bdl__summary_create(const bdl_allocator *allocator, const char *directory,
                               const char *part, bdl__summary **summary)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **summary, &memory));
    bdl__summary *const made = memory;
    made->allocator = allocator;
    made->fd = -1;
    bdl__arena_init(&made->arena, allocator);
    bdl__text_init(&made->pending, allocator);
    const bdl_status status = create_file(made, directory, part);
    if (status != BDL_OK) {
        bdl__summary_free(made);
        return status;
    }
    *summary = made;
    return BDL_OK;
}

/* Writes what is pending; who wants to know of failures flushes first. */
void bdl__summary_free(bdl__summary *summary)
{
    if (!summary) {
        return;
    }
    const bdl_allocator *const allocator = summary->allocator;
    if (summary->fd >= 0) {
        (void)bdl__summary_flush(summary);
        (void)close(summary->fd);
    }
    bdl__text_free(&summary->pending);
    bdl__arena_free(&summary->arena);
    bdl__free(allocator, summary, sizeof *summary);
}
