/* SPDX-License-Identifier: Apache-2.0 */
/* slices.h: the parts of a call seen as slices, for layers whose weight gradients go out slice by
 * slice. */
#ifndef BDL_LAYERS_SLICES_H
#define BDL_LAYERS_SLICES_H

#include "layers/layer.h"

/* Whether someone wants the gradient of weight tensor i. */
static inline bool bdl__wants_weights(const bdl__cx *cx, int i)
{
    return cx->diff_weights_mode[i] != BDL__SKIP;
}

/* The number of the slice that part i of the call belongs to. */
static inline int64_t bdl__slice_number(const bdl__step *step, const bdl__cx *cx, int64_t i)
{
    return (cx->i_part + i) * step->lanes / BDL__SLICE;
}

/* How many parts of the call, from part i on, belong to its slice. */
static inline int64_t bdl__slice_parts(const bdl__step *step, const bdl__cx *cx, int64_t i)
{
    const int64_t n = BDL__SLICE / step->lanes;
    return BDL__MIN(n - (cx->i_part + i) % n, cx->n_parts - i);
}

#endif
