/* SPDX-License-Identifier: Apache-2.0 */
/* Names of a graph's inputs and nodes: a table with open addressing, so that models of many thousand layers load in
 * time that grows as they do. */
#include <string.h>

#include "base/hash.h"
#include "graph/graph.h"

static const char *name_of(const bdl__graph *graph, bdl__ref ref)
{
    return ref.node < 0 ? graph->inputs[ref.port].name : graph->nodes[ref.node]->name;
}

/* The slot of a name, or the empty one where it would be. The table has empty slots. */
static int64_t slot_of(const bdl__graph *graph, const char *name, size_t length)
{
    const uint64_t mask = (uint64_t)graph->names_capacity - 1;
    uint64_t slot = bdl__hash128(name, length).low & mask;
    while (graph->names[slot].is_taken) {
        const char *const other = name_of(graph, graph->names[slot].ref);
        if (strlen(other) == length && memcmp(other, name, length) == 0) {
            break;
        }
        slot = (slot + 1) & mask;
    }
    return (int64_t)slot;
}

bool bdl__graph_find_name(const bdl__graph *graph, const char *name, size_t length, bdl__ref *ref)
{
    if (graph->names_capacity == 0) {
        return false;
    }
    const int64_t slot = slot_of(graph, name, length);
    if (graph->names[slot].is_taken) {
        *ref = graph->names[slot].ref;
    }
    return graph->names[slot].is_taken;
}

void bdl__graph_keep_name(bdl__graph *graph, bdl__ref ref)
{
    const char *const name = name_of(graph, ref);
    graph->names[slot_of(graph, name, strlen(name))] = (bdl__graph_name){.is_taken = true, .ref = ref};
}

bdl_status bdl__graph_reserve_name(bdl__graph *graph)
{
    const int64_t n = graph->n_inputs + graph->n_nodes, old_capacity = graph->names_capacity;
    const bdl__graph_name *const old = graph->names;
    if (2 * (n + 1) <= old_capacity) {
        return BDL_OK;
    }
    const int64_t capacity = old_capacity ? 2 * old_capacity : 32;
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&graph->arena, (size_t)capacity * sizeof *graph->names, &memory));
    graph->names = memory;
    graph->names_capacity = capacity;
    for (int64_t i = 0; i < old_capacity; i++) {
        if (old[i].is_taken) {
            bdl__graph_keep_name(graph, old[i].ref);
        }
    }
    return BDL_OK;
}
