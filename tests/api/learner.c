/* SPDX-License-Identifier: Apache-2.0 */
/* Training by hand: against the trainer to the bit, against differences of losses, and misuse. */
#include <bdl/bdl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { N = 21, COUNT = 6, N_CLASSES = 3, HIDDEN = 5 };

typedef struct fixture {
    bdl_context *context;
    bdl_options *options;
    bdl_model *model;
    bdl_learner *learner;
    float src[N * COUNT];
    double labels[N];
} fixture;

static float noise(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(*state >> 40) / 8388608.0f - 1.0f;
}

/* linear, batch norm, tanh, dropout, linear. */
static void open_all(fixture *f, const char *dropout, const char *loss)
{
    const int64_t shape[1] = {COUNT};
    bdl_context_options options;
    uint64_t state = 99;
    memset(f, 0, sizeof *f);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.n_threads = 2;
    REQUIRE_OK(bdl_context_create(&options, &f->context));
    REQUIRE_OK(bdl_model_create(f->context, "net", &f->model));
    REQUIRE_OK(bdl_model_add_input(f->model, "input", shape, 1));
    REQUIRE_OK(bdl_model_add(f->model, "linear", "a", "{\"out_features\":5}", NULL, 0));
    REQUIRE_OK(bdl_model_add(f->model, "batch_norm", "n", NULL, NULL, 0));
    REQUIRE_OK(bdl_model_add(f->model, "tanh", NULL, NULL, NULL, 0));
    REQUIRE_OK(bdl_model_add(f->model, "dropout", NULL, dropout, NULL, 0));
    REQUIRE_OK(bdl_model_add(f->model, "linear", "b", "{\"out_features\":3}", NULL, 0));
    REQUIRE_OK(bdl_model_finish(f->model, 1));
    REQUIRE_OK(bdl_options_create(f->context, "learn", &f->options));
    REQUIRE_OK(bdl_options_set(f->options, "optim", "sgd(lr=0.1, momentum=0.9)"));
    REQUIRE_OK(bdl_options_set(f->options, "loss", loss));
    REQUIRE_OK(bdl_learner_create(f->context, f->options, f->model, &f->learner));
    for (int i = 0; i < N; i++) {
        f->labels[i] = i % N_CLASSES;
        for (int k = 0; k < COUNT; k++) {
            f->src[i * COUNT + k] = noise(&state);
        }
    }
}

static void close_all(fixture *f)
{
    bdl_learner_free(f->learner);
    bdl_options_free(f->options);
    bdl_model_free(f->model);
    bdl_context_free(f->context);
}

static float *values_of(const bdl_model *model, int64_t i, int64_t *count)
{
    const char *name = NULL;
    bdl_dtype dtype;
    int64_t shape[BDL_MAX_RANK];
    int32_t rank = 0;
    void *data = NULL;
    CHECK_OK(bdl_model_param(model, i, &name, &dtype, shape, &rank, &data));
    *count = 1;
    for (int k = 0; k < rank; k++) {
        *count *= shape[k];
    }
    return (float *)data;
}

/* All rows are one row, so that the trainer's order of them does not matter. */
BDL_TEST(steps_by_hand_are_those_of_the_trainer_to_the_bit)
{
    fixture f;
    bdl_data_options rows;
    bdl_data *data = NULL;
    bdl_model *other = NULL;
    bdl_options *options = NULL;
    bdl_trainer *trainer = NULL;
    double loss = 0;
    open_all(&f, "{\"p\":0.3}", "");
    for (int i = 1; i < N; i++) {
        memcpy(f.src + i * COUNT, f.src, COUNT * sizeof(float));
        f.labels[i] = f.labels[0];
    }
    memset(&rows, 0, sizeof rows);
    rows.struct_size = sizeof rows;
    rows.dtype = BDL_F32;
    rows.rank = 1;
    rows.shape[0] = COUNT;
    rows.label_kind = BDL_LABEL_CLASS;
    rows.n_classes = N_CLASSES;
    REQUIRE_OK(bdl_data_wrap(f.context, &rows, N, f.src, f.labels, NULL, NULL, &data));
    REQUIRE_OK(bdl_model_clone(f.model, &other));
    REQUIRE_OK(bdl_options_create(f.context, "train", &options));
    REQUIRE_OK(bdl_options_set(options, "batch", "21"));
    REQUIRE_OK(bdl_options_set(options, "iterations", "5"));
    REQUIRE_OK(bdl_options_set(options, "optim", "sgd(lr=0.1, momentum=0.9)"));
    REQUIRE_OK(bdl_trainer_create_on(f.context, options, other, data, NULL, &trainer));
    REQUIRE_OK(bdl_trainer_run(trainer, NULL, NULL));
    for (int i = 0; i < 5; i++) {
        REQUIRE_OK(bdl_learner_zero_grad(f.learner));
        REQUIRE_OK(bdl_learner_loss(f.learner, N, f.src, f.labels, NULL, &loss));
        REQUIRE_OK(bdl_learner_step(f.learner, 0));
    }
    for (int64_t i = 0; i < bdl_model_n_params(f.model); i++) {
        int64_t count = 0;
        const float *const mine = values_of(f.model, i, &count);
        CHECK(memcmp(mine, values_of(other, i, &count), (size_t)count * sizeof(float)) == 0);
    }
    bdl_trainer_free(trainer);
    bdl_options_free(options);
    bdl_model_free(other);
    bdl_data_free(data);
    close_all(&f);
}

