/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation, checked sizes, arenas, and the error text of status.c. */
#include "base/memory.h"

#include <string.h>

#include "counting_allocator.h"
#include "test.h"

BDL_TEST(allocates_zeroed_aligned_memory)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4097};
    counting_allocator counter;
    counting_allocator_init(&counter);
    for (int64_t i = 0; i < BDL__COUNT_OF(sizes); i++) {
        void *memory = NULL;
        REQUIRE_OK(bdl__alloc(&counter.allocator, sizes[i], &memory));
        CHECK_EQ_I64((uintptr_t)memory % BDL__ALIGNMENT, 0);
        const unsigned char *const bytes = memory;
        for (size_t k = 0; k < sizes[i]; k++) {
            REQUIRE(bytes[k] == 0);
        }
        bdl__free(&counter.allocator, memory, sizes[i]);
    }
    bdl__free(&counter.allocator, NULL, 5);
    CHECK_EQ_I64(counter.n_live, 0);
    CHECK(!counter.wrong_size);
}

/* As large as what the default allocator asks the system for: twice, as the second time memory is used again. */
BDL_TEST(large_memory_is_zeroed_and_aligned)
{
    const size_t size = ((size_t)64 << 20) + 5;
    for (int i = 0; i < 2; i++) {
        void *memory = NULL;
        REQUIRE_OK(bdl__alloc(bdl__default_allocator(), size, &memory));
        CHECK_EQ_I64((int64_t)((uintptr_t)memory % BDL__ALIGNMENT), 0);
        const char *const bytes = memory;
        CHECK(bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
        memset(memory, 0xA5, size);
        bdl__free(bdl__default_allocator(), memory, size);
    }
}

BDL_TEST(default_allocator_refuses_absurd_sizes)
{
    void *memory = NULL;
    CHECK_EQ_I64(bdl__alloc(bdl__default_allocator(), SIZE_MAX, &memory), BDL_ERR_OUT_OF_MEMORY);
    CHECK(memory == NULL);
    CHECK_STR_HAS(bdl_last_error(), "out of memory: cannot allocate");
}

static void *misaligned_alloc(void *user, size_t size)
{
    const counting_allocator *const counter = user;
    return (char *)counter->allocator.alloc(user, size + 8) + 8;
}

static void misaligned_free(void *user, void *memory, size_t size)
{
    const counting_allocator *const counter = user;
    counter->allocator.free(user, (char *)memory - 8, size + 8);
}

BDL_TEST(refuses_an_allocator_that_does_not_align)
{
    counting_allocator counter;
    counting_allocator_init(&counter);
    const bdl_allocator bad = {.struct_size = sizeof bad,
                               .alloc = misaligned_alloc,
                               .free = misaligned_free,
                               .user = &counter};
    void *memory = NULL;
    CHECK_EQ_I64(bdl__alloc(&bad, 100, &memory), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "aligned to 64 bytes");
    CHECK_EQ_I64(counter.n_live, 0);
}

BDL_TEST(realloc_keeps_the_old_part_and_zeroes_the_new)
{
    counting_allocator counter;
    counting_allocator_init(&counter);
    void *memory = NULL;
    REQUIRE_OK(bdl__realloc(&counter.allocator, 0, 10, &memory));
    memset(memory, 7, 10);
    REQUIRE_OK(bdl__realloc(&counter.allocator, 10, 1000, &memory));
    const unsigned char *const bytes = memory;
    CHECK_EQ_I64(bytes[9], 7);
    CHECK_EQ_I64(bytes[10], 0);
    CHECK_EQ_I64(bytes[999], 0);
    REQUIRE_OK(bdl__realloc(&counter.allocator, 1000, 4, &memory));
    CHECK_EQ_I64(((const unsigned char *)memory)[3], 7);
    void *const before = memory;
    counter.fail_at = counter.n_requests + 1;
    CHECK_EQ_I64(bdl__realloc(&counter.allocator, 4, 8, &memory), BDL_ERR_OUT_OF_MEMORY);
    CHECK(memory == before);
    bdl__free(&counter.allocator, memory, 4);
    CHECK_EQ_I64(counter.n_live, 0);
    CHECK(!counter.wrong_size);
}

BDL_TEST(checked_arithmetic_detects_overflow)
{
    int64_t result = -7;
    CHECK(bdl__mul_i64(INT64_C(3037000499), INT64_C(3037000499), &result));
    CHECK_EQ_I64(result, INT64_C(9223372030926249001));
    result = -7;
    CHECK(!bdl__mul_i64(INT64_C(3037000500), INT64_C(3037000500), &result));
    CHECK(!bdl__mul_i64(-1, 1, &result));
    CHECK(!bdl__mul_i64(1, -1, &result));
    CHECK(!bdl__add_i64(INT64_MAX, 1, &result));
    CHECK(!bdl__add_i64(INT64_MIN, -1, &result));
    CHECK_EQ_I64(result, -7);
    CHECK(bdl__mul_i64(INT64_MAX, 0, &result));
    CHECK_EQ_I64(result, 0);
    CHECK(bdl__add_i64(INT64_MAX, INT64_MIN, &result));
    CHECK_EQ_I64(result, -1);
    size_t size = 7;
    CHECK(!bdl__bytes_of(-1, 4, &size));
    CHECK(!bdl__bytes_of(INT64_MAX, 4, &size));
    CHECK_EQ_I64(size, 7);
    CHECK(bdl__bytes_of(INT64_C(1) << 40, 8, &size));
    CHECK_EQ_I64(size, INT64_C(1) << 43);
    CHECK(bdl__bytes_of(INT64_MAX, 0, &size));
    CHECK_EQ_I64(size, 0);
}

BDL_TEST(arena_gives_separate_zeroed_pieces)
{
    enum { N = 3000 };
    static unsigned char *pieces[N];
    static size_t sizes[N];
    counting_allocator counter;
    counting_allocator_init(&counter);
    bdl__arena arena;
    bdl__arena_init(&arena, &counter.allocator);
    for (int i = 0; i < N; i++) {
        void *memory = NULL;
        sizes[i] = i % 100 == 0 ? 100000 : (size_t)(bdl_test_random() % 200);
        REQUIRE_OK(bdl__arena_alloc(&arena, sizes[i], &memory));
        REQUIRE((uintptr_t)memory % 16 == 0);
        pieces[i] = memory;
        for (size_t k = 0; k < sizes[i]; k++) {
            REQUIRE(pieces[i][k] == 0);
            pieces[i][k] = (unsigned char)i;
        }
    }
    for (int i = 0; i < N; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            REQUIRE(pieces[i][k] == (unsigned char)i);
        }
    }
    CHECK(counter.n_live < 60); /* 30 large pieces and a few chunks */
    void *memory = NULL;
    CHECK_EQ_I64(bdl__arena_alloc(&arena, SIZE_MAX - 3, &memory), BDL_ERR_OUT_OF_MEMORY);
    bdl__arena_free(&arena);
    bdl__arena_free(&arena);
    CHECK_EQ_I64(counter.n_live, 0);
    CHECK(!counter.wrong_size);
}

