/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that are not tables or images: names, digits, synthetic, mnist, cifar10. */
#include <stdio.h>
#include <string.h>

#include "data_helpers.h"
#include "test.h"

/* ---- names and registries ---- */

BDL_TEST(every_reader_and_transform_is_complete)
{
    CHECK(bdl__readers_count() >= 7);
    for (int64_t i = 0; i < bdl__readers_count(); i++) {
        const bdl__reader *reader = bdl__reader_at(i);
        CHECK(reader->name != NULL && reader->summary != NULL && reader->doc != NULL);
        CHECK(reader->open != NULL && reader->read != NULL);
        CHECK_STR_EQ(reader->schema.name, reader->name);
        CHECK(i == 0 || strcmp(bdl__reader_at(i - 1)->name, reader->name) < 0);
    }
    CHECK(bdl__transforms_count() >= 12);
    for (int64_t i = 0; i < bdl__transforms_count(); i++) {
        const bdl__transform *transform = bdl__transform_at(i);
        CHECK(transform->name != NULL && transform->summary != NULL && transform->doc != NULL);
        CHECK(transform->apply != NULL);
        CHECK_STR_EQ(transform->schema.name, transform->name);
        CHECK(i == 0 || strcmp(bdl__transform_at(i - 1)->name, transform->name) < 0);
    }
}

BDL_TEST(names_are_checked)
{
    data_fails("digts", "", "", BDL_ERR_NOT_FOUND, "did you mean 'digits'");
    data_fails("qqqqqq", "", "", BDL_ERR_NOT_FOUND, "there are: cifar10");
    data_fails("digits:here", "", "", BDL_ERR_INVALID_ARGUMENT, "takes no source");
    data_fails("mnist", "", "", BDL_ERR_INVALID_ARGUMENT, "mnist:DIR");
    data_fails("mnist:", "", "(part=test)", BDL_ERR_INVALID_ARGUMENT, "mnist:DIR");
    data_fails("digits", "", "(cuont=3)", BDL_ERR_INVALID_ARGUMENT, "count");
    data_fails("digits", "", "(count=-3)", BDL_ERR_INVALID_ARGUMENT, "count");
}

/* ---- digits ---- */

BDL_TEST(digits_are_the_same_for_any_pool)
{
    bdl__pool *pool = NULL;
    bdl__dataset *alone = data_open("digits", "", "(count=500)", BDL__PART_TRAIN), *other = NULL;
    REQUIRE_OK(bdl__pool_create(bdl__default_allocator(), 3, &pool));
    REQUIRE_OK(bdl__dataset_open(bdl__default_allocator(), NULL, pool, "digits(count=500)",
                                 BDL__PART_TRAIN, &other));
    bdl__sample a, b;
    bdl__sample_init(&a, bdl__default_allocator());
    bdl__sample_init(&b, bdl__default_allocator());
    int64_t of_class[10] = {0};
    for (int64_t i = 0; i < 500; i++) {
        REQUIRE_OK(bdl__dataset_read(alone, i, &a));
        REQUIRE_OK(bdl__dataset_read(other, i, &b));
        CHECK(a.label == b.label && memcmp(a.data, b.data, 784) == 0);
        of_class[a.label]++;
    }
    for (int i = 0; i < 10; i++) {
        CHECK(of_class[i] > 20);
    }
    bdl__sample_free(&a);
    bdl__sample_free(&b);
    bdl__dataset_free(alone);
    bdl__dataset_free(other);
    bdl__pool_free(pool);
}

/* The hash of a data set's samples. */
static uint64_t content(const bdl__dataset *dataset)
{
    uint64_t hash = 0;
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    for (int64_t i = 0; i < dataset->n; i++) {
        bdl__key key = {0};
        CHECK_OK(bdl__dataset_read(dataset, i, &sample));
        CHECK_OK(bdl__row_key(dataset, &sample, &sample.scratch, &key));
        hash = hash * 31 + key.low;
    }
    bdl__sample_free(&sample);
    return hash;
}

