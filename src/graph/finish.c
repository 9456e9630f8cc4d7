/* SPDX-License-Identifier: Apache-2.0 */
/* Finishing a graph: shapes in topological order, then the places of weights and buffers. */
#include <string.h>

#include "graph/graph.h"
#include "tensor/init.h"

static bdl_status check_port(const bdl__graph *graph, bdl__ref ref)
{
    if (ref.node < 0) {
        return BDL_OK;
    }
#if !defined(BDL_SEEDED_BUGS)
    const bdl__node *const node = graph->nodes[ref.node];
    BDL__CHECK(ref.port < node->decl.n_out, BDL_ERR_NOT_FOUND,
               "'%s' has %d output%s, so '%s:%d' does not exist", node->name, node->decl.n_out,
               bdl__plural(node->decl.n_out), node->name, (int)ref.port);
#else
    (void)graph;
#endif
    return BDL_OK;
}

/* How many inputs the layer's port text allows: "input", "input,target,weight?", "input...". */
static void count_ports(const char *ports, int *least, int *most)
{
    int n = 1, n_optional = 0;
    for (const char *c = ports; *c; c++) {
        n += *c == ',';
        n_optional += *c == '?';
    }
    const size_t length = strlen(ports);
    const bool is_variadic = length > 3 && strcmp(ports + length - 3, "...") == 0;
    *least = n - n_optional;
    *most = is_variadic ? BDL__MAX_PORTS : n;
}

static bdl_status check_inputs(const bdl__node *node)
{
    int least, most;
    count_ports(node->layer->ports, &least, &most);
    BDL__CHECK(node->n_in >= least && node->n_in <= most, BDL_ERR_INVALID_ARGUMENT,
               "takes %s%d input%s (%s), got %d",
               most == BDL__MAX_PORTS ? "at least " : least == most ? "" : "up to ",
               most == BDL__MAX_PORTS ? least : most, bdl__plural(most), node->layer->ports,
               node->n_in);
    return BDL_OK;
}

static bdl_status infer_node(bdl__graph *graph, bdl__node *node)
{
    bdl__shape shape[BDL__MAX_PORTS];
    bool integer[BDL__MAX_PORTS];
    BDL__TRY(check_inputs(node));
    for (int i = 0; i < node->n_in; i++) {
        BDL__TRY(check_port(graph, node->in[i]));
        shape[i] = *bdl__graph_shape(graph, node->in[i]);
        integer[i] = bdl__graph_integer(graph, node->in[i]);
    }
    const bdl__infer_in in = {.n = node->n_in, .shape = shape, .integer = integer};
    BDL__TRY(node->layer->infer(node->params, &in, &node->decl));
    for (int i = 0; i < node->decl.n_out; i++) {
        BDL__TRY(bdl__shape_check(&node->decl.out[i], "output"));
    }
    for (int i = 0; i < node->decl.n_weights; i++) {
        BDL__TRY(bdl__init_check(node->decl.weights[i].init));
    }
    return BDL_OK;
}

/* A node that shares must want exactly the weights that the owner has. */
static bdl_status check_share(const bdl__graph *graph, const bdl__node *node, int64_t i_node)
{
    bdl__ref ref = {.node = -1};
    (void)bdl__graph_find_name(graph, node->share, strlen(node->share), &ref);
    BDL__CHECK(ref.node >= 0, BDL_ERR_NOT_FOUND, "shares the weights of '%s', which does not exist",
               node->share);
    BDL__CHECK(ref.node < i_node, BDL_ERR_INVALID_ARGUMENT,
               "shares the weights of '%s', which comes later", node->share);
    const bdl__node *const owner = graph->nodes[ref.node];
    BDL__CHECK(owner->layer == node->layer && owner->decl.n_weights == node->decl.n_weights &&
                   !owner->share,
               BDL_ERR_INVALID_ARGUMENT, "cannot share the weights of %s '%s'", owner->layer->name,
               owner->name);
    for (int w = 0; w < node->decl.n_weights; w++) {
        BDL__CHECK(bdl__shape_equal(&owner->decl.weights[w].shape, &node->decl.weights[w].shape),
                   BDL_ERR_SHAPE, "its %s has another shape than that of '%s'",
                   node->decl.weights[w].name, owner->name);
    }
    return BDL_OK;
}

