/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adagrad (Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 2011) and Adadelta
 * (Zeiler, "ADADELTA: an adaptive learning rate method", 2012).
 */
#include "optim/optim.h"

typedef struct adagrad_params {
    double lr;
    double weight_decay;
    double lr_decay;
    double initial_accumulator_value;
    double eps;
} adagrad_params;

typedef struct adadelta_params {
    double lr;
    double weight_decay;
    double rho;
    double eps;
} adadelta_params;

static const bdl__field adagrad_fields[] = {
    BDL_FIELD(adagrad_params, lr, .def.f64 = 0.01, .range = BDL_AT_LEAST(0),
              .doc = "Learning rate."),
    BDL_FIELD(adagrad_params, lr_decay, .range = BDL_AT_LEAST(0),
              .doc = "The rate of update n = 0, 1 ... is lr / (1 + n * lr_decay)."),
    BDL_FIELD(adagrad_params, weight_decay, .range = BDL_AT_LEAST(0),
              .doc = "L2 penalty: its multiple of the weights is added to the gradient."),
    BDL_FIELD(adagrad_params, initial_accumulator_value, .range = BDL_AT_LEAST(0),
              .doc = "What the sum of squares starts from."),
    BDL_FIELD(adagrad_params, eps, .def.f64 = 1e-10, .range = BDL_AT_LEAST(0),
              .doc = "Added to the divisor."),
};

static const bdl__field adadelta_fields[] = {
    BDL_FIELD(adadelta_params, lr, .def.f64 = 1, .range = BDL_AT_LEAST(0),
              .doc = "Factor of the step."),
    BDL_FIELD(adadelta_params, rho, .def.f64 = 0.9, .range = BDL_IN(0, 1),
              .doc = "Share that the averages keep in a step."),
    BDL_FIELD(adadelta_params, eps, .def.f64 = 1e-6, .range = BDL_AT_LEAST(0),
              .doc = "Added to both averages before their roots are taken."),
    BDL_FIELD(adadelta_params, weight_decay, .range = BDL_AT_LEAST(0),
              .doc = "L2 penalty: its multiple of the weights is added to the gradient."),
};

static int adagrad_n_states(const void *params BDL__UNUSED)
{
    return 1;
}

static void adagrad_begin(const void *params, int64_t iteration, bdl__optim_constants *constants)
{
    const adagrad_params *const p = params;
    constants->rate /= 1 + (double)iteration * p->lr_decay;
    constants->start = p->initial_accumulator_value;
    constants->eps = p->eps;
}

static void adagrad_update(const struct bdl__optim_kernels *kernels, real *weights,
                           const real *grads, real *const states[BDL__MAX_OPTIM_STATES], int64_t n,
                           const bdl__optim_constants *constants)
{
    kernels->optim_adagrad(weights, grads, states[0], NULL, NULL, n, constants);
}

static int adadelta_n_states(const void *params BDL__UNUSED)
{
    return 2;
}

static void adadelta_begin(const void *params, int64_t iteration BDL__UNUSED,
                           bdl__optim_constants *constants)
{
    const adadelta_params *const p = params;
    constants->beta2 = p->rho;
    constants->eps = p->eps;
}

static void adadelta_update(const struct bdl__optim_kernels *kernels, real *weights,
                            const real *grads, real *const states[BDL__MAX_OPTIM_STATES],
                            int64_t n, const bdl__optim_constants *constants)
{
    kernels->optim_adadelta(weights, grads, states[0], states[1], NULL, n, constants);
}

static const bdl__optim_method adagrad = {
    .name = "adagrad",
    .pytorch = "Adagrad",
    .torch = "Adagrad",
    .since = "0.1",
    .summary = "Steps scaled by the sum of all squared gradients.",
    .doc = "g = gradient + weight_decay * w; s += g^2, from initial_accumulator_value; "
           "w -= lr / (1 + n * lr_decay) * g / (sqrt(s) + eps). As in PyTorch.",
    .schema = {.name = "adagrad",
               .fields = adagrad_fields,
               .n_fields = BDL__COUNT_OF(adagrad_fields),
               .params_size = sizeof(adagrad_params)},
    .n_states = adagrad_n_states,
    .begin = adagrad_begin,
    .update = adagrad_update,
};

static const bdl__optim_method adadelta = {
    .name = "adadelta",
    .pytorch = "Adadelta",
    .torch = "Adadelta",
    .since = "0.1",
    .summary = "Steps in the units of the weights, from averages of squares.",
    .doc =
        "g = gradient + weight_decay * w; s = rho * s + (1 - rho) * g^2; "
        "d = sqrt(x + eps) / sqrt(s + eps) * g; x = rho * x + (1 - rho) * d^2; w -= lr * d. As in "
        "PyTorch.",
    .schema = {.name = "adadelta",
               .fields = adadelta_fields,
               .n_fields = BDL__COUNT_OF(adadelta_fields),
               .params_size = sizeof(adadelta_params)},
    .n_states = adadelta_n_states,
    .begin = adadelta_begin,
    .update = adadelta_update,
};

BDL_OPTIM_FAMILY(adagrad, &adadelta, &adagrad)
