/* SPDX-License-Identifier: Apache-2.0 */
/* One or two samples of a large net are predicted one by one, through oneDNN where it is there: the same numbers as in a
 * batch within rounding, and the same bits for any number of workers and any company. ctest: timeout=600 */
#include <bdl/bdl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { BATCH = 3, N_SRC = 3 * 32 * 32, N_DST = 10 };

static float *make_samples(void)
{
    float *const src = (float *)malloc(sizeof(float) * BATCH * N_SRC);
    uint64_t state = 7;
    for (int i = 0; src && i < BATCH * N_SRC; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        src[i] = (float)(state >> 40) / 8388608.0f - 1.0f;
    }
    return src;
}

/* Outputs of the first n samples. */
static void predict(int32_t n_threads, const char *text, const float *src, int64_t n, float *dst)
{
    bdl_context_options options;
    bdl_context *context = NULL;
    bdl_model *model = NULL;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.n_threads = n_threads;
    REQUIRE_OK(bdl_context_create(&options, &context));
    REQUIRE_OK(bdl_model_open(context, text, 1, &model));
    REQUIRE_OK(bdl_model_forward(model, src, n, dst));
    bdl_model_free(model);
    bdl_context_free(context);
}

static void compare(const char *text)
{
    float *const src = make_samples();
    float batch[BATCH * N_DST], two[2 * N_DST], other[2 * N_DST];
    REQUIRE(src);
    predict(2, text, src, BATCH, batch);
    predict(1, text, src, 2, two);
    for (int i = 0; i < 2 * N_DST; i++) {
        CHECK_NEAR(two[i], batch[i], 1e-4 * (1 + fabs((double)batch[i])));
    }
    predict(3, text, src, 2, other);
    CHECK(memcmp(two, other, sizeof two) == 0);
    predict(2, text, src + N_SRC, 1, other);
    CHECK(memcmp(two + N_DST, other, N_DST * sizeof(float)) == 0);
    free(src);
}

BDL_TEST(predicts_few_samples_as_many)
{
    compare(bdl_test_small() ? "resnet(depth=20)" : "resnet(depth=56)"); /* branches, strides, additions */
    if (!bdl_test_small()) {
        compare("vgg_cifar");
    }
}

BDL_TEST_MAIN(predicts_few_samples_as_many)