BDL_TEST(digits_parts_and_seeds_differ)
{
    bdl__dataset *train = data_open("digits", "", "(count=50)", BDL__PART_TRAIN);
    bdl__dataset *test = data_open("digits", "", "(count=50)", BDL__PART_TEST);
    bdl__dataset *named = data_open("digits", "", "(part=test, count=50)", BDL__PART_TRAIN);
    bdl__dataset *seeded = data_open("digits", "", "(count=50, seed=1)", BDL__PART_TRAIN);
    bdl__dataset *all = data_open("digits", "", "(count=50, part=all)", BDL__PART_TRAIN);
    CHECK(content(train) != content(test));
    CHECK(content(train) != content(seeded));
    CHECK(content(test) == content(named));
    CHECK_EQ_I64(all->n, 100);
    bdl__sample sample;
    bdl__key key[2];
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_key(all, 7, &sample, &key[0]));
    REQUIRE_OK(bdl__dataset_key(train, 7, &sample, &key[1]));
    CHECK(memcmp(&key[0], &key[1], sizeof key[0]) == 0);
    REQUIRE_OK(bdl__dataset_key(all, 57, &sample, &key[0]));
    REQUIRE_OK(bdl__dataset_key(test, 7, &sample, &key[1]));
    CHECK(memcmp(&key[0], &key[1], sizeof key[0]) == 0);
    bdl__sample_free(&sample);
    bdl__dataset_free(train);
    bdl__dataset_free(test);
    bdl__dataset_free(named);
    bdl__dataset_free(seeded);
    bdl__dataset_free(all);
}

/* What is drawn must not change unnoticed: accuracies are quoted for these digits. */
BDL_TEST(digits_are_those_that_were_tuned)
{
    bdl__dataset *digits = data_open("digits", "", "(count=1000)", BDL__PART_TRAIN);
    double sum = 0, squares = 0;
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    for (int64_t i = 0; i < digits->n; i++) {
        REQUIRE_OK(bdl__dataset_read(digits, i, &sample));
        for (int64_t k = 0; k < 784; k++) {
            const double value = ((const uint8_t *)sample.data)[k] / 255.0;
            sum += value;
            squares += value * value;
        }
    }
    const double mean = sum / (1000 * 784), variance = squares / (1000 * 784) - mean * mean;
    CHECK_NEAR(mean, 0.1085, 0.002); /* the default transform's numbers */
    CHECK_NEAR(variance, 0.23 * 0.23, 0.002);
    CHECK(content(digits) == UINT64_C(0x1b3914f00f3138a4)); /* GCC, Clang, any machine */
    bdl__sample_free(&sample);
    bdl__dataset_free(digits);
}

/* ---- synthetic ---- */

BDL_TEST(synthetic_rows_are_repeatable)
{
    bdl__dataset *one =
        data_open("synthetic", "", "(shape=[2,3], classes=3, count=20)", BDL__PART_TRAIN);
    bdl__dataset *test =
        data_open("synthetic", "", "(shape=[2,3], classes=3, count=20)", BDL__PART_TEST);
    CHECK_EQ_I64(bdl__shape_count(&one->shape), 6);
    CHECK_EQ_I64(one->n_classes, 3);
    CHECK(content(one) == content(one));
    CHECK(content(one) != content(test));
    bdl__dataset_free(one);
    bdl__dataset_free(test);
}

/* ---- mnist ---- */

static const int images_5[] = {5, 4, 3, 0}, labels_5[] = {5, 0}, labels_4[] = {4, 0};

BDL_TEST(mnist_reads_plain_and_gzip_files)
{
    data_write_idx("train-images-idx3-ubyte", images_5, 256);
    data_write_idx("train-labels.idx1-ubyte", labels_5, 10);
    data_write_idx("t10k-images-idx3-ubyte", images_5, 200);
    data_write_idx("t10k-labels-idx1-ubyte", labels_5, 10);
    bdl__dataset *train = data_open("mnist:", bdl_test_dir(), "", BDL__PART_TRAIN);
    bdl__dataset *all = data_open("mnist:", bdl_test_dir(), "(part=all)", BDL__PART_TRAIN);
    REQUIRE(train != NULL && all != NULL);
    CHECK_EQ_I64(train->n, 5);
    CHECK_EQ_I64(all->n, 10);
    CHECK_EQ_I64(train->shape.dim[0], 1);
    CHECK_EQ_I64(train->shape.dim[2], 3);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(all, 2, &sample));
    CHECK_EQ_I64(((const uint8_t *)sample.data)[1], 25 * 7 % 256);
    CHECK_EQ_I64(sample.label, 14 % 10);
    REQUIRE_OK(bdl__dataset_read(all, 9, &sample));
    CHECK_EQ_I64(((const uint8_t *)sample.data)[11], 59 * 7 % 200);
    CHECK_EQ_I64(bdl__dataset_read(all, 10, &sample), BDL_ERR_INVALID_ARGUMENT);
    bdl__sample_free(&sample);
    bdl__dataset_free(train);
    bdl__dataset_free(all);
}

