/* SPDX-License-Identifier: Apache-2.0 */
/* The training loop: iterations, epochs, validation, checkpoints, stop conditions, reports. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "train/checkpoint_file.h"
#include "train/trainer.h"

#define SLOW_SECONDS 0.25 /* against them, another exchange of flags is nothing */

/* ---- one iteration ------------------------------------------------------------------------------ */

static bdl_status fail_nonfinite(bdl__trainer *t, const bdl__batch *batch)
{
    const char *node = NULL;
    BDL__TRY(bdl__runner_find_nonfinite(t->runner, batch, (uint64_t)t->params.seed,
                                        (uint64_t)t->position.iteration, &node));
    BDL__FAIL(BDL_ERR_NUMERIC,
              "the loss is not a finite number in iteration %lld (epoch %lld, step %lld): the first "
              "layer with such values is '%s'. A smaller learning rate, clipping or a check of the "
              "data may help",
              (long long)t->position.iteration + 1, (long long)t->position.epoch + 1,
              (long long)t->position.step + 1, node ? node : "the loss itself");
}

static bdl__progress progress_of(const bdl__trainer *t)
{
    return (bdl__progress){.iteration = t->position.iteration,
                           .epoch = t->position.epoch,
                           .i_in_epoch = t->position.step,
                           .epoch_iterations = t->steps};
}

/* With other ranks: whose slices are whose, and what this rank wants all to know. */
static bdl_status place_batch(bdl__trainer *t, const bdl__batch *batch)
{
    const bool is_time = t->params.seconds > 0 && bdl__now() - t->start >= t->params.seconds;
    if (!t->ranks) {
        t->is_time = is_time;
        return BDL_OK;
    }
    bdl__ranks_begin(t->ranks, (is_time ? BDL__RANKS_TIME : 0) | (t->is_slow ? BDL__RANKS_SLOW : 0));
    return bdl__ranks_place(t->ranks, t->batcher, t->n_slices, t->n_shards, batch);
}

/* Runs the batch; with other ranks, when all have agreed to give it up, nothing of it is left. */
static bdl_status run_batch(bdl__trainer *t, const bdl__batch *batch, bdl__exec **exec)
{
    if (t->ranks) {
        BDL__TRY(bdl__trainer_begin_update(t));
    }
    const bdl_status status =
        bdl__runner_run(t->runner, batch, (uint64_t)t->params.seed, (uint64_t)t->position.iteration,
                        bdl__trainer_update, t, exec);
    if (t->ranks && status == BDL_ERR_CANCELLED) {
        BDL__TRY(bdl__trainer_give_up(t));
    }
    return status;
}

static bdl_status train_batch(bdl__trainer *t, const bdl__batch *batch)
{
    const bdl__progress progress = progress_of(t);
    const double start = bdl__now();
    bdl__exec *exec = NULL;
    BDL__TRY(place_batch(t, batch));
    t->rate = bdl__schedule_rate(t->schedule, bdl__optim_lr(t->optim), &progress);
    BDL__TRY(run_batch(t, batch, &exec));
    BDL__TRY(t->update_status);
    const double *const heads = bdl__exec_heads(exec);
    t->loss = heads[0] / (heads[1] > 0 ? heads[1] : 1);
    if (!isfinite(t->loss)) {
        return fail_nonfinite(t, batch);
    }
    if (t->ranks) {
        BDL__TRY(bdl__together_follow(t));
        t->is_time = t->ranks->flags & BDL__RANKS_TIME;
    }
    t->saved->model->weights_version++;
    t->position.iteration++;
    t->position.step++;
    t->position.epoch_loss += heads[0];
    t->position.epoch_divisor += heads[1];
    t->n_samples += batch->whole_samples;
    t->is_slow = bdl__now() - start > SLOW_SECONDS;
    return BDL_OK;
}

/* ---- reports ------------------------------------------------------------------------------------ */