static double loss_of(fixture *f)
{
    double loss = 0;
    CHECK_OK(bdl_learner_loss(f->learner, N, f->src, f->labels, NULL, &loss));
    return loss;
}

BDL_TEST(gradients_are_differences_of_losses_and_add_up)
{
    fixture f;
    open_all(&f, "{\"p\":0.0}", "cross_entropy");
    float *grad = NULL;
    const double step = 1e-2;
    for (int64_t i = 0; i < bdl_model_n_params(f.model); i++) {
        int64_t count = 0;
        float *const values = values_of(f.model, i, &count);
        for (int64_t k = 0; k < count; k += 3) {
            const float kept = values[k];
            values[k] = kept + (float)step;
            REQUIRE_OK(bdl_model_touch(f.model));
            const double above = loss_of(&f);
            values[k] = kept - (float)step;
            REQUIRE_OK(bdl_model_touch(f.model));
            const double below = loss_of(&f);
            values[k] = kept;
            REQUIRE_OK(bdl_model_touch(f.model));
            REQUIRE_OK(bdl_learner_zero_grad(f.learner));
            loss_of(&f);
            loss_of(&f);
            REQUIRE_OK(bdl_learner_grad(f.learner, i, &grad));
            CHECK_NEAR(grad[k] / 2, (above - below) / (2 * step), 1e-3);
        }
    }
    CHECK_EQ_I64(bdl_learner_grad(f.learner, 99, &grad), BDL_ERR_INVALID_ARGUMENT);
    close_all(&f);
}

/* Half the mean squared error by hand: its gradient by the output goes back through the net. */
BDL_TEST(backward_after_forward_is_the_gradient_of_a_loss_outside)
{
    fixture f;
    float dst[N * N_CLASSES], target[N * N_CLASSES], diff[N * N_CLASSES], diff_src[N * COUNT];
    float by_hand[64], mean[HIDDEN];
    double loss = 0;
    uint64_t state = 7;
    float *grad = NULL;
    int64_t count = 0;
    open_all(&f, "{\"p\":0.4}", "mse");
    bdl_model *same = NULL;
    bdl_learner *other = NULL;
    const char *name = NULL;
    bdl_dtype dtype;
    int64_t shape[BDL_MAX_RANK];
    int32_t rank = 0;
    void *buffer = NULL;
    REQUIRE_OK(bdl_model_clone(f.model, &same));
    REQUIRE_OK(bdl_learner_create(f.context, f.options, same, &other));
    for (int i = 0; i < N * N_CLASSES; i++) {
        target[i] = noise(&state);
    }
    REQUIRE_OK(bdl_learner_forward(f.learner, N, f.src, dst));
    for (int i = 0; i < N * N_CLASSES; i++) {
        diff[i] = 2 * (dst[i] - target[i]) / (N * N_CLASSES);
        loss += (dst[i] - target[i]) * (dst[i] - target[i]) / (N * N_CLASSES);
    }
    REQUIRE_OK(bdl_learner_backward(f.learner, diff, diff_src));
    /* the same loss inside, on a copy of the model: same dropout, same gradients */
    double inside = 0;
    REQUIRE_OK(bdl_learner_loss(other, N, f.src, NULL, target, &inside));
    CHECK_NEAR(inside, loss, 1e-6);
    for (int64_t i = 0; i < bdl_model_n_params(f.model); i++) {
        values_of(f.model, i, &count);
        REQUIRE_OK(bdl_learner_grad(f.learner, i, &grad));
        memcpy(by_hand, grad, (size_t)count * sizeof(float));
        REQUIRE_OK(bdl_learner_grad(other, i, &grad));
        for (int64_t k = 0; k < count; k++) {
            CHECK_NEAR(by_hand[k], grad[k], 1e-6);
        }
    }
    /* the batch counted once in the running statistics */
    REQUIRE_OK(bdl_model_buffer(f.model, 0, &name, &dtype, shape, &rank, &buffer));
    memcpy(mean, buffer, sizeof mean);
    REQUIRE_OK(bdl_model_buffer(same, 0, &name, &dtype, shape, &rank, &buffer));
    CHECK(memcmp(mean, buffer, sizeof mean) == 0);
    CHECK(mean[0] > 0 || mean[0] < 0);
    /* the input's gradient sums to nothing but zero only by accident */
    double sum = 0;
    for (int i = 0; i < N * COUNT; i++) {
        sum += fabs(diff_src[i]);
    }
    CHECK(sum > 1e-4);
    CHECK_EQ_I64(bdl_learner_backward(f.learner, diff, NULL), BDL_ERR_STATE);
    bdl_learner_free(other);
    bdl_model_free(same);
    close_all(&f);
}

