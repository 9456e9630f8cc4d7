/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of layers: names, completeness of descriptors, finding; and what hooks share. */
#include "layers/layer.h"

#include <string.h>

#include "test.h"

static const char *name_of(const bdl__layer *layer, int column)
{
    const char *const names[] = {layer->name, layer->names.pytorch, layer->names.torch,
                                 layer->names.keras};
    return names[column];
}

BDL_TEST(layers_are_sorted_and_names_unique)
{
    int64_t n = 0;
    const bdl__layer *const *layers = bdl__layers_all(&n);
    CHECK(n >= 60);
    for (int64_t i = 1; i < n; i++) {
        CHECK(strcmp(layers[i - 1]->name, layers[i]->name) < 0);
    }
    for (int column = 0; column < 4; column++) {
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < i; j++) {
                const char *a = name_of(layers[i], column), *b = name_of(layers[j], column);
                if (a != NULL && b != NULL && strcmp(a, b) == 0) {
                    CHECK_STR_EQ(a, "a name of one layer only");
                }
            }
        }
    }
}

BDL_TEST(descriptors_are_complete)
{
    int64_t n = 0;
    const bdl__layer *const *layers = bdl__layers_all(&n);
    for (int64_t i = 0; i < n; i++) {
        const bdl__layer *layer = layers[i];
        CHECK_STR_EQ(layer->schema.name, layer->name);
        CHECK(layer->since != NULL && layer->summary != NULL && layer->doc != NULL);
        CHECK(layer->ports != NULL && layer->infer != NULL && layer->forward != NULL);
        CHECK((layer->backward == NULL) ==
              ((layer->flags & BDL__NO_GRADIENT) != 0 || layer->kind == BDL__METRIC));
        CHECK(layer->summary[strlen(layer->summary) - 1] == '.');
        for (int64_t f = 0; f < layer->schema.n_fields; f++) {
            CHECK(layer->schema.fields[f].doc != NULL);
        }
        const bdl__layer *found = NULL;
        CHECK_OK(bdl__layer_find(layer->name, &found));
        CHECK(found == layer);
    }
}

BDL_TEST(layers_are_found_by_any_name)
{
    const bdl__layer *layer = NULL;
    REQUIRE_OK(bdl__layer_find("LogSoftMax", &layer));
    CHECK_STR_EQ(layer->name, "log_softmax");
    REQUIRE_OK(bdl__layer_find("LogSoftmax", &layer));
    CHECK_STR_EQ(layer->name, "log_softmax");
    CHECK(bdl__layer_find("log_sofmax", &layer) == BDL_ERR_NOT_FOUND);
    CHECK_STR_HAS(bdl_last_error(), "'log_softmax'");
    CHECK(bdl__layer_find("xyzzy", &layer) == BDL_ERR_NOT_FOUND);
}

BDL_TEST(axes_count_the_batch)
{
    int32_t axis = 0;
    CHECK_OK(bdl__layer_axis(1, 3, &axis));
    CHECK_EQ_I64(axis, 0);
    CHECK_OK(bdl__layer_axis(3, 3, &axis));
    CHECK_EQ_I64(axis, 2);
    CHECK_OK(bdl__layer_axis(-1, 3, &axis));
    CHECK_EQ_I64(axis, 2);
    CHECK_OK(bdl__layer_axis(-3, 3, &axis));
    CHECK_EQ_I64(axis, 0);
    CHECK(bdl__layer_axis(0, 3, &axis) == BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl__layer_axis(-4, 3, &axis) == BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl__layer_axis(4, 3, &axis) == BDL_ERR_INVALID_ARGUMENT);
    CHECK(bdl__layer_axis(-5, 3, &axis) == BDL_ERR_INVALID_ARGUMENT);
}

BDL_TEST(teams_split_everything_once)
{
    const int64_t counts[] = {0, 1, 2, 7, 16, 1000001, INT64_C(1) << 40};
    for (int c = 0; c < 7; c++) {
        for (int size = 1; size <= 7; size++) {
            int64_t expected = 0;
            for (int rank = 0; rank < size; rank++) {
                const bdl__cx cx = {.team_rank = rank, .team_size = size};
                int64_t begin, end;
                bdl__cx_split(&cx, counts[c], &begin, &end);
                CHECK_EQ_I64(begin, expected);
                CHECK(end >= begin && end - begin <= counts[c] / size + 1);
                expected = end;
            }
            CHECK_EQ_I64(expected, counts[c]);
        }
    }
}

BDL_TEST(moments_merge_as_if_counted_together)
{
    double sums[3] = {1, 2};
    bdl__merge_add(sums, (const double[]){10, 20, 30}, 3);
    CHECK_NEAR(sums[0] + sums[1] + sums[2], 63, 0);
    /* {1, 2, 6} and {4, 7}: mean 4, squares 9 + 4 + 4 + 0 + 9 */
    double moments[6] = {3, 3, 14};
    bdl__merge_moments(moments, (const double[]){2, 5.5, 4.5, 0, 0, 0}, 6);
    CHECK_NEAR(moments[0], 5, 0);
    CHECK_NEAR(moments[1], 4, 1e-15);
    CHECK_NEAR(moments[2], 26, 1e-14);
    CHECK_NEAR(moments[3], 0, 0);
}

BDL_TEST(lists_expand)
{
    int64_t v[2];
    bdl__expand(&(bdl__i64s){0}, 2, 7, v);
    CHECK(v[0] == 7 && v[1] == 7);
    bdl__expand(&(bdl__i64s){.n = 1, .v = {3}}, 2, 7, v);
    CHECK(v[0] == 3 && v[1] == 3);
    bdl__expand(&(bdl__i64s){.n = 2, .v = {3, 4}}, 2, 7, v);
    CHECK(v[0] == 3 && v[1] == 4);
}

BDL_TEST(shapes_check_and_print)
{
    char text[BDL__SHAPE_TEXT_SIZE];
    const bdl__shape cube = {.rank = 3, .dim = {3, 32, 32}}, scalar = {.rank = 0};
    const bdl__shape huge = {.rank = 3, .dim = {1 << 20, 1 << 20, 2}};
    const bdl__shape empty = {.rank = 2, .dim = {3, 0}};
    CHECK_STR_EQ(bdl__shape_text(&cube, text, sizeof text), "3x32x32");
    CHECK_STR_EQ(bdl__shape_text(&scalar, text, sizeof text), "scalar");
    CHECK_EQ_I64(bdl__shape_count(&cube), 3072);
    CHECK_EQ_I64(bdl__shape_count(&scalar), 1);
    CHECK_OK(bdl__shape_check(&cube, "x"));
    CHECK(bdl__shape_check(&huge, "x") == BDL_ERR_SHAPE);
    CHECK(bdl__shape_check(&empty, "weights") == BDL_ERR_SHAPE);
    CHECK_STR_HAS(bdl_last_error(), "weights");
    CHECK(bdl__shape_equal(&cube, &cube) && !bdl__shape_equal(&cube, &scalar));
}

BDL_TEST_MAIN(layers_are_sorted_and_names_unique, descriptors_are_complete,
              layers_are_found_by_any_name, axes_count_the_batch, teams_split_everything_once,
              moments_merge_as_if_counted_together, lists_expand, shapes_check_and_print)
