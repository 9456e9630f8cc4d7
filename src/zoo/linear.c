/* SPDX-License-Identifier: Apache-2.0 */
/* Logistic regression: one linear layer. The least that any other model must beat. */
#include "zoo/blocks.h"

typedef struct linear_params {
    int64_t classes, outputs;
    bdl__i64s shape;
} linear_params;

static const bdl__field fields[] = {
    BDL__ZOO_CLASSES(linear_params, 10),
    BDL__ZOO_SHAPE(linear_params),
    BDL__ZOO_OUTPUTS(linear_params),
};

static bdl_status build(const void *params, bdl__graph *g)
{
    const linear_params *const p = params;
    BDL__TRY(bdl__zoo_input_shape(g, &p->shape));
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    BDL__TRY(bdl__zoo_add(g, "linear", "fc", "out_features=%lld",
                          (long long)(p->outputs ? p->outputs : p->classes)));
    return p->outputs ? BDL_OK : bdl__zoo_add(g, "log_softmax", NULL, NULL);
}

static const bdl__zoo_model linear = {
    .name = "linear",
    .summary = "Logistic regression: one linear layer",
    .doc = "flatten, linear size-classes, log softmax; with outputs linear regression: no softmax.",
    .schema = BDL__ZOO_SCHEMA("linear", fields, linear_params),
    .build = build,
};

BDL_ZOO(linear, &linear);
