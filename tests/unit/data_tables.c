/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: csv and npy, and what is said about their faults. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "counting_allocator.h"
#include "data/csv.h"
#include "data_helpers.h"
#include "test.h"

/* ---- csv ---- */

static bdl__dataset *csv(const char *text, const char *suffix)
{
    return data_open("csv:", data_write_text("t.csv", text), suffix, BDL__PART_TRAIN);
}

static void csv_fails(const char *text, const char *suffix, const char *expected)
{
    data_fails("csv:", data_write_text("t.csv", text), suffix, BDL_ERR_FORMAT, expected);
}

static void check_row(const bdl__dataset *dataset, int64_t i, const float *values, int32_t label)
{
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(dataset, i, &sample));
    const int64_t n = bdl__shape_count(&dataset->shape);
    CHECK(memcmp(sample.data, values, (size_t)n * sizeof(float)) == 0);
    CHECK_EQ_I64(sample.label, label);
    bdl__sample_free(&sample);
}

BDL_TEST(csv_finds_header_delimiter_and_class_names)
{
    bdl__dataset *iris = csv("\xef\xbb\xbflength;width;species\r\n"
                             "5.1;3.5;virginica\r\n"
                             "\r\n"
                             "4.9;-3e1;\"set;\"\"osa\"\r\n"
                             "1;2;virginica",
                             "");
    REQUIRE(iris != NULL);
    CHECK_EQ_I64(iris->n, 3);
    CHECK_EQ_I64(iris->n_classes, 2);
    CHECK_STR_EQ(iris->class_names[0], "set;\"osa"); /* sorted */
    CHECK_STR_EQ(iris->class_names[1], "virginica");
    check_row(iris, 0, (const float[]){5.1F, 3.5F}, 1);
    check_row(iris, 1, (const float[]){4.9F, -30}, 0);
    check_row(iris, 2, (const float[]){1, 2}, 1);
    bdl__dataset_free(iris);
}

BDL_TEST(csv_takes_columns_by_name_and_number)
{
    const char *text = "id,class,a,b\n7,1,2,3\n8,0,4,5\n";
    bdl__dataset *named = csv(text, "(label=class, ignore='id')");
    bdl__dataset *numbered = csv(text, "(label=1, ignore='0,-1', header=yes)");
    bdl__dataset *regression = csv(text, "(label=b, task=regression, ignore='id,class')");
    bdl__dataset *unlabelled = csv("1\t2\n3\t4\n", "(label=none, delimiter=tab)");
    REQUIRE(named != NULL && numbered != NULL && regression != NULL && unlabelled != NULL);
    check_row(named, 0, (const float[]){2, 3}, 1);
    check_row(numbered, 1, (const float[]){4}, 0);
    CHECK_EQ_I64(named->n_classes, 2);
    CHECK_EQ_I64(regression->label_kind, BDL__LABEL_FLOATS);
    CHECK_EQ_I64(unlabelled->label_kind, BDL__LABEL_NONE);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(regression, 1, &sample));
    CHECK(sample.target[0] == 5);
    check_row(unlabelled, 1, (const float[]){3, 4}, 0);
    bdl__sample_free(&sample);
    bdl__dataset_free(named);
    bdl__dataset_free(numbered);
    bdl__dataset_free(regression);
    bdl__dataset_free(unlabelled);
}

