/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as JSON: the "graph" member of model.json. */
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"

/* ---- writing ------------------------------------------------------------------------------------ */

static void write_shape(const bdl__shape *shape, bdl__json_writer *writer)
{
    bdl__json_open(writer, '[');
    for (int i = 0; i < shape->rank; i++) {
        bdl__json_write_i64(writer, shape->dim[i]);
    }
    bdl__json_close(writer, ']');
}

static void write_ref(const bdl__graph *graph, bdl__ref ref, bdl__json_writer *writer)
{
    char text[160];
    bdl__json_write_string(writer, bdl__graph_ref_text(graph, ref, text, sizeof text));
}

static void write_input(const bdl__graph_input *input, bdl__json_writer *writer)
{
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "name");
    bdl__json_write_string(writer, input->name);
    bdl__json_write_key(writer, "shape");
    write_shape(&input->shape, writer);
    if (input->integer) {
        bdl__json_write_key(writer, "integer");
        bdl__json_write_bool(writer, true);
    }
    bdl__json_close(writer, '}');
}

static void write_training(const bdl__node *node, bdl__json_writer *writer)
{
    if (node->share) {
        bdl__json_write_key(writer, "share");
        bdl__json_write_string(writer, node->share);
    }
    if (node->lr_scale != 1) {
        bdl__json_write_key(writer, "lr_scale");
        bdl__json_write_f64(writer, node->lr_scale);
    }
    if (node->decay_scale != 1) {
        bdl__json_write_key(writer, "decay_scale");
        bdl__json_write_f64(writer, node->decay_scale);
    }
    if (node->frozen) {
        bdl__json_write_key(writer, "frozen");
        bdl__json_write_bool(writer, true);
    }
}

static void write_node(const bdl__graph *graph, const bdl__node *node, bdl__json_writer *writer)
{
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "name");
    bdl__json_write_string(writer, node->name);
    bdl__json_write_key(writer, "type");
    bdl__json_write_string(writer, node->layer->name);
    if (node->layer->schema.n_fields > 0) {
        bdl__json_write_key(writer, "params");
        bdl__params_to_json(&node->layer->schema, node->params, true, writer);
    }
    bdl__json_write_key(writer, "inputs");
    bdl__json_open(writer, '[');
    for (int i = 0; i < node->n_in; i++) {
        write_ref(graph, node->in[i], writer);
    }
    bdl__json_close(writer, ']');
    write_training(node, writer);
    bdl__json_close(writer, '}');
}

void bdl__graph_to_json(const bdl__graph *graph, bdl__json_writer *writer)
{
    bdl__json_open(writer, '{');
    bdl__json_write_key(writer, "name");
    bdl__json_write_string(writer, graph->name);
    bdl__json_write_key(writer, "inputs");
    bdl__json_open(writer, '[');
    for (int64_t i = 0; i < graph->n_inputs; i++) {
        write_input(&graph->inputs[i], writer);
    }
    bdl__json_close(writer, ']');
    bdl__json_write_key(writer, "nodes");
    bdl__json_open(writer, '[');
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        write_node(graph, graph->nodes[i], writer);
    }
    bdl__json_close(writer, ']');
    bdl__json_write_key(writer, "outputs");
    bdl__json_open(writer, '[');
    for (int64_t i = 0; i < graph->n_outputs; i++) {
        write_ref(graph, graph->outputs[i], writer);
    }
    bdl__json_close(writer, ']');
    bdl__json_close(writer, '}');
}

/* ---- reading ------------------------------------------------------------------------------------ */

static bdl_status read_shape(const bdl__json *array, const char *where, bdl__shape *shape)
{
    *shape = (bdl__shape){0};
    BDL__CHECK(bdl__json_count(array) < BDL_MAX_RANK, BDL_ERR_FORMAT,
               "%s: a sample has at most %d axes", where, BDL_MAX_RANK - 1);
    for (const bdl__json *d = bdl__json_first(array); d; d = bdl__json_next(d)) {
        BDL__CHECK(bdl__json_kind_of(d) == BDL__JSON_NUMBER &&
                       bdl__json_i64(d, &shape->dim[shape->rank]) && shape->dim[shape->rank] > 0,
                   BDL_ERR_FORMAT, "%s: shape needs whole numbers above 0", where);
        shape->rank++;
    }
    return BDL_OK;
}

static bdl_status optional_bool(const bdl__json *object, const char *key, const char *where,
                                bool *value)
{
    const bdl__json *const member = bdl__json_get(object, key);
    if (member) {
        BDL__CHECK(bdl__json_kind_of(member) == BDL__JSON_BOOL, BDL_ERR_FORMAT,
                   "%s: '%s' needs true or false, got a %s", where, key,
                   bdl__json_kind_name(bdl__json_kind_of(member)));
        *value = bdl__json_bool(member);
    }
    return BDL_OK;
}

static bdl_status optional_scale(const bdl__json *object, const char *key, const char *where,
                                 double *value)
{
    const bdl__json *const member = bdl__json_get(object, key);
    if (member) {
        BDL__CHECK(bdl__json_kind_of(member) == BDL__JSON_NUMBER && bdl__json_f64(member) >= 0,
                   BDL_ERR_FORMAT, "%s: '%s' needs a number >= 0", where, key);
        *value = bdl__json_f64(member);
    }
    return BDL_OK;
}

