/* SPDX-License-Identifier: Apache-2.0 */
/* An autoencoder with one hidden layer. Train it with target=input. */
#include <stdio.h>

#include "zoo/blocks.h"

typedef struct autoencoder_params {
    int64_t bottleneck;
    bdl__i64s shape;
} autoencoder_params;

static const bdl__field fields[] = {
    BDL_FIELD(autoencoder_params, bottleneck, .def.i64 = 32, .range = BDL_IN(1, 1 << 24),
              .doc = "Units of the hidden layer."),
    BDL__ZOO_SHAPE(autoencoder_params),
};

static bdl_status build(const void *params, bdl__graph *g)
{
    const autoencoder_params *const p = params;
    char shape[80];
    int at = 0;
    int64_t size = 1;
    for (int i = 0; i < p->shape.n; i++) {
        at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", i ? "," : "",
                       (long long)p->shape.v[i]);
        BDL__CHECK(bdl__mul_i64(size, p->shape.v[i], &size), BDL_ERR_SHAPE,
                   "the sample has too many values");
    }
    BDL__TRY(bdl__zoo_input_shape(g, &p->shape));
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "linear", "encoder", "out_features=%lld", (long long)p->bottleneck));
    BDL__TRY(bdl__zoo_add(g, "relu", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "linear", "decoder", "out_features=%lld", (long long)size));
    BDL__TRY(bdl__zoo_add(g, "sigmoid", NULL, NULL));
    return bdl__zoo_add(g, "reshape", NULL, "shape=[%s]", shape);
}

static const bdl__zoo_model autoencoder = {
    .name = "autoencoder",
    .summary = "Autoencoder with one hidden layer",
    .doc = "flatten, linear size-bottleneck, ReLU, linear bottleneck-size, sigmoid, back to the "
           "input's shape. Train it with --target input: the loss compares the output with the "
           "input.",
    .schema = BDL__ZOO_SCHEMA("autoencoder", fields, autoencoder_params),
    .build = build,
};

BDL_ZOO(autoencoder, &autoencoder);
