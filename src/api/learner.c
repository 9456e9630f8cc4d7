/* SPDX-License-Identifier: Apache-2.0 */
/* Public manual training. */
#include "api/api.h"
#include "train/learner.h"

struct bdl_learner {
    bdl_context *context;
    bdl_model *model; /* borrowed */
    bdl__learner *learner;
};

static bdl_status create(bdl_learner *learner, const bdl_options *options)
{
    const bdl__session session = bdl__context_session(learner->context);
    bdl__arena arena;
    bdl__learn_params params;
    bdl__arena_init(&arena, &learner->context->allocator);
    bdl_status status = bdl__options_read(options, "learn", &arena, &params);
    if (status == BDL_OK) {
        status = bdl__learner_create(&session, learner->model->saved, &params, &learner->learner);
    }
    bdl__arena_free(&arena);
    return status;
}

bdl_status bdl_learner_create(bdl_context *context, const bdl_options *options, bdl_model *model,
                              bdl_learner **learner)
{
    BDL__TRY(bdl__need_arguments(context && options && model && learner, __func__));
    void *memory = NULL;
    BDL__TRY(bdl__context_use(context));
    BDL__TRY(bdl__model_need_finished(model));
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **learner, &memory));
    bdl_learner *const made = memory;
    made->context = context;
    made->model = model;
    const bdl_status status = create(made, options);
    if (status != BDL_OK) {
        bdl_learner_free(made);
        return status;
    }
    *learner = made;
    return BDL_OK;
}

void bdl_learner_free(bdl_learner *learner)
{
    if (learner) {
        bdl_context *const context = learner->context;
        bdl__learner_free(learner->learner);
        bdl__free(&context->allocator, learner, sizeof *learner);
    }
}

bdl_status bdl_learner_forward(bdl_learner *learner, int64_t n, const float *src, float *dst)
{
    BDL__TRY(bdl__need_arguments(learner && src && dst, __func__));
    return bdl__learner_forward(learner->learner, n, src, dst);
}

bdl_status bdl_learner_backward(bdl_learner *learner, const float *diff_dst, float *diff_src)
{
    BDL__TRY(bdl__need_arguments(learner && diff_dst, __func__));
    return bdl__learner_backward(learner->learner, diff_dst, diff_src);
}

bdl_status bdl_learner_loss(bdl_learner *learner, int64_t n, const float *src, const double *labels,
                            const float *targets, double *loss)
{
    BDL__TRY(bdl__need_arguments(learner && src && loss, __func__));
    return bdl__learner_loss(learner->learner, n, src, labels, targets, loss);
}

bdl_status bdl_learner_step(bdl_learner *learner, double rate)
{
    BDL__TRY(bdl__need_arguments(learner != NULL, __func__));
    return bdl__learner_step(learner->learner, rate);
}

bdl_status bdl_learner_zero_grad(bdl_learner *learner)
{
    BDL__TRY(bdl__need_arguments(learner != NULL, __func__));
    BDL__TRY(bdl__context_use(learner->context));
    bdl__learner_zero_grad(learner->learner);
    return BDL_OK;
}

bdl_status bdl_learner_grad(const bdl_learner *learner, int64_t i, float **grad)
{
    BDL__TRY(bdl__need_arguments(learner && grad, __func__));
    const int64_t n = bdl_model_n_params(learner->model);
    BDL__CHECK(i >= 0 && i < n, BDL_ERR_INVALID_ARGUMENT,
               "the model has %lld weight tensor%s, there is no number %lld",
               (long long)n, bdl__plural(n), (long long)i);
    *grad = bdl__learner_grad(learner->learner, i);
    return BDL_OK;
}
