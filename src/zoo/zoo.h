/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ready-made models. Each is a constant descriptor with a field table and a builder, in a short file that
 * ends with BDL_ZOO(name, &descriptor), where CMake finds it.
 */
#ifndef BDL_ZOO_ZOO_H
#define BDL_ZOO_ZOO_H

#include "graph/graph.h"

typedef struct bdl__zoo_model {
    const char *name;
    const char *summary; /* a line */
    const char *doc;     /* layers, shapes, source */
    bdl__schema schema;
    bdl_status (*build)(const void *params, bdl__graph *graph); /* everything but finish */
} bdl__zoo_model;

#define BDL_ZOO(name, descriptor)                                                                  \
    extern const bdl__zoo_model *const bdl__zoo_##name;                                            \
    const bdl__zoo_model *const bdl__zoo_##name = (descriptor)

/* Builds "lenet", "vgg_cifar(classes=100)" ...; finished. Unknown names offer the nearest. */
bdl_status bdl__zoo_build(const bdl_allocator *allocator, const char *text, bdl__graph **graph);

/* Model number i, sorted by name, for help texts and the schema dump; NULL beyond the last. */
const bdl__zoo_model *bdl__zoo_at(int64_t i);

/* ---- for builders ------------------------------------------------------------------------------- */

/* An input of this sample shape, up to three dimensions, 0 ending them. */
bdl_status bdl__zoo_input(bdl__graph *graph, int64_t a, int64_t b, int64_t c);
/* A layer after the last one. `name` and `params` may be NULL. */
bdl_status bdl__zoo_add(bdl__graph *graph, const char *type, const char *name, const char *params, ...)
    BDL__PRINTF(4, 5);
/* A layer after `input`. */
bdl_status bdl__zoo_add_after(bdl__graph *graph, const char *type, const char *name,
                              const char *input, const char *params, ...) BDL__PRINTF(5, 6);

#endif
