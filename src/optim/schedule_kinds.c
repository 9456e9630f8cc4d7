/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formulas of the schedules, in PyTorch's and BigDL's meaning. `t` counts from 0 at the part's
 * start; the first update of training has t = 0.
 */
#include "optim/schedule_kinds.h"

#include <math.h>

#include "optim/rate_math.h"

static const char *const units[] = {"iteration", "epoch", "epoch_fraction", NULL};

/* The last fields of a kind; its params struct begins with the members of bdl__schedule_params. */
#define LASTS_FIELD(type)                                                                          \
    BDL_FIELD(type, lasts, .range = BDL_AT_LEAST(0),                                               \
              .doc = "Units after which the next part begins; 0 = its length, or no end.")
#define UNIT_FIELDS(type)                                                                          \
    BDL_FIELD(type, unit, .def.s = "iteration", .choices = units,                                  \
              .doc = "What t counts: updates, whole epochs, or epochs with their fraction."),      \
        LASTS_FIELD(type)

#define SCHEMA(kind_name, table, type)                                                             \
    {                                                                                              \
        .name = (kind_name), .fields = (table), .n_fields = BDL__COUNT_OF(table),                  \
        .params_size = sizeof(type)                                                                \
    }

typedef struct constant_params {
    bdl__choice unit;
    int64_t lasts;
} constant_params;

static const bdl__field constant_fields[] = {UNIT_FIELDS(constant_params)};

static double constant_rate(const void *params BDL__UNUSED, double lr, double t BDL__UNUSED)
{
    return lr;
}

typedef struct default_params {
    bdl__choice unit;
    int64_t lasts;
    double lr_decay;
} default_params;

static const bdl__field default_fields[] = {
    BDL_FIELD(default_params, lr_decay, .range = BDL_AT_LEAST(0),
              .doc = "How fast the rate falls; 0 = not."),
    UNIT_FIELDS(default_params),
};

static double default_rate(const void *params, double lr, double t)
{
    const default_params *const p = params;
    return lr / (1 + t * p->lr_decay);
}

typedef struct step_params {
    bdl__choice unit;
    int64_t lasts;
    int64_t step_size;
    double gamma;
    bool staircase;      /* exponential only */
    int64_t first_epoch; /* epoch_step only */
} step_params;

#define STEP_SIZE_FIELD(text)                                                                      \
    BDL_FIELD(step_params, step_size, .required = true, .range = BDL_AT_LEAST(1), .doc = (text))
#define GAMMA_FIELD(text)                                                                          \
    BDL_FIELD(step_params, gamma, .def.f64 = 0.1, .range = BDL_AT_LEAST(0), .doc = (text))

static const bdl__field step_fields[] = {
    STEP_SIZE_FIELD("Units from one drop to the next."),
    GAMMA_FIELD("Factor of a drop."),
    UNIT_FIELDS(step_params),
};

static double step_rate(const void *params, double lr, double t)
{
    const step_params *const p = params;
    return lr * bdl__rate_pow(p->gamma, floor(t / (double)p->step_size));
}

static const bdl__field epoch_step_fields[] = {
    STEP_SIZE_FIELD("Epochs from one drop to the next."),
    GAMMA_FIELD("Factor of a drop."),
    BDL_FIELD(step_params, first_epoch, .range = BDL_IN(0, 1),
              .doc = "Number of the first epoch: 0 as in PyTorch, 1 as in BigDL, where the first "
                     "drop comes an epoch earlier."),
    LASTS_FIELD(step_params),
};

static double epoch_step_rate(const void *params, double lr, double t)
{
    const step_params *const p = params;
    return step_rate(params, lr, t + (double)p->first_epoch);
}

static const bdl__field natural_exp_fields[] = {
    STEP_SIZE_FIELD("Units from one drop to the next."),
    GAMMA_FIELD("The rate falls by the factor exp(-gamma) a drop."),
    UNIT_FIELDS(step_params),
};

static double natural_exp_rate(const void *params, double lr, double t)
{
    const step_params *const p = params;
    return lr * bdl__rate_exp(-p->gamma * floor(t / (double)p->step_size));
}

