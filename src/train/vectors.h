/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flat vectors of a model as named tensors of safetensors files, for saved models and
 * checkpoints: each weight or buffer is a tensor under a prefix and its name
 * ("weights/conv1.weight").
 */
#ifndef BDL_TRAIN_VECTORS_H
#define BDL_TRAIN_VECTORS_H

#include "formats/safetensors.h"
#include "graph/graph.h"

/* A flat vector laid out as the model's weights, or as its buffers. */
typedef struct bdl__vector {
    const char *prefix; /* of the tensors' names: "", "state0/" */
    void *data;         /* borrowed */
    bool is_buffers;
} bdl__vector;

/* The tensors of the vectors in order; their data are borrowed, all else is in the arena. */
bdl_status bdl__vectors_list(const bdl__model *model, const bdl__vector *vectors, int64_t n_vectors,
                             bdl__arena *arena, bdl__st_tensor **tensors, int64_t *n_tensors);

/* Whether the file has these tensors, with their shapes and dtypes; else an error with
 * what was expected and what was found, and the nearest name for a missing one. */
bdl_status bdl__vectors_find(const bdl__safetensors *file, const bdl__st_tensor *tensors,
                             int64_t n_tensors, const char *where, bdl__arena *arena);
/* The same, and no others. */
bdl_status bdl__vectors_check(const bdl__safetensors *file, const bdl__st_tensor *tensors,
                              int64_t n_tensors, const char *where, bdl__arena *arena);

/* Copies a checked file's tensors to where the list's data are. Cannot fail. */
void bdl__vectors_copy(const bdl__safetensors *file, const bdl__st_tensor *tensors,
                       int64_t n_tensors);

#endif
