/* SPDX-License-Identifier: Apache-2.0 */
/* Published answers of SHA-256 and CRC-32C, and golden values of the row hash. */
#include "base/hash.h"

#include <string.h>

#include "base/compiler.h"
#include "test.h"

static void sha256_of(const void *data, size_t size, size_t step, char hex[65])
{
    bdl__sha256 hash;
    uint8_t digest[32];
    bdl__sha256_init(&hash);
    for (size_t i = 0; i < size; i += step) {
        bdl__sha256_update(&hash, (const char *)data + i, BDL__MIN(step, size - i));
    }
    bdl__sha256_final(&hash, digest);
    bdl__sha256_hex(digest, hex);
}

BDL_TEST(sha256_matches_the_standard)
{
    static const struct {
        const char *text;
        const char *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        sha256_of(rows[i].text, strlen(rows[i].text), 1000, hex);
        CHECK_STR_EQ(hex, rows[i].hex);
    }
    static char million[1000000];
    memset(million, 'a', sizeof million);
    sha256_of(million, sizeof million, sizeof million, hex);
    CHECK_STR_EQ(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

BDL_TEST(sha256_does_not_depend_on_the_pieces)
{
    char data[300];
    char whole[65];
    char pieces[65];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 7);
    }
    for (size_t size = 0; size < sizeof data; size += 13) {
        sha256_of(data, size, sizeof data, whole);
        for (size_t step = 1; step < 130; step += 9) {
            sha256_of(data, size, step, pieces);
            CHECK_STR_EQ(pieces, whole);
        }
    }
}

BDL_TEST(crc32c_matches_rfc_3720)
{
    uint8_t data[32] = {0};
    CHECK_EQ_I64(bdl__crc32c(0, "123456789", 9), 0xE3069283);
    CHECK_EQ_I64(bdl__crc32c(0, data, 32), 0x8A9136AA);
    memset(data, 0xFF, sizeof data);
    CHECK_EQ_I64(bdl__crc32c(0, data, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++) {
        data[i] = (uint8_t)i;
    }
    CHECK_EQ_I64(bdl__crc32c(0, data, 32), 0x46DD794E);
    CHECK_EQ_I64(bdl__crc32c(bdl__crc32c(0, data, 11), data + 11, 21), 0x46DD794E);
    CHECK_EQ_I64(bdl__crc32c(0, NULL, 0), 0);
}

/* Saved runs name rows by these keys: the values must never change. */
BDL_TEST(row_hash_keeps_its_golden_values)
{
    static const struct {
        const char *text;
        uint64_t high;
        uint64_t low;
    } rows[] = {
        {"", UINT64_C(0xFA34B01A1B929434), UINT64_C(0xABA9E4A3D49356E0)},
        {"a", UINT64_C(0xA1A2035F03D0B71F), UINT64_C(0xB7CCBD3D0DF186BB)},
        {"1234567", UINT64_C(0xB36F07A082FA7AA3), UINT64_C(0xE837ACBF9A0A8134)},
        {"12345678", UINT64_C(0x3FABAE0AC909F256), UINT64_C(0x72BAC855C402BAD4)},
        {"123456789", UINT64_C(0x1BF9D87A5694A580), UINT64_C(0x459E352BEA442CAE)},
        {"the same on every machine", UINT64_C(0x983705DEF799A5F1), UINT64_C(0x49BCB735E71B9176)},
    };
    for (int64_t i = 0; i < BDL__COUNT_OF(rows); i++) {
        const bdl__key key = bdl__hash128(rows[i].text, strlen(rows[i].text));
        CHECK_EQ_I64(key.high, rows[i].high);
        CHECK_EQ_I64(key.low, rows[i].low);
    }
}

BDL_TEST(row_hash_sees_length_and_order)
{
    static const char zeros[64] = {0};
    bdl__key keys[65];
    for (size_t n = 0; n <= sizeof zeros; n++) {
        keys[n] = bdl__hash128(zeros, n);
        for (size_t k = 0; k < n; k++) {
            CHECK(keys[n].high != keys[k].high && keys[n].low != keys[k].low);
        }
    }
    CHECK(bdl__hash128("12345678abcdefgh", 16).high != bdl__hash128("abcdefgh12345678", 16).high);
}

static int count_ones(uint64_t x)
{
    int n = 0;
    for (; x != 0; x &= x - 1) {
        n++;
    }
    return n;
}

BDL_TEST(row_hash_flips_half_of_the_bits)
{
    enum { SIZE = 100 };
    uint8_t row[SIZE];
    for (int i = 0; i < SIZE; i++) {
        row[i] = (uint8_t)bdl_test_random();
    }
    const bdl__key key = bdl__hash128(row, SIZE);
    int64_t flipped = 0;
    for (int bit = 0; bit < SIZE * 8; bit++) {
        row[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const bdl__key other = bdl__hash128(row, SIZE);
        const int n_high = count_ones(key.high ^ other.high);
        const int n_low = count_ones(key.low ^ other.low);
        CHECK(n_high >= 8 && n_high <= 56 && n_low >= 8 && n_low <= 56);
        flipped += n_high + n_low;
        row[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_NEAR((double)flipped / (SIZE * 8), 64, 1.5);
}

static void check_hmac(const void *key, size_t key_size, const char *message, const char *wanted)
{
    uint8_t mac[32];
    char hex[65];
    bdl__hmac_sha256(key, key_size, message, strlen(message), mac);
    bdl__sha256_hex(mac, hex);
    CHECK_STR_EQ(hex, wanted);
}

BDL_TEST(hmac_matches_rfc_4231)
{
    uint8_t key[20];
    memset(key, 0x0B, sizeof key);
    check_hmac(key, sizeof key, "Hi There",
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check_hmac("Jefe", 4, "what do ya want for nothing?",
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

BDL_TEST(equal_bytes_are_equal)
{
    CHECK(bdl__equal_in_constant_time("abcdef", "abcdef", 6));
    CHECK(!bdl__equal_in_constant_time("abcdef", "abcdeg", 6));
    CHECK(!bdl__equal_in_constant_time("abcdef", "bbcdef", 6));
    CHECK(bdl__equal_in_constant_time("abcdef", "abcdeg", 5));
    CHECK(bdl__equal_in_constant_time("", "", 0));
}

BDL_TEST_MAIN(hmac_matches_rfc_4231, equal_bytes_are_equal, sha256_matches_the_standard,
              sha256_does_not_depend_on_the_pieces, crc32c_matches_rfc_3720,
              row_hash_keeps_its_golden_values, row_hash_sees_length_and_order,
              row_hash_flips_half_of_the_bits)
