/* SPDX-License-Identifier: Apache-2.0 */
/* Building a graph: inputs, nodes, outputs, and the resolution of names to references. */
#include "graph/graph.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

bdl_status bdl__graph_create(const bdl_allocator *allocator, const char *name, bdl__graph **graph)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **graph, &memory));
    bdl__graph *const made = memory;
    bdl__arena_init(&made->arena, allocator);
    atomic_init(&made->n_references, 1);
    const bdl_status status = bdl__arena_strdup(&made->arena, name ? name : "model", &made->name);
    if (status != BDL_OK) {
        bdl__graph_release(made);
        return status;
    }
    *graph = made;
    return BDL_OK;
}

bdl__graph *bdl__graph_retain(const bdl__graph *graph)
{
    /* The count is the one thing that changes in a finished graph. */
    bdl__graph *const shared = (bdl__graph *)(uintptr_t)graph;
    atomic_fetch_add_explicit(&shared->n_references, 1, memory_order_relaxed);
    return shared;
}

void bdl__graph_release(bdl__graph *graph)
{
    if (graph && atomic_fetch_sub_explicit(&graph->n_references, 1, memory_order_acq_rel) == 1) {
        const bdl_allocator *const allocator = graph->arena.allocator;
        bdl__arena_free(&graph->arena);
        bdl__free(allocator, graph, sizeof *graph);
    }
}

/* Makes room for one more element in an array that lives in the arena. */
static bdl_status grow(bdl__graph *graph, void **array, int64_t n, int64_t *capacity, size_t size)
{
    if (n < *capacity) {
        return BDL_OK;
    }
    const int64_t larger = *capacity ? 2 * *capacity : 16;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&graph->arena, (size_t)larger * size, &memory));
    if (n > 0) {
        memcpy(memory, *array, (size_t)n * size);
    }
    *array = memory;
    *capacity = larger;
    return BDL_OK;
}

const bdl__node *bdl__graph_find(const bdl__graph *graph, const char *name)
{
    bdl__ref ref;
    const bool is_found = bdl__graph_find_name(graph, name, strlen(name), &ref);
    return is_found && ref.node >= 0 ? graph->nodes[ref.node] : NULL;
}

static bdl_status fail_unknown_name(const bdl__graph *graph, const char *text)
{
    const char *names[256];
    int64_t n = 0;
    for (int64_t i = 0; i < graph->n_inputs && n < 256; i++) {
        names[n++] = graph->inputs[i].name;
    }
    for (int64_t i = graph->n_nodes - 1; i >= 0 && n < 256; i--) {
        names[n++] = graph->nodes[i]->name;
    }
    const char *const nearest = bdl__nearest_name(text, names, n);
    if (nearest) {
        BDL__FAIL(BDL_ERR_NOT_FOUND, "no node or input is named '%s'; did you mean '%s'?", text,
                  nearest);
    }
    BDL__FAIL(BDL_ERR_NOT_FOUND, "no node or input is named '%s' (inputs must be added first)", text);
}

/* "conv1" or "split1:2". Ports are checked by finish, which knows how many outputs there are. */
static bdl_status resolve(const bdl__graph *graph, const char *text, bdl__ref *ref)
{
    const char *const colon = strrchr(text, ':');
    size_t length = strlen(text);
    int64_t port = 0;
    if (colon && bdl__parse_i64(colon + 1, &port)) {
        BDL__CHECK(port >= 0 && port < BDL__MAX_PORTS, BDL_ERR_INVALID_ARGUMENT,
                   "'%s': outputs are numbered from 0 to %d", text, BDL__MAX_PORTS - 1);
        length = (size_t)(colon - text);
    } else {
        port = 0;
    }
    if (!bdl__graph_find_name(graph, text, length, ref)) {
        return fail_unknown_name(graph, text);
    }
    if (ref->node >= 0) {
        ref->port = (int32_t)port;
    }
    return BDL_OK;
}

