/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG and PNG files, folders of them, and what happens to broken ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counting_allocator.h"
#include "data_helpers.h"
#include "test.h"

#ifdef BDL_WITH_IMAGES
#include <png.h>
#include <turbojpeg.h>

enum { W = 24, H = 16 };

/* A smooth picture: red grows to the right, green downwards, blue is constant. */
static void paint(uint8_t *pixels, int n_channels)
{
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            const uint8_t values[4] = {(uint8_t)(10 * x), (uint8_t)(15 * y), 90, 255};
            memcpy(pixels + (y * W + x) * n_channels, values, (size_t)n_channels);
        }
    }
}

/* A JPEG of `width` columns in the file's own buffer; gives its size. */
static size_t jpeg(int width, int format, int subsampling, uint8_t out[8192])
{
    uint8_t pixels[W * H * 4];
    paint(pixels, tjPixelSize[format]);
    tjhandle encoder = tjInitCompress();
    unsigned char *memory = NULL;
    unsigned long size = 0;
    CHECK(tjCompress2(encoder, pixels, width, W * tjPixelSize[format], H, format, &memory, &size,
                      subsampling, 95, 0) == 0);
    CHECK(size < 8192);
    memcpy(out, memory, size);
    tjFree(memory);
    tjDestroy(encoder);
    return (size_t)size;
}

static size_t png(unsigned format, uint8_t out[16384])
{
    uint8_t pixels[W * H * 8] = {0};
    png_image image = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};
    png_alloc_size_t size = 16384;
    paint(pixels, (int)PNG_IMAGE_PIXEL_SIZE(format));
    CHECK(png_image_write_to_memory(&image, out, &size, 0, pixels, 0, NULL) != 0);
    return size;
}

static int near_pixel(const bdl__sample *sample, int c, int y, int x, int expected, int tolerance)
{
    const int value = ((const uint8_t *)sample->data)[(c * H + y) * W + x];
    return abs(value - expected) <= tolerance;
}

static void check_colors(const bdl__sample *sample, int tolerance)
{
    CHECK_EQ_I64(sample->shape.dim[0], 3);
    CHECK_EQ_I64(sample->shape.dim[1], H);
    CHECK_EQ_I64(sample->shape.dim[2], W);
    CHECK(near_pixel(sample, 0, 3, 20, 200, tolerance));
    CHECK(near_pixel(sample, 1, 10, 4, 150, tolerance));
    CHECK(near_pixel(sample, 2, 7, 7, 90, tolerance));
}

BDL_TEST(jpeg_color_grey_and_cmyk_are_decoded)
{
    uint8_t file[8192];
    bdl__sample sample;
    int64_t width = 0, height = 0;
    int n_channels = 0;
    bdl__sample_init(&sample, bdl__default_allocator());
    size_t size = jpeg(W, TJPF_RGB, TJSAMP_444, file);
    REQUIRE_OK(bdl__image_decode(file, size, 3, "t", &sample));
    check_colors(&sample, 8);
    REQUIRE_OK(bdl__image_decode(file, size, 1, "t", &sample));
    CHECK_EQ_I64(sample.shape.dim[0], 1);
    CHECK(near_pixel(&sample, 0, 10, 20, (299 * 200 + 587 * 150 + 114 * 90) / 1000, 6));
    REQUIRE_OK(bdl__image_info(file, size, "t", &width, &height, &n_channels));
    CHECK(width == W && height == H && n_channels == 3);
    size = jpeg(W, TJPF_GRAY, TJSAMP_GRAY, file);
    REQUIRE_OK(bdl__image_info(file, size, "t", &width, &height, &n_channels));
    CHECK_EQ_I64(n_channels, 1);
    REQUIRE_OK(bdl__image_decode(file, size, 3, "t", &sample));
    CHECK(near_pixel(&sample, 2, 3, 20, 200, 8));
    REQUIRE_OK(bdl__image_decode(file, size, 1, "t", &sample));
    CHECK(near_pixel(&sample, 0, 3, 20, 200, 8));
    size = jpeg(W, TJPF_CMYK, TJSAMP_444, file); /* the fourth value, 255, is no black */
    REQUIRE_OK(bdl__image_decode(file, size, 3, "t", &sample));
    check_colors(&sample, 8);
    bdl__sample_free(&sample);
}

