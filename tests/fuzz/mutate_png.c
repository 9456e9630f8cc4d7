/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fuzz_png changes its inputs: mostly libFuzzer changes the content of one chunk, and length and checksum are made
 * to fit. Without that, nearly all that it tries would end at a wrong checksum. Part of builds with libFuzzer only.
 */
#include <stdint.h>
#include <string.h>
#include <zlib.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A file is the signature, then chunks: length of the content, type, content, CRC of type and content. */
enum { SIGNATURE = 8, LENGTH = 4, TYPE = 4, CRC = 4, MOST_CHUNKS = 64 };

static uint32_t read_u32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void write_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* Where the whole chunks begin; returns their number. */
static unsigned find_chunks(const uint8_t *data, size_t size, size_t begins[MOST_CHUNKS])
{
    unsigned n = 0;
    for (size_t at = SIGNATURE; n < MOST_CHUNKS && at + LENGTH + TYPE + CRC <= size; n++) {
        const size_t length = read_u32(data + at);
        if (length > size - at - LENGTH - TYPE - CRC) {
            break;
        }
        begins[n] = at;
        at += LENGTH + TYPE + length + CRC;
    }
    return n;
}

/* Changes the content of the chunk that begins at `at`; what follows it is kept. */
static size_t mutate_chunk(uint8_t *data, size_t size, size_t max_size, size_t at)
{
    uint8_t *const content = data + at + LENGTH + TYPE;
    const size_t length = read_u32(data + at);
    const size_t rest = size - (size_t)(content - data) - length; /* the CRC, too */
    memmove(data + max_size - rest, content + length, rest);
    const size_t now =
        LLVMFuzzerMutate(content, length, max_size - rest - (size_t)(content - data));
    memmove(content + now, data + max_size - rest, rest);
    write_u32(data + at, (uint32_t)now);
    write_u32(content + now, (uint32_t)crc32(0, data + at + LENGTH, (uInt)(TYPE + now)));
    return (size_t)(content - data) + now + rest;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t begins[MOST_CHUNKS];
    const unsigned n = find_chunks(data, size, begins);
    const unsigned i = seed % (n + 1);
    if (i == n || size == max_size) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    return mutate_chunk(data, size, max_size, begins[i]);
}
