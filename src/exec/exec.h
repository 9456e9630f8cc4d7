/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exec: a plan with memory, run by the workers of a pool. One call runs forward, and in training also
 * backward, of a whole batch; the gradients, summed over the batch in the fixed tree, end in the flat
 * vector `grads`, unnormalised. One thread at a time.
 */
#ifndef BDL_EXEC_EXEC_H
#define BDL_EXEC_EXEC_H

#include "base/cancel.h"
#include "base/thread.h"
#include "exec/reduce.h"
#include "plan/plan.h"

/* Memory that several execs use in turn (training, the short last batch, validation). */
typedef struct bdl__workspace bdl__workspace;
bdl_status bdl__workspace_create(const bdl_allocator *allocator, bdl__workspace **workspace);
void bdl__workspace_free(bdl__workspace *workspace); /* NULL ok */

/* A batch in sample lanes: parts of `lanes` samples, 16 / lanes of them a slice. */
typedef struct bdl__exec_batch {
    int64_t n_slices;
    const int32_t *valid;  /* [n_slices] samples of each slice, 1 .. 16; NULL = all full */
    const bdl__span *inputs; /* [graph inputs]: part 0 and the stride */
    bdl__span target;
    const bdl__span *output_diffs; /* [graph outputs], with the plan's external_diffs */
    const bdl__reduce *reduce; /* NULL = no other ranks */
    bool forward_only;     /* of a training plan; gradients are undefined then */
    const bdl__cancel *cancel; /* asked = end soon with BDL_ERR_CANCELLED; may be NULL. With `reduce`, NULL on all
                                * ranks or on none */
    uint64_t seed;         /* of dropout and the like */
    uint64_t step;         /* number of the iteration, for the same */
} bdl__exec_batch;

/* What a hook sees: it is called by every worker when all gradients of the batch are summed; with other ranks also
 * during backward, whenever some of them have been. */
typedef struct bdl__exec_worker {
    int worker, n_workers;
    bdl__barrier *barrier;
    const double *heads; /* [n_heads][2]: (loss, divisor) of the criterion, (value, count) of metrics */
    bool is_end;         /* all gradients are summed */
} bdl__exec_worker;

/* Splits its work among the workers by itself, meets by bdl__barrier_wait(w->barrier, w->n_workers). */
typedef void (*bdl__exec_hook)(void *arg, const bdl__exec_worker *w);

typedef struct bdl__exec bdl__exec;

/* `plan`, `pool`, `model`, `workspace` are borrowed; `grads` (the graph's weights_count scalars) too, and
 * may be NULL for plans without training. */
bdl_status bdl__exec_create(const bdl_allocator *allocator, const bdl__plan *plan, bdl__pool *pool,
                            bdl__model *model, bdl__workspace *workspace, void *grads,
                            bdl__exec **exec);
void bdl__exec_free(bdl__exec *exec); /* NULL ok */

/* Runs the plan on a batch of the plan's slices; `hook` may be NULL. Fails where an exchange with other ranks
 * does; then the hook is not called any more. Nor is it after a cancel, which leaves the model as it was before the run;
 * alone, a cancel comes too late once the hook has been called; with other ranks, once all have agreed before its last call,
 * and after a cancel the caller undoes what its calls during backward have done. */
bdl_status bdl__exec_run(bdl__exec *exec, const bdl__exec_batch *batch, bdl__exec_hook hook,
                         void *hook_arg);

/* Of the last run. */
const double *bdl__exec_heads(const bdl__exec *exec); /* [n_heads][2] */
bdl__span bdl__exec_output(const bdl__exec *exec, int64_t i_output);
bdl__span bdl__exec_input_diff(const bdl__exec *exec, int64_t i_input);

/* Runs forward on the batch and names the first node with a value that is not finite among the valid
 * samples; NULL if there is none. For the message after a loss that is not finite. */
bdl_status bdl__exec_find_nonfinite(bdl__exec *exec, const bdl__exec_batch *batch,
                                    const char **node_name);

#endif
