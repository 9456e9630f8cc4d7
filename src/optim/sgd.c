/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stochastic gradient descent with momentum (Polyak 1964) and Nesterov's form of it, as in
 * Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
 */
#include "optim/optim.h"

typedef struct sgd_params {
    double lr;
    double weight_decay;
    double momentum;
    double dampening;
    bool nesterov;
} sgd_params;

static const bdl__field fields[] = {
    BDL_FIELD(sgd_params, lr, .def.f64 = 0.01, .range = BDL_AT_LEAST(0), .doc = "Learning rate."),
    BDL_FIELD(sgd_params, momentum, .range = BDL_AT_LEAST(0),
              .doc = "Factor of the old velocity; 0 keeps none."),
    BDL_FIELD(sgd_params, dampening, .range = BDL_IN(0, 1),
              .doc = "The gradient enters the velocity times 1 - dampening (BigDL's default is the "
                     "momentum)."),
    BDL_FIELD(sgd_params, nesterov, .doc = "Look ahead by one step of the velocity."),
    BDL_FIELD(sgd_params, weight_decay, .range = BDL_AT_LEAST(0),
              .doc = "L2 penalty: its multiple of the weights is added to the gradient."),
};

static bdl_status check(const void *params)
{
    const sgd_params *const p = params;
    BDL__CHECK(!p->nesterov || (p->momentum > 0 && p->dampening == 0), BDL_ERR_INVALID_ARGUMENT,
               "sgd: nesterov needs a momentum above 0 and dampening 0, got %g and %g", p->momentum,
               p->dampening);
    return BDL_OK;
}

static int n_states(const void *params)
{
    const sgd_params *const p = params;
    return p->momentum > 0 ? 1 : 0;
}

static void begin(const void *params, int64_t iteration, bdl__optim_constants *constants)
{
    const sgd_params *const p = params;
    constants->momentum = p->momentum;
    constants->fresh = iteration == 0 ? 1 : 1 - p->dampening;
    constants->nesterov = p->nesterov;
}

static void update(const struct bdl__optim_kernels *kernels, real *weights, const real *grads,
                   real *const states[BDL__MAX_OPTIM_STATES], int64_t n,
                   const bdl__optim_constants *constants)
{
    kernels->optim_sgd(weights, grads, states[0], NULL, NULL, n, constants);
}

static const bdl__optim_method sgd = {
    .name = "sgd",
    .pytorch = "SGD",
    .torch = "SGD",
    .since = "0.1",
    .summary = "Stochastic gradient descent, with momentum if wanted.",
    .doc = "g = gradient + weight_decay * w; v = momentum * v + (1 - dampening) * g, in the first "
           "step v = g; w -= lr * v, with nesterov w -= lr * (g + momentum * v). As in PyTorch.",
    .schema = {.name = "sgd",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(sgd_params)},
    .check = check,
    .n_states = n_states,
    .begin = begin,
    .update = update,
};

BDL_OPTIM_FAMILY(sgd, &sgd)
