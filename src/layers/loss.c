/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Criterions. Input (classes, ...) and labels (...) counting from 0, or two tensors of one shape.
 * Each sample gives two reals: its loss and its part of the divisor, by which the loss over the
 * batch and all gradients are divided: the sum of the labels' weights (nll, cross_entropy) or the
 * number of elements (the others) with reduction=mean, nothing (0) with reduction=sum. As in
 * PyTorch.
 */
#include "kernels/loss.h"
#include "layers/labels.h"
#include "layers/layer.h"

#include <inttypes.h>
#include <string.h>

/* ---- params ---------------------------------------------------------------------------------- */

enum { REDUCTION_MEAN, REDUCTION_SUM };
static const char *const reductions[] = {"mean", "sum", NULL};

/* Both class criterions; nll has no smoothing, cross_entropy no log_prob. */
typedef struct class_params {
    bdl__choice reduction;
    const char *weights;
    int64_t ignore_index;
    double label_smoothing;
    bool log_prob;
} class_params;

/* All criterions of elements; each has a part of the fields. */
typedef struct element_params {
    bdl__choice reduction;
    const char *weights;
    double beta;
    bdl__f64s pos_weight;
} element_params;

#define REDUCTION(type)                                                                            \
    BDL_FIELD(type, reduction, .def.s = "mean", .choices = reductions,                             \
              .doc = "Divide the batch's loss, or only add it up.")
#define CLASS_FIELDS                                                                               \
    REDUCTION(class_params),                                                                       \
        BDL_FIELD(class_params, weights, .torch_name = "weight",                                   \
                  .doc = "A weight for each class, such as '0.5,1,2'; all 1 by default."),         \
        BDL_FIELD(class_params, ignore_index, .def.i64 = -100, .range = BDL_IN(-2e9, 2e9),         \
                  .doc = "Label that counts for nothing.")
#define ELEMENT_WEIGHTS                                                                            \
    BDL_FIELD(element_params, weights, .torch_name = "weight",                                     \
              .doc = "A weight for each element of a sample, or of its last axis; all 1 by "       \
                     "default.")

static const bdl__field nll_fields[] = {
    CLASS_FIELDS,
    BDL_FIELD(class_params, log_prob, .def.b = true,
              .doc = "Inputs are logarithms of probabilities; else probabilities, at least 1e-8."),
};

static const bdl__field cross_entropy_fields[] = {
    CLASS_FIELDS,
    BDL_FIELD(class_params, label_smoothing, .def.f64 = 0, .range = BDL_IN(0, 1),
              .doc = "Share of the target that is spread evenly over all classes."),
};

static const bdl__field distance_fields[] = {
    REDUCTION(element_params),
};

static const bdl__field smooth_l1_fields[] = {
    REDUCTION(element_params),
    BDL_FIELD(element_params, beta, .def.f64 = 1, .range = BDL_AT_LEAST(0),
              .doc = "Distance from which the loss is linear."),
};

static const bdl__field bce_fields[] = {
    REDUCTION(element_params),
    ELEMENT_WEIGHTS,
};

static const bdl__field bce_with_logits_fields[] = {
    REDUCTION(element_params),
    ELEMENT_WEIGHTS,
    BDL_FIELD(element_params, pos_weight, .def.s = "1", .least_n = 1, .range = BDL_AT_LEAST(0),
              .doc = "Weight of positive targets: one number, or one for each of the last axis."),
};

/* ---- lists of weights ------------------------------------------------------------------------ */

/* Reads "0.5,1,2", brackets allowed. Gives how many there are; writes up to `most` of them. */
static bdl_status read_weights(const char *text, int64_t most, double *values, int64_t *n)
{
    const char *p = text;
    *n = 0;
    while (*p != '\0') {
        char piece[40];
        p += strspn(p, " ,[]()");
        const size_t size = strcspn(p, " ,[]()");
        if (size == 0) {
            break;
        }
        double value = 0;
        BDL__CHECK(size < sizeof piece, BDL_ERR_INVALID_ARGUMENT,
                   "weights must be numbers, got '%.20s...'", p);
        memcpy(piece, p, size);
        piece[size] = '\0';
        BDL__CHECK(bdl__parse_f64(piece, &value) && value >= 0, BDL_ERR_INVALID_ARGUMENT,
                   "weights must be numbers of at least 0, got '%s'", piece);
        if (*n < most) {
            values[*n] = value;
        }
        ++*n;
        p += size;
    }
    return BDL_OK;
}

