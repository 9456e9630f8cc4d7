/* SPDX-License-Identifier: Apache-2.0 */
/* A multilayer perceptron: linear layers with an activation between them. */
#include <stdio.h>

#include "zoo/blocks.h"

typedef struct mlp_params {
    bdl__i64s hidden;
    int64_t classes, outputs;
    bdl__i64s shape;
    bdl__choice activation;
} mlp_params;

static const char *const activations[] = {"relu", "tanh", "sigmoid", "gelu", NULL};

static const bdl__field fields[] = {
    BDL_FIELD(mlp_params, hidden, .def.s = "128", .range = BDL_IN(1, 1 << 24), .least_n = 1,
              .most_n = BDL__MAX_LIST, .doc = "Units of each hidden layer."),
    BDL__ZOO_CLASSES(mlp_params, 10),
    BDL__ZOO_SHAPE(mlp_params),
    BDL_FIELD(mlp_params, activation, .def.s = "relu", .choices = activations,
              .doc = "What follows each hidden layer."),
    BDL__ZOO_OUTPUTS(mlp_params),
};

static bdl_status build(const void *params, bdl__graph *g)
{
    const mlp_params *const p = params;
    char name[16];
    BDL__TRY(bdl__zoo_input_shape(g, &p->shape));
    BDL__TRY(bdl__zoo_add(g, "flatten", NULL, NULL));
    for (int i = 0; i < p->hidden.n; i++) {
        snprintf(name, sizeof name, "fc%d", i + 1);
        BDL__TRY(bdl__zoo_add(g, "linear", name, "out_features=%lld", (long long)p->hidden.v[i]));
        BDL__TRY(bdl__zoo_add(g, activations[p->activation.i], NULL, NULL));
    }
    snprintf(name, sizeof name, "fc%d", (int)p->hidden.n + 1);
    BDL__TRY(bdl__zoo_add(g, "linear", name, "out_features=%lld",
                          (long long)(p->outputs ? p->outputs : p->classes)));
    return p->outputs ? BDL_OK : bdl__zoo_add(g, "log_softmax", NULL, NULL);
}

static const bdl__zoo_model mlp = {
    .name = "mlp",
    .summary = "Multilayer perceptron",
    .doc = "flatten, then linear and activation for each hidden layer, linear hidden-classes, log "
           "softmax; with outputs the last layer is linear hidden-outputs.",
    .schema = BDL__ZOO_SCHEMA("mlp", fields, mlp_params),
    .build = build,
};

BDL_ZOO(mlp, &mlp);
