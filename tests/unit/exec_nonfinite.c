/* SPDX-License-Identifier: Apache-2.0 */
/* ctest: threads */
/* The search for the first value that is not finite, where a team of workers shares the step that has it. */
#include <math.h>
#include <stdlib.h>

#include "exec/exec.h"
#include "test.h"

enum { N_IN = 1024, N_OUT = 1024, N_WORKERS = 2, N_ROUNDS = 20 };

typedef struct fixture {
    bdl__graph *graph;
    bdl__model *model;
    bdl__pool *pool;
    bdl__plan *plan;
    float src[N_IN * BDL__SLICE];
} fixture;

static bdl_status add(bdl__graph *graph, const char *type, const char *name, const char *params,
                      const char *input)
{
    return bdl__graph_add_text(graph, type, name, params, &input, 1, NULL);
}

static bdl_status open_all(fixture *f)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    const bdl__shape shape = {.rank = 1, .dim = {N_IN}};
    BDL__TRY(bdl__graph_create(allocator, "net", &f->graph));
    BDL__TRY(bdl__graph_add_input(f->graph, "input", &shape, false));
    BDL__TRY(add(f->graph, "linear", "first", "out_features=1024", "input"));
    BDL__TRY(add(f->graph, "softplus", "second", "", "first"));
    BDL__TRY(bdl__graph_finish(f->graph));
    BDL__TRY(bdl__model_create(allocator, f->graph, BDL_F32, 1, &f->model));
    BDL__TRY(bdl__pool_create(allocator, N_WORKERS, &f->pool));
    const bdl__plan_options options = {.graph = f->graph,
                                       .target = BDL__TARGET_LANE1,
                                       .n_workers = N_WORKERS,
                                       .n_slices = 1,
                                       .global_batch = BDL__SLICE};
    BDL__TRY(bdl__plan_create(allocator, &options, &f->plan));
    float *const bias = bdl__model_param(f->model, 1);
    bias[N_OUT - 1] = INFINITY; /* in the share of the second worker */
    return BDL_OK;
}

/* An exec of its own, since memory remembers the last search. */
static bdl_status search(fixture *f, const char **name)
{
    const bdl_allocator *const allocator = bdl__default_allocator();
    const bdl__span input = {f->src, N_IN * (int64_t)sizeof(float)};
    const bdl__cancel cancel = {.is_asked = 1}; /* comes too late: what is not finite has a name */
    const bdl__exec_batch batch = {.n_slices = 1, .inputs = &input, .cancel = &cancel};
    bdl__workspace *workspace = NULL;
    bdl__exec *exec = NULL;
    BDL__TRY(bdl__workspace_create(allocator, &workspace));
    bdl_status status = bdl__exec_create(allocator, f->plan, f->pool, f->model, workspace, NULL, &exec);
    if (status == BDL_OK) {
        status = bdl__exec_find_nonfinite(exec, &batch, name);
    }
    bdl__exec_free(exec);
    bdl__workspace_free(workspace);
    return status;
}

BDL_TEST(a_team_names_the_first_step_that_is_not_finite)
{
    fixture *const f = calloc(1, sizeof *f);
    REQUIRE(f != NULL);
    REQUIRE_OK(open_all(f));
    for (int i = 0; i < N_ROUNDS; i++) {
        const char *name = NULL;
        CHECK_OK(search(f, &name));
        CHECK_STR_EQ(name ? name : "none", "first");
    }
    bdl__plan_free(f->plan);
    bdl__pool_free(f->pool);
    bdl__model_free(f->model);
    bdl__graph_release(f->graph);
    free(f);
}

BDL_TEST_MAIN(a_team_names_the_first_step_that_is_not_finite)
