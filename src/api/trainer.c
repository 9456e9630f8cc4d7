/* SPDX-License-Identifier: Apache-2.0 */
/* Public training: options in, events out. */
#include "api/api.h"

struct bdl_trainer {
    bdl_context *context;
    bdl__arena arena; /* the texts of the params */
    bdl__train_params params;
    bdl__trainer *trainer;
    bdl_event_fn fn;
    void *user;
};

static bdl_status create(bdl_trainer *trainer, const bdl_options *options, bdl_model *model,
                         const bdl_data *data, const bdl_data *val)
{
    bdl__session session = bdl__context_session(trainer->context);
    bdl__train_sources sources = {0};
    const char *given[3];
    int64_t n_given = 0;
    if (model) {
        BDL__TRY(bdl__model_need_finished(model));
        sources.model = model->saved;
        given[n_given++] = "model";
    }
    if (data) {
        BDL__TRY(bdl__data_need_finished(data));
        sources.data = data->dataset;
        given[n_given++] = "data";
    }
    if (val) {
        BDL__TRY(bdl__data_need_finished(val));
        sources.val = val->dataset;
        given[n_given++] = "val";
    }
    BDL__TRY(bdl__options_read_given(options, "train", given, n_given, &trainer->arena,
                                     &trainer->params));
    session.group = options->group;
    return bdl__trainer_create(&session, &trainer->params, &sources, &trainer->trainer);
}

bdl_status bdl_trainer_create_on(bdl_context *context, const bdl_options *options, bdl_model *model,
                                 const bdl_data *data, const bdl_data *val, bdl_trainer **trainer)
{
    BDL__TRY(bdl__need_arguments(context && options && trainer, __func__));
    void *memory = NULL;
    BDL__TRY(bdl__context_use(context));
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **trainer, &memory));
    bdl_trainer *const made = memory;
    made->context = context;
    bdl__arena_init(&made->arena, &context->allocator);
    const bdl_status status = create(made, options, model, data, val);
    if (status != BDL_OK) {
        bdl_trainer_free(made);
        return status;
    }
    *trainer = made;
    return BDL_OK;
}

bdl_status bdl_trainer_create(bdl_context *context, const bdl_options *options,
                              bdl_trainer **trainer)
{
    return bdl_trainer_create_on(context, options, NULL, NULL, NULL, trainer);
}

static void pass_event(void *arg, const bdl__event *e)
{
    const bdl_trainer *const trainer = arg;
    const bdl_event event = {.struct_size = sizeof event,
                             .kind = (int32_t)e->kind,
                             .epoch = e->epoch,
                             .iteration = e->iteration,
                             .step = e->step,
                             .steps = e->steps,
                             .loss = e->loss,
                             .rate = e->rate,
                             .samples_per_second = e->samples_per_second,
                             .seconds = e->seconds,
                             .n_metrics = e->n_metrics,
                             .metric_names = e->metric_names,
                             .metrics = e->metrics,
                             .path = e->path,
                             .reason = e->reason,
                             .condition = e->condition,
                             .shards = e->shards,
                             .epochs = e->epochs,
                             .seconds_left = e->seconds_left};
    trainer->fn(trainer->user, &event);
}

bdl_status bdl_trainer_run(bdl_trainer *trainer, bdl_event_fn fn, void *user)
{
    BDL__TRY(bdl__need_arguments(trainer != NULL, __func__));
    trainer->fn = fn;
    trainer->user = user;
    BDL__TRY(bdl__context_use(trainer->context));
    BDL__TRY(bdl__trainer_run(trainer->trainer, fn ? pass_event : NULL, trainer));
    const char *const directory = trainer->params.save;
    const bool is_writer = bdl__trainer_is_writer(trainer->trainer);
    return directory && *directory && is_writer ? bdl_trainer_save(trainer, directory) : BDL_OK;
}

void bdl_trainer_stop(bdl_trainer *trainer)
{
    if (trainer) {
        bdl__trainer_stop(trainer->trainer);
    }
}

bdl_status bdl_trainer_save(const bdl_trainer *trainer, const char *directory)
{
    BDL__TRY(bdl__need_arguments(trainer && directory, __func__));
    return bdl__saved_write(bdl__trainer_saved(trainer->trainer), directory);
}

bdl_status bdl_trainer_checkpoint(bdl_trainer *trainer, const char *path)
{
    BDL__TRY(bdl__need_arguments(trainer && path, __func__));
    return bdl__trainer_checkpoint(trainer->trainer, path);
}

void bdl_trainer_fingerprint(const bdl_trainer *trainer, char hex[65])
{
    bdl__trainer_fingerprint(trainer->trainer, hex);
}

void bdl_trainer_free(bdl_trainer *trainer)
{
    if (trainer) {
        bdl_context *const context = trainer->context;
        bdl__trainer_free(trainer->trainer);
        bdl__arena_free(&trainer->arena);
        bdl__free(&context->allocator, trainer, sizeof *trainer);
    }
}