/* Names must be usable in references ("a:1"), file keys ("a.weight") and one line of text. */
static bdl_status check_name(const bdl__graph *graph, const char *name)
{
    bdl__ref ref;
    const size_t length = strlen(name);
    BDL__CHECK(length > 0 && length < 128, BDL_ERR_INVALID_ARGUMENT,
               "a name needs 1 to 127 bytes, got %zu", length);
    for (const char *c = name; *c; c++) {
        BDL__CHECK((unsigned char)*c > 32 && *c != ':' && *c != '"' && *c != '\\',
                   BDL_ERR_INVALID_ARGUMENT,
                   "name '%s' must not contain spaces, colons, quotes or backslashes", name);
    }
    BDL__CHECK(!bdl__graph_find_name(graph, name, length, &ref), BDL_ERR_INVALID_ARGUMENT,
               "the name '%s' is used twice", name);
    return BDL_OK;
}

bdl_status bdl__graph_add_input(bdl__graph *graph, const char *name, const bdl__shape *shape,
                                bool integer)
{
    BDL__CHECK(!graph->is_finished, BDL_ERR_STATE, "the model is finished and cannot change");
    BDL__CHECK(graph->n_inputs < BDL__MAX_PORTS, BDL_ERR_UNSUPPORTED, "at most %d inputs",
               BDL__MAX_PORTS);
    BDL__TRY(check_name(graph, name));
    BDL__TRY(bdl__shape_check(shape, name));
    void *array = graph->inputs;
    BDL__TRY(grow(graph, &array, graph->n_inputs, &graph->inputs_capacity, sizeof *graph->inputs));
    BDL__TRY(bdl__graph_reserve_name(graph));
    graph->inputs = array;
    bdl__graph_input *const input = &graph->inputs[graph->n_inputs];
    *input = (bdl__graph_input){.shape = *shape, .integer = integer};
    BDL__TRY(bdl__arena_strdup(&graph->arena, name, &input->name));
    bdl__graph_keep_name(graph, (bdl__ref){.node = -1, .port = (int32_t)graph->n_inputs++});
    return BDL_OK;
}

static bdl_status resolve_inputs(bdl__graph *graph, const char *const *inputs, int64_t n_in,
                                 bdl__node *node)
{
    const bool is_implicit = n_in == 0;
    BDL__CHECK(n_in >= 0 && n_in <= BDL__MAX_PORTS, BDL_ERR_INVALID_ARGUMENT,
               "at most %d inputs, got %lld", BDL__MAX_PORTS, (long long)n_in);
    node->n_in = is_implicit ? 1 : (int)n_in;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&graph->arena, (size_t)node->n_in * sizeof *node->in, &memory));
    node->in = memory;
    if (is_implicit) {
        BDL__CHECK(graph->n_nodes > 0 || graph->n_inputs == 1, BDL_ERR_INVALID_ARGUMENT,
                   "say which of the %lld inputs it takes", (long long)graph->n_inputs);
        node->in[0] = (bdl__ref){.node = graph->n_nodes - 1, .port = 0};
        return BDL_OK;
    }
    for (int i = 0; i < node->n_in; i++) {
        BDL__TRY(resolve(graph, inputs[i], &node->in[i]));
    }
    return BDL_OK;
}

static bdl_status name_node(bdl__graph *graph, bdl__node *node, const char *name)
{
    if (name) {
        BDL__TRY(check_name(graph, name));
        return bdl__arena_strdup(&graph->arena, name, &node->name);
    }
    for (int64_t i = graph->n_nodes + 1;; i++) {
        char made[160];
        bdl__ref other;
        snprintf(made, sizeof made, "%s_%lld", node->layer->name, (long long)i);
        if (!bdl__graph_find_name(graph, made, strlen(made), &other)) {
            return bdl__arena_strdup(&graph->arena, made, &node->name);
        }
    }
}

