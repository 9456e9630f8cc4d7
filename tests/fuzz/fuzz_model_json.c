/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzer of model.json: what is accepted must be written and read again as the same text. Memory is
 * capped, so that a huge layer is refused and a leak is seen.
 */
#include <stdlib.h>
#include <string.h>

#include "limited_allocator.h"
#include "train/train.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_graph(const bdl__graph *graph, bdl__text *text)
{
    bdl__json_writer writer;
    bdl__text_init(text, bdl__default_allocator());
    bdl__json_writer_init(&writer, text, 0);
    bdl__graph_to_json(graph, &writer);
}

static void need(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check_ref(const bdl__graph *graph, bdl__ref ref, int64_t i_node)
{
    need(ref.node >= -1 && ref.node < i_node && ref.port >= 0);
    need(ref.port < (ref.node < 0 ? graph->n_inputs : graph->nodes[ref.node]->decl.n_out));
}

/* Nodes refer to what exists before them, and weights lie within the vectors one after the other. */
static void check_graph(const bdl__graph *graph)
{
    int64_t end = 0;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        for (int k = 0; k < graph->nodes[i]->n_in; k++) {
            check_ref(graph, graph->nodes[i]->in[k], i);
        }
    }
    for (int64_t i = 0; i < graph->n_outputs; i++) {
        check_ref(graph, graph->outputs[i], graph->n_nodes);
    }
    for (int64_t i = 0; i < graph->n_params; i++) {
        need(graph->params[i].offset >= end && graph->params[i].count > 0);
        end = graph->params[i].offset + graph->params[i].count;
    }
    need(end <= graph->weights_count);
}

static void check_round_trip(const bdl_allocator *allocator, const bdl__graph *graph)
{
    bdl__text first, second;
    bdl__saved *again = NULL;
    write_graph(graph, &first);
    const bdl_status status =
        bdl__saved_parse(allocator, bdl__text_get(&first), first.size, "again", 1, BDL_F32, &again);
    if (status == BDL_OK) {
        write_graph(again->model->graph, &second);
        need(strcmp(bdl__text_get(&first), bdl__text_get(&second)) == 0);
        bdl__text_free(&second);
    } else {
        need(status == BDL_ERR_OUT_OF_MEMORY);
    }
    bdl__saved_free(again);
    bdl__text_free(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    limited_allocator limited;
    bdl__saved *saved = NULL;
    limited_allocator_init(&limited, (int64_t)16 << 20);
    if (bdl__saved_parse(&limited.allocator, (const char *)data, size, "fuzz", 1, BDL_F32,
                         &saved) == BDL_OK) {
        check_graph(saved->model->graph);
        check_round_trip(&limited.allocator, saved->model->graph);
        bdl__saved_free(saved);
    }
    need(limited.bytes_live == 0);
    return 0;
}
