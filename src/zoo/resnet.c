/* SPDX-License-Identifier: Apache-2.0 */
/* Residual networks for CIFAR (6k + 2 layers) and ImageNet (18, 34, 50, 101, 152, 200). */
#include <stdio.h>

#include "zoo/blocks.h"

typedef struct resnet_params {
    int64_t depth;
    bdl__choice dataset;
    bdl__choice shortcut;
    int64_t classes;
    bool bias;
} resnet_params;

enum { CIFAR10, IMAGENET };
static const char *const datasets[] = {"cifar10", "imagenet", NULL};
enum { SHORTCUT_A, SHORTCUT_B, SHORTCUT_C };
static const char *const shortcuts[] = {"A", "B", "C", NULL};

static const bdl__field fields[] = {
    BDL_FIELD(resnet_params, depth, .def.i64 = 0, .range = BDL_IN(0, 2000),
              .doc =
                  "Layers: 6k + 2 for cifar10; 18, 34, 50, 101, 152 or 200 for imagenet. 0 is 20 "
                  "and 50."),
    BDL_FIELD(resnet_params, dataset, .def.s = "cifar10", .choices = datasets,
              .doc = "cifar10: 32x32 images, stages of 16, 32, 64 channels. imagenet: 224x224 "
                     "images, stages of 64, 128, 256, 512."),
    BDL_FIELD(resnet_params, shortcut, .def.s = "B", .choices = shortcuts,
              .doc = "Where channels change, A subsamples and adds zeros, B convolves; C always "
                     "convolves."),
    BDL_FIELD(resnet_params, classes, .def.i64 = 0, .range = BDL_IN(0, 1 << 20),
              .doc = "Classes; 0 is 10 for cifar10 and 1000 for imagenet."),
    BDL_FIELD(resnet_params, bias, .def.b = false,
              .doc = "Whether convolutions have a bias, which the batch norm after each makes "
                     "needless."),
};

/* The network while it is built: `block` is "layer1.0", the prefix of names. */
typedef struct builder {
    bdl__graph *g;
    const resnet_params *params;
    bool is_bottleneck;
    int64_t channels; /* of the tensor that the next block takes */
    char block[32];
} builder;

enum { NAME_SIZE = 48 };

/* conv and batch norm "<block>.conv<suffix>", "<block>.bn<suffix>" after `input`. */
static bdl_status add_conv(const builder *b, const char *suffix, const char *input, int kernel,
                           int64_t stride, int64_t channels, const char *norm)
{
    char conv_name[NAME_SIZE], norm_name[NAME_SIZE];
    snprintf(conv_name, sizeof conv_name, "%s.conv%s", b->block, suffix);
    snprintf(norm_name, sizeof norm_name, "%s.bn%s", b->block, suffix);
    BDL__TRY(bdl__zoo_add_after(
        b->g, "conv2d", conv_name, input,
        "out_channels=%lld, kernel_size=%d, stride=%lld, padding=%d, bias=%s, "
        "weight_init='kaiming_normal(mode=fan_out, nonlinearity=relu)', bias_init=zeros",
        (long long)channels, kernel, (long long)stride, kernel / 2,
        b->params->bias ? "true" : "false"));
    return bdl__zoo_add(b->g, "batch_norm", norm_name, "%s", norm);
}

/* conv, batch norm, ReLU. */
static bdl_status add_conv_relu(const builder *b, const char *suffix, const char *input, int kernel,
                                int64_t stride, int64_t channels)
{
    char relu[NAME_SIZE];
    snprintf(relu, sizeof relu, "%s.relu%s", b->block, suffix);
    BDL__TRY(add_conv(b, suffix, input, kernel, stride, channels, ""));
    return bdl__zoo_add(b->g, "relu", relu, NULL);
}

/* Gives the name of the tensor that joins the block's sum. */
static bdl_status add_shortcut(const builder *b, const char *input, int64_t channels,
                               int64_t stride, const char **name)
{
    const bool changes = channels != b->channels;
    const int kind = b->params->shortcut.i;
    *name = input;
    if (kind == SHORTCUT_C || (kind == SHORTCUT_B && changes)) {
        BDL__TRY(add_conv(b, "_shortcut", input, 1, stride, channels, ""));
        *name = bdl__zoo_last(b->g);
    } else if (changes) {
        BDL__TRY(bdl__zoo_add_after(b->g, "avg_pool2d", NULL, input, "kernel_size=1, stride=%lld",
                                    (long long)stride));
        BDL__TRY(bdl__zoo_add(b->g, "pad", NULL, "padding=[0,0,0,0,0,%lld]",
                              (long long)(channels - b->channels)));
        *name = bdl__zoo_last(b->g);
    }
    return BDL_OK;
}

