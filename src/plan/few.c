/* SPDX-License-Identifier: Apache-2.0 */
/* When a sample is predicted alone, through oneDNN, instead of in sample lanes: see plan.h. */
#include "dnnl/dnnl.h"
#include "plan/plan.h"

/* A slice of 16 lanes costs as much for one sample as for 16; oneDNN takes a twelfth to a fifth of that for each. */
#define MOST_SAMPLES 2
/* Multiply-adds of a sample from which opening oneDNN pays; LeNet has 0.3 million. */
#define LEAST_WORK 100000000

/* Each weight of a matrix or a kernel meets each position of the output once. */
static int64_t work_of(const bdl__node *node)
{
    int64_t work = 0;
    for (int i = 0; i < node->decl.n_weights; i++) {
        const bdl__shape *const weights = &node->decl.weights[i].shape;
        if (weights->rank >= 2 && weights->dim[0] > 0) {
            work += bdl__shape_count(weights) *
                    (bdl__shape_count(&node->decl.out[0]) / weights->dim[0]);
        }
    }
    return work;
}

bool bdl__plan_wants_few(const bdl__graph *graph, bdl__precision precision, int64_t n)
{
    const bdl__dnnl_table *table;
    int64_t work = 0;
    if (n < 1 || n > MOST_SAMPLES || precision == BDL__F64_PRECISION) {
        return false;
    }
    for (int64_t i = 0; i < graph->n_nodes && work < LEAST_WORK; i++) {
        work += work_of(graph->nodes[i]);
    }
    return work >= LEAST_WORK && bdl__dnnl_open(&table) == BDL_OK;
}