static const bdl__field exponential_fields[] = {
    BDL_FIELD(step_params, gamma, .required = true, .range = BDL_AT_LEAST(0),
              .doc = "Factor in step_size units."),
    BDL_FIELD(step_params, step_size, .def.i64 = 1, .range = BDL_AT_LEAST(1),
              .doc = "Units in which the rate falls by gamma."),
    BDL_FIELD(step_params, staircase, .doc = "Fall at the end of each step_size only."),
    UNIT_FIELDS(step_params),
};

static double exponential_rate(const void *params, double lr, double t)
{
    const step_params *const p = params;
    const double exponent = t / (double)p->step_size;
    return lr * bdl__rate_pow(p->gamma, p->staircase ? floor(exponent) : exponent);
}

typedef struct multi_step_params {
    bdl__choice unit;
    int64_t lasts;
    bdl__i64s milestones;
    bdl__i64s epochs; /* epoch_decay */
    double gamma;
} multi_step_params;

static const bdl__field multi_step_fields[] = {
    BDL_FIELD(multi_step_params, milestones, .required = true, .range = BDL_AT_LEAST(0),
              .doc = "Positions of the drops."),
    BDL_FIELD(multi_step_params, gamma, .def.f64 = 0.1, .range = BDL_AT_LEAST(0),
              .doc = "Factor of a drop."),
    UNIT_FIELDS(multi_step_params),
};

static const bdl__field epoch_decay_fields[] = {
    BDL_FIELD(multi_step_params, epochs, .required = true, .range = BDL_AT_LEAST(0),
              .doc = "Epochs, counted from 0, that begin with a tenth of the rate before."),
    LASTS_FIELD(multi_step_params),
};

static double count_passed(const bdl__i64s *milestones, double t)
{
    double n = 0;
    for (int32_t i = 0; i < milestones->n; i++) {
        n += (double)milestones->v[i] <= t;
    }
    return n;
}

static double multi_step_rate(const void *params, double lr, double t)
{
    const multi_step_params *const p = params;
    return lr * bdl__rate_pow(p->gamma, count_passed(&p->milestones, t));
}

static double epoch_decay_rate(const void *params, double lr, double t)
{
    const multi_step_params *const p = params;
    return lr * bdl__rate_pow(0.1, count_passed(&p->epochs, t));
}

typedef struct ramp_params {
    bdl__choice unit;
    int64_t lasts;
    int64_t length;
    double power; /* poly */
    double min;   /* cosine */
    double start; /* warmup */
    double delta; /* warmup */
} ramp_params;

#define LENGTH_FIELD(text)                                                                         \
    BDL_FIELD(ramp_params, length, .required = true, .range = BDL_AT_LEAST(1), .doc = (text))

static int64_t ramp_length(const void *params)
{
    const ramp_params *const p = params;
    return p->length;
}

/* How much of the ramp lies behind: 0 at its start, 1 from its end on. */
static double done_of(const ramp_params *p, double t)
{
    return t < (double)p->length ? t / (double)p->length : 1;
}

static const bdl__field poly_fields[] = {
    LENGTH_FIELD("Units until the rate is 0 (BigDL: maxIteration)."),
    BDL_FIELD(ramp_params, power, .def.f64 = 1, .range = BDL_AT_LEAST(0),
              .doc = "Exponent; 1 falls along a line."),
    UNIT_FIELDS(ramp_params),
};

static double poly_rate(const void *params, double lr, double t)
{
    const ramp_params *const p = params;
    return t >= (double)p->length ? 0 : lr * bdl__rate_pow(1 - done_of(p, t), p->power);
}

static const bdl__field cosine_fields[] = {
    LENGTH_FIELD("Units of the half wave (PyTorch: T_max)."),
    BDL_FIELD(ramp_params, min, .range = BDL_AT_LEAST(0), .torch_name = "eta_min",
              .doc = "The last rate, which stays."),
    UNIT_FIELDS(ramp_params),
};

static double cosine_rate(const void *params, double lr, double t)
{
    const ramp_params *const p = params;
    return p->min + (lr - p->min) * (1 + bdl__rate_cos_pi(done_of(p, t))) / 2;
}

