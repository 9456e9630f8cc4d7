/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* A run of a plan without training ends soon after a cancel, however large its batch, and leaves nothing behind. */
#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"
#include "test.h"
#include "zoo/zoo.h"

enum { N_SLICES = 5, N_SRC = 6, N_DST = 3, N_WORKERS = 2 };

typedef struct fixture {
    bdl__graph *graph;
    bdl__model *model;
    bdl__pool *pool;
    bdl__workspace *workspace;
    bdl__plan *plan;
    bdl__exec *exec;
    float src[N_SLICES * BDL__SLICE * N_SRC];
    bdl__cancel cancel;
} fixture;

static bdl_status open_all(fixture *f)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    BDL__TRY(bdl__zoo_build(allocator, "mlp(shape=[6], hidden=[8], classes=3)", &f->graph));
    BDL__TRY(bdl__model_create(allocator, f->graph, BDL_F32, 1, &f->model));
    BDL__TRY(bdl__pool_create(allocator, N_WORKERS, &f->pool));
    BDL__TRY(bdl__workspace_create(allocator, &f->workspace));
    const bdl__plan_options options = {.graph = f->graph,
                                       .target = BDL__TARGET_LANE1,
                                       .n_workers = N_WORKERS,
                                       .n_slices = N_SLICES,
                                       .global_batch = N_SLICES * BDL__SLICE};
    BDL__TRY(bdl__plan_create(allocator, &options, &f->plan));
    for (int64_t i = 0; i < BDL__COUNT_OF(f->src); i++) {
        f->src[i] = (float)(bdl_test_random() % 1000) / 500.0f - 1.0f;
    }
    return bdl__exec_create(allocator, f->plan, f->pool, f->model, f->workspace, NULL, &f->exec);
}

static void close_all(fixture *f)
{
    bdl__exec_free(f->exec);
    bdl__plan_free(f->plan);
    bdl__workspace_free(f->workspace);
    bdl__pool_free(f->pool);
    bdl__model_free(f->model);
    bdl__graph_release(f->graph);
    free(f);
}

/* The outputs of all samples, where the run succeeds. */
static bdl_status run(fixture *f, float dst[N_SLICES * BDL__SLICE * N_DST])
{
    const bdl__span input = {f->src, N_SRC * (int64_t)sizeof(float)};
    const bdl__exec_batch batch = {.n_slices = N_SLICES, .inputs = &input, .cancel = &f->cancel};
    BDL__TRY(bdl__exec_run(f->exec, &batch, NULL, NULL));
    const bdl__span output = bdl__exec_output(f->exec, 0);
    for (int64_t i = 0; i < N_SLICES * BDL__SLICE; i++) {
        memcpy(dst + i * N_DST, bdl__span_part(output, i), N_DST * sizeof(float));
    }
    return BDL_OK;
}

BDL_TEST(a_cancel_ends_a_run_and_the_next_is_whole)
{
    float before[N_SLICES * BDL__SLICE * N_DST], after[N_SLICES * BDL__SLICE * N_DST];
    fixture *const f = calloc(1, sizeof *f);
    REQUIRE(f != NULL);
    REQUIRE_OK(open_all(f));
    CHECK_OK(run(f, before));
    f->cancel.is_asked = 1;
    CHECK_EQ_I64(run(f, after), BDL_ERR_CANCELLED);
    f->cancel.is_asked = 0;
    CHECK_OK(run(f, after));
    CHECK(memcmp(before, after, sizeof before) == 0);
    close_all(f);
}

BDL_TEST_MAIN(a_cancel_ends_a_run_and_the_next_is_whole)