/* By the speed so far: to the end of training where it is known, else to the end of the epoch. */
static double seconds_left(const bdl__trainer *t, double training)
{
    const int64_t done = t->position.iteration - t->first_iteration;
    int64_t end = t->position.iteration - t->position.step + t->steps;
    if (t->max_epochs > 0) {
        end += (t->max_epochs - t->position.epoch - 1) * t->steps;
    }
    if (t->max_iterations > 0 && (t->max_iterations < end || t->max_epochs == 0)) {
        end = t->max_iterations;
    }
    const int64_t left = BDL__MAX(end - t->position.iteration, 0);
    return done > 0 ? training / (double)done * (double)left : NAN;
}

static bdl__event event_of(const bdl__trainer *t, bdl__event_kind kind)
{
    const double seconds = bdl__now() - t->start;
    const double training = seconds - t->validating;
    bdl__event event = {.kind = kind,
                        .epoch = t->position.epoch,
                        .iteration = t->position.iteration,
                        .step = t->position.step,
                        .steps = t->steps,
                        .loss = t->loss,
                        .rate = t->rate,
                        .samples_per_second = training > 0 ? (double)t->n_samples / training : 0,
                        .seconds = seconds,
                        .seconds_left = seconds_left(t, training),
                        .epochs = t->max_epochs,
                        .shards = t->n_shards};
    if (t->val) {
        event.n_metrics = t->heads->n;
        event.metric_names = t->heads->name;
        event.metrics = t->values;
    }
    return event;
}

static void log_event(bdl__trainer *t, const bdl__event *e)
{
    static const char *const kinds[] = {"start", "step", "validation", "epoch", "checkpoint", "end"};
    bdl__text text;
    bdl__json_writer w;
    bdl__text_init(&text, t->session.allocator);
    bdl__json_writer_init(&w, &text, 0);
    bdl__json_open(&w, '{');
    bdl__json_write_key(&w, "event");
    bdl__json_write_string(&w, kinds[e->kind]);
    bdl__json_write_key(&w, "epoch");
    bdl__json_write_i64(&w, e->epoch);
    bdl__json_write_key(&w, "iteration");
    bdl__json_write_i64(&w, e->iteration);
    bdl__json_write_key(&w, "loss");
    bdl__json_write_f64(&w, e->loss);
    bdl__json_write_key(&w, "rate");
    bdl__json_write_f64(&w, e->rate);
    bdl__json_write_key(&w, "seconds");
    bdl__json_write_f64(&w, e->seconds);
    bdl__json_write_key(&w, "samples_per_second");
    bdl__json_write_f64(&w, e->samples_per_second);
    if (e->reason) {
        bdl__json_write_key(&w, "reason");
        bdl__json_write_string(&w, e->reason);
        bdl__json_write_key(&w, "shards");
        bdl__json_write_i64(&w, e->shards);
    }
    if (e->condition) {
        bdl__json_write_key(&w, "condition");
        bdl__json_write_string(&w, e->condition);
    }
    if (e->n_metrics > 0 && e->kind != BDL__EVENT_STEP) {
        bdl__json_write_key(&w, "validation");
        bdl__json_open(&w, '{');
        for (int i = 0; i < e->n_metrics; i++) {
            bdl__json_write_key(&w, e->metric_names[i]);
            bdl__json_write_f64(&w, e->metrics[i]);
        }
        bdl__json_close(&w, '}');
    }
    bdl__json_close(&w, '}');
    bool is_written = true;
    if (bdl__text_status(&text) == BDL_OK) {
        is_written = fprintf(t->log_file, "%s\n", bdl__text_get(&text)) >= 0;
    }
    if (is_written && e->kind != BDL__EVENT_STEP) {
        is_written = fflush(t->log_file) == 0;
    }
    if (!is_written && !t->log_errno) {
        t->log_errno = errno;
    }
    bdl__text_free(&text);
}

static void report(bdl__trainer *t, const bdl__event *event)
{
    if (t->log_file) {
        log_event(t, event);
    }
    if (t->fn) {
        t->fn(t->fn_arg, event);
    }
}

