/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: 32 bytes, little-endian, then the payload.
 *
 *     0 mark (0xBD 0x1F)  2 type  3 zero  4 payload size  8 tag  16 size  24 id  28 zero
 *
 * Every field that a type does not use must be zero, and every size is capped, so that bytes of a stranger or of a
 * broken stream are found at once.
 */
#include <string.h>

#include "dist/internal.h"

enum { MARK_0 = 0xBD, MARK_1 = 0x1F };

static void put(uint8_t *bytes, int n, uint64_t value)
{
    for (int i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get(const uint8_t *bytes, int n)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

void bdl__frame_write(const bdl__frame *frame, uint8_t bytes[BDL__FRAME_SIZE])
{
    memset(bytes, 0, BDL__FRAME_SIZE);
    bytes[0] = MARK_0;
    bytes[1] = MARK_1;
    bytes[2] = (uint8_t)frame->type;
    put(bytes + 4, 4, frame->payload);
    put(bytes + 8, 8, frame->tag);
    put(bytes + 16, 8, frame->size);
    put(bytes + 24, 4, frame->id);
}

/* What a type may have: the largest payload, and whether tag, size and id are used. */
typedef struct frame_rule {
    uint32_t most_payload;
    bool has_tag;
    bool has_size;
    bool has_id;
} frame_rule;

static const frame_rule rules[] = {
    [BDL__FRAME_HELLO] = {.most_payload = BDL__MOST_HELLO},
    [BDL__FRAME_PING] = {.most_payload = 0},
    [BDL__FRAME_EAGER] = {.most_payload = BDL__EAGER_SIZE, .has_tag = true},
    [BDL__FRAME_ANNOUNCE] = {.has_tag = true, .has_size = true},
    [BDL__FRAME_READY] = {.has_tag = true, .has_size = true, .has_id = true},
    [BDL__FRAME_DATA] = {.most_payload = BDL__CHUNK_SIZE, .has_size = true, .has_id = true},
    [BDL__FRAME_CREDIT] = {.has_size = true},
    [BDL__FRAME_ABORT] = {.most_payload = BDL__MOST_CAUSE, .has_tag = true, .has_id = true},
    [BDL__FRAME_GOODBYE] = {.most_payload = 0},
};

const char *bdl__frame_read(const uint8_t bytes[BDL__FRAME_SIZE], bdl__frame *frame)
{
    const int type = bytes[2];
    if (bytes[0] != MARK_0 || bytes[1] != MARK_1) {
        return "it does not begin with a frame's mark";
    }
    if (type < BDL__FRAME_HELLO || type > BDL__FRAME_GOODBYE) {
        return "its type is unknown";
    }
    const frame_rule *const rule = &rules[type];
    *frame = (bdl__frame){.type = (bdl__frame_type)type,
                          .payload = (uint32_t)get(bytes + 4, 4),
                          .tag = get(bytes + 8, 8),
                          .size = get(bytes + 16, 8),
                          .id = (uint32_t)get(bytes + 24, 4)};
    if (frame->payload > rule->most_payload) {
        return "its payload is longer than its type allows";
    }
    if (bytes[3] != 0 || get(bytes + 28, 4) != 0 || (!rule->has_tag && frame->tag != 0) ||
        (!rule->has_size && frame->size != 0) || (!rule->has_id && frame->id != 0)) {
        return "a field that its type does not use is not zero";
    }
    return NULL;
}
