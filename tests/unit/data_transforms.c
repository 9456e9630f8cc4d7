/* SPDX-License-Identifier: Apache-2.0 */
/* Transforms and chains: values, shapes, randomness, text and JSON forms, tables. */
#include <stdio.h>
#include <string.h>

#include "counting_allocator.h"
#include "data_helpers.h"
#include "test.h"

static bdl__chain *chain_of(const char *text)
{
    bdl__chain *chain = NULL;
    CHECK_OK(bdl__chain_from_text(bdl__default_allocator(), text, &chain));
    return chain;
}

static bdl__sample bytes_of(const uint8_t *values, int64_t c, int64_t h, int64_t w)
{
    return (bdl__sample){
        .element = BDL__ELEMENT_U8, .shape = {.rank = 3, .dim = {c, h, w}}, .data = values};
}

static bdl__sample floats_of(const float *values, int64_t c, int64_t h, int64_t w)
{
    bdl__sample sample = bytes_of(NULL, c, h, w);
    sample.element = BDL__ELEMENT_F32;
    sample.data = values;
    return sample;
}

/* The chain's result must have this shape and these values; rng NULL = evaluation. */
static void check(const char *text, const bdl__sample *src, bdl__rng *rng, int64_t c, int64_t h,
                  int64_t w, const float *expected)
{
    bdl__chain *chain = chain_of(text);
    bdl__chain_scratch scratch;
    bdl__chain_scratch_init(&scratch, bdl__default_allocator());
    const bdl__sample *result = NULL;
    REQUIRE_OK(bdl__chain_apply(chain, src, &scratch, rng, &result));
    const bdl__shape shape = {.rank = 3, .dim = {c, h, w}};
    bdl__shape inferred = {0};
    CHECK_OK(bdl__chain_infer(chain, &src->shape, src->element, &inferred));
    CHECK(bdl__shape_equal(&shape, &inferred));
    REQUIRE(bdl__shape_equal(&shape, &result->shape));
    REQUIRE(result->element == BDL__ELEMENT_F32);
    for (int64_t i = 0; i < c * h * w; i++) {
        CHECK_NEAR(((const float *)result->data)[i], expected[i], 1e-5);
    }
    bdl__chain_scratch_free(&scratch);
    bdl__chain_free(chain);
}

static const uint8_t small[] = {0, 10, 20, 30, 40, 50}; /* 1 x 2 x 3 */
static const float small_floats[] = {0, 10, 20, 30, 40, 50};

/* Bytes and floats give the same. */
static void check_both(const char *text, int64_t c, int64_t h, int64_t w, const float *expected)
{
    const bdl__sample bytes = bytes_of(small, 1, 2, 3), floats = floats_of(small_floats, 1, 2, 3);
    check(text, &bytes, NULL, c, h, w, expected);
    check(text, &floats, NULL, c, h, w, expected);
}

BDL_TEST(pointwise_transforms_compute_their_formulas)
{
    check_both("", 1, 2, 3, small_floats);
    check_both("to_float", 1, 2, 3, small_floats);
    check_both("scale(0.1, 1)", 1, 2, 3, (const float[]){1, 2, 3, 4, 5, 6});
    check_both("scale", 1, 2, 3,
               (const float[]){0, 10 / 255.0F, 20 / 255.0F, 30 / 255.0F, 40 / 255.0F, 50 / 255.0F});
    check_both("normalize(mean=1, std=2, divide=10)", 1, 2, 3,
               (const float[]){-0.5F, 0, 0.5F, 1, 1.5F, 2});
    const bdl__sample two = bytes_of(small, 2, 1, 3);
    check("normalize(mean=[10, 40], std=[10, 5])", &two, NULL, 2, 1, 3,
          (const float[]){-1, 0, 1, -2, 0, 2});
    check("normalize(mean=[10, 40], std=5)", &two, NULL, 2, 1, 3,
          (const float[]){-2, 0, 2, -2, 0, 2});
}

