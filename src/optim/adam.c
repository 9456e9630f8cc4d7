/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adam and AdaMax (Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015), AMSGrad
 * (Reddi, Kale and Kumar, ICLR 2018) and AdamW (Loshchilov and Hutter, "Decoupled weight decay
 * regularization", ICLR 2019).
 */
#include <math.h>

#include "optim/optim.h"
#include "optim/rate_math.h"

typedef struct adam_params {
    double lr;
    double weight_decay;
    double beta1;
    double beta2;
    double eps;
    bool amsgrad; /* false in adamax */
} adam_params;

#define COMMON_FIELDS(default_lr)                                                                  \
    BDL_FIELD(adam_params, lr, .def.f64 = (default_lr), .range = BDL_AT_LEAST(0),                  \
              .doc = "Learning rate."),                                                            \
        BDL_FIELD(adam_params, beta1, .def.f64 = 0.9, .range = BDL_IN(0, 1),                       \
                  .torch_name = "betas[0]",                                                        \
                  .doc = "Share that the average of the gradient keeps in a step; below 1."),      \
        BDL_FIELD(adam_params, beta2, .def.f64 = 0.999, .range = BDL_IN(0, 1),                     \
                  .torch_name = "betas[1]",                                                        \
                  .doc = "The same for its square (adamax: its maximum); below 1."),               \
        BDL_FIELD(adam_params, eps, .def.f64 = 1e-8, .range = BDL_AT_LEAST(0),                     \
                  .doc = "Added to the divisor.")

#define AMSGRAD_FIELD                                                                              \
    BDL_FIELD(adam_params, amsgrad, .doc = "Divide by the largest average so far.")

static const bdl__field adam_fields[] = {
    COMMON_FIELDS(1e-3),
    BDL_FIELD(adam_params, weight_decay, .range = BDL_AT_LEAST(0),
              .doc = "L2 penalty: its multiple of the weights is added to the gradient."),
    AMSGRAD_FIELD,
};

static const bdl__field adamw_fields[] = {
    COMMON_FIELDS(1e-3),
    BDL_FIELD(adam_params, weight_decay, .def.f64 = 0.01, .range = BDL_AT_LEAST(0),
              .doc = "A step shrinks the weights by lr * weight_decay of themselves."),
    AMSGRAD_FIELD,
};

static const bdl__field adamax_fields[] = {
    COMMON_FIELDS(2e-3),
    BDL_FIELD(adam_params, weight_decay, .range = BDL_AT_LEAST(0),
              .doc = "L2 penalty: its multiple of the weights is added to the gradient."),
};

static bdl_status check(const void *params)
{
    const adam_params *const p = params;
    BDL__CHECK(p->beta1 < 1 && p->beta2 < 1, BDL_ERR_INVALID_ARGUMENT,
               "beta1 and beta2 must be below 1, got %g and %g", p->beta1, p->beta2);
    return BDL_OK;
}

static int n_states(const void *params)
{
    const adam_params *const p = params;
    return p->amsgrad ? 3 : 2;
}

static void begin(const void *params, int64_t iteration, bdl__optim_constants *constants)
{
    const adam_params *const p = params;
    constants->beta1 = p->beta1;
    constants->beta2 = p->beta2;
    constants->eps = p->eps;
    constants->correction1 = 1 - bdl__rate_power(p->beta1, iteration + 1);
    constants->correction2 = sqrt(1 - bdl__rate_power(p->beta2, iteration + 1));
    constants->amsgrad = p->amsgrad;
}

static void update(const struct bdl__optim_kernels *kernels, real *weights, const real *grads,
                   real *const states[BDL__MAX_OPTIM_STATES], int64_t n,
                   const bdl__optim_constants *constants)
{
    kernels->optim_adam(weights, grads, states[0], states[1], states[2], n, constants);
}

static void update_adamax(const struct bdl__optim_kernels *kernels, real *weights,
                          const real *grads, real *const states[BDL__MAX_OPTIM_STATES], int64_t n,
                          const bdl__optim_constants *constants)
{
    kernels->optim_adamax(weights, grads, states[0], states[1], NULL, n, constants);
}

#define SCHEMA(schema_name, table)                                                                 \
    {                                                                                              \
        .name = (schema_name), .fields = (table), .n_fields = BDL__COUNT_OF(table),                \
        .params_size = sizeof(adam_params)                                                         \
    }

static const bdl__optim_method adam = {
    .name = "adam",
    .pytorch = "Adam",
    .torch = "Adam",
    .since = "0.1",
    .summary = "Steps scaled by averages of the gradient and of its square.",
    .doc = "g = gradient + weight_decay * w; m = beta1 * m + (1 - beta1) * g; "
           "s = beta2 * s + (1 - beta2) * g^2; in step t = 1, 2 ... "
           "w -= lr / (1 - beta1^t) * m / (sqrt(s / (1 - beta2^t)) + eps). As in PyTorch.",
    .schema = SCHEMA("adam", adam_fields),
    .check = check,
    .n_states = n_states,
    .begin = begin,
    .update = update,
};

static const bdl__optim_method adamw = {
    .name = "adamw",
    .pytorch = "AdamW",
    .torch = "AdamW",
    .since = "0.1",
    .summary = "Adam with weight decay apart from the gradient.",
    .doc = "w *= 1 - lr * weight_decay, then a step of adam with weight_decay 0. As in PyTorch.",
    .schema = SCHEMA("adamw", adamw_fields),
    .decoupled = true,
    .check = check,
    .n_states = n_states,
    .begin = begin,
    .update = update,
};

static const bdl__optim_method adamax = {
    .name = "adamax",
    .pytorch = "Adamax",
    .torch = "Adamax",
    .since = "0.1",
    .summary = "Adam by the maximum norm instead of the average of the square.",
    .doc =
        "g = gradient + weight_decay * w; m = beta1 * m + (1 - beta1) * g; "
        "u = max(beta2 * u, |g| + eps); in step t = 1, 2 ... w -= lr / (1 - beta1^t) * m / u. As "
        "in PyTorch.",
    .schema = SCHEMA("adamax", adamax_fields),
    .check = check,
    .n_states = n_states,
    .begin = begin,
    .update = update_adamax,
};

BDL_OPTIM_FAMILY(adam, &adam, &adamax, &adamw)
