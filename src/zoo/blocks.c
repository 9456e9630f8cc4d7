/* SPDX-License-Identifier: Apache-2.0 */
/* What several of the ready-made models are built of. */
#include "zoo/blocks.h"

bdl_status bdl__zoo_input_shape(bdl__graph *graph, const bdl__i64s *shape)
{
    bdl__shape sample = {.rank = shape->n};
    for (int i = 0; i < shape->n; i++) {
        sample.dim[i] = shape->v[i];
    }
    return bdl__graph_add_input(graph, "input", &sample, false);
}

const char *bdl__zoo_last(const bdl__graph *graph)
{
    return graph->n_nodes > 0 ? graph->nodes[graph->n_nodes - 1]->name : graph->inputs[0].name;
}
