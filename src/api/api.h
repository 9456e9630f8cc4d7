/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of api/ share: the structs behind the opaque types. */
#ifndef BDL_API_API_H
#define BDL_API_API_H

#include <stdatomic.h>

#include "train/train.h"

struct bdl_context {
    bdl_allocator allocator;
    bdl__log log;
    bdl__pool *pool;
    bdl__target target;
    bdl__cancel cancel;
};

/* Fails with BDL_ERR_FORKED in a child that was forked after the context was made. */
bdl_status bdl__context_use(const bdl_context *context);
bdl__session bdl__context_session(bdl_context *context);

/* Copies a struct of options, which begins with its size; what an older, shorter one lacks stays zero. `taken` has room for
 * `size` bytes. */
bdl_status bdl__struct_take(const void *given, size_t size, const char *what, void *taken);

/* A verb's options: texts by name, turned into a params struct when they are used. */
typedef struct bdl__option_pair {
    const char *name;
    const char *value;
} bdl__option_pair;

struct bdl_options {
    bdl_context *context;
    const bdl__schema *schema;
    bdl__arena arena;
    int64_t n_pairs;
    bdl__option_pair *pairs; /* [schema->n_fields] */
    bdl__group *group;       /* borrowed, or NULL */
};

struct bdl_group {
    bdl_context *context;
    bdl__group *group; /* owned */
    bool is_connected;
    char hello[80]; /* what all ranks must have the same of */
};

/* Fills the params struct of the verb; strings live as long as `arena`. */
bdl_status bdl__options_read(const bdl_options *options, const char *verb, bdl__arena *arena,
                             void *params);

/* The same where the caller has objects for the options named in `given`, which must not be set. */
bdl_status bdl__options_read_given(const bdl_options *options, const char *verb,
                                   const char *const *given, int64_t n_given, bdl__arena *arena,
                                   void *params);

struct bdl_data {
    bdl_context *context;
    bdl__dataset *dataset; /* owned */
};

/* Fails unless the data are finished. */
bdl_status bdl__data_need_finished(const bdl_data *data);

struct bdl_model {
    bdl_context *context;
    bdl__graph *graph; /* until finished; then the model has it */
    bdl__saved *saved; /* finished: the model with its preprocessing */
    bdl__workspace *workspace;
    bdl__runner *runner; /* for bdl_model_forward */
    bdl__predictor predictor; /* for bdl_predict_on */
    bdl__runner *few_runner; /* the same for a sample alone */
};

/* Fails unless the model is finished. */
bdl_status bdl__model_need_finished(const bdl_model *model);

/* Gives a copy of the text that bdl_text_free frees, and frees `text`. */
bdl_status bdl__text_give(bdl__text *text, char **given);

/* ---- the params of eval, predict, inspect ---------------------------------------------------- */

typedef struct bdl__eval_params {
    const char *model, *data, *loss, *metrics, *target, *transform, *precision;
    int64_t batch;
    double most_broken;
} bdl__eval_params;
extern const bdl__schema bdl__eval_schema;

typedef struct bdl__predict_params {
    const char *model, *data, *transform, *precision;
    int64_t batch, top;
} bdl__predict_params;
extern const bdl__schema bdl__predict_schema;

typedef struct bdl__inspect_params {
    const char *model, *loss, *precision;
    int64_t batch;
    bool plan, predict, json;
} bdl__inspect_params;
extern const bdl__schema bdl__inspect_schema;

#endif