BDL_TEST(mnist_tells_what_is_wrong)
{
    const char *dir = bdl_test_dir();
    data_fails("mnist:", dir, "", BDL_ERR_NOT_FOUND, "train-images-idx3-ubyte");
    data_write_idx("train-images-idx3-ubyte", images_5, 256);
    data_fails("mnist:", dir, "", BDL_ERR_NOT_FOUND, "train-labels");
    data_write_idx("train-labels-idx1-ubyte", labels_4, 10);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT, "5 images, but train-labels 4");
    data_write_idx("train-labels-idx1-ubyte", labels_5, 20);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT,
               "offset 10: expected a label from 0 to 9, found 14");
    data_write("train-images-idx3-ubyte", "\0\0\x08\x03\0\0\0\x05\0\0\0\x04\0\0\0\x03only", 20);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT, "expected 60 values as the header says, found 4");
    data_write("train-images-idx3-ubyte", "\0\0\x0d\x03\0\0\0\x05", 8);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT, "found 00 00 0d 03");
    data_write("train-images-idx3-ubyte", "\0\0\x08\x03\0\0\0\x05", 8);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT, "expected 3 dimensions in 16 bytes");
    data_write("train-images-idx3-ubyte", "\0\0", 2);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT, "2 bytes");
    data_write("train-images-idx3-ubyte",
               "\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    data_fails("mnist:", dir, "", BDL_ERR_FORMAT, "dimension");
}

BDL_TEST(mnist_reads_the_real_files)
{
    if (bdl_test_data() == NULL) {
        SKIP("BDL_TEST_DATA is not set");
    }
    char dir[1024];
    snprintf(dir, sizeof dir, "%s/mnist/gz", bdl_test_data());
    bdl__dataset *train = data_open("mnist:", dir, "", BDL__PART_TRAIN);
    bdl__dataset *test = data_open("mnist:", dir, "", BDL__PART_TEST);
    REQUIRE(train != NULL && test != NULL);
    CHECK_EQ_I64(train->n, 60000);
    CHECK_EQ_I64(test->n, 10000);
    static const int first[] = {5, 0, 4, 1, 9};
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    for (int i = 0; i < 5; i++) {
        REQUIRE_OK(bdl__dataset_read(train, i, &sample));
        CHECK_EQ_I64(sample.label, first[i]);
    }
    double sum = 0;
    for (int64_t i = 0; i < train->n; i++) {
        REQUIRE_OK(bdl__dataset_read(train, i, &sample));
        for (int64_t k = 0; k < 784; k++) {
            sum += ((const uint8_t *)sample.data)[k];
        }
    }
    CHECK_NEAR(sum / 255 / (60000.0 * 784), 0.130660477, 2e-9);
    bdl__sample_free(&sample);
    bdl__dataset_free(train);
    bdl__dataset_free(test);
}

/* ---- cifar10 ---- */

static void write_cifar10(const char *name, int n, int first_label)
{
    static uint8_t records[4 * BDL__CIFAR10_RECORD];
    for (int i = 0; i < n; i++) {
        uint8_t *record = records + i * BDL__CIFAR10_RECORD;
        record[0] = (uint8_t)(first_label + i);
        for (int k = 1; k < BDL__CIFAR10_RECORD; k++) {
            record[k] = (uint8_t)(k + i);
        }
    }
    data_write(name, records, (size_t)(n * BDL__CIFAR10_RECORD));
}

