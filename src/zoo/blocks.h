/* SPDX-License-Identifier: Apache-2.0 */
/* What several of the ready-made models are built of. */
#ifndef BDL_ZOO_BLOCKS_H
#define BDL_ZOO_BLOCKS_H

#include "zoo/zoo.h"

/* The fields that classifiers and models for any input share. */
#define BDL__ZOO_CLASSES(type, default_classes)                                                    \
    BDL_FIELD(type, classes, .def.i64 = (default_classes), .range = BDL_IN(2, 1 << 20),            \
              .doc = "Classes.")
#define BDL__ZOO_SHAPE(type)                                                                       \
    BDL_FIELD(type, shape, .def.s = "1,28,28", .range = BDL_IN(1, 1 << 24), .least_n = 1,          \
              .most_n = 3, .doc = "Shape of a sample: channels, height, width, or fewer sizes.")

#define BDL__ZOO_OUTPUTS(type)                                                                     \
    BDL_FIELD(type, outputs, .range = BDL_IN(0, 1 << 24),                                          \
              .doc = "Numbers to predict, for regression: no softmax; 0 = scores of classes.")

#define BDL__ZOO_SCHEMA(model_name, table, type)                                                   \
    {                                                                                              \
        .name = (model_name), .fields = (table), .n_fields = BDL__COUNT_OF(table),                 \
        .params_size = sizeof(type)                                                                \
    }

/* An input of this shape of a sample. */
bdl_status bdl__zoo_input_shape(bdl__graph *graph, const bdl__i64s *shape);

/* Name of the node that was added last: what a branch starts from. */
const char *bdl__zoo_last(const bdl__graph *graph);

#endif