static bdl_status plan_weights(bdl__planner *planner, const char *text, const double **weights,
                               int64_t *n)
{
    void *memory;
    BDL__TRY(read_weights(text, 0, NULL, n));
    BDL__TRY(bdl__plan_alloc(planner, (size_t)*n * sizeof(double), &memory));
    *weights = memory;
    return read_weights(text, *n, memory, n);
}

/* ---- infer ----------------------------------------------------------------------------------- */

static bdl_status declare(bdl__decl *decl)
{
    const bdl__shape out = {.rank = 1, .dim = {2}};
    decl->backward_reads_src = true;
    return bdl__decl_out(decl, &out, false);
}

static bdl_status check_classes(const class_params *p, const bdl__infer_in *in)
{
    BDL__TRY(bdl__need_float(in, 0));
    if (in->shape[0].rank < 1 ||
        (in->integer[1] && !bdl__labels_fit(&in->shape[0], &in->shape[1]))) {
        return bdl__fail_pair(in, "scores (classes, ...) and labels (...)");
    }
    if (p->weights != NULL) {
        int64_t n = 0;
        BDL__TRY(read_weights(p->weights, 0, NULL, &n));
        BDL__CHECK(n == in->shape[0].dim[0], BDL_ERR_INVALID_ARGUMENT,
                   "needs a weight for each of %" PRId64 " classes, got %" PRId64,
                   in->shape[0].dim[0], n);
    }
    return BDL_OK;
}

static bdl_status nll_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    BDL__TRY(check_classes(params, in));
    BDL__CHECK(in->integer[1], BDL_ERR_UNSUPPORTED, "needs labels that are integers");
    return declare(decl);
}

static bdl_status cross_entropy_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    BDL__TRY(check_classes(params, in));
    if (!in->integer[1] && !bdl__shape_equal(&in->shape[0], &in->shape[1])) {
        return bdl__fail_pair(in, "labels, or probabilities of the scores' shape");
    }
    return declare(decl);
}

/* A list must have one number, one for each element, or one for each of the last axis. */
static bdl_status check_length(const bdl__shape *shape, const char *what, int64_t n)
{
    const int64_t count = bdl__shape_count(shape);
    const int64_t last = shape->rank > 0 ? shape->dim[shape->rank - 1] : 1;
    BDL__CHECK(n == 1 || n == last || n == count, BDL_ERR_INVALID_ARGUMENT,
               "%s must have 1, %" PRId64 " or %" PRId64 " numbers, got %" PRId64, what, last,
               count, n);
    return BDL_OK;
}

static bdl_status element_infer(const void *params, const bdl__infer_in *in, bdl__decl *decl)
{
    const element_params *p = params;
    BDL__TRY(bdl__need_float(in, 0));
    const bool is_one = bdl__both_single(in);
    if (!is_one && !bdl__shape_equal(&in->shape[0], &in->shape[1])) {
        char text[BDL__SHAPE_TEXT_SIZE];
        BDL__CHECK(!in->integer[1], BDL_ERR_SHAPE,
                   "compares numbers, but the labels are classes and the model gives %s scores: use "
                   "cross_entropy or nll",
                   bdl__shape_text(&in->shape[0], text, sizeof text));
        return bdl__fail_pair(in, "two tensors of one shape");
    }
    if (p->weights != NULL) {
        int64_t n = 0;
        BDL__TRY(read_weights(p->weights, 0, NULL, &n));
        BDL__TRY(check_length(&in->shape[0], "weights", n));
    }
    return declare(decl);
}

static bdl_status bce_with_logits_infer(const void *params, const bdl__infer_in *in,
                                        bdl__decl *decl)
{
    const element_params *p = params;
    BDL__TRY(check_length(&in->shape[0], "pos_weight", p->pos_weight.n));
    return element_infer(params, in, decl);
}

/* ---- class criterions ------------------------------------------------------------------------ */

static bdl_status class_plan(bdl__planner *planner, bdl__step *step)
{
    const class_params *p = step->params;
    const bdl__shape *src = &step->src_shape[0];
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(bdl__class_loss), &memory));
    bdl__class_loss *loss = step->state = memory;
    *loss = (bdl__class_loss){
        .n_classes = src->dim[0],
        .n_positions = bdl__shape_count(src) / src->dim[0],
        .ignore_index = (int32_t)p->ignore_index,
        .smoothing = p->label_smoothing,
        .weights_sum = (double)src->dim[0],
        .is_mean = p->reduction.i == REDUCTION_MEAN,
        .is_log = p->log_prob,
    };
    if (p->weights != NULL) {
        int64_t n = 0;
        BDL__TRY(plan_weights(planner, p->weights, &loss->weights, &n));
        loss->weights_sum = 0;
        for (int64_t c = 0; c < n; c++) {
            loss->weights_sum += loss->weights[c];
        }
    }
    return BDL_OK;
}