BDL_TEST(csv_tells_line_and_column)
{
    csv_fails("", "", "expected rows");
    csv_fails("a,b\n", "", "after the header");
    csv_fails("1,2,0\n1,,0\n", "", ":2: column 2: expected a number (no value may be missing)");
    csv_fails("1,2,0\n1,x,0\n", "", ":2: column 2: expected a number, found 'x'");
    csv_fails("1,2,0\n1,nan,0\n", "", "expected a finite number, found 'nan'");
    csv_fails("1,2,0\n1,1e99,0\n", "", "finite");
    csv_fails("1,2,0\n1,0\n", "", ":2: expected 3 fields, found 2");
    csv_fails("1,2,0\n1,2,0,5\n", "", ":2: expected 3 fields, found more");
    csv_fails("1,0\n2,-1\n", "", ":2: column 2: expected a class number from 0");
    csv_fails("1,0\n2,0.5\n", "", "task=regression");
    csv_fails("1,0\n2,nan\n", "", "class number");
    csv_fails("1,0\n2,cat\n", "", "as in the rows before");
    csv_fails("1,0\n2,3\n", "(classes=3)", "from 0 to 2");
    csv_fails("1,cat\n2,\n", "", "expected a label, found none");
    csv_fails("1,\"cat\n2,dog\n", "", ":1: column 2: expected a closing quote");
    csv_fails("1,\"cat\"x\n", "", "after a quoted field");
    csv_fails("1\n2\n", "", "besides the label");
}

BDL_TEST(csv_refuses_bad_parameters)
{
    const char *path = data_write_text("t.csv", "length,width,kind\n1,2,0\n");
    data_fails("csv:", path, "(label=widh)", BDL_ERR_INVALID_ARGUMENT, "did you mean 'width'");
    data_fails("csv:", path, "(label=3)", BDL_ERR_INVALID_ARGUMENT, "no column '3'");
    data_fails("csv:", path, "(ignore=kind)", BDL_ERR_INVALID_ARGUMENT, "cannot be ignored");
    data_fails("csv:", path, "(delimiter='ab')", BDL_ERR_INVALID_ARGUMENT, "delimiter");
    data_fails("csv:", data_path("nowhere.csv"), "", BDL_ERR_NOT_FOUND, "nowhere.csv");
}

BDL_TEST(csv_grows_and_survives_failing_allocations)
{
    static char text[60000];
    size_t size = 0;
    for (int i = 0; i < 3000; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%d,%d,c%d\n", i, -i, i % 7);
    }
    counting_allocator counter;
    const bdl__csv_options options = {0};
    for (int64_t n = 1; counting_allocator_start(&counter, n); n++) {
        bdl__csv_table table;
        const bdl_status status =
            bdl__csv_parse(&counter.allocator, text, size, "t", &options, &table);
        CHECK(status == BDL_OK || status == BDL_ERR_OUT_OF_MEMORY);
        if (status == BDL_OK) {
            CHECK_EQ_I64(table.n, 3000);
            CHECK_EQ_I64(table.n_classes, 7);
            CHECK(table.values[2 * 2999 + 1] == -2999);
            bdl__csv_free(&table);
        }
    }
}

/* ---- npy ---- */

static uint8_t npy_bytes[4096];

/* A .npy file with this dictionary and values; version 1, or 2 with a longer length. */
static size_t make_npy(const char *dictionary, int version, const void *values, size_t size)
{
    const size_t n = strlen(dictionary);
    const size_t begin = version == 1 ? 10 : 12;
    memcpy(npy_bytes, "\x93NUMPY", 6);
    npy_bytes[6] = (uint8_t)version;
    npy_bytes[7] = 0;
    memset(npy_bytes + 8, 0, 4);
    npy_bytes[8] = (uint8_t)n;
    memcpy(npy_bytes + begin, dictionary, n);
    memcpy(npy_bytes + begin + n, values, size);
    return begin + n + size;
}

static const char *write_npy(const char *name, const char *dictionary, const void *values,
                             size_t size)
{
    return data_write(name, npy_bytes, make_npy(dictionary, 1, values, size));
}