/* All gradients and running buffers, one after the other. */
static int copy_state(const fixture *f, float *to)
{
    int n = 0;
    for (int64_t i = 0; i < bdl_model_n_params(f->model) + bdl_model_n_buffers(f->model); i++) {
        const int64_t i_buffer = i - bdl_model_n_params(f->model);
        const char *name;
        int64_t shape[BDL_MAX_RANK], count = 1;
        bdl_dtype dtype;
        int32_t rank;
        void *data;
        float *values;
        CHECK_OK(i_buffer < 0 ? bdl_model_param(f->model, i, &name, &dtype, shape, &rank, &data)
                              : bdl_model_buffer(f->model, i_buffer, &name, &dtype, shape, &rank, &data));
        values = (float *)data;
        if (i_buffer < 0) {
            CHECK_OK(bdl_learner_grad(f->learner, i, &values));
        }
        for (int32_t k = 0; k < rank; k++) {
            count *= shape[k];
        }
        memcpy(to + n, values, (size_t)count * sizeof *to);
        n += (int)count;
    }
    return n;
}

BDL_TEST(a_loss_that_is_no_number_changes_nothing)
{
    fixture f;
    double loss = 0;
    float before[256], after[256];
    open_all(&f, "{\"p\":0.0}", "");
    CHECK_OK(bdl_learner_loss(f.learner, N, f.src, f.labels, NULL, &loss));
    const int n = copy_state(&f, before);
    f.src[8] = NAN;
    CHECK_EQ_I64(bdl_learner_loss(f.learner, N, f.src, f.labels, NULL, &loss), BDL_ERR_NUMERIC);
    CHECK_EQ_I64(copy_state(&f, after), n);
    CHECK(memcmp(before, after, (size_t)n * sizeof before[0]) == 0);
    CHECK_OK(bdl_learner_step(f.learner, 0));
    close_all(&f);
}

BDL_TEST(a_rate_that_is_none_is_refused)
{
    static const double rates[] = {-0.1, NAN, HUGE_VAL};
    fixture f;
    open_all(&f, "{\"p\":0.0}", "");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_I64(bdl_learner_step(f.learner, rates[i]), BDL_ERR_INVALID_ARGUMENT);
        CHECK_STR_HAS(bdl_last_error(), "the learning rate must be a finite number, at least 0");
    }
    close_all(&f);
}

BDL_TEST(what_a_learner_cannot_take_is_refused)
{
    fixture f;
    double loss = 0;
    open_all(&f, "{\"p\":0.0}", "");
    f.labels[4] = 3;
    CHECK_EQ_I64(bdl_learner_loss(f.learner, N, f.src, f.labels, NULL, &loss), BDL_ERR_INVALID_ARGUMENT);
    CHECK_STR_HAS(bdl_last_error(), "sample 4");
    CHECK_STR_HAS(bdl_last_error(), "from 0 to 2, found 3");
    CHECK_EQ_I64(bdl_learner_loss(f.learner, N, f.src, NULL, NULL, &loss), BDL_ERR_INVALID_ARGUMENT);
    CHECK_EQ_I64(bdl_learner_loss(f.learner, 0, f.src, f.labels, NULL, &loss), BDL_ERR_INVALID_ARGUMENT);
    f.labels[4] = 1;
    f.src[8] = NAN;
    CHECK_EQ_I64(bdl_learner_loss(f.learner, N, f.src, f.labels, NULL, &loss), BDL_ERR_NUMERIC);
    CHECK_STR_HAS(bdl_last_error(), "'a'");
    bdl_learner *other = NULL;
    REQUIRE_OK(bdl_options_set(f.options, "precision", "f64"));
    CHECK_EQ_I64(bdl_learner_create(f.context, f.options, f.model, &other), BDL_ERR_UNSUPPORTED);
    close_all(&f);
}

BDL_TEST_MAIN(steps_by_hand_are_those_of_the_trainer_to_the_bit,
              gradients_are_differences_of_losses_and_add_up,
              backward_after_forward_is_the_gradient_of_a_loss_outside,
              a_loss_that_is_no_number_changes_nothing, a_rate_that_is_none_is_refused,
              what_a_learner_cannot_take_is_refused)