static void report_kind(bdl__trainer *t, bdl__event_kind kind)
{
    const bdl__event event = event_of(t, kind);
    report(t, &event);
}

static bdl_status summarize_step(bdl__trainer *t)
{
    if (!t->train_summary) {
        return BDL_OK;
    }
    const bdl__event event = event_of(t, BDL__EVENT_STEP);
    BDL__TRY(bdl__summary_scalar(t->train_summary, "Loss", event.iteration, event.loss));
    BDL__TRY(bdl__summary_scalar(t->train_summary, "LearningRate", event.iteration, event.rate));
    return bdl__summary_scalar(t->train_summary, "Throughput", event.iteration,
                               event.samples_per_second);
}

/* ---- checkpoints, validation, conditions -------------------------------------------------------- */

/* What stop conditions know, for the checkpoint. */
static void note_results(bdl__trainer *t)
{
    bdl__position *const p = &t->position;
    p->results_key = t->results_key;
    p->n_results = isnan(t->mean_loss) ? 0 : 1 + t->heads->n;
    for (int i = 0; i < p->n_results; i++) {
        p->results[i] = i == 0 ? t->mean_loss : t->values[i - 1];
    }
}

/* Writes to `path`, or the next file of the run's directory where that is NULL. */
static bdl_status write_with(bdl__trainer *t, const bdl__checkpoint_io *io, const char *path)
{
    if (path) {
        return bdl__checkpoint_file_write(io, &t->position, path);
    }
    bdl__event event = event_of(t, BDL__EVENT_CHECKPOINT);
    bdl__arena arena;
    bdl__arena_init(&arena, t->session.allocator);
    const bdl_status status = bdl__checkpoint_write(io, &t->position, t->params.checkpoint,
                                                    t->params.keep, &arena, &event.path);
    if (status == BDL_OK) {
        report(t, &event);
    }
    bdl__arena_free(&arena);
    return status;
}

static bdl_status write_to(bdl__trainer *t, const char *path)
{
    bdl__checkpoint_io io = bdl__trainer_io(t);
    note_results(t);
    if (!t->ranks) {
        return write_with(t, &io, path);
    }
    void *states[BDL__MAX_OPTIM_STATES] = {0};
    io.states = states;
    bdl_status status = bdl__together_states(t, states);
    if (status == BDL_OK && bdl__trainer_is_writer(t)) {
        status = write_with(t, &io, path);
    }
    bdl__together_forget(t, states);
    return status;
}

static bool has_checkpoints(const bdl__trainer *t)
{
    return t->params.checkpoint && *t->params.checkpoint;
}

static bdl_status write_checkpoint(bdl__trainer *t)
{
    return has_checkpoints(t) ? write_to(t, NULL) : BDL_OK;
}

bdl_status bdl__trainer_checkpoint(bdl__trainer *t, const char *path)
{
    const bdl_status status = write_to(t, path);
    bdl__trainer_abort(t, status);
    return status;
}

/* For whoever watches: the log has no lines of it. */
static void report_validating(void *arg, int64_t n_done)
{
    bdl__trainer *const t = arg;
    if (t->fn) {
        bdl__event event = event_of(t, BDL__EVENT_VALIDATING);
        event.step = n_done;
        event.steps = t->val->n;
        t->fn(t->fn_arg, &event);
    }
}

static bdl_status validate(bdl__trainer *t)
{
    if (!t->val) {
        return BDL_OK;
    }
    const double start = bdl__now();
    double values[BDL__MAX_HEADS];
    int64_t n = 0;
    const bdl__evaluation how = {.dataset = t->val,
                                 .chain = t->chain,
                                 .heads = t->heads,
                                 .precision = t->precision,
                                 .batch = bdl__trainer_val_batch(t, t->val->n),
                                 .most_broken = t->params.most_broken,
                                 .on_batch = report_validating,
                                 .arg = t};
    BDL__TRY(bdl__evaluate(&t->session, t->saved, &how, values, &n));
    memcpy(t->values, values, (size_t)t->heads->n * sizeof *values);
    t->validated = t->position.iteration;
    t->validating += bdl__now() - start;
    for (int i = 0; i < t->heads->n && t->val_summary; i++) {
        BDL__TRY(bdl__summary_scalar(t->val_summary, t->heads->name[i], t->position.iteration,
                                     t->values[i]));
    }
    return BDL_OK;
}

