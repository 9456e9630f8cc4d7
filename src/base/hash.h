/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums and hashes: SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104), CRC-32C (RFC 3720), and a 128-bit row hash. */
#ifndef BDL_BASE_HASH_H
#define BDL_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bdl__sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} bdl__sha256;

void bdl__sha256_init(bdl__sha256 *hash);
void bdl__sha256_update(bdl__sha256 *hash, const void *data, size_t size);
void bdl__sha256_final(bdl__sha256 *hash, uint8_t digest[32]);
void bdl__sha256_hex(const uint8_t digest[32], char hex[65]);

/* HMAC-SHA256 of a message; the key has at most 64 bytes. Leaves nothing of the key behind. */
void bdl__hmac_sha256(const void *key, size_t key_size, const void *message, size_t size,
                      uint8_t mac[32]);
/* Takes as long whether and wherever they differ. */
bool bdl__equal_in_constant_time(const void *a, const void *b, size_t size);

/* Goes on from `crc`, 0 at the start: crc32c(0, "123456789") is 0xE3069283. */
uint32_t bdl__crc32c(uint32_t crc, const void *data, size_t size);

/* 128-bit non-cryptographic hash of a row's canonical bytes; the same on every machine. */
typedef struct bdl__key {
    uint64_t high;
    uint64_t low;
} bdl__key;
bdl__key bdl__hash128(const void *data, size_t size);

#endif