static bdl_status start_node(bdl__graph *graph, const char *type, const char *name,
                             const char *const *inputs, int64_t n_in, bdl__node **node)
{
    BDL__CHECK(!graph->is_finished, BDL_ERR_STATE, "the model is finished and cannot change");
    BDL__CHECK(graph->n_nodes < BDL__MAX_NODES, BDL_ERR_UNSUPPORTED, "at most %d nodes",
               BDL__MAX_NODES);
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&graph->arena, sizeof **node, &memory));
    bdl__node *const made = memory;
    made->lr_scale = 1;
    made->decay_scale = 1;
    BDL__TRY(bdl__layer_find(type, &made->layer));
    BDL__TRY(name_node(graph, made, name));
    BDL__TRY(resolve_inputs(graph, inputs, n_in, made));
    BDL__TRY(bdl__arena_alloc(&graph->arena, made->layer->schema.params_size + 1, &made->params));
    *node = made;
    return BDL_OK;
}

static bdl_status append_node(bdl__graph *graph, bdl__node *node, bdl__node **result)
{
    void *array = graph->nodes;
    BDL__TRY(grow(graph, &array, graph->n_nodes, &graph->nodes_capacity, sizeof *graph->nodes));
    BDL__TRY(bdl__graph_reserve_name(graph));
    graph->nodes = array;
    graph->nodes[graph->n_nodes] = node;
    bdl__graph_keep_name(graph, (bdl__ref){.node = graph->n_nodes++});
    if (result) {
        *result = node;
    }
    return BDL_OK;
}

static bdl_status fail_at_node(bdl_status status, const char *type, const char *name)
{
    return name ? bdl__fail_in(status, "%s '%s'", type, name) : bdl__fail_in(status, "%s", type);
}

bdl_status bdl__graph_add(bdl__graph *graph, const char *type, const char *name,
                          const bdl__json *params, const char *const *inputs, int64_t n_in,
                          bdl__node **node)
{
    bdl__node *made = NULL;
    bdl_status status = start_node(graph, type, name, inputs, n_in, &made);
    if (status == BDL_OK) {
        status = bdl__params_from_json(&made->layer->schema, &graph->arena, params, made->params);
    }
    return status == BDL_OK ? append_node(graph, made, node) : fail_at_node(status, type, name);
}

bdl_status bdl__graph_add_text(bdl__graph *graph, const char *type, const char *name,
                               const char *params, const char *const *inputs, int64_t n_in,
                               bdl__node **node)
{
    bdl__node *made = NULL;
    bdl_status status = start_node(graph, type, name, inputs, n_in, &made);
    if (status == BDL_OK) {
        status = bdl__params_from_text(&made->layer->schema, &graph->arena, params ? params : "",
                                       made->params);
    }
    return status == BDL_OK ? append_node(graph, made, node) : fail_at_node(status, type, name);
}

bdl_status bdl__graph_add_output(bdl__graph *graph, const char *ref)
{
    BDL__CHECK(!graph->is_finished, BDL_ERR_STATE, "the model is finished and cannot change");
    BDL__CHECK(graph->n_outputs < BDL__MAX_PORTS, BDL_ERR_UNSUPPORTED, "at most %d outputs",
               BDL__MAX_PORTS);
    bdl__ref resolved;
    BDL__TRY(resolve(graph, ref, &resolved));
    void *array = graph->outputs;
    BDL__TRY(
        grow(graph, &array, graph->n_outputs, &graph->outputs_capacity, sizeof *graph->outputs));
    graph->outputs = array;
    graph->outputs[graph->n_outputs++] = resolved;
    return BDL_OK;
}

const bdl__shape *bdl__graph_shape(const bdl__graph *graph, bdl__ref ref)
{
    return ref.node < 0 ? &graph->inputs[ref.port].shape
                        : &graph->nodes[ref.node]->decl.out[ref.port];
}

bool bdl__graph_integer(const bdl__graph *graph, bdl__ref ref)
{
    return ref.node < 0 ? graph->inputs[ref.port].integer
                        : graph->nodes[ref.node]->decl.out_integer[ref.port];
}

const char *bdl__graph_ref_text(const bdl__graph *graph, bdl__ref ref, char *buffer, size_t size)
{
    if (ref.node < 0) {
        snprintf(buffer, size, "%s", graph->inputs[ref.port].name);
    } else if (ref.port == 0) {
        snprintf(buffer, size, "%s", graph->nodes[ref.node]->name);
    } else {
        snprintf(buffer, size, "%s:%d", graph->nodes[ref.node]->name, (int)ref.port);
    }
    return buffer;
}