/* What the schedule wants to know: a metric by name, or the loss. */
static double observed(const bdl__trainer *t, const char *monitor)
{
    if (strcmp(monitor, "loss") == 0) {
        return t->val ? t->values[0] : t->mean_loss;
    }
    for (int i = 1; i < t->heads->n; i++) {
        if (strcmp(monitor, t->heads->name[i]) == 0 || strcmp(monitor, "score") == 0) {
            return t->values[i];
        }
    }
    return NAN;
}

/* What follows an epoch, the position standing at the beginning of the next. A cancel during the
 * validation leaves it due: a resumed run begins with it. */
static bdl_status end_epoch(bdl__trainer *t)
{
    BDL__TRY(validate(t));
    const double divisor = t->position.epoch_divisor > 0 ? t->position.epoch_divisor : 1;
    t->mean_loss = t->position.epoch_loss / divisor;
    t->position.validation_due = false;
    t->position.epoch_loss = 0;
    t->position.epoch_divisor = 0;
    if (t->val) {
        report_kind(t, BDL__EVENT_VALIDATION);
    }
    bdl__event event = event_of(t, BDL__EVENT_EPOCH);
    event.loss = t->mean_loss;
    report(t, &event);
    const bdl__progress progress = progress_of(t);
    const char *const monitor = bdl__schedule_monitor(t->schedule, &progress);
    if (monitor) {
        const double value = observed(t, monitor);
        BDL__CHECK(isfinite(value), BDL_ERR_INVALID_ARGUMENT,
                   "the schedule watches '%s', which is not measured: add --val or a metric",
                   monitor);
        bdl__schedule_observe(t->schedule, &progress, value);
    }
    return BDL_OK;
}

static const char *reason_to_stop(bdl__trainer *t)
{
    if (t->max_epochs > 0 && t->position.epoch >= t->max_epochs) {
        return "epochs";
    }
    if (t->max_iterations > 0 && t->position.iteration >= t->max_iterations) {
        return "iterations";
    }
    if (t->is_time) {
        return "seconds";
    }
    if (t->until) {
        double values[BDL__MAX_HEADS + 3];
        values[0] = (double)t->position.epoch;
        values[1] = (double)t->position.iteration;
        values[2] = t->val ? t->values[0] : t->mean_loss;
        for (int i = 1; i < t->heads->n; i++) {
            values[2 + i] = t->values[i];
        }
        if (bdl__trigger_fires(t->until, values)) {
            bdl__trigger_reason(t->until, values, t->condition, sizeof t->condition);
            return "until";
        }
    }
    return NULL;
}

/* ---- the loop ----------------------------------------------------------------------------------- */

/* Other ranks must stop at the same iteration: there, only what all have heard counts. */
static bool is_cancelled(const bdl__trainer *t)
{
    return t->ranks ? t->ranks->flags & BDL__RANKS_CANCEL : bdl__is_cancelled(t->session.cancel);
}

/* What follows an iteration; `reason` is set when training should end. A report that cannot be written
 * ends training too, but not without a checkpoint. */
static bdl_status follow_up(bdl__trainer *t, bool ends_epoch, const char **reason)
{
    bdl_status reports = summarize_step(t);
    report_kind(t, BDL__EVENT_STEP);
    if (ends_epoch) {
        t->position.epoch++;
        t->position.step = 0;
        t->position.validation_due = true;
        BDL__TRY(end_epoch(t));
    }
    *reason = reason_to_stop(t);
    if (reports == BDL_OK) {
        reports = bdl__trainer_check_log(t);
    }
    const bool is_due = t->every ? t->position.iteration % t->every == 0 : ends_epoch;
    if (reports == BDL_OK) {
        return is_due || *reason ? write_checkpoint(t) : BDL_OK;
    }
    char text[512];
    snprintf(text, sizeof text, "%s", bdl_last_error());
    if (!t->ranks) { /* the others do not know, and would not take part */
        BDL__TRY(write_checkpoint(t));
    }
    return bdl__fail(reports, "%s", text);
}

