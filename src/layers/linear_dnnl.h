/* SPDX-License-Identifier: Apache-2.0 */
/* linear_dnnl.h: matrix products of linear through oneDNN. */
#ifndef BDL_LAYERS_LINEAR_DNNL_H
#define BDL_LAYERS_LINEAR_DNNL_H

#include "layers/dnnl_step.h"

/* Makes ops for the directions that are faster through oneDNN, or whose samples are few: src
 * (n_positions, n_in) -> dst (n_positions, n_out), weights (n_out, n_in). Weight gradients are always
 * left to the kernels, which hand them on in pieces. *mine stays NULL where there are none. */
bdl_status bdl__linear_dnnl_choose(bdl__planner *planner, bdl__step *step, int64_t n_positions,
                                   int64_t n_in, int64_t n_out, bdl__dnnl_step **mine);

#endif
