/* SPDX-License-Identifier: Apache-2.0 */
/* Walking: axes that lie alike in all operands are joined, so that runs are as long as they can
 * be. */
#include "tensor/walk.h"

void bdl__walk_init(bdl__walk *walk, const bdl__shape *shape)
{
    *walk = (bdl__walk){.shape = *shape};
}

bool bdl__walk_add(bdl__walk *walk, const bdl_tensor *tensor)
{
    int64_t *const step = walk->step[walk->n];
    const int64_t size = (int64_t)bdl__dtype_size(tensor->dtype);
    if (!bdl__broadcast_strides(tensor, &walk->shape, step)) {
        return false;
    }
    for (int32_t i = 0; i < walk->shape.rank; i++) {
        step[i] *= size;
    }
    walk->at[walk->n++] = tensor->data;
    return true;
}

/* Whether axis `i` continues axis `last` of `to` in all operands. */
static bool continues(const bdl__walk *walk, int32_t i, const bdl__walk *to, int32_t last)
{
    for (int k = 0; k < walk->n; k++) {
        if (to->step[k][last] != walk->step[k][i] * walk->shape.dim[i]) {
            return false;
        }
    }
    return true;
}

static bdl__walk join_axes(const bdl__walk *walk)
{
    bdl__walk joined = *walk;
    int32_t n = 0;
    for (int32_t i = 0; i < walk->shape.rank; i++) {
        if (walk->shape.dim[i] == 1) {
            continue;
        }
        const bool joins = n > 0 && continues(walk, i, &joined, n - 1);
        const int32_t place = joins ? n - 1 : n++;
        joined.shape.dim[place] = walk->shape.dim[i] * (joins ? joined.shape.dim[place] : 1);
        for (int k = 0; k < walk->n; k++) {
            joined.step[k][place] = walk->step[k][i];
        }
    }
    joined.shape.rank = n;
    return joined;
}

/* Goes to the next index of the axes before the last; false at the end. */
static bool advance(bdl__walk *walk, int64_t index[BDL_MAX_RANK])
{
    for (int32_t i = walk->shape.rank - 2; i >= 0; i--) {
        const bool more = ++index[i] < walk->shape.dim[i];
        for (int k = 0; k < walk->n; k++) {
            walk->at[k] += more ? walk->step[k][i] : -walk->step[k][i] * (walk->shape.dim[i] - 1);
        }
        if (more) {
            return true;
        }
        index[i] = 0;
    }
    return false;
}

bool bdl__walk_run(const bdl__walk *walk, bdl__walk_fn fn, void *arg)
{
    bdl__walk at = join_axes(walk);
    int64_t index[BDL_MAX_RANK] = {0};
    int64_t step[BDL__WALK_OPERANDS] = {0};
    const int32_t last = at.shape.rank - 1;
    for (int k = 0; k < at.n; k++) {
        step[k] = last < 0 ? 0 : at.step[k][last];
    }
    do {
        if (!fn(arg, last < 0 ? 1 : at.shape.dim[last], at.at, step)) {
            return false;
        }
    } while (advance(&at, index));
    return true;
}
