/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* A library that runs out of memory within a layer's call ends the run with an error that names the layer. */
#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"
#include "layers/conv_internal.h"
#include "test.h"
#include "zoo/zoo.h"

enum { SIDE = 24, CHANNELS = 64, N_WORKERS = 2 };

typedef struct fixture {
    bdl__graph *graph;
    bdl__model *model;
    bdl__pool *pool;
    bdl__workspace *workspace;
    bdl__plan *plan;
    bdl__exec *exec;
    float src[CHANNELS * SIDE * SIDE];
} fixture;

static const char json[] =
    "{\"name\":\"net\",\"inputs\":[{\"name\":\"input\",\"shape\":[64,24,24]}],\"nodes\":["
    "{\"name\":\"first\",\"type\":\"conv2d\",\"params\":{\"out_channels\":64,\"kernel_size\":3},\"inputs\":[\"input\"]},"
    "{\"name\":\"second\",\"type\":\"conv2d\",\"params\":{\"out_channels\":64,\"kernel_size\":3},\"inputs\":[\"first\"]},"
    "{\"name\":\"flat\",\"type\":\"flatten\",\"inputs\":[\"second\"]},"
    "{\"name\":\"last\",\"type\":\"linear\",\"params\":{\"out_features\":4},\"inputs\":[\"flat\"]}]}";

static bdl_status open_all(fixture *f)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    bdl__json *parsed = NULL;
    BDL__TRY(bdl__json_parse(json, strlen(json), "net", &parsed));
    const bdl_status status = bdl__graph_from_json(allocator, parsed, "net", &f->graph);
    bdl__json_free(parsed);
    BDL__TRY(status);
    BDL__TRY(bdl__model_create(allocator, f->graph, BDL_F32, 1, &f->model));
    BDL__TRY(bdl__pool_create(allocator, N_WORKERS, &f->pool));
    BDL__TRY(bdl__workspace_create(allocator, &f->workspace));
    const bdl__plan_options options = {.graph = f->graph,
                                       .target = BDL__TARGET_LANE1,
                                       .n_workers = N_WORKERS,
                                       .n_slices = 1,
                                       .few_samples = true,
                                       .global_batch = 1};
    BDL__TRY(bdl__plan_create(allocator, &options, &f->plan));
    return bdl__exec_create(allocator, f->plan, f->pool, f->model, f->workspace, NULL, &f->exec);
}

static bdl_status run(fixture *f)
{
    const int32_t valid = 1;
    const bdl__span input = {f->src, sizeof f->src};
    const bdl__exec_batch batch = {.n_slices = 1, .valid = &valid, .inputs = &input};
    return bdl__exec_run(f->exec, &batch, NULL, NULL);
}

static const char *no_memory(const bdl__dnnl_op *op, const bdl__dnnl_call *call)
{
    (void)op;
    (void)call;
    return "out of memory";
}

static const char *no_memory_to_pack(const bdl__dnnl_op *op, const float *weights, void *packed)
{
    (void)op;
    (void)weights;
    (void)packed;
    return "out of memory";
}

BDL_TEST(a_layer_without_memory_is_named)
{
    fixture *const f = calloc(1, sizeof *f);
    REQUIRE(f != NULL);
    if (bdl__dnnl_open(&(const bdl__dnnl_table *){NULL}) != BDL_OK) {
        free(f);
        SKIP("this build has no oneDNN");
    }
    REQUIRE_OK(open_all(f));
    const bdl__conv_state *const second = f->plan->steps[1].step.state;
    REQUIRE(second->dnnl != NULL);
    const bdl__dnnl_table *const works = second->dnnl->table;
    bdl__dnnl_table fails = *works;
    fails.pack = no_memory_to_pack;
    second->dnnl->table = &fails;
    CHECK_EQ_I64(run(f), BDL_ERR_OUT_OF_MEMORY);
    CHECK_STR_EQ(bdl_last_error(), "layer 'second': oneDNN: out of memory");
    fails = *works;
    fails.execute = no_memory;
    CHECK_EQ_I64(run(f), BDL_ERR_OUT_OF_MEMORY);
    CHECK_STR_EQ(bdl_last_error(), "layer 'second': oneDNN: out of memory");
    second->dnnl->table = works;
    CHECK_OK(run(f));
    bdl__exec_free(f->exec);
    bdl__plan_free(f->plan);
    bdl__workspace_free(f->workspace);
    bdl__pool_free(f->pool);
    bdl__model_free(f->model);
    bdl__graph_release(f->graph);
    free(f);
}

BDL_TEST_MAIN(a_layer_without_memory_is_named)