BDL_TEST(geometric_transforms_move_pixels)
{
    check_both("crop(2)", 1, 2, 2, (const float[]){0, 10, 30, 40});
    check_both("crop([1, 3])", 1, 1, 3, (const float[]){0, 10, 20});
    check_both("crop(1)", 1, 1, 1, (const float[]){10});
    check_both("pad([0, 1], value=7)", 1, 2, 5, (const float[]){7, 0, 10, 20, 7, 7, 30, 40, 50, 7});
    check_both("pad(1), crop([2, 3])", 1, 2, 3, small_floats);
    check_both("flip(p=1)", 1, 2, 3, small_floats); /* evaluation */
    bdl__rng rng;
    bdl__rng_init(&rng, 1, BDL__RNG_TRANSFORM, 0, 0);
    const bdl__sample two = bytes_of(small, 2, 1, 3), one = floats_of(small_floats, 1, 2, 3);
    check("flip(p=1)", &two, &rng, 2, 1, 3, (const float[]){20, 10, 0, 50, 40, 30});
    check("flip(p=1, axis=vertical)", &one, &rng, 1, 2, 3, (const float[]){30, 40, 50, 0, 10, 20});
    check("flip(p=0)", &one, &rng, 1, 2, 3, small_floats);
}

BDL_TEST(resize_interpolates_between_pixel_centers)
{
    check_both("resize([2, 3])", 1, 2, 3, small_floats);
    check_both("resize([1, 3])", 1, 1, 3, (const float[]){15, 25, 35});
    check_both("resize([2, 1])", 1, 2, 1, (const float[]){10, 40});
    const bdl__sample bytes = bytes_of(small, 1, 2, 3), floats = floats_of(small_floats, 1, 2, 3);
    check("resize([2, 6]), crop([1, 6])", &floats, NULL, 1, 1, 6,
          (const float[]){0, 2.5F, 7.5F, 12.5F, 17.5F, 20});
    check("resize([2, 6]), crop([1, 6])", &bytes, NULL, 1, 1, 6,
          (const float[]){0, 3, 8, 13, 18, 20}); /* bytes are rounded */
}

BDL_TEST(resize_of_one_size_keeps_the_ratio)
{
    static const struct {
        int64_t h, w, oh, ow;
    } cases[] = {{100, 200, 50, 100}, {200, 100, 100, 50}, {64, 64, 50, 50}, {30, 47, 50, 78}};
    bdl__chain *chain = chain_of("resize(50)");
    for (int i = 0; i < 4; i++) {
        const bdl__shape shape = {.rank = 3, .dim = {3, cases[i].h, cases[i].w}};
        bdl__shape result = {0};
        REQUIRE_OK(bdl__chain_infer(chain, &shape, BDL__ELEMENT_U8, &result));
        CHECK_EQ_I64(result.dim[1], cases[i].h < cases[i].w ? 50 : cases[i].oh);
        CHECK_EQ_I64(result.dim[2], cases[i].w < cases[i].h ? 50 : cases[i].ow);
    }
    const bdl__shape thin = {.rank = 3, .dim = {1, 1, 60000000}};
    bdl__shape result = {0};
    CHECK_EQ_I64(bdl__chain_infer(chain, &thin, BDL__ELEMENT_U8, &result), BDL_ERR_SHAPE);
    bdl__chain_free(chain);
}

BDL_TEST(color_transforms_know_their_channels)
{
    static const uint8_t pixels[] = {100, 200, 10, 20, 30, 40}; /* 3 x 1 x 2 */
    const bdl__sample color = bytes_of(pixels, 3, 1, 2), grey = bytes_of(pixels, 1, 1, 2);
    const float floats[] = {100, 200, 10, 20, 30, 40};
    const bdl__sample float_color = floats_of(floats, 3, 1, 2);
    check("channel_order", &color, NULL, 3, 1, 2, (const float[]){30, 40, 10, 20, 100, 200});
    check("channel_order(rgb)", &color, NULL, 3, 1, 2, floats);
    check("to_grey", &color, NULL, 1, 1, 2, (const float[]){39, 76}); /* 39.19, 76.1 */
    check("to_grey", &float_color, NULL, 1, 1, 2, (const float[]){39.19F, 76.1F});
    check("to_grey", &grey, NULL, 1, 1, 2, (const float[]){100, 200});
    check("to_rgb", &grey, NULL, 3, 1, 2, (const float[]){100, 200, 100, 200, 100, 200});
    check("color_jitter", &color, NULL, 3, 1, 2, floats); /* evaluation */
    bdl__rng rng;
    bdl__rng_init(&rng, 1, BDL__RNG_TRANSFORM, 0, 0);
    check("color_jitter(0, 0, 0)", &color, &rng, 3, 1, 2, floats);
}