BDL_TEST(png_of_any_kind_is_decoded)
{
    uint8_t file[16384];
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    size_t size = png(PNG_FORMAT_RGB, file);
    REQUIRE_OK(bdl__image_decode(file, size, 3, "t", &sample));
    check_colors(&sample, 0);
    REQUIRE_OK(bdl__image_decode(file, size, 1, "t", &sample));
    CHECK(near_pixel(&sample, 0, 10, 20, (299 * 200 + 587 * 150 + 114 * 90) / 1000, 1));
    size = png(PNG_FORMAT_RGBA, file);
    REQUIRE_OK(bdl__image_decode(file, size, 3, "t", &sample));
    check_colors(&sample, 0);
    size = png(PNG_FORMAT_GRAY, file);
    REQUIRE_OK(bdl__image_decode(file, size, 1, "t", &sample));
    CHECK(near_pixel(&sample, 0, 3, 20, 200, 0));
    size = png(PNG_FORMAT_GA, file); /* alpha is painted 15 y: mostly transparent above */
    REQUIRE_OK(bdl__image_decode(file, size, 1, "t", &sample));
    CHECK(near_pixel(&sample, 0, 0, 20, 255, 0)); /* on white */
    CHECK(near_pixel(&sample, 0, 10, 0, 255 - 150, 1));
    bdl__sample_free(&sample);
}

BDL_TEST(broken_images_are_errors)
{
    uint8_t file[16384];
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    const bdl_status format = BDL_ERR_FORMAT;
    CHECK_EQ_I64(bdl__image_decode("GIF89a..", 8, 3, "a.gif", &sample), format);
    CHECK_STR_HAS(bdl_last_error(), "a.gif: offset 0: expected a JPEG");
    CHECK_EQ_I64(bdl__image_decode("", 0, 3, "empty", &sample), format);
    size_t size = jpeg(W, TJPF_RGB, TJSAMP_420, file);
    for (size_t n = 8; n < size; n += 37) { /* cut anywhere */
        CHECK_EQ_I64(bdl__image_decode(file, n, 3, "cut.jpg", &sample), format);
        CHECK_STR_HAS(bdl_last_error(), "cut.jpg");
    }
    size = png(PNG_FORMAT_RGB, file);
    for (size_t n = 8; n < size - 12; n += 29) {
        CHECK_EQ_I64(bdl__image_decode(file, n, 3, "cut.png", &sample), format);
    }
    file[60] ^= 0x10; /* a checksum is wrong now */
    CHECK_EQ_I64(bdl__image_decode(file, size, 3, "bad.png", &sample), format);
    /* A header that claims 60,000 x 60,000 pixels. */
    size = png(PNG_FORMAT_RGB, file);
    static const uint8_t header[] = {0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0};
    memcpy(file + 16, header, sizeof header);
    CHECK_EQ_I64(bdl__image_decode(file, size, 3, "huge.png", &sample), format);
    CHECK_EQ_I64(bdl__image_decode(file, size, 2, "t", &sample), BDL_ERR_INVALID_ARGUMENT);
    bdl__sample_free(&sample);
}

BDL_TEST(decoding_survives_failing_allocations)
{
    uint8_t file[8192];
    const size_t size = jpeg(W, TJPF_RGB, TJSAMP_420, file);
    counting_allocator counter;
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__sample sample;
        bdl__sample_init(&sample, &counter.allocator);
        const bdl_status status = bdl__image_decode(file, size, 3, "t", &sample);
        CHECK(status == BDL_OK || status == BDL_ERR_OUT_OF_MEMORY);
        bdl__sample_free(&sample);
    }
}

/* ---- folders ---- */

/* cat/{1,2}.jpg, dog/{1..n_dogs}.png, and things that are no images. */
static void make_folder(int n_dogs)
{
    uint8_t file[16384];
    char name[64];
    CHECK_OK(bdl__make_directories(data_path("cat")));
    CHECK_OK(bdl__make_directories(data_path("dog")));
    CHECK_OK(bdl__make_directories(data_path(".hidden")));
    size_t size = jpeg(W, TJPF_RGB, TJSAMP_444, file);
    data_write("cat/1.jpg", file, size);
    data_write("cat/2.JPEG", file, size);
    data_write("cat/readme.txt", "x", 1);
    data_write(".hidden/3.jpg", file, size);
    size = png(PNG_FORMAT_RGB, file);
    for (int i = 0; i < n_dogs; i++) {
        snprintf(name, sizeof name, "dog/%02d.png", i);
        data_write(name, file, size);
    }
}

