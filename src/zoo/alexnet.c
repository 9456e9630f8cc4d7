/* SPDX-License-Identifier: Apache-2.0 */
/* AlexNet: as one column (OWT), or with two groups and LRN as in Caffe. */
#include <stdio.h>

#include "zoo/blocks.h"

typedef struct alexnet_params {
    int64_t classes;
    bdl__choice variant;
} alexnet_params;

enum { OWT, CAFFE };
static const char *const variants[] = {"owt", "caffe", NULL};

static const bdl__field fields[] = {
    BDL__ZOO_CLASSES(alexnet_params, 1000),
    BDL_FIELD(alexnet_params, variant, .def.s = "owt", .choices = variants,
              .doc = "owt: one column, 224x224 images. caffe: two groups and local response "
                     "normalization, 227x227 images."),
};

typedef struct conv {
    const char *params;
    bool has_norm, has_pool;
} conv;

static const conv convs_owt[] = {
    {"out_channels=64, kernel_size=11, stride=4, padding=2, propagate_back=false", false, true},
    {"out_channels=192, kernel_size=5, padding=2", false, true},
    {"out_channels=384, kernel_size=3, padding=1", false, false},
    {"out_channels=256, kernel_size=3, padding=1", false, false},
    {"out_channels=256, kernel_size=3, padding=1", false, true},
};

static const conv convs_caffe[] = {
    {"out_channels=96, kernel_size=11, stride=4, propagate_back=false", true, true},
    {"out_channels=256, kernel_size=5, padding=2, groups=2", true, true},
    {"out_channels=384, kernel_size=3, padding=1", false, false},
    {"out_channels=384, kernel_size=3, padding=1, groups=2", false, false},
    {"out_channels=256, kernel_size=3, padding=1, groups=2", false, true},
};

static bdl_status add_conv(bdl__graph *g, int number, const conv *c)
{
    char name[16];
    snprintf(name, sizeof name, "conv%d", number);
    BDL__TRY(bdl__zoo_add(g, "conv2d", name, "%s", c->params));
    snprintf(name, sizeof name, "relu%d", number);
    BDL__TRY(bdl__zoo_add(g, "relu", name, NULL));
    if (c->has_norm) {
        snprintf(name, sizeof name, "norm%d", number);
        BDL__TRY(bdl__zoo_add(g, "lrn", name, "size=5, alpha=1e-4, beta=0.75"));
    }
    if (c->has_pool) {
        snprintf(name, sizeof name, "pool%d", number);
        BDL__TRY(bdl__zoo_add(g, "max_pool2d", name, "kernel_size=3, stride=2"));
    }
    return BDL_OK;
}

static bdl_status build(const void *params, bdl__graph *g)
{
    const alexnet_params *const p = params;
    const bool is_caffe = p->variant.i == CAFFE;
    const int64_t size = is_caffe ? 227 : 224;
    BDL__TRY(bdl__zoo_input(g, 3, size, size));
    for (int i = 0; i < 5; i++) {
        BDL__TRY(add_conv(g, i + 1, is_caffe ? &convs_caffe[i] : &convs_owt[i]));
    }
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    for (int i = 6; i <= 7; i++) {
        char name[16];
        snprintf(name, sizeof name, "fc%d", i);
        BDL__TRY(bdl__zoo_add(g, "linear", name, "out_features=4096"));
        snprintf(name, sizeof name, "relu%d", i);
        BDL__TRY(bdl__zoo_add(g, "relu", name, NULL));
        snprintf(name, sizeof name, "drop%d", i);
        BDL__TRY(bdl__zoo_add(g, "dropout", name, "p=0.5"));
    }
    BDL__TRY(bdl__zoo_add(g, "linear", "fc8", "out_features=%lld", (long long)p->classes));
    return bdl__zoo_add(g, "log_softmax", NULL, NULL);
}

static const bdl__zoo_model alexnet = {
    .name = "alexnet",
    .summary = "AlexNet for ImageNet's images",
    .doc = "owt, input (3, 224, 224): conv 11x11/4 64 P, 5x5 192 P, 3x3 384, 256, 256 P, each "
           "with ReLU, P being max pool 3/2; twice linear 4096, ReLU, dropout 0.5; linear "
           "4096-classes, log softmax. caffe, input (3, 227, 227): conv 11x11/4 96 N P, 5x5 256 "
           "in two groups N P, 3x3 384, 384 and 256 in two groups P, N being local response "
           "normalization; the rest is the same. After Krizhevsky et al., \"ImageNet "
           "classification with deep convolutional neural networks\", 2012, and Krizhevsky, "
           "\"One weird trick for parallelizing convolutional neural networks\", 2014.",
    .schema = BDL__ZOO_SCHEMA("alexnet", fields, alexnet_params),
    .build = build,
};

BDL_ZOO(alexnet, &alexnet);