static void nll_forward(const bdl__step *step, bdl__cx *cx)
{
    bdl__loss_kernels(step->target)
        ->nll_forward(step->state, cx->src[0].data, cx->src[1].data, cx->dst[0].data);
}

static void nll_backward(const bdl__step *step, bdl__cx *cx)
{
    if (cx->diff_src_mode[0] != BDL__SKIP) {
        bdl__loss_kernels(step->target)
            ->nll_backward(step->state, cx->src[0].data, cx->src[1].data, cx->diff_src[0].data,
                           cx->diff_src_mode[0] == BDL__ADD);
    }
}

static bdl_status cross_entropy_plan(bdl__planner *planner, bdl__step *step)
{
    BDL__TRY(class_plan(planner, step));
    const bdl__class_loss *loss = step->state;
    if (!step->is_training) {
        return BDL_OK;
    }
    return bdl__plan_save(planner, step, 0, 2 * (size_t)loss->n_positions * step->real_size);
}

static void cross_entropy_forward(const bdl__step *step, bdl__cx *cx)
{
    const bool has_labels = step->src_integer[1];
    void *target = cx->src[1].data;
    bdl__loss_kernels(step->target)
        ->cross_entropy_forward(step->state, cx->src[0].data, has_labels ? target : NULL,
                                has_labels ? NULL : target, cx->dst[0].data,
                                step->is_training ? cx->saved[0].data : NULL);
}

static void cross_entropy_backward(const bdl__step *step, bdl__cx *cx)
{
    const bool has_labels = step->src_integer[1];
    void *target = cx->src[1].data;
    if (cx->diff_src_mode[0] != BDL__SKIP) {
        bdl__loss_kernels(step->target)
            ->cross_entropy_backward(step->state, cx->src[0].data, has_labels ? target : NULL,
                                     has_labels ? NULL : target, cx->saved[0].data,
                                     cx->diff_src[0].data, cx->diff_src_mode[0] == BDL__ADD);
    }
}

/* ---- criterions of elements ------------------------------------------------------------------ */

/* A descriptor, and which criterion it is. */
typedef struct element_layer {
    bdl__layer layer; /* first: hooks find the rest from it */
    bdl__element_loss_kind kind;
} element_layer;

static int kind_of(const bdl__step *step)
{
    return (int)((const element_layer *)(const void *)step->layer)->kind;
}

static bdl_status element_plan(bdl__planner *planner, bdl__step *step)
{
    const element_params *p = step->params;
    void *memory;
    BDL__TRY(bdl__plan_alloc(planner, sizeof(bdl__element_loss), &memory));
    bdl__element_loss *loss = step->state = memory;
    *loss = (bdl__element_loss){
        .n = bdl__shape_count(&step->src_shape[0]),
        .n_params = 1,
        .params = &p->beta,
        .is_mean = p->reduction.i == REDUCTION_MEAN,
    };
    if (kind_of(step) == BDL__ELEMENT_LOSS_bce_with_logits) {
        loss->n_params = p->pos_weight.n;
        loss->params = p->pos_weight.v;
    }
    if (p->weights != NULL) {
        BDL__TRY(plan_weights(planner, p->weights, &loss->weights, &loss->n_weights));
    }
    return BDL_OK;
}

static void element_forward(const bdl__step *step, bdl__cx *cx)
{
    const bool has_labels = step->src_integer[1];
    void *target = cx->src[1].data;
    bdl__loss_kernels(step->target)
        ->element_loss_forward(kind_of(step), step->state, cx->src[0].data,
                               has_labels ? target : NULL, has_labels ? NULL : target,
                               cx->dst[0].data);
}

