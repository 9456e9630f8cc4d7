/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RMSprop (Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012); centered
 * as in Graves, "Generating sequences with recurrent neural networks", 2013.
 */
#include "optim/optim.h"

typedef struct rmsprop_params {
    double lr;
    double weight_decay;
    double alpha;
    double eps;
    double momentum;
    bool centered;
} rmsprop_params;

static const bdl__field fields[] = {
    BDL_FIELD(rmsprop_params, lr, .def.f64 = 0.01, .range = BDL_AT_LEAST(0),
              .doc = "Learning rate."),
    BDL_FIELD(rmsprop_params, alpha, .def.f64 = 0.99, .range = BDL_IN(0, 1),
              .doc = "Share that the average of the squares keeps in a step."),
    BDL_FIELD(rmsprop_params, eps, .def.f64 = 1e-8, .range = BDL_AT_LEAST(0),
              .doc = "Added to the divisor."),
    BDL_FIELD(rmsprop_params, weight_decay, .range = BDL_AT_LEAST(0),
              .doc = "L2 penalty: its multiple of the weights is added to the gradient."),
    BDL_FIELD(rmsprop_params, momentum, .range = BDL_AT_LEAST(0),
              .doc = "Factor of the old velocity; 0 keeps none."),
    BDL_FIELD(rmsprop_params, centered, .doc = "Divide by the variance's root, not the square's."),
};

static int n_states(const void *params)
{
    const rmsprop_params *const p = params;
    return 1 + (p->momentum > 0) + p->centered;
}

static void begin(const void *params, int64_t iteration BDL__UNUSED,
                  bdl__optim_constants *constants)
{
    const rmsprop_params *const p = params;
    constants->beta2 = p->alpha;
    constants->eps = p->eps;
    constants->momentum = p->momentum;
    constants->centered = p->centered;
}

/* The velocity comes before the average where both are kept. */
static void update(const struct bdl__optim_kernels *kernels, real *weights, const real *grads,
                   real *const states[BDL__MAX_OPTIM_STATES], int64_t n,
                   const bdl__optim_constants *constants)
{
    const bool has_velocity = constants->momentum > 0;
    real *const velocity = has_velocity ? states[1] : NULL;
    real *const average = constants->centered ? states[has_velocity ? 2 : 1] : NULL;
    kernels->optim_rmsprop(weights, grads, states[0], velocity, average, n, constants);
}

static const bdl__optim_method rmsprop = {
    .name = "rmsprop",
    .pytorch = "RMSprop",
    .torch = "RMSprop",
    .since = "0.1",
    .summary = "Steps scaled by an average of the squared gradient.",
    .doc = "g = gradient + weight_decay * w; s = alpha * s + (1 - alpha) * g^2; centered: "
           "a = alpha * a + (1 - alpha) * g and s - a^2 in the place of s; "
           "v = momentum * v + g / (sqrt(s) + eps); w -= lr * v. As in PyTorch.",
    .schema = {.name = "rmsprop",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(rmsprop_params)},
    .n_states = n_states,
    .begin = begin,
    .update = update,
};

BDL_OPTIM_FAMILY(rmsprop, &rmsprop)