static bdl_status read_input(bdl__graph *graph, const bdl__json *object, const char *where)
{
    static const char *const known[] = {"name", "shape", "integer"};
    BDL__TRY(bdl__json_check_members(object, known, BDL__COUNT_OF(known), where));
    const char *name;
    const bdl__json *dims;
    bdl__shape shape;
    bool integer = false;
    BDL__TRY(bdl__json_need_string(object, "name", where, &name));
    BDL__TRY(bdl__json_need(object, "shape", BDL__JSON_ARRAY, where, &dims));
    BDL__TRY(read_shape(dims, where, &shape));
    BDL__TRY(optional_bool(object, "integer", where, &integer));
    return bdl__graph_add_input(graph, name, &shape, integer);
}

static bdl_status read_names(const bdl__json *array, const char *where,
                             const char *names[BDL__MAX_PORTS], int64_t *n)
{
    *n = bdl__json_count(array);
    BDL__CHECK(*n >= 1 && *n <= BDL__MAX_PORTS, BDL_ERR_FORMAT, "%s: needs 1 to %d inputs, got %lld",
               where, BDL__MAX_PORTS, (long long)*n);
    int64_t i = 0;
    for (const bdl__json *e = bdl__json_first(array); e; e = bdl__json_next(e)) {
        BDL__CHECK(bdl__json_kind_of(e) == BDL__JSON_STRING, BDL_ERR_FORMAT,
                   "%s: inputs are names, got a %s", where,
                   bdl__json_kind_name(bdl__json_kind_of(e)));
        names[i++] = bdl__json_string(e);
    }
    return BDL_OK;
}

static bdl_status read_node(bdl__graph *graph, const bdl__json *object, const char *where)
{
    static const char *const known[] = {"name",     "type",        "params", "inputs", "share",
                                        "lr_scale", "decay_scale", "frozen"};
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: expected an object, got a %s", where,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    BDL__TRY(bdl__json_check_members(object, known, BDL__COUNT_OF(known), where));
    const char *name, *type, *names[BDL__MAX_PORTS];
    int64_t n_names = 0;
    const bdl__json *inputs;
    const bdl__json *const params = bdl__json_get(object, "params");
    BDL__TRY(bdl__json_need_string(object, "name", where, &name));
    BDL__TRY(bdl__json_need_string(object, "type", where, &type));
    BDL__TRY(bdl__json_need(object, "inputs", BDL__JSON_ARRAY, where, &inputs));
    BDL__TRY(read_names(inputs, where, names, &n_names));
    BDL__CHECK(!params || bdl__json_kind_of(params) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: params needs an object", where);
    bdl__node *node = NULL;
    BDL__TRY(bdl__graph_add(graph, type, name, params, names, n_names, &node));
    if (bdl__json_get(object, "share")) {
        const char *share;
        BDL__TRY(bdl__json_need_string(object, "share", where, &share));
        BDL__TRY(bdl__arena_strdup(&graph->arena, share, &node->share));
    }
    BDL__TRY(optional_scale(object, "lr_scale", where, &node->lr_scale));
    BDL__TRY(optional_scale(object, "decay_scale", where, &node->decay_scale));
    return optional_bool(object, "frozen", where, &node->frozen);
}

typedef bdl_status (*element_fn)(bdl__graph *graph, const bdl__json *element, const char *where);

static bdl_status read_output(bdl__graph *graph, const bdl__json *element, const char *where)
{
    BDL__CHECK(bdl__json_kind_of(element) == BDL__JSON_STRING, BDL_ERR_FORMAT,
               "%s: outputs are names", where);
    return bdl__graph_add_output(graph, bdl__json_string(element));
}

static bdl_status read_list(bdl__graph *graph, const bdl__json *object, const char *key,
                            const char *where, element_fn read)
{
    const bdl__json *array;
    BDL__TRY(bdl__json_need(object, key, BDL__JSON_ARRAY, where, &array));
    int64_t i = 0;
    for (const bdl__json *e = bdl__json_first(array); e; e = bdl__json_next(e), i++) {
        char place[256];
        snprintf(place, sizeof place, "%s: %s[%lld]", where, key, (long long)i);
        const bdl_status status = read(graph, e, place);
        if (status != BDL_OK) {
            return strncmp(bdl_last_error(), place, strlen(place)) == 0
                       ? status
                       : bdl__fail_in(status, "%s", place);
        }
    }
    return BDL_OK;
}

static bdl_status read_graph(bdl__graph *graph, const bdl__json *object, const char *where)
{
    static const char *const known[] = {"name", "inputs", "nodes", "outputs"};
    BDL__TRY(bdl__json_check_members(object, known, BDL__COUNT_OF(known), where));
    BDL__TRY(read_list(graph, object, "inputs", where, read_input));
    BDL__TRY(read_list(graph, object, "nodes", where, read_node));
    if (bdl__json_get(object, "outputs")) {
        BDL__TRY(read_list(graph, object, "outputs", where, read_output));
    }
    const bdl_status status = bdl__graph_finish(graph);
    return status == BDL_OK ? BDL_OK : bdl__fail_in(status, "%s", where);
}

bdl_status bdl__graph_from_json(const bdl_allocator *allocator, const bdl__json *object,
                                const char *where, bdl__graph **graph)
{
    const char *name = "model";
    BDL__CHECK(bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: expected an object, got a %s", where,
               bdl__json_kind_name(bdl__json_kind_of(object)));
    if (bdl__json_get(object, "name")) {
        BDL__TRY(bdl__json_need_string(object, "name", where, &name));
    }
    bdl__graph *made = NULL;
    BDL__TRY(bdl__graph_create(allocator, name, &made));
    const bdl_status status = read_graph(made, object, where);
    if (status != BDL_OK) {
        bdl__graph_release(made);
        return status;
    }
    *graph = made;
    return BDL_OK;
}
