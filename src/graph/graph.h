/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: what a model is. Nodes are added in topological order, because a node names inputs that
 * exist; bdl__graph_finish infers all shapes, lays the weights out in one flat vector, and makes the
 * graph immutable, to be shared by reference counting. bdl__model adds the numbers: weights and running
 * buffers.
 */
#ifndef BDL_GRAPH_GRAPH_H
#define BDL_GRAPH_GRAPH_H

#include "layers/layer.h"

#define BDL__BLOCK 4096          /* scalars of a block of the flat vectors */
#define BDL__PARAM_ALIGNMENT 16  /* each weight tensor starts at a multiple of this */
#define BDL__MAX_NODES 65536

/* A tensor in the graph: output `port` of a node, or input `port` of the graph (node -1). */
typedef struct bdl__ref {
    int64_t node;
    int32_t port;
} bdl__ref;

typedef struct bdl__graph_input {
    const char *name;
    bdl__shape shape; /* of one sample */
    bool integer;
} bdl__graph_input;

typedef struct bdl__node {
    const char *name; /* unique */
    const bdl__layer *layer;
    void *params;
    int n_in;
    bdl__ref *in;
    const char *share; /* name of an earlier node whose weights this one uses, or NULL */
    double lr_scale, decay_scale;
    bool frozen;
    /* set by finish */
    bdl__decl decl;
    int64_t first_param;  /* index of its first weight in graph->params (the sharer's for `share`) */
    int64_t first_buffer; /* index of its first buffer in graph->buffers */
} bdl__node;

/* A weight tensor in the flat vector. */
typedef struct bdl__param {
    const char *name; /* "conv1.weight" */
    int64_t node;     /* the owner */
    const bdl__weight_decl *decl;
    int64_t offset; /* in scalars */
    int64_t count;
    double lr_scale, decay_scale;
    bool frozen;
} bdl__param;

typedef struct bdl__graph_buffer {
    const char *name; /* "bn1.running_mean" */
    const bdl__buffer_decl *decl;
    int64_t offset;
    int64_t count;
} bdl__graph_buffer;

/* A slot of the table of names. */
typedef struct bdl__graph_name {
    bool is_taken;
    bdl__ref ref; /* node -1 = input number `port` */
} bdl__graph_name;

typedef struct bdl__graph {
    bdl__arena arena;
    _Atomic int32_t n_references;
    const char *name; /* "lenet" */
    bool is_finished;
    int64_t n_inputs, n_nodes, n_outputs;
    int64_t inputs_capacity, nodes_capacity, outputs_capacity;
    bdl__graph_input *inputs;
    bdl__node **nodes;
    bdl__ref *outputs;
    bdl__graph_name *names; /* [names_capacity, a power of two], at most half of it taken */
    int64_t names_capacity;
    int64_t n_params, n_buffers;
    bdl__param *params;
    bdl__graph_buffer *buffers;
    int64_t weights_count; /* scalars of the flat weight vector, whole blocks */
    int64_t buffers_count;
} bdl__graph;

bdl_status bdl__graph_create(const bdl_allocator *allocator, const char *name, bdl__graph **graph);
bdl__graph *bdl__graph_retain(const bdl__graph *graph);
void bdl__graph_release(bdl__graph *graph); /* NULL ok */

bdl_status bdl__graph_add_input(bdl__graph *graph, const char *name, const bdl__shape *shape,
                                bool integer);

/* Adds a node. `inputs` name nodes or graph inputs, "split1:2" meaning output 2; with n_in 0 the node
 * takes the one added before it (or the only input). A NULL name makes one: "conv2d_3". Params come as
 * a JSON object (NULL = defaults). */
bdl_status bdl__graph_add(bdl__graph *graph, const char *type, const char *name,
                          const bdl__json *params, const char *const *inputs, int64_t n_in,
                          bdl__node **node);
/* The same with params as text: "6, kernel_size=5". */
bdl_status bdl__graph_add_text(bdl__graph *graph, const char *type, const char *name,
                               const char *params, const char *const *inputs, int64_t n_in,
                               bdl__node **node);

/* Names an output; without any, the last node's first output is the output. */
bdl_status bdl__graph_add_output(bdl__graph *graph, const char *ref);

bdl_status bdl__graph_finish(bdl__graph *graph);

/* Shape and integer-ness of a tensor of a finished graph. */
const bdl__shape *bdl__graph_shape(const bdl__graph *graph, bdl__ref ref);
bool bdl__graph_integer(const bdl__graph *graph, bdl__ref ref);
const bdl__node *bdl__graph_find(const bdl__graph *graph, const char *name);
/* ---- names.c: inputs and nodes by name ---- */

bool bdl__graph_find_name(const bdl__graph *graph, const char *name, size_t length, bdl__ref *ref);
/* Makes room for one more name; then bdl__graph_keep_name takes that of an input or a node that has been added. */
bdl_status bdl__graph_reserve_name(bdl__graph *graph);
void bdl__graph_keep_name(bdl__graph *graph, bdl__ref ref);

/* The reference's text, "conv1" or "split1:2", in the caller's buffer. */
const char *bdl__graph_ref_text(const bdl__graph *graph, bdl__ref ref, char *buffer, size_t size);

/* JSON: {"inputs": [{name, shape, integer}], "nodes": [{name, type, params, inputs, ...}], "outputs"}.
 * Writing gives only what differs from defaults; reading accepts what writing gives and finishes. */
void bdl__graph_to_json(const bdl__graph *graph, bdl__json_writer *writer);
bdl_status bdl__graph_from_json(const bdl_allocator *allocator, const bdl__json *object,
                                const char *where, bdl__graph **graph);

/* ---- model: a graph with numbers --------------------------------------------------------------- */

typedef struct bdl__model {
    const bdl_allocator *allocator;
    bdl__graph *graph; /* owned reference */
    bdl_dtype dtype;   /* BDL_F32, or BDL_F64 for float64 models */
    void *weights;     /* [weights_count] scalars, owned */
    void *buffers;     /* [buffers_count] scalars, owned */
    uint64_t weights_version; /* changes with every update; packed copies follow it */
} bdl__model;

/* Takes its own reference to a finished graph; fills weights by their initialisers. */
bdl_status bdl__model_create(const bdl_allocator *allocator, const bdl__graph *graph,
                             bdl_dtype dtype, uint64_t seed, bdl__model **model);
void bdl__model_free(bdl__model *model);
static inline size_t bdl__scalar_size(bdl_dtype dtype) { return dtype == BDL_F64 ? 8 : 4; }
void *bdl__model_param(const bdl__model *model, int64_t i_param);
void *bdl__model_buffer(const bdl__model *model, int64_t i_buffer);

#endif