BDL_TEST(folders_become_classes)
{
    make_folder(3);
    bdl__dataset *images = data_open("images:", bdl_test_dir(), "", BDL__PART_TRAIN);
    bdl__dataset *grey = data_open("images:", bdl_test_dir(), "(channels=1)", BDL__PART_TRAIN);
    REQUIRE(images != NULL && grey != NULL);
    CHECK_EQ_I64(images->n, 5);
    CHECK_EQ_I64(images->n_classes, 2);
    CHECK_STR_EQ(images->class_names[1], "dog");
    CHECK_STR_EQ(bdl__dataset_name_of(images, 1), "cat/2.JPEG");
    CHECK_EQ_I64(images->shape.dim[0], 3);
    CHECK_EQ_I64(grey->shape.dim[0], 1);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(images, 4, &sample));
    CHECK_EQ_I64(sample.label, 1);
    check_colors(&sample, 0);
    bdl__key a, b;
    REQUIRE_OK(bdl__dataset_key(images, 2, &sample, &a));
    REQUIRE_OK(bdl__dataset_key(images, 3, &sample, &b));
    CHECK(a.low != b.low);
    REQUIRE_OK(bdl__dataset_key(grey, 2, &sample, &b));
    CHECK(a.low == b.low && a.high == b.high);
    bdl__sample_free(&sample);
    bdl__dataset_free(images);
    bdl__dataset_free(grey);
    data_fails("images:", data_path("cat"), "", BDL_ERR_NOT_FOUND, "a folder for each class");
    data_fails("images:", data_path("none"), "", BDL_ERR_NOT_FOUND, "none");
    data_fails("images:", bdl_test_dir(), "(channels=2)", BDL_ERR_INVALID_ARGUMENT, "channels");
}

BDL_TEST(files_are_read_without_labels)
{
    make_folder(1);
    const char *paths[] = {data_path("dog/00.png"), data_path("cat/1.jpg")};
    bdl__dataset *images = NULL;
    REQUIRE_OK(bdl__dataset_open_images(bdl__default_allocator(), NULL, paths, 2, 3, &images));
    CHECK_EQ_I64(images->label_kind, BDL__LABEL_NONE);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(images, 0, &sample));
    check_colors(&sample, 0);
    bdl__sample_free(&sample);
    bdl__dataset_free(images);
    const char *missing = data_path("no.jpg");
    CHECK_EQ_I64(bdl__dataset_open_images(bdl__default_allocator(), NULL, &missing, 1, 3, &images),
                 BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "no.jpg");
}

typedef struct lines {
    int n;
    char last[512];
} lines;

static void keep_line(void *user, int level, const char *line)
{
    lines *kept = user;
    (void)level;
    kept->n++;
    snprintf(kept->last, sizeof kept->last, "%s", line);
}

/* Runs two epochs; gives the samples that came, or -1 with the error. */
static int64_t run_images(const bdl__dataset *dataset, const char *transforms, double most_broken,
                          int64_t *n_broken)
{
    bdl__chain *chain = NULL;
    bdl__batcher *batcher = NULL;
    bdl__batch_options options = data_options(16);
    options.is_training = true;
    options.n_epochs = 2;
    options.n_threads = 2;
    options.most_broken = most_broken;
    CHECK_OK(bdl__chain_from_text(bdl__default_allocator(), transforms, &chain));
    CHECK_OK(
        bdl__batcher_create(bdl__default_allocator(), dataset, chain, NULL, &options, &batcher));
    int64_t n_samples = 0;
    const bdl__batch *batch = NULL;
    bdl_status status;
    while ((status = bdl__batcher_next(batcher, &batch)) == BDL_OK && batch != NULL) {
        for (int64_t s = 0; s < batch->n_slices; s++) {
            CHECK(batch->valid[s] > 0);
        }
        n_samples += batch->n_samples;
        bdl__batcher_release(batcher, batch);
    }
    *n_broken = bdl__batcher_n_broken(batcher);
    bdl__batcher_free(batcher);
    bdl__chain_free(chain);
    return status == BDL_OK ? n_samples : -1;
}

