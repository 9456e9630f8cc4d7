/* SPDX-License-Identifier: Apache-2.0 */
/* Inception v1 (GoogLeNet) without its auxiliary classifiers. Names are Caffe's. */
#include <stdio.h>

#include "zoo/blocks.h"

typedef struct inception_params {
    int64_t classes;
} inception_params;

static const bdl__field fields[] = {
    BDL__ZOO_CLASSES(inception_params, 1000),
};

enum { NAME_SIZE = 64 };

#define FILLERS "weight_init=xavier_uniform, bias_init=zeros"

/* Channels of a module: 1x1; 3x3 and 5x5 with their reductions; projection of the pool. */
typedef struct module {
    const char *name;
    int c1, reduce3, c3, reduce5, c5, pool;
    const char *pool_after; /* a max pool that follows, or NULL */
} module;

static const module modules[] = {
    {"inception_3a", 64, 96, 128, 16, 32, 32, NULL},
    {"inception_3b", 128, 128, 192, 32, 96, 64, "pool3/3x3_s2"},
    {"inception_4a", 192, 96, 208, 16, 48, 64, NULL},
    {"inception_4b", 160, 112, 224, 24, 64, 64, NULL},
    {"inception_4c", 128, 128, 256, 24, 64, 64, NULL},
    {"inception_4d", 112, 144, 288, 32, 64, 64, NULL},
    {"inception_4e", 256, 160, 320, 32, 128, 128, "pool4/3x3_s2"},
    {"inception_5a", 256, 160, 320, 32, 128, 128, NULL},
    {"inception_5b", 384, 192, 384, 48, 128, 128, NULL},
};

/* A convolution "<prefix><part>" after `input`, and its ReLU "<prefix>relu_<part>", whose name is
 * given back. */
static bdl_status add_conv(bdl__graph *g, const char *prefix, const char *part, const char *input,
                           const char *size, int channels, char relu[NAME_SIZE])
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s%s", prefix, part);
    snprintf(relu, NAME_SIZE, "%srelu_%s", prefix, part);
    BDL__TRY(bdl__zoo_add_after(g, "conv2d", name, input, "out_channels=%d, %s, " FILLERS, channels,
                                size));
    return bdl__zoo_add(g, "relu", relu, NULL);
}

static bdl_status add_module(bdl__graph *g, const module *m)
{
    char prefix[NAME_SIZE / 2], pool[NAME_SIZE], output[NAME_SIZE], inner[NAME_SIZE];
    char branches[4][NAME_SIZE];
    const char *const input = bdl__zoo_last(g);
    snprintf(prefix, sizeof prefix, "%s/", m->name);
    snprintf(pool, sizeof pool, "%spool", prefix);
    snprintf(output, sizeof output, "%soutput", prefix);
    BDL__TRY(add_conv(g, prefix, "1x1", input, "kernel_size=1", m->c1, branches[0]));
    BDL__TRY(add_conv(g, prefix, "3x3_reduce", input, "kernel_size=1", m->reduce3, inner));
    BDL__TRY(add_conv(g, prefix, "3x3", inner, "kernel_size=3, padding=1", m->c3, branches[1]));
    BDL__TRY(add_conv(g, prefix, "5x5_reduce", input, "kernel_size=1", m->reduce5, inner));
    BDL__TRY(add_conv(g, prefix, "5x5", inner, "kernel_size=5, padding=2", m->c5, branches[2]));
    BDL__TRY(bdl__zoo_add_after(g, "max_pool2d", pool, input,
                                "kernel_size=3, stride=1, padding=1, ceil_mode=true"));
    BDL__TRY(add_conv(g, prefix, "pool_proj", pool, "kernel_size=1", m->pool, branches[3]));
    const char *const inputs[4] = {branches[0], branches[1], branches[2], branches[3]};
    BDL__TRY(bdl__graph_add_text(g, "concat", output, "axis=1", inputs, 4, NULL));
    return m->pool_after ? bdl__zoo_add(g, "max_pool2d", m->pool_after,
                                        "kernel_size=3, stride=2, ceil_mode=true")
                         : BDL_OK;
}

static bdl_status add_stem(bdl__graph *g)
{
    static const char pool[] = "kernel_size=3, stride=2, ceil_mode=true";
    static const char norm[] = "size=5, alpha=1e-4, beta=0.75";
    char relu[NAME_SIZE];
    BDL__TRY(add_conv(g, "conv1/", "7x7_s2", "input",
                      "kernel_size=7, stride=2, padding=3, propagate_back=false", 64, relu));
    BDL__TRY(bdl__zoo_add(g, "max_pool2d", "pool1/3x3_s2", "%s", pool));
    BDL__TRY(bdl__zoo_add(g, "lrn", "pool1/norm1", "%s", norm));
    BDL__TRY(add_conv(g, "conv2/", "3x3_reduce", "pool1/norm1", "kernel_size=1", 64, relu));
    BDL__TRY(add_conv(g, "conv2/", "3x3", bdl__zoo_last(g), "kernel_size=3, padding=1", 192, relu));
    BDL__TRY(bdl__zoo_add(g, "lrn", "conv2/norm2", "%s", norm));
    return bdl__zoo_add(g, "max_pool2d", "pool2/3x3_s2", "%s", pool);
}

static bdl_status build(const void *params, bdl__graph *g)
{
    const inception_params *const p = params;
    BDL__TRY(bdl__zoo_input(g, 3, 224, 224));
    BDL__TRY(add_stem(g));
    for (int64_t i = 0; i < BDL__COUNT_OF(modules); i++) {
        BDL__TRY(add_module(g, &modules[i]));
    }
    BDL__TRY(bdl__zoo_add(g, "avg_pool2d", "pool5/7x7_s1", "kernel_size=7, stride=1"));
    BDL__TRY(bdl__zoo_add(g, "dropout", "pool5/drop_7x7_s1", "p=0.4"));
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "linear", "loss3/classifier", "out_features=%lld, " FILLERS,
                          (long long)p->classes));
    return bdl__zoo_add(g, "log_softmax", "loss3/loss3", NULL);
}

static const bdl__zoo_model inception_v1 = {
    .name = "inception_v1",
    .summary = "Inception v1 (GoogLeNet) for 224x224 images, without auxiliary classifiers",
    .doc = "conv 7x7/2 64, max pool 3/2, LRN, conv 1x1 64, conv 3x3 192, LRN, max pool 3/2; nine "
           "modules of four branches (1x1; 1x1 and 3x3; 1x1 and 5x5; max pool and 1x1) joined by "
           "channels; average pool 7, dropout 0.4, linear 1024-classes, log softmax. Input (3, "
           "224, 224), Xavier weights, names as in Caffe's bvlc_googlenet. After Szegedy et al., "
           "\"Going deeper with convolutions\", 2014.",
    .schema = BDL__ZOO_SCHEMA("inception_v1", fields, inception_params),
    .build = build,
};

BDL_ZOO(inception_v1, &inception_v1);
