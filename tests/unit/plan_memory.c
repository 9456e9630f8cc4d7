/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes that no machine has are refused. Which values share memory: dropout may write over what relu gave, but only where nobody else reads that. */
#include <string.h>

#include "graph/graph.h"
#include "plan/plan.h"
#include "test.h"

static bdl__graph *new_graph(void)
{
    bdl__graph *graph = NULL;
    const bdl__shape shape = {.rank = 1, .dim = {6}};
    CHECK_OK(bdl__graph_create(bdl__default_allocator(), "net", &graph));
    CHECK_OK(bdl__graph_add_input(graph, "input", &shape, false));
    return graph;
}

static void add(bdl__graph *graph, const char *type, const char *name, const char *params,
                const char *a, const char *b)
{
    const char *const inputs[] = {a, b};
    CHECK_OK(bdl__graph_add_text(graph, type, name, params, inputs, b ? 2 : 1, NULL));
}

/* A linear layer, an activation, and dropout after it. */
static bdl__graph *new_graph_with_dropout(const char *activation)
{
    bdl__graph *const graph = new_graph();
    add(graph, "linear", "fc", "out_features=4", "input", NULL);
    add(graph, activation, activation, "", "fc", NULL);
    add(graph, "dropout", "dropout", "p=0.5", activation, NULL);
    return graph;
}

/* The area of a node's output. */
static const bdl__area *output_of(const bdl__plan *plan, const bdl__graph *graph, const char *name)
{
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i] == bdl__graph_find(graph, name)) {
            return bdl__plan_area(plan, plan->steps[i].dst_area[0]);
        }
    }
    CHECK(false); /* there is no such node */
    return NULL;
}

/* Whether the outputs of two nodes are the same memory in a plan for training; the graph is freed. */
static bool is_shared(bdl__graph *graph, const char *first, const char *second)
{
    bdl__plan *plan = NULL;
    CHECK_OK(bdl__graph_finish(graph));
    const bdl__plan_options options = {.graph = graph,
                                       .is_training = true,
                                       .target = BDL__TARGET_LANE1,
                                       .n_workers = 1,
                                       .n_slices = 1,
                                       .global_batch = BDL__SLICE,
                                       .external_diffs = true};
    CHECK_OK(bdl__plan_create(bdl__default_allocator(), &options, &plan));
    bool result = false;
    if (plan != NULL) {
        result = output_of(plan, graph, first) == output_of(plan, graph, second);
    }
    bdl__plan_free(plan);
    bdl__graph_release(graph);
    return result;
}

BDL_TEST(dropout_writes_over_relu)
{
    bdl__graph *const g = new_graph_with_dropout("relu");
    add(g, "linear", "last", "out_features=2", "dropout", NULL);
    CHECK(is_shared(g, "relu", "dropout"));
}

BDL_TEST(dropout_keeps_values_that_backward_needs)
{
    bdl__graph *const g = new_graph_with_dropout("tanh"); /* its gradient is 1 - tanh^2 */
    add(g, "linear", "last", "out_features=2", "dropout", NULL);
    CHECK(!is_shared(g, "tanh", "dropout"));
}

BDL_TEST(dropout_keeps_values_that_another_layer_reads)
{
    bdl__graph *const g = new_graph_with_dropout("relu");
    add(g, "add", "sum", "", "dropout", "relu");
    CHECK(!is_shared(g, "relu", "dropout"));
}

BDL_TEST(dropout_keeps_signs_that_gradients_of_others_need)
{
    bdl__graph *const g = new_graph();
    add(g, "linear", "fc", "out_features=4", "input", NULL);
    add(g, "relu", "relu", "", "fc", NULL);
    add(g, "flatten", "view", "", "relu", NULL);
    add(g, "add", "twice", "", "view", "view"); /* before they are dropped; backward reads no values */
    add(g, "dropout", "dropout", "p=0.5", "relu", NULL);
    add(g, "add", "sum", "", "twice", "dropout");
    CHECK(!is_shared(g, "relu", "dropout"));
}

BDL_TEST(dropout_keeps_values_that_are_results)
{
    bdl__graph *const g = new_graph_with_dropout("relu");
    CHECK_OK(bdl__graph_add_output(g, "relu"));
    CHECK_OK(bdl__graph_add_output(g, "dropout"));
    CHECK(!is_shared(g, "relu", "dropout"));
}

/* Planes of 2^26 zeros around one number, 2^14 channels of them: 2^40 values for a model of 16,384 weights. */
BDL_TEST(a_plan_beyond_all_memory_is_refused)
{
    bdl__graph *graph = NULL;
    bdl__plan *plan = NULL;
    const bdl__shape shape = {.rank = 3, .dim = {1, 1, 1}};
    CHECK_OK(bdl__graph_create(bdl__default_allocator(), "net", &graph));
    CHECK_OK(bdl__graph_add_input(graph, "input", &shape, false));
    add(graph, "conv2d", "conv", "out_channels=16000, kernel_size=1, padding=4096, bias=false", "input", NULL);
    CHECK_OK(bdl__graph_finish(graph));
    bdl__plan_options options = {.graph = graph,
                                 .target = BDL__TARGET_LANE1,
                                 .n_workers = 1,
                                 .n_slices = 1,
                                 .global_batch = BDL__SLICE};
    CHECK_OK(bdl__plan_create(bdl__default_allocator(), &options, &plan)); /* a machine may have 17 TB for it */
    bdl__plan_free(plan);
    options.n_slices = (int64_t)1 << 18; /* 2^64 bytes and more, which would count as few */
    options.global_batch = options.n_slices * BDL__SLICE;
    CHECK_EQ_I64(bdl__plan_create(bdl__default_allocator(), &options, &plan), BDL_ERR_OUT_OF_MEMORY);
    CHECK(strstr(bdl_last_error(), "more memory than any machine has") != NULL);
    bdl__graph_release(graph);
}

BDL_TEST_MAIN(a_plan_beyond_all_memory_is_refused, dropout_writes_over_relu,
              dropout_keeps_values_that_backward_needs, dropout_keeps_values_that_another_layer_reads,
              dropout_keeps_signs_that_gradients_of_others_need, dropout_keeps_values_that_are_results)