static const bdl__field warmup_fields[] = {
    LENGTH_FIELD("Units until the full rate is reached."),
    BDL_FIELD(ramp_params, start, .def.f64 = 0.1, .range = BDL_IN(0, 1),
              .torch_name = "start_factor", .doc = "Share of the rate that training starts with."),
    BDL_FIELD(ramp_params, delta, .range = BDL_AT_LEAST(0),
              .doc = "BigDL's form, if not 0: from lr on, so much more a unit."),
    UNIT_FIELDS(ramp_params),
};

static double warmup_rate(const void *params, double lr, double t)
{
    const ramp_params *const p = params;
    const double done = done_of(p, t);
    if (p->delta > 0) {
        return lr + p->delta * done * (double)p->length;
    }
    return done < 1 ? lr * (p->start + (1 - p->start) * done) : lr;
}

/* ---- plateau ------------------------------------------------------------------------------- */

typedef struct plateau_params {
    bdl__choice unit;
    int64_t lasts;
    const char *monitor;
    bdl__choice mode;
    double factor;
    int64_t patience;
    double threshold;
    bdl__choice threshold_mode;
    int64_t cooldown;
    double min_lr;
} plateau_params;

enum { MODE_MIN, MODE_MAX };
enum { THRESHOLD_REL, THRESHOLD_ABS };
static const char *const modes[] = {"min", "max", NULL};
static const char *const threshold_modes[] = {"rel", "abs", NULL};

static const bdl__field plateau_fields[] = {
    BDL_FIELD(plateau_params, monitor, .def.s = "loss",
              .doc = "What is watched at each epoch's end: loss, score or a metric's name."),
    BDL_FIELD(plateau_params, factor, .def.f64 = 0.1, .range = BDL_IN(0, 1),
              .doc = "Factor of a drop; below 1."),
    BDL_FIELD(plateau_params, patience, .def.i64 = 10, .range = BDL_AT_LEAST(0),
              .doc = "Epochs without a better value that are borne; the next one drops the rate."),
    BDL_FIELD(plateau_params, mode, .def.s = "min", .choices = modes,
              .doc = "Whether less (min) or more (max) is better."),
    BDL_FIELD(plateau_params, threshold, .def.f64 = 1e-4, .range = BDL_AT_LEAST(0),
              .doc = "By how much a value must be better to count (BigDL: epsilon)."),
    BDL_FIELD(plateau_params, threshold_mode, .def.s = "rel", .choices = threshold_modes,
              .doc = "Threshold as a share of the best value (rel, PyTorch's default) or as it is "
                     "(abs, BigDL's)."),
    BDL_FIELD(plateau_params, cooldown, .range = BDL_AT_LEAST(0),
              .doc = "Epochs after a drop in which nothing is counted."),
    BDL_FIELD(plateau_params, min_lr, .range = BDL_AT_LEAST(0), .doc = "The rate falls no lower."),
    LASTS_FIELD(plateau_params),
};

bdl_status bdl__plateau_check(const void *params)
{
    const plateau_params *const p = params;
    BDL__CHECK(p->factor < 1, BDL_ERR_INVALID_ARGUMENT,
               "plateau: factor must be below 1, got %g", p->factor);
    BDL__CHECK(p->monitor != NULL && p->monitor[0] != '\0', BDL_ERR_INVALID_ARGUMENT,
               "plateau: monitor must name what is watched, got an empty name");
    return BDL_OK;
}

const char *bdl__plateau_monitor(const void *params)
{
    const plateau_params *const p = params;
    return p->monitor;
}

double bdl__plateau_rate(const void *params, const bdl__plateau_state *state, double lr)
{
    const plateau_params *const p = params;
    const double scaled = BDL__MAX(lr * state->scale, p->min_lr);
    return BDL__MIN(scaled, lr);
}