BDL_TEST(jitter_stays_within_its_factors)
{
    static const uint8_t pixels[] = {100, 200, 50, 60, 30, 40};
    const bdl__sample color = bytes_of(pixels, 3, 1, 2);
    bdl__chain *chain = chain_of("color_jitter(brightness=0.2, contrast=0, saturation=0)");
    bdl__chain_scratch scratch;
    bdl__chain_scratch_init(&scratch, bdl__default_allocator());
    float least = 1e9F, most = 0;
    for (uint32_t i = 0; i < 300; i++) {
        bdl__rng rng;
        const bdl__sample *result = NULL;
        bdl__rng_init(&rng, 1, BDL__RNG_TRANSFORM, i, 0);
        REQUIRE_OK(bdl__chain_apply(chain, &color, &scratch, &rng, &result));
        const float value = ((const float *)result->data)[0];
        least = BDL__MIN(least, value);
        most = BDL__MAX(most, value);
    }
    CHECK(least >= 80 && least < 84 && most <= 120 && most > 116);
    bdl__chain_scratch_free(&scratch);
    bdl__chain_free(chain);
}

BDL_TEST(mean_image_is_subtracted)
{
    static const char header[] = "\x93NUMPY\x01\0\0\0{'descr': '<f4', 'fortran_order': False, "
                                 "'shape': (1, 2, 3), }         \n";
    uint8_t file[sizeof header - 1 + sizeof small_floats];
    memcpy(file, header, sizeof header - 1);
    file[8] = (uint8_t)(sizeof header - 1 - 10);
    memcpy(file + sizeof header - 1, small_floats, sizeof small_floats);
    char text[2048];
    snprintf(text, sizeof text, "mean_image('%s'), scale(1, 1)",
             data_write("mean.npy", file, sizeof file));
    check_both(text, 1, 2, 3, (const float[]){1, 1, 1, 1, 1, 1});
    bdl__chain *chain = chain_of(text);
    const bdl__shape other = {.rank = 3, .dim = {1, 3, 2}};
    bdl__shape result = {0};
    CHECK_EQ_I64(bdl__chain_infer(chain, &other, BDL__ELEMENT_U8, &result), BDL_ERR_SHAPE);
    CHECK_STR_HAS(bdl_last_error(), "the mean image is 1x2x3, the samples are 1x3x2");
    bdl__chain_free(chain);
}

static void fails(const char *text, bdl_status code, const char *expected)
{
    bdl__chain *chain = NULL;
    const bdl__shape shape = {.rank = 3, .dim = {2, 4, 4}};
    bdl__shape result = {0};
    bdl_status status = bdl__chain_from_text(bdl__default_allocator(), text, &chain);
    if (status == BDL_OK) {
        status = bdl__chain_infer(chain, &shape, BDL__ELEMENT_U8, &result);
    }
    CHECK_EQ_I64(status, code);
    CHECK_STR_HAS(bdl_last_error(), expected);
    bdl__chain_free(chain);
}

BDL_TEST(bad_chains_are_refused)
{
    fails("normalise", BDL_ERR_NOT_FOUND, "did you mean 'normalize'");
    fails("crop", BDL_ERR_INVALID_ARGUMENT, "size");
    fails("crop(0)", BDL_ERR_INVALID_ARGUMENT, "size");
    fails("crop(5)", BDL_ERR_SHAPE, "cannot cut 5x5 out of an image of 4x4");
    fails("normalize(mean=[1,2,3])", BDL_ERR_SHAPE, "3 values, but the samples have 2 channels");
    fails("normalize(mean=[1,2,3], std=[1,2])", BDL_ERR_INVALID_ARGUMENT, "mean has 3 values");
    fails("normalize(std=0)", BDL_ERR_INVALID_ARGUMENT, "std");
    fails("pad(1, value=300)", BDL_ERR_INVALID_ARGUMENT, "bytes");
    fails("to_grey", BDL_ERR_SHAPE, "1 or 3 channels");
    fails("mean_image('/nowhere.npy')", BDL_ERR_NOT_FOUND, "nowhere");
    fails("flip, , flip", BDL_ERR_FORMAT, "");
    bdl__chain *chain = chain_of("flip");
    const bdl__shape vector = {.rank = 1, .dim = {7}};
    bdl__shape result = {0};
    CHECK_EQ_I64(bdl__chain_infer(chain, &vector, BDL__ELEMENT_F32, &result), BDL_ERR_SHAPE);
    CHECK_STR_HAS(bdl_last_error(), "flip needs images (channels, height, width)");
    bdl__chain_free(chain);
}