static bdl_status place_weights(bdl__graph *graph, bdl__node *node, int64_t i_node)
{
    if (node->share) {
        BDL__TRY(check_share(graph, node, i_node));
        node->first_param = bdl__graph_find(graph, node->share)->first_param;
        return BDL_OK;
    }
    node->first_param = graph->n_params;
    for (int i = 0; i < node->decl.n_weights; i++) {
        bdl__param *const param = &graph->params[graph->n_params];
        param->node = i_node;
        param->decl = &node->decl.weights[i];
        param->offset = graph->weights_count;
        param->count = bdl__shape_count(&param->decl->shape);
        param->lr_scale = node->lr_scale;
        param->decay_scale = node->decay_scale;
        param->frozen = node->frozen;
        BDL__TRY(bdl__arena_printf(&graph->arena, &param->name, "%s.%s", node->name,
                                   param->decl->name));
        graph->weights_count += bdl__round_up(param->count, BDL__PARAM_ALIGNMENT);
        BDL__CHECK(graph->weights_count < (int64_t)1 << 40, BDL_ERR_SHAPE, "too many weights");
        graph->n_params++;
    }
    return BDL_OK;
}

static bdl_status place_buffers(bdl__graph *graph, bdl__node *node)
{
    node->first_buffer = graph->n_buffers;
    for (int i = 0; i < node->decl.n_buffers; i++) {
        bdl__graph_buffer *const buffer = &graph->buffers[graph->n_buffers++];
        buffer->decl = &node->decl.buffers[i];
        buffer->offset = graph->buffers_count;
        buffer->count = bdl__shape_count(&buffer->decl->shape);
        BDL__TRY(bdl__arena_printf(&graph->arena, &buffer->name, "%s.%s", node->name,
                                   buffer->decl->name));
        graph->buffers_count += bdl__round_up(buffer->count, BDL__PARAM_ALIGNMENT);
    }
    return BDL_OK;
}

static bdl_status place_all(bdl__graph *graph)
{
    int64_t n_params = 0, n_buffers = 0;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        n_params += graph->nodes[i]->decl.n_weights;
        n_buffers += graph->nodes[i]->decl.n_buffers;
    }
    void *params = NULL, *buffers = NULL;
    BDL__TRY(bdl__arena_alloc(&graph->arena, (size_t)n_params * sizeof(bdl__param), &params));
    BDL__TRY(
        bdl__arena_alloc(&graph->arena, (size_t)n_buffers * sizeof(bdl__graph_buffer), &buffers));
    graph->params = params;
    graph->buffers = buffers;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        bdl__node *const node = graph->nodes[i];
        bdl_status status = place_weights(graph, node, i);
        if (status == BDL_OK) {
            status = place_buffers(graph, node);
        }
        if (status != BDL_OK) {
            return bdl__fail_in(status, "%s '%s'", node->layer->name, node->name);
        }
    }
    graph->weights_count = bdl__round_up(graph->weights_count, BDL__BLOCK);
    return BDL_OK;
}

bdl_status bdl__graph_finish(bdl__graph *graph)
{
    BDL__CHECK(!graph->is_finished, BDL_ERR_STATE, "the model is already finished");
    BDL__CHECK(graph->n_inputs > 0, BDL_ERR_STATE, "a model needs at least one input");
    BDL__CHECK(graph->n_nodes > 0, BDL_ERR_STATE, "a model needs at least one layer");
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        bdl__node *const node = graph->nodes[i];
        const bdl_status status = infer_node(graph, node);
        if (status != BDL_OK) {
            return bdl__fail_in(status, "%s '%s'", node->layer->name, node->name);
        }
    }
    if (graph->n_outputs == 0) {
        BDL__TRY(bdl__graph_add_output(graph, graph->nodes[graph->n_nodes - 1]->name));
    }
    for (int64_t i = 0; i < graph->n_outputs; i++) {
        BDL__TRY(check_port(graph, graph->outputs[i]));
    }
    BDL__TRY(place_all(graph));
    graph->is_finished = true;
    return BDL_OK;
}
