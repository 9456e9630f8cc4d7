/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initialisers of weights: torch (U(+-1/sqrt(fan_in)), Torch's and BigDL's default), xavier_uniform,
 * xavier_normal (Glorot and Bengio 2010), kaiming_uniform, kaiming_normal (He et al. 2015), normal,
 * uniform, constant, zeros, ones, bilinear. Each has a field table. Values depend only on (seed,
 * stream, position).
 */
#ifndef BDL_TENSOR_INIT_H
#define BDL_TENSOR_INIT_H

#include "schema/schema.h"
#include "tensor/shape.h"

/* Checks an initialiser's text, such as "normal(std=0.01)", before it is used. */
bdl_status bdl__init_check(const char *text);

/* Fills `values` (dtype BDL_F32 or BDL_F64) of the shape. `stream` numbers the weight tensor. */
bdl_status bdl__init_fill(const char *text, const bdl__shape *shape, int64_t fan_in,
                          int64_t fan_out, uint64_t seed, uint32_t stream, bdl_dtype dtype,
                          void *values);

/* All initialisers' schemas, for help texts and the schema dump. */
const bdl__schema *const *bdl__init_schemas(int64_t *n);

#endif