BDL_TEST(arena_copies_and_formats_text)
{
    bdl__arena arena;
    bdl__arena_init(&arena, bdl__default_allocator());
    const char *copy = NULL;
    const char *formatted = NULL;
    REQUIRE_OK(bdl__arena_strdup(&arena, "block3/conv1", &copy));
    REQUIRE_OK(bdl__arena_printf(&arena, &formatted, "%s:%5000d", copy, 42));
    CHECK_STR_EQ(copy, "block3/conv1");
    CHECK_EQ_I64(strlen(formatted), 12 + 1 + 5000);
    CHECK_STR_EQ(formatted + 12 + 1 + 4998, "42");
    bdl__arena_free(&arena);
}

BDL_TEST(arena_survives_each_failed_allocation)
{
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__arena arena;
        bdl__arena_init(&arena, &counter.allocator);
        bdl_status status = BDL_OK;
        const char *kept = NULL;
        for (int i = 0; i < 100; i++) {
            void *memory = NULL;
            const char *text = NULL;
            status = bdl__arena_alloc(&arena, (size_t)i * 50, &memory);
            if (status == BDL_OK) {
                status = bdl__arena_printf(&arena, &text, "%d", i);
            }
            if (status != BDL_OK) {
                CHECK_EQ_I64(status, BDL_ERR_OUT_OF_MEMORY);
                CHECK(text == NULL);
            }
            kept = text != NULL && kept == NULL ? text : kept;
        }
        CHECK(kept != NULL);
        bdl__arena_free(&arena);
    }
}

BDL_TEST(error_text_can_quote_itself)
{
    CHECK_EQ_I64(bdl__fail(BDL_ERR_SHAPE, "axis %d", 3), BDL_ERR_SHAPE);
    CHECK_STR_EQ(bdl_last_error(), "axis 3");
    CHECK_EQ_I64(bdl__fail(BDL_ERR_IO, "again: %s", bdl_last_error()), BDL_ERR_IO);
    CHECK_STR_EQ(bdl_last_error(), "again: axis 3");
    CHECK_EQ_I64(bdl__fail_in(BDL_ERR_IO, "layer '%s'", "fc"), BDL_ERR_IO);
    CHECK_STR_EQ(bdl_last_error(), "layer 'fc': again: axis 3");
}

BDL_TEST(long_error_text_is_cut_at_a_whole_character)
{
    char text[4096];
    for (size_t i = 0; i + 3 < sizeof text; i += 3) {
        memcpy(text + i, "\xE2\x82\xAC", 4); /* the euro sign, 3 bytes */
    }
    (void)bdl__fail(BDL_ERR_IO, "%s", text);
    CHECK_EQ_I64(strlen(bdl_last_error()) % 3, 0);
    CHECK(strlen(bdl_last_error()) > 2000);
    for (int i = 0; i < 3; i++) {
        (void)bdl__fail_in(BDL_ERR_IO, "x");
        CHECK_STR_EQ(bdl_last_error() + strlen(bdl_last_error()) - 3, "\xE2\x82\xAC");
    }
}

BDL_TEST(every_status_has_its_text)
{
    CHECK_STR_EQ(bdl_status_text(BDL_OK), "success");
    CHECK_STR_EQ(bdl_status_text(BDL_ERR_OUT_OF_MEMORY), "out of memory");
    CHECK_STR_EQ(bdl_status_text(BDL_ERR_INTERNAL), "internal error");
    CHECK_STR_EQ(bdl_status_text(4711), "unknown status code");
    CHECK_STR_EQ(bdl_status_text(-1), "unknown status code");
}

BDL_TEST_MAIN(allocates_zeroed_aligned_memory, large_memory_is_zeroed_and_aligned,
              default_allocator_refuses_absurd_sizes, refuses_an_allocator_that_does_not_align,
              realloc_keeps_the_old_part_and_zeroes_the_new, checked_arithmetic_detects_overflow,
              arena_gives_separate_zeroed_pieces, arena_copies_and_formats_text,
              arena_survives_each_failed_allocation, error_text_can_quote_itself,
              long_error_text_is_cut_at_a_whole_character, every_status_has_its_text)