/* A block with `width` channels within; it begins and ends at the name of the last node. */
static bdl_status add_block(builder *b, int64_t width, int64_t stride)
{
    const char *const input = bdl__zoo_last(b->g);
    const int64_t channels = b->is_bottleneck ? 4 * width : width;
    const char *const last_norm = b->params->dataset.i == IMAGENET ? "weight_init=zeros" : "";
    const char *branches[2];
    char name[NAME_SIZE];
    if (b->is_bottleneck) {
        BDL__TRY(add_conv_relu(b, "1", input, 1, 1, width));
        BDL__TRY(add_conv_relu(b, "2", bdl__zoo_last(b->g), 3, stride, width));
        BDL__TRY(add_conv(b, "3", bdl__zoo_last(b->g), 1, 1, channels, last_norm));
    } else {
        BDL__TRY(add_conv_relu(b, "1", input, 3, stride, width));
        BDL__TRY(add_conv(b, "2", bdl__zoo_last(b->g), 3, 1, channels, last_norm));
    }
    branches[0] = bdl__zoo_last(b->g);
    BDL__TRY(add_shortcut(b, input, channels, stride, &branches[1]));
    snprintf(name, sizeof name, "%s.add", b->block);
    BDL__TRY(bdl__graph_add_text(b->g, "add", name, "", branches, 2, NULL));
    b->channels = channels;
    snprintf(name, sizeof name, "%s.relu", b->block);
    return bdl__zoo_add(b->g, "relu", name, NULL);
}

static bdl_status add_stage(builder *b, int stage, int64_t n_blocks, int64_t width)
{
    for (int64_t i = 0; i < n_blocks; i++) {
        snprintf(b->block, sizeof b->block, "layer%d.%lld", stage, (long long)i);
        BDL__TRY(add_block(b, width, i == 0 && stage > 1 ? 2 : 1));
    }
    return BDL_OK;
}

static bdl_status build_cifar(builder *b, int64_t depth)
{
    static const int64_t widths[] = {16, 32, 64};
    BDL__CHECK(depth >= 8 && depth % 6 == 2, BDL_ERR_INVALID_ARGUMENT,
               "for cifar10 depth must be 6k + 2 (8, 14, 20, 32, 44, 56, 110 ...), got %lld",
               (long long)depth);
    BDL__TRY(bdl__zoo_input(b->g, 3, 32, 32));
    snprintf(b->block, sizeof b->block, "stem");
    BDL__TRY(add_conv_relu(b, "", "input", 3, 1, 16));
    b->channels = 16;
    for (int i = 0; i < 3; i++) {
        BDL__TRY(add_stage(b, i + 1, (depth - 2) / 6, widths[i]));
    }
    return bdl__zoo_add(b->g, "avg_pool2d", "pool", "kernel_size=8");
}

/* Blocks of the four stages. */
typedef struct layout {
    int64_t depth;
    int64_t blocks[4];
    bool is_bottleneck;
} layout;

static const layout layouts[] = {
    {18, {2, 2, 2, 2}, false},  {34, {3, 4, 6, 3}, false},  {50, {3, 4, 6, 3}, true},
    {101, {3, 4, 23, 3}, true}, {152, {3, 8, 36, 3}, true}, {200, {3, 24, 36, 3}, true},
};

static bdl_status build_imagenet(builder *b, int64_t depth)
{
    const layout *found = NULL;
    for (int64_t i = 0; i < BDL__COUNT_OF(layouts); i++) {
        found = layouts[i].depth == depth ? &layouts[i] : found;
    }
    BDL__CHECK(found, BDL_ERR_INVALID_ARGUMENT,
               "for imagenet depth must be 18, 34, 50, 101, 152 or 200, got %lld",
               (long long)depth);
    BDL__TRY(bdl__zoo_input(b->g, 3, 224, 224));
    b->is_bottleneck = found->is_bottleneck;
    snprintf(b->block, sizeof b->block, "stem");
    BDL__TRY(add_conv_relu(b, "", "input", 7, 2, 64));
    BDL__TRY(bdl__zoo_add(b->g, "max_pool2d", "stem.pool", "kernel_size=3, stride=2, padding=1"));
    b->channels = 64;
    for (int i = 0; i < 4; i++) {
        BDL__TRY(add_stage(b, i + 1, found->blocks[i], (int64_t)64 << i));
    }
    return bdl__zoo_add(b->g, "avg_pool2d", "pool", "kernel_size=7");
}

static bdl_status build(const void *params, bdl__graph *g)
{
    const resnet_params *const p = params;
    const bool is_imagenet = p->dataset.i == IMAGENET;
    const int64_t depth = p->depth ? p->depth : is_imagenet ? 50 : 20;
    const int64_t classes = p->classes ? p->classes : is_imagenet ? 1000 : 10;
    builder b = {.g = g, .params = p};
    BDL__TRY(is_imagenet ? build_imagenet(&b, depth) : build_cifar(&b, depth));
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    return bdl__zoo_add(g, "linear", "fc", "out_features=%lld, bias_init=zeros%s",
                        (long long)classes, is_imagenet ? ", weight_init='normal(std=0.01)'" : "");
}

static const bdl__zoo_model resnet = {
    .name = "resnet",
    .summary = "Residual networks for CIFAR and ImageNet",
    .doc = "cifar10, input (3, 32, 32): conv 3x3 16, three stages of (depth - 2) / 6 basic "
           "blocks with 16, 32, 64 channels, average pool 8. imagenet, input (3, 224, 224): conv "
           "7x7/2 64, max pool 3/2, four stages of blocks with 64, 128, 256, 512 channels, "
           "average pool 7; bottleneck blocks (1x1, 3x3, 1x1 with four times the channels) from "
           "depth 50 on, whose last batch norm starts at 0. Batch norm follows every "
           "convolution; the stride of a block is in its first 3x3. Last comes linear without "
           "softmax: train with cross_entropy. After He et al., \"Deep residual learning for "
           "image recognition\", 2015.",
    .schema = BDL__ZOO_SCHEMA("resnet", fields, resnet_params),
    .build = build,
};

BDL_ZOO(resnet, &resnet);