BDL_TEST(broken_files_are_left_out_up_to_a_share)
{
    make_folder(40);
    data_write("dog/05.png", "no image at all", 15);
    data_write("dog/17.png", "", 0);
    lines log_lines = {0};
    const bdl__log log = {.fn = keep_line, .user = &log_lines, .level = BDL__LOG_INFO};
    char text[2048];
    snprintf(text, sizeof text, "images:%s", bdl_test_dir());
    bdl__dataset *images = NULL;
    REQUIRE_OK(
        bdl__dataset_open(bdl__default_allocator(), &log, NULL, text, BDL__PART_TRAIN, &images));
    CHECK_EQ_I64(images->n, 42);
    int64_t n_broken = 0;
    CHECK_EQ_I64(run_images(images, "crop(8, at=random)", 0.1, &n_broken), 80);
    CHECK_EQ_I64(n_broken, 2);
    CHECK_EQ_I64(log_lines.n, 2); /* each once */
    CHECK_STR_HAS(log_lines.last, "left out");
    CHECK_EQ_I64(run_images(images, "", 0.03, &n_broken), -1);
    CHECK_STR_HAS(bdl_last_error(), "broken files: 2 of 42");
    CHECK_EQ_I64(run_images(images, "", 0, &n_broken), -1);
    CHECK_STR_HAS(bdl_last_error(), ".png");
    bdl__dataset_free(images);
}

BDL_TEST(sizes_that_differ_are_explained)
{
    uint8_t file[8192];
    make_folder(2);
    const size_t size = jpeg(W - 5, TJPF_RGB, TJSAMP_444, file);
    data_write("dog/small.jpg", file, size);
    bdl__dataset *images = data_open("images:", bdl_test_dir(), "", BDL__PART_TRAIN);
    int64_t n_broken = 0;
    CHECK_EQ_I64(run_images(images, "", 0.5, &n_broken), -1);
    CHECK_STR_HAS(bdl_last_error(), "dog/small.jpg is 3x16x19 where the first one is 3x16x24");
    CHECK_EQ_I64(run_images(images, "resize([12, 10])", 0, &n_broken), 10);
    CHECK_EQ_I64(run_images(images, "resize(10), crop(10)", 0, &n_broken), 10);
    bdl__dataset_free(images);
}

BDL_TEST(real_jpeg_folders_are_read)
{
    if (bdl_test_data() == NULL) {
        SKIP("BDL_TEST_DATA is not set");
    }
    char dir[1024];
    snprintf(dir, sizeof dir, "%s/cifar10/jpeg/test", bdl_test_data());
    if (!bdl__is_directory(dir)) {
        SKIP("BDL_TEST_DATA has no cifar10/jpeg");
    }
    bdl__dataset *images = data_open("images:", dir, "", BDL__PART_TEST);
    REQUIRE(images != NULL);
    CHECK_EQ_I64(images->n_classes, 10);
    CHECK_EQ_I64(images->n, 10000);
    bdl__batcher *batcher = NULL;
    bdl__batch_options options = data_options(128);
    options.n_threads = 1;
    REQUIRE_OK(
        bdl__batcher_create(bdl__default_allocator(), images, NULL, NULL, &options, &batcher));
    const double begin = bdl__now();
    int64_t n = 0;
    for (int i = 0; i < 16; i++) {
        const bdl__batch *batch = NULL;
        REQUIRE_OK(bdl__batcher_next(batcher, &batch));
        n += batch->n_samples;
        bdl__batcher_release(batcher, batch);
    }
    printf("32x32 JPEG files to lanes: %.0f images/s\n", (double)n / (bdl__now() - begin));
    bdl__batcher_free(batcher);
    bdl__dataset_free(images);
}

