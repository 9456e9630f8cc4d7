/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training step by step under the caller's control: forward, backward or a loss, then the update. Gradients add up,
 * as means over the samples of each loss, until they are cleared. float32 models with one input.
 */
#ifndef BDL_TRAIN_LEARNER_H
#define BDL_TRAIN_LEARNER_H

#include "train/train.h"

typedef struct bdl__learn_params {
    const char *optim, *loss, *clip, *precision;
    int64_t seed;
} bdl__learn_params;

extern const bdl__schema bdl__learn_schema;

typedef struct bdl__learner bdl__learner;

/* `session` is copied; what it points to, and `saved`, must outlive the learner. Its strings are used at once. */
bdl_status bdl__learner_create(const bdl__session *session, bdl__saved *saved,
                               const bdl__learn_params *params, bdl__learner **learner);
void bdl__learner_free(bdl__learner *learner); /* NULL ok */

/* Output 0 for n row-major samples, as in training: dropout drops, statistics are the batch's. */
bdl_status bdl__learner_forward(bdl__learner *learner, int64_t n, const float *src, float *dst);
/* After a forward pass: adds to the gradients those that belong to `diff_dst`, the gradient of its output. `diff_src`
 * (may be NULL) gets that of its input. */
bdl_status bdl__learner_backward(bdl__learner *learner, const float *diff_dst, float *diff_src);
/* Mean loss of n samples with classes `labels`, or with `targets`, one of which is given; adds its gradients. One that is not finite is
 * BDL_ERR_NUMERIC, and leaves gradients and running buffers as they were. */
bdl_status bdl__learner_loss(bdl__learner *learner, int64_t n, const float *src,
                             const double *labels, const float *targets, double *loss);
/* Updates the weights by the gradients. `rate` 0 is the method's own; below it or not finite is BDL_ERR_INVALID_ARGUMENT. */
bdl_status bdl__learner_step(bdl__learner *learner, double rate);
void bdl__learner_zero_grad(bdl__learner *learner);
/* The gradient of weight tensor i. */
float *bdl__learner_grad(const bdl__learner *learner, int64_t i);

#endif