BDL_TEST(npy_reads_every_type)
{
    static const struct {
        const char *type;
        bdl_dtype dtype;
    } cases[] = {
        {"|u1", BDL_U8}, {"<i4", BDL_I32}, {"<i8", BDL_I64}, {"<f4", BDL_F32}, {"<f8", BDL_F64}};
    static const uint8_t u8[] = {1, 2, 200};
    static const int32_t i32[] = {1, 2, 200};
    static const int64_t i64[] = {1, 2, 200};
    static const float f32[] = {1, 2, 200};
    static const double f64[] = {1, 2, 200};
    const void *values[] = {u8, i32, i64, f32, f64};
    static const size_t sizes[] = {sizeof u8, sizeof i32, sizeof i64, sizeof f32, sizeof f64};
    for (int i = 0; i < 5; i++) {
        for (int version = 1; version <= 3; version++) {
            char dictionary[128];
            snprintf(dictionary, sizeof dictionary,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (3,), }%*s\n", cases[i].type,
                     version, "");
            const size_t size = make_npy(dictionary, version, values[i], sizes[i]);
            bdl__npy npy = {0};
            REQUIRE_OK(bdl__npy_parse(npy_bytes, size, "t", &npy));
            CHECK_EQ_I64(npy.dtype, cases[i].dtype);
            CHECK(npy.shape.rank == 1 && npy.shape.dim[0] == 3);
            float floats[3];
            bdl__npy_floats(&npy, 0, 3, floats);
            CHECK(floats[0] == 1 && floats[2] == 200 && bdl__npy_value(&npy, 1) == 2);
            CHECK_EQ_I64(bdl__npy_parse(npy_bytes, size - 1, "t", &npy), BDL_ERR_FORMAT);
        }
    }
}

static void npy_fails(const char *dictionary, bdl_status code, const char *expected)
{
    const size_t size = make_npy(dictionary, 1, "12345678", 8);
    bdl__npy npy = {0};
    CHECK_EQ_I64(bdl__npy_parse(npy_bytes, size, "t", &npy), code);
    CHECK_STR_HAS(bdl_last_error(), expected);
}

BDL_TEST(npy_tells_what_is_wrong)
{
    npy_fails("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", BDL_ERR_FORMAT,
              "expected a type");
    npy_fails("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", BDL_ERR_UNSUPPORTED,
              "ascontiguousarray");
    npy_fails("{'descr': '<f4', 'shape': (2,)}", BDL_ERR_FORMAT, "fortran_order");
    npy_fails("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", BDL_ERR_FORMAT, ">= 1");
    npy_fails("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", BDL_ERR_FORMAT,
              "expected 12 bytes of values as the shape says, found 8");
    npy_fails("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999,9999999999)}",
              BDL_ERR_FORMAT, "9999999999");
    npy_fails("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}",
              BDL_ERR_FORMAT, "below 10^13");
    npy_fails("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
              BDL_ERR_FORMAT, "at most 8");
    npy_fails("{'descr': '<f4', 'fortran_order': False, 'shape': (2 2)}", BDL_ERR_FORMAT,
              "',' or ')'");
    npy_fails("{'other': 1}", BDL_ERR_FORMAT, "'descr'");
    npy_fails("x", BDL_ERR_FORMAT, "'{'");
    bdl__npy npy = {0};
    CHECK_EQ_I64(bdl__npy_parse((const uint8_t *)"\x93NUMPX 123456", 12, "t", &npy),
                 BDL_ERR_FORMAT);
    CHECK_EQ_I64(bdl__npy_parse((const uint8_t *)"\x93NUMPY\x01\x00\xff\xff??", 12, "t", &npy),
                 BDL_ERR_FORMAT);
    CHECK_STR_HAS(bdl_last_error(), "65535");
}

static const char x_header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 2), }";
static const float x_values[] = {1, 2, 3, 4};