/* PNG files as rows, with targets and with classes, in memory and spilled; and carried over as records. */
static void push_files(bdl__label_kind kind, int64_t memory_limit)
{
    enum { N = 40 };
    static uint8_t color[16384];
    const size_t size = png(PNG_FORMAT_RGB, color);
    const bdl__rows_options options = {.name = "files",
                                       .shape = {.rank = 1, .dim = {3}},
                                       .element = BDL__ELEMENT_U8,
                                       .is_encoded = true,
                                       .label_kind = kind,
                                       .target_shape = {.rank = 1, .dim = {2}},
                                       .memory_limit = memory_limit,
                                       .spill_directory = bdl_test_dir()};
    bdl__dataset *data = NULL, *copy = NULL;
    bdl__sample sample;
    bdl__row_record record;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__rows_create(bdl__default_allocator(), NULL, &options, &data));
    for (int64_t i = 0; i < N; i++) {
        const void *const file = color;
        const int64_t file_size = i == 7 ? 60 : (int64_t)size; /* one is cut off */
        const double label = (double)(i % 5);
        const float targets[2] = {(float)i, (float)-i};
        const bdl__rows row = {
            .n = 1, .files = &file, .sizes = &file_size, .labels = &label, .targets = targets};
        REQUIRE_OK(bdl__rows_push(data, NULL, &row));
    }
    const int64_t none = 0;
    const void *const file = color;
    const bdl__rows empty = {.n = 1, .files = &file, .sizes = &none, .labels = &(double){0}, .targets = &(float){0}};
    CHECK_EQ_I64(bdl__rows_push(data, NULL, &empty), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "row 40");
    REQUIRE_OK(bdl__rows_finish(data));
    CHECK(data->shape.rank == 3 && data->shape.dim[0] == 3 && data->shape.dim[1] == H);
    REQUIRE_OK(bdl__rows_create_like(data, &copy));
    for (int64_t i = 0; i < N; i++) {
        REQUIRE_OK(bdl__rows_record(data, i, &sample, &record));
        REQUIRE_OK(bdl__rows_add_record(copy, &record));
    }
    REQUIRE_OK(bdl__rows_finish_sorted(copy, N, 0, data->n_classes, &data->shape));
    int n_broken = 0;
    for (int64_t i = 0; i < 2 * N; i++) {
        const bdl__dataset *const from = i < N ? data : copy;
        if (bdl__dataset_read(from, i % N, &sample) != BDL_OK) {
            CHECK_STR_HAS(bdl_last_error(), "data 'files': sample");
            n_broken++;
            continue;
        }
        CHECK(near_pixel(&sample, 0, 3, 5, 50, 0) && near_pixel(&sample, 1, 3, 5, 45, 0));
        if (i < N) {
            CHECK(kind != BDL__LABEL_CLASS || sample.label == i % 5);
            CHECK(kind != BDL__LABEL_FLOATS || (sample.target[0] > (float)i - 0.5f && sample.target[1] < 0.5f - (float)i));
        }
    }
    CHECK_EQ_I64(n_broken, 2);
    bdl__sample_free(&sample);
    bdl__dataset_free(copy);
    bdl__dataset_free(data);
}

BDL_TEST(encoded_rows_are_pushed_and_decoded)
{
    push_files(BDL__LABEL_CLASS, 0);
    push_files(BDL__LABEL_CLASS, 1);
    push_files(BDL__LABEL_FLOATS, 0);
    push_files(BDL__LABEL_FLOATS, 1);
}

BDL_TEST_MAIN(jpeg_color_grey_and_cmyk_are_decoded, png_of_any_kind_is_decoded,
              broken_images_are_errors, decoding_survives_failing_allocations,
              folders_become_classes, files_are_read_without_labels,
              encoded_rows_are_pushed_and_decoded, broken_files_are_left_out_up_to_a_share, sizes_that_differ_are_explained,
              real_jpeg_folders_are_read)
#else
BDL_TEST(builds_without_images_say_so)
{
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    CHECK_EQ_I64(bdl__image_decode("\xff\xd8\xff\xe0....", 8, 3, "t", &sample),
                 BDL_ERR_UNSUPPORTED);
    CHECK_EQ_I64(bdl__image_decode("\x89PNG....", 8, 3, "t", &sample), BDL_ERR_UNSUPPORTED);
    CHECK_STR_HAS(bdl_last_error(), "BDL_IMAGES");
    bdl__sample_free(&sample);
}

BDL_TEST_MAIN(builds_without_images_say_so)
#endif