BDL_TEST(chains_survive_text_and_json)
{
    static const char *const texts[] = {
        "", "to_float", "normalize(mean=[0.5, 0.25], std=[1, 2], divide=255)",
        ("pad([4, 2], value=1), crop(32, at=random), flip(p=0.25, axis=vertical), resize(20), "
         "color_jitter(0.1, 0.2, 0.3), to_grey, to_rgb, channel_order(rgb), scale(2, 1)")};
    for (int64_t i = 0; i < BDL__COUNT_OF(texts); i++) {
        bdl__chain *chain = chain_of(texts[i]), *from_json = NULL;
        bdl__text json, text, again;
        bdl__text_init(&json, bdl__default_allocator());
        bdl__text_init(&text, bdl__default_allocator());
        bdl__text_init(&again, bdl__default_allocator());
        bdl__json_writer writer;
        bdl__json_writer_init(&writer, &json, 0);
        bdl__chain_to_json(chain, &writer);
        bdl__json *document = NULL;
        REQUIRE_OK(bdl__json_parse(bdl__text_get(&json), json.size, "t", &document));
        REQUIRE_OK(bdl__chain_from_json(bdl__default_allocator(), document, "t", &from_json));
        CHECK_EQ_I64(bdl__chain_size(from_json), bdl__chain_size(chain));
        bdl__chain_to_text(chain, &text);
        bdl__chain_to_text(from_json, &again);
        CHECK_STR_EQ(bdl__text_get(&text), bdl__text_get(&again));
        bdl__chain *from_text = chain_of(bdl__text_get(&text));
        CHECK_EQ_I64(bdl__chain_size(from_text), bdl__chain_size(chain));
        bdl__json_free(document);
        bdl__text_free(&json);
        bdl__text_free(&text);
        bdl__text_free(&again);
        bdl__chain_free(chain);
        bdl__chain_free(from_json);
        bdl__chain_free(from_text);
    }
}

BDL_TEST(bad_json_chains_are_refused)
{
    static const struct {
        const char *json, *expected;
    } cases[] = {{"{}", "array"},
                 {"[1]", "object"},
                 {"[{}]", "type"},
                 {"[{\"type\": \"flop\"}]", "did you mean 'flip'"},
                 {"[{\"type\": \"flip\", \"params\": 3}]", "must be an object"},
                 {"[{\"type\": \"flip\", \"params\": {\"q\": 3}}]", "q"}};
    for (int64_t i = 0; i < BDL__COUNT_OF(cases); i++) {
        bdl__json *document = NULL;
        bdl__chain *chain = NULL;
        REQUIRE_OK(bdl__json_parse(cases[i].json, strlen(cases[i].json), "t", &document));
        CHECK(bdl__chain_from_json(bdl__default_allocator(), document, "t", &chain) != BDL_OK);
        CHECK_STR_HAS(bdl_last_error(), cases[i].expected);
        bdl__json_free(document);
    }
}

