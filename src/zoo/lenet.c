/* SPDX-License-Identifier: Apache-2.0 */
/* LeNet: two convolutions and two linear layers for 28x28 grey images. */
#include "zoo/zoo.h"

typedef struct lenet_params {
    int64_t classes;
    bdl__choice variant;
} lenet_params;

enum { BIGDL, ARTICLE };
static const char *const variants[] = {"bigdl", "article", NULL};

static const bdl__field fields[] = {
    BDL_FIELD(lenet_params, classes, .def.i64 = 10, .range = BDL_IN(2, 1 << 20), .doc = "Classes."),
    BDL_FIELD(lenet_params, variant, .def.s = "bigdl", .choices = variants,
              .doc = "bigdl: tanh before both poolings. article: the second tanh after the first "
                     "pooling."),
};

static bdl_status build(const void *params, bdl__graph *g)
{
    const lenet_params *const p = params;
    const bool is_article = p->variant.i == ARTICLE;
    BDL__TRY(bdl__zoo_input(g, 1, 28, 28));
    BDL__TRY(bdl__zoo_add(g, "conv2d", "conv1_5x5", "out_channels=6, kernel_size=5"));
    BDL__TRY(bdl__zoo_add(g, "tanh", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "max_pool2d", NULL, "kernel_size=2"));
    if (is_article) {
        BDL__TRY(bdl__zoo_add(g, "tanh", NULL, NULL));
    }
    BDL__TRY(bdl__zoo_add(g, "conv2d", "conv2_5x5", "out_channels=12, kernel_size=5"));
    if (!is_article) {
        BDL__TRY(bdl__zoo_add(g, "tanh", NULL, NULL));
    }
    BDL__TRY(bdl__zoo_add(g, "max_pool2d", NULL, "kernel_size=2"));
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "linear", "fc1", "out_features=100"));
    BDL__TRY(bdl__zoo_add(g, "tanh", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "linear", "fc2", "out_features=%lld", (long long)p->classes));
    return bdl__zoo_add(g, "log_softmax", NULL, NULL);
}

static const bdl__zoo_model lenet = {
    .name = "lenet",
    .summary = "LeNet for 28x28 grey images, as in BigDL",
    .doc = "conv 5x5 1-6, tanh, max pool 2, conv 5x5 6-12, tanh, max pool 2, linear 192-100, tanh, "
           "linear 100-classes, log softmax. After LeCun et al., \"Gradient-based learning applied to "
           "document recognition\", 1998.",
    .schema = {.name = "lenet", .fields = fields, .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(lenet_params)},
    .build = build,
};

BDL_ZOO(lenet, &lenet);