BDL_TEST(cifar10_reads_the_files_that_are_there)
{
    write_cifar10("data_batch_1.bin", 3, 0);
    write_cifar10("data_batch_4.bin", 2, 5);
    write_cifar10("test_batch.bin", 1, 9);
    bdl__dataset *all = data_open("cifar10:", bdl_test_dir(), "(part=all)", BDL__PART_TRAIN);
    bdl__dataset *one = data_open("cifar10:", data_path("data_batch_4.bin"), "", BDL__PART_TRAIN);
    REQUIRE(all != NULL && one != NULL);
    CHECK_EQ_I64(all->n, 6);
    CHECK_EQ_I64(one->n, 2);
    CHECK_STR_EQ(all->class_names[9], "truck");
    static const int labels[] = {0, 1, 2, 5, 6, 9};
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    for (int i = 0; i < 6; i++) {
        REQUIRE_OK(bdl__dataset_read(all, i, &sample));
        CHECK_EQ_I64(sample.label, labels[i]);
    }
    REQUIRE_OK(bdl__dataset_read(all, 4, &sample));
    CHECK_EQ_I64(((const uint8_t *)sample.data)[3071], (uint8_t)(3072 + 1));
    bdl__sample_free(&sample);
    bdl__dataset_free(all);
    bdl__dataset_free(one);
}

BDL_TEST(cifar10_tells_what_is_wrong)
{
    data_fails("cifar10:", bdl_test_dir(), "", BDL_ERR_NOT_FOUND, "data_batch_1.bin");
    write_cifar10("data_batch_1.bin", 2, 9);
    data_fails("cifar10:", bdl_test_dir(), "", BDL_ERR_FORMAT, "offset 3073: expected a label");
    data_write("data_batch_1.bin", "short", 5);
    data_fails("cifar10:", bdl_test_dir(), "", BDL_ERR_FORMAT, "records of 3073 bytes");
    write_cifar10("data_batch_1.bin", 2, 0);
    data_fails("cifar10:", bdl_test_dir(), "(part=test)", BDL_ERR_NOT_FOUND, "test_batch.bin");
}

BDL_TEST(cifar10_reads_the_real_file)
{
    if (bdl_test_data() == NULL) {
        SKIP("BDL_TEST_DATA is not set");
    }
    char path[1024];
    snprintf(path, sizeof path, "%s/cifar10/cifar10_data_batch_1_first4000_lossless.bin",
             bdl_test_data());
    bdl__dataset *dataset = data_open("cifar10:", path, "", BDL__PART_TRAIN);
    REQUIRE(dataset != NULL);
    CHECK_EQ_I64(dataset->n, 4000);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(dataset, 0, &sample));
    CHECK_EQ_I64(sample.label, 6); /* CIFAR-10 begins with a frog */
    CHECK_EQ_I64(((const uint8_t *)sample.data)[0], 59);
    bdl__sample_free(&sample);
    bdl__dataset_free(dataset);
}

/* ---- classes of a model ---- */

BDL_TEST(classes_are_mapped_by_name)
{
    static const char *const reversed[] = {"9", "8", "7", "6", "5", "4", "3", "2", "1", "0"};
    static const char *const fewer[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8"};
    bdl__dataset *digits = data_open("digits", "", "(count=20)", BDL__PART_TRAIN);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(digits, 3, &sample));
    const int32_t label = sample.label;
    CHECK_EQ_I64(bdl__dataset_map_classes(digits, fewer, 9), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "'9'");
    REQUIRE_OK(bdl__dataset_map_classes(digits, reversed, 10));
    REQUIRE_OK(bdl__dataset_read(digits, 3, &sample));
    CHECK_EQ_I64(sample.label, 9 - label);
    bdl__sample_free(&sample);
    bdl__dataset_free(digits);
}

BDL_TEST_MAIN(every_reader_and_transform_is_complete, names_are_checked,
              digits_are_the_same_for_any_pool, digits_parts_and_seeds_differ,
              digits_are_those_that_were_tuned, synthetic_rows_are_repeatable,
              mnist_reads_plain_and_gzip_files, mnist_tells_what_is_wrong,
              mnist_reads_the_real_files, cifar10_reads_the_files_that_are_there,
              cifar10_tells_what_is_wrong, cifar10_reads_the_real_file, classes_are_mapped_by_name)