BDL_TEST(npy_reads_samples_with_labels_or_without)
{
    const char *x = write_npy("x.npy", x_header, x_values, sizeof x_values);
    const int64_t classes[] = {3, 0};
    const float targets[] = {0.5F, -1, 2, 4};
    const char *y = write_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }",
                              classes, sizeof classes);
    const char *z =
        write_npy("z.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", targets,
                  sizeof targets);
    char pair[2048];
    snprintf(pair, sizeof pair, "%s,%s", x, y);
    bdl__dataset *labelled = data_open("npy:", pair, "", BDL__PART_TRAIN);
    snprintf(pair, sizeof pair, "%s, %s", x, z);
    bdl__dataset *regression = data_open("npy:", pair, "", BDL__PART_TRAIN);
    bdl__dataset *alone = data_open("npy:", x, "", BDL__PART_TRAIN);
    REQUIRE(labelled != NULL && regression != NULL && alone != NULL);
    CHECK_EQ_I64(labelled->n_classes, 4);
    CHECK_EQ_I64(labelled->shape.rank, 2);
    check_row(labelled, 0, x_values, 3);
    check_row(labelled, 1, x_values + 2, 0);
    CHECK_EQ_I64(alone->label_kind, BDL__LABEL_NONE);
    bdl__sample sample;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_read(regression, 1, &sample));
    CHECK(regression->target_shape.dim[0] == 2 && sample.target[1] == 4);
    bdl__sample_free(&sample);
    bdl__dataset_free(labelled);
    bdl__dataset_free(regression);
    bdl__dataset_free(alone);
}

BDL_TEST(npy_checks_labels)
{
    const char *x = write_npy("x.npy", x_header, x_values, sizeof x_values);
    const char *header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
    static const double bad[][2] = {{0, -1}, {0, 0.5}, {0, NAN}, {0, 2}};
    for (int i = 0; i < 4; i++) {
        const char *y = write_npy("y.npy", header, bad[i], sizeof bad[i]);
        char pair[2048];
        snprintf(pair, sizeof pair, "%s,%s", x, y);
        data_fails("npy:", pair, "(task=class, classes=2)", BDL_ERR_FORMAT,
                   "row 1: expected a class number from 0 to 1");
    }
    const char *y =
        write_npy("y.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", bad[0], 8);
    char pair[2048];
    snprintf(pair, sizeof pair, "%s,%s", x, y);
    data_fails("npy:", pair, "", BDL_ERR_FORMAT, "expected 2 rows as X has, found 1");
}

BDL_TEST(row_keys_do_not_depend_on_the_container)
{
    /* The same rows as csv and as npy have the same keys: float32 values, then the label as
     * float64. */
    const char *x = write_npy("x.npy", x_header, x_values, sizeof x_values);
    const int64_t classes[] = {1, 0};
    const char *y = write_npy("y.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }",
                              classes, sizeof classes);
    char pair[2048];
    snprintf(pair, sizeof pair, "%s,%s", x, y);
    bdl__dataset *npy = data_open("npy:", pair, "", BDL__PART_TRAIN);
    bdl__dataset *table = csv("3,4,0\n1,2,1\n", "");
    bdl__sample sample;
    bdl__key a, b;
    bdl__sample_init(&sample, bdl__default_allocator());
    REQUIRE_OK(bdl__dataset_key(npy, 0, &sample, &a));
    REQUIRE_OK(bdl__dataset_key(table, 1, &sample, &b));
    CHECK(a.high == b.high && a.low == b.low);
    const struct {
        float row[2];
        double label;
    } canonical = {{1, 2}, 1};
    const bdl__key expected = bdl__hash128(&canonical, sizeof canonical);
    CHECK(a.high == expected.high && a.low == expected.low);
    bdl__sample_free(&sample);
    bdl__dataset_free(npy);
    bdl__dataset_free(table);
}

BDL_TEST_MAIN(csv_finds_header_delimiter_and_class_names, csv_takes_columns_by_name_and_number,
              csv_tells_line_and_column, csv_refuses_bad_parameters,
              csv_grows_and_survives_failing_allocations, npy_reads_every_type,
              npy_tells_what_is_wrong, npy_reads_samples_with_labels_or_without, npy_checks_labels,
              row_keys_do_not_depend_on_the_container)