static void element_backward(const bdl__step *step, bdl__cx *cx)
{
    const bool has_labels = step->src_integer[1];
    void *target = cx->src[1].data;
    if (cx->diff_src_mode[0] != BDL__SKIP) {
        bdl__loss_kernels(step->target)
            ->element_loss_backward(kind_of(step), step->state, cx->src[0].data,
                                    has_labels ? target : NULL, has_labels ? NULL : target,
                                    cx->diff_src[0].data, cx->diff_src_mode[0] == BDL__ADD);
    }
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static const bdl__layer nll = {
    .name = "nll",
    .names = {.pytorch = "NLLLoss", .torch = "ClassNLLCriterion"},
    .since = "0.1",
    .summary = "Negative log-likelihood of the label.",
    .doc =
        "-w_y x_y for inputs (classes, ...), usually from log_softmax, and labels (...) from 0. A "
        "label out of range makes the loss NaN.",
    .schema = BDL_SCHEMA("nll", nll_fields, class_params),
    .ports = "input,target",
    .kind = BDL__CRITERION,
    .infer = nll_infer,
    .plan = class_plan,
    .forward = nll_forward,
    .backward = nll_backward,
};

static const bdl__layer cross_entropy = {
    .name = "cross_entropy",
    .names = {.pytorch = "CrossEntropyLoss", .torch = "CrossEntropyCriterion"},
    .since = "0.1",
    .summary = "Negative log-likelihood of the label under softmax of the scores.",
    .doc =
        "-sum_c u_c log softmax(x)_c for scores (classes, ...) and labels (...) from 0, with u_c = "
        "(1 - label_smoothing) w_y [c = y] + label_smoothing / classes w_c; or for targets that "
        "are probabilities of the scores' shape. A label out of range makes the loss NaN.",
    .schema = BDL_SCHEMA("cross_entropy", cross_entropy_fields, class_params),
    .ports = "input,target",
    .kind = BDL__CRITERION,
    .infer = cross_entropy_infer,
    .plan = cross_entropy_plan,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward,
};

#define ELEMENT_HOOKS                                                                              \
    .ports = "input,target", .kind = BDL__CRITERION, .plan = element_plan,                         \
    .forward = element_forward, .backward = element_backward

static const element_layer mse = {
    .layer = {ELEMENT_HOOKS, .name = "mse",
              .names = {.pytorch = "MSELoss", .torch = "MSECriterion"}, .since = "0.1",
              .summary = "Squared difference.", .doc = "(x - t)^2 of two tensors of one shape.",
              .schema = BDL_SCHEMA("mse", distance_fields, element_params), .infer = element_infer},
    .kind = BDL__ELEMENT_LOSS_mse,
};

static const element_layer l1 = {
    .layer = {ELEMENT_HOOKS, .name = "l1", .names = {.pytorch = "L1Loss", .torch = "AbsCriterion"},
              .since = "0.1", .summary = "Absolute difference.",
              .doc = "|x - t| of two tensors of one shape; the gradient at 0 is 0.",
              .schema = BDL_SCHEMA("l1", distance_fields, element_params), .flags = BDL__HAS_KINKS,
              .infer = element_infer},
    .kind = BDL__ELEMENT_LOSS_l1,
};

static const element_layer smooth_l1 = {
    .layer = {ELEMENT_HOOKS, .name = "smooth_l1",
              .names = {.pytorch = "SmoothL1Loss", .torch = "SmoothL1Criterion"}, .since = "0.1",
              .summary = "Squared difference near zero, absolute beyond.",
              .doc = "d^2 / (2 beta) where d = |x - t| is below beta, else d - beta / 2; two "
                     "tensors of one shape.",
              .schema = BDL_SCHEMA("smooth_l1", smooth_l1_fields, element_params),
              .flags = BDL__HAS_KINKS, .infer = element_infer},
    .kind = BDL__ELEMENT_LOSS_smooth_l1,
};

static const element_layer bce = {
    .layer = {ELEMENT_HOOKS, .name = "bce",
              .names = {.pytorch = "BCELoss", .torch = "BCECriterion"}, .since = "0.1",
              .summary = "Cross entropy of a probability and a target between 0 and 1.",
              .doc = "-w (t log x + (1 - t) log(1 - x)) of two tensors of one shape, logarithms "
                     "being at least -100.",
              .schema = BDL_SCHEMA("bce", bce_fields, element_params), .infer = element_infer},
    .kind = BDL__ELEMENT_LOSS_bce,
};

static const element_layer bce_with_logits = {
    .layer = {ELEMENT_HOOKS, .name = "bce_with_logits", .names = {.pytorch = "BCEWithLogitsLoss"},
              .since = "0.1", .summary = "Cross entropy of a score and a target between 0 and 1.",
              .doc = "-w (pos_weight t log s + (1 - t) log(1 - s)), s = sigmoid(x), of two tensors "
                     "of one shape, without overflow.",
              .schema = BDL_SCHEMA("bce_with_logits", bce_with_logits_fields, element_params),
              .infer = bce_with_logits_infer},
    .kind = BDL__ELEMENT_LOSS_bce_with_logits,
};

BDL_LAYER_FAMILY(loss, &bce.layer, &bce_with_logits.layer, &cross_entropy, &l1.layer, &mse.layer,
                 &nll, &smooth_l1.layer)