/* One iteration with what follows it. */
static bdl_status advance(bdl__trainer *t, const char **reason)
{
    const bdl__batch *batch = t->held;
    if (!batch) {
        BDL__TRY(bdl__batcher_next(t->batcher, &batch));
    }
    BDL__CHECK(batch, BDL_ERR_INTERNAL, "the data ended before training did");
    const bool ends_epoch = batch->is_last;
    const bdl_status status = train_batch(t, batch);
    t->held = status == BDL_ERR_CANCELLED ? batch : NULL;
    if (!t->held) {
        bdl__batcher_release(t->batcher, batch);
    }
    BDL__TRY(status);
    return follow_up(t, ends_epoch, reason);
}

/* Iterations until there is a reason to stop. Where a checkpoint was written during a validation, that comes
 * first. */
static bdl_status train(bdl__trainer *t, const char **reason)
{
    if (t->position.validation_due) {
        BDL__TRY(end_epoch(t));
    }
    *reason = reason_to_stop(t);
    while (!*reason) {
        BDL__CHECK(!is_cancelled(t), BDL_ERR_CANCELLED, "cancelled");
        BDL__TRY(advance(t, reason));
    }
    return t->val && t->validated != t->position.iteration ? validate(t) : BDL_OK;
}

static bdl_status run(bdl__trainer *t)
{
    const char *reason = NULL;
    report_kind(t, BDL__EVENT_START);
    BDL__TRY(bdl__trainer_check_log(t));
    const bdl_status status = train(t, &reason);
    const bool is_cancel = status == BDL_ERR_CANCELLED;
    BDL__TRY(is_cancel ? BDL_OK : status);
    const bool is_idle = t->position.iteration == t->first_iteration;
    if (is_cancel && !is_idle) { /* else there is nothing that is not where the run began */
        BDL__TRY(write_checkpoint(t));
    }
    if (t->ranks) {
        BDL__TRY(bdl__together_fingerprint(t));
    }
    bdl__event event = event_of(t, BDL__EVENT_END);
    event.reason = is_cancel ? "cancelled" : reason;
    event.condition = !is_cancel && strcmp(reason, "until") == 0 ? t->condition : NULL;
    event.loss = isnan(t->mean_loss) || is_cancel ? t->loss : t->mean_loss;
    report(t, &event);
    BDL__CHECK(!is_cancel || !is_idle, BDL_ERR_CANCELLED,
               "cancelled before iteration %lld: nothing was trained",
               (long long)t->position.iteration + 1);
    BDL__CHECK(!is_cancel, BDL_ERR_CANCELLED, "cancelled after iteration %lld%s", (long long)t->position.iteration,
               has_checkpoints(t) ? "" : ", and no checkpoint was asked for");
    BDL__TRY(bdl__trainer_check_log(t));
    if (t->train_summary) {
        BDL__TRY(bdl__summary_flush(t->train_summary));
    }
    return t->val_summary ? bdl__summary_flush(t->val_summary) : BDL_OK;
}

void bdl__trainer_stop(bdl__trainer *t) { atomic_store(&t->stop.is_asked, 1); }

bdl_status bdl__trainer_run(bdl__trainer *t, bdl__event_fn fn, void *arg)
{
    t->fn = fn;
    t->fn_arg = arg;
    t->start = bdl__now();
    t->first_iteration = t->position.iteration;
    t->is_time = false;
    t->is_slow = true;
    if (t->ranks) {
        bdl__ranks_restart(t->ranks);
    }
    const bdl_status status = run(t);
    atomic_store(&t->stop.is_asked, 0);
    if (status != BDL_ERR_CANCELLED) {
        bdl__trainer_abort(t, status);
    }
    return status;
}
