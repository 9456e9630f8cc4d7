/* SPDX-License-Identifier: Apache-2.0 */
/* VGG: stacks of 3x3 convolutions, for 224x224 images, and with batch norm for CIFAR. */
#include <stdio.h>

#include "zoo/blocks.h"

typedef struct vgg_params {
    int64_t classes;
} vgg_params;

static const bdl__field cifar_fields[] = {
    BDL__ZOO_CLASSES(vgg_params, 10),
};

static const bdl__field imagenet_fields[] = {
    BDL__ZOO_CLASSES(vgg_params, 1000),
};

/* ---- CIFAR ---------------------------------------------------------------------------------- */

enum { N_STAGES = 5 };

static bdl_status add_cifar_conv(bdl__graph *g, int stage, int i, int channels)
{
    char conv[32], norm[32];
    snprintf(conv, sizeof conv, "conv%d_%d", stage, i);
    snprintf(norm, sizeof norm, "bn%d_%d", stage, i);
    BDL__TRY(
        bdl__zoo_add(g, "conv2d", conv, "out_channels=%d, kernel_size=3, padding=1", channels));
    BDL__TRY(bdl__zoo_add(g, "batch_norm", norm, "eps=0.001"));
    return bdl__zoo_add(g, "relu", NULL, NULL);
}

/* Dropout follows every convolution of a stage but the last, where pooling follows. */
static bdl_status add_cifar_stage(bdl__graph *g, int stage, int n, int channels)
{
    for (int i = 1; i <= n; i++) {
        BDL__TRY(add_cifar_conv(g, stage, i, channels));
        if (i < n) {
            BDL__TRY(bdl__zoo_add(g, "dropout", NULL, stage == 1 ? "p=0.3" : "p=0.4"));
        }
    }
    return bdl__zoo_add(g, "max_pool2d", NULL, "kernel_size=2, ceil_mode=true");
}

static bdl_status build_cifar(const void *params, bdl__graph *g)
{
    static const int channels[N_STAGES] = {64, 128, 256, 512, 512};
    static const int convs[N_STAGES] = {2, 2, 3, 3, 3};
    const vgg_params *const p = params;
    BDL__TRY(bdl__zoo_input(g, 3, 32, 32));
    for (int i = 0; i < N_STAGES; i++) {
        BDL__TRY(add_cifar_stage(g, i + 1, convs[i], channels[i]));
    }
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "dropout", NULL, "p=0.5"));
    BDL__TRY(bdl__zoo_add(g, "linear", "fc1", "out_features=512"));
    BDL__TRY(bdl__zoo_add(g, "batch_norm", "bn_fc1", NULL));
    BDL__TRY(bdl__zoo_add(g, "relu", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "dropout", NULL, "p=0.5"));
    BDL__TRY(bdl__zoo_add(g, "linear", "fc2", "out_features=%lld", (long long)p->classes));
    return bdl__zoo_add(g, "log_softmax", NULL, NULL);
}

/* ---- ImageNet ------------------------------------------------------------------------------- */

static bdl_status add_stage(bdl__graph *g, int stage, int n, int channels)
{
    char name[32];
    for (int i = 1; i <= n; i++) {
        snprintf(name, sizeof name, "conv%d_%d", stage, i);
        BDL__TRY(
            bdl__zoo_add(g, "conv2d", name, "out_channels=%d, kernel_size=3, padding=1", channels));
        BDL__TRY(bdl__zoo_add(g, "relu", NULL, NULL));
    }
    snprintf(name, sizeof name, "pool%d", stage);
    return bdl__zoo_add(g, "max_pool2d", name, "kernel_size=2");
}

static bdl_status build_imagenet(const vgg_params *p, const int convs[N_STAGES], bdl__graph *g)
{
    static const int channels[N_STAGES] = {64, 128, 256, 512, 512};
    BDL__TRY(bdl__zoo_input(g, 3, 224, 224));
    for (int i = 0; i < N_STAGES; i++) {
        BDL__TRY(add_stage(g, i + 1, convs[i], channels[i]));
    }
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    for (int i = 6; i <= 7; i++) {
        char name[8];
        snprintf(name, sizeof name, "fc%d", i);
        BDL__TRY(bdl__zoo_add(g, "linear", name, "out_features=4096"));
        BDL__TRY(bdl__zoo_add(g, "threshold", NULL, "threshold=0, value=1e-6"));
        BDL__TRY(bdl__zoo_add(g, "dropout", NULL, "p=0.5"));
    }
    BDL__TRY(bdl__zoo_add(g, "linear", "fc8", "out_features=%lld", (long long)p->classes));
    return bdl__zoo_add(g, "log_softmax", NULL, NULL);
}

static bdl_status build_16(const void *params, bdl__graph *g)
{
    static const int convs[N_STAGES] = {2, 2, 3, 3, 3};
    return build_imagenet(params, convs, g);
}

static bdl_status build_19(const void *params, bdl__graph *g)
{
    static const int convs[N_STAGES] = {2, 2, 4, 4, 4};
    return build_imagenet(params, convs, g);
}

/* ---- descriptors ---------------------------------------------------------------------------- */

#define SOURCE                                                                                     \
    "After Simonyan and Zisserman, \"Very deep convolutional networks for large-scale image "      \
    "recognition\", 2014."

static const bdl__zoo_model vgg_cifar = {
    .name = "vgg_cifar",
    .summary = "VGG for 32x32 images (CIFAR), with batch norm and dropout",
    .doc = "Blocks of conv 3x3, batch norm (eps 1e-3), ReLU: 64 64 P, 128 128 P, 256 256 256 P, "
           "512 512 512 P, 512 512 512 P, P being max pool 2, with dropout of 0.3 in the first "
           "stage and 0.4 in the others between the blocks; dropout 0.5, linear 512-512, batch "
           "norm, ReLU, dropout 0.5, linear 512-classes, log softmax. Input (3, 32, 32). " SOURCE,
    .schema = BDL__ZOO_SCHEMA("vgg_cifar", cifar_fields, vgg_params),
    .build = build_cifar,
};

static const bdl__zoo_model vgg16 = {
    .name = "vgg16",
    .summary = "VGG with 16 layers for 224x224 images",
    .doc = "conv 3x3 and ReLU: 64 64 P, 128 128 P, 256 256 256 P, 512 512 512 P, 512 512 512 P, "
           "P being max pool 2; twice linear 4096, threshold(0, 1e-6), dropout 0.5; linear "
           "4096-classes, log softmax. Input (3, 224, 224). " SOURCE,
    .schema = BDL__ZOO_SCHEMA("vgg16", imagenet_fields, vgg_params),
    .build = build_16,
};

static const bdl__zoo_model vgg19 = {
    .name = "vgg19",
    .summary = "VGG with 19 layers for 224x224 images",
    .doc = "As vgg16, with four convolutions in each of the last three stages. " SOURCE,
    .schema = BDL__ZOO_SCHEMA("vgg19", imagenet_fields, vgg_params),
    .build = build_19,
};

BDL_ZOO(vgg_cifar, &vgg_cifar);
BDL_ZOO(vgg16, &vgg16);
BDL_ZOO(vgg19, &vgg19);