BDL_TEST(tables_do_what_the_chain_does)
{
    static const char *const texts[] = {"", "scale", "normalize(mean=[1, 2, 3], std=[4, 5, 6])",
                                        "crop(4), to_float, normalize(std=3), scale(2)"};
    uint8_t values[3 * 16 * 16];
    for (int i = 0; i < 3 * 256; i++) {
        values[i] = (uint8_t)i;
    }
    const bdl__sample src = bytes_of(values, 3, 16, 16);
    for (int64_t i = 0; i < BDL__COUNT_OF(texts); i++) {
        bdl__chain *chain = chain_of(texts[i]);
        bdl__chain_plan plan = {0};
        bdl__chain_scratch scratch;
        const bdl__sample *result = NULL, *prefix = NULL;
        bdl__chain_scratch_init(&scratch, bdl__default_allocator());
        REQUIRE_OK(bdl__chain_plan_create(bdl__default_allocator(), chain, &src.shape, src.element,
                                          &plan));
        REQUIRE(plan.tables != NULL && plan.n_channels == 3);
        CHECK_EQ_I64(plan.n_prefix, i == 3 ? 1 : 0);
        REQUIRE_OK(bdl__chain_apply(chain, &src, &scratch, NULL, &result));
        const int64_t n = bdl__shape_count(&result->shape);
        float expected[3 * 256];
        memcpy(expected, result->data, (size_t)n * sizeof(float));
        REQUIRE_OK(bdl__chain_run(chain, 0, plan.n_prefix, &src, &scratch, NULL, &prefix));
        for (int64_t k = 0; k < n; k++) {
            const uint8_t byte = ((const uint8_t *)prefix->data)[k];
            CHECK(plan.tables[k / (n / 3) * 256 + byte] == expected[k]);
        }
        bdl__chain_plan_free(&plan);
        bdl__chain_scratch_free(&scratch);
        bdl__chain_free(chain);
    }
}

BDL_TEST(random_transforms_depend_on_the_row_and_the_epoch)
{
    /* Each row's crop of a run is the same when the rows come in another order (another batch
     * size). */
    enum { N = 40 };
    static float seen[2][2][N];
    bdl__dataset *dataset = data_open("digits", "", "(count=40)", BDL__PART_TRAIN);
    bdl__chain *chain = chain_of("crop(12, at=random), scale(1)");
    for (int run = 0; run < 2; run++) {
        bdl__batch_options options = data_options(run == 0 ? 7 : 32);
        options.is_training = true;
        options.n_epochs = 2;
        bdl__batcher *batcher = NULL;
        REQUIRE_OK(bdl__batcher_create(bdl__default_allocator(), dataset, chain, NULL, &options,
                                       &batcher));
        const bdl__batch *batch = NULL;
        while (bdl__batcher_next(batcher, &batch) == BDL_OK && batch != NULL) {
            for (int64_t i = 0; i < batch->n_slices * 16; i++) {
                float sum = 0;
                for (int64_t k = 0; k < 144; k++) {
                    sum += (float)data_lane(batch, &options, i / 16, (int)(i % 16), k);
                }
                if (batch->rows[i] >= 0) {
                    seen[run][batch->epoch][batch->rows[i]] = sum;
                }
            }
            bdl__batcher_release(batcher, batch);
        }
        bdl__batcher_free(batcher);
    }
    CHECK(memcmp(seen[0], seen[1], sizeof seen[0]) == 0);
    CHECK(memcmp(seen[0][0], seen[0][1], sizeof seen[0][0]) != 0);
    bdl__chain_free(chain);
    bdl__dataset_free(dataset);
}

BDL_TEST(chains_survive_failing_allocations)
{
    const bdl__sample src = bytes_of(small, 1, 2, 3);
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__chain *chain = NULL;
        bdl__chain_scratch scratch;
        const bdl__sample *result = NULL;
        bdl__chain_scratch_init(&scratch, &counter.allocator);
        bdl_status status =
            bdl__chain_from_text(&counter.allocator, "pad(1), resize(9), scale", &chain);
        if (status == BDL_OK) {
            status = bdl__chain_apply(chain, &src, &scratch, NULL, &result);
        }
        CHECK(status == BDL_OK || status == BDL_ERR_OUT_OF_MEMORY);
        bdl__chain_scratch_free(&scratch);
        bdl__chain_free(chain);
    }
}

BDL_TEST_MAIN(pointwise_transforms_compute_their_formulas, geometric_transforms_move_pixels,
              resize_interpolates_between_pixel_centers, resize_of_one_size_keeps_the_ratio,
              color_transforms_know_their_channels, jitter_stays_within_its_factors,
              mean_image_is_subtracted, bad_chains_are_refused, chains_survive_text_and_json,
              bad_json_chains_are_refused, tables_do_what_the_chain_does,
              random_transforms_depend_on_the_row_and_the_epoch, chains_survive_failing_allocations)