/* Whether the value is better than the best by the threshold. A NaN never is. */
static bool is_better(const plateau_params *p, const bdl__plateau_state *state, double value)
{
    if (!state->has_best) {
        return value == value;
    }
    const double sign = p->mode.i == MODE_MIN ? -1 : 1;
    const double by =
        p->threshold_mode.i == THRESHOLD_ABS ? p->threshold : p->threshold * state->best;
    return p->mode.i == MODE_MIN ? value < state->best + sign * by
                                 : value > state->best + sign * by;
}

bool bdl__plateau_observe(const void *params, bdl__plateau_state *state, double value)
{
    const plateau_params *const p = params;
    if (is_better(p, state, value)) {
        state->has_best = true;
        state->best = value;
        state->n_bad = 0;
    } else {
        state->n_bad++;
    }
    if (state->cooldown > 0) {
        state->cooldown--;
        state->n_bad = 0;
    }
    if (state->n_bad <= p->patience) {
        return false;
    }
    state->scale *= p->factor;
    state->cooldown = p->cooldown;
    state->n_bad = 0;
    return true;
}

/* ---- the table ----------------------------------------------------------------------------- */

#define PLAIN(kind_name, table, type, rate_of) /* a kind that has no end of its own */             \
    .since = "0.1", .schema = SCHEMA(kind_name, table, type), .rate = (rate_of)
#define RAMP(kind_name, table, rate_of)                                                            \
    PLAIN(kind_name, table, ramp_params, rate_of), .length = ramp_length

static const bdl__schedule_kind kinds[] = {
    {PLAIN("constant", constant_fields, constant_params, constant_rate),
     .pytorch = "ConstantLR(factor=1)", .doc = "lr"},
    {PLAIN("default", default_fields, default_params, default_rate), .torch = "Default",
     .doc = "lr / (1 + t * lr_decay)"},
    {PLAIN("step", step_fields, step_params, step_rate), .torch = "Step", .pytorch = "StepLR",
     .doc = "lr * gamma^floor(t / step_size)"},
    {PLAIN("multi_step", multi_step_fields, multi_step_params, multi_step_rate),
     .torch = "MultiStep", .pytorch = "MultiStepLR", .doc = "lr * gamma^(milestones <= t)"},
    {PLAIN("exponential", exponential_fields, step_params, exponential_rate),
     .torch = "Exponential", .pytorch = "ExponentialLR",
     .doc = "lr * gamma^(t / step_size), the exponent rounded down with staircase"},
    {PLAIN("natural_exp", natural_exp_fields, step_params, natural_exp_rate), .torch = "NaturalExp",
     .doc = "lr * exp(-gamma * floor(t / step_size))"},
    {RAMP("poly", poly_fields, poly_rate), .torch = "Poly", .pytorch = "PolynomialLR",
     .doc = "lr * (1 - t / length)^power, then 0"},
    {RAMP("cosine", cosine_fields, cosine_rate), .pytorch = "CosineAnnealingLR",
     .doc = "min + (lr - min) * (1 + cos(pi * t / length)) / 2, then min; Loshchilov and Hutter, "
            "SGDR, ICLR 2017"},
    {RAMP("warmup", warmup_fields, warmup_rate), .torch = "Warmup", .pytorch = "LinearLR",
     .doc = "lr * (start + (1 - start) * t / length), then lr; with delta: lr + delta * t"},
    {PLAIN("epoch_step", epoch_step_fields, step_params, epoch_step_rate), .torch = "EpochStep",
     .by_epoch = true, .doc = "lr * gamma^floor((epoch + first_epoch) / step_size)"},
    {PLAIN("epoch_decay", epoch_decay_fields, multi_step_params, epoch_decay_rate),
     .torch = "EpochDecay", .by_epoch = true, .doc = "lr * 0.1^(epochs <= t)"},
    {PLAIN("plateau", plateau_fields, plateau_params, NULL), .torch = "Plateau",
     .pytorch = "ReduceLROnPlateau", .by_epoch = true,
     .doc = "lr * factor each time the monitored value has not become better for patience epochs"},
};

const bdl__schedule_kind *bdl__schedule_kind_at(int64_t i)
{
    return i >= 0 && i < BDL__COUNT_OF(kinds) ? &kinds[i] : NULL;
}
