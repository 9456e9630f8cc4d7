/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules as lists of parts: which part runs, where in it training stands, and what base rate it
 * got from the parts before it. Nothing is remembered but plateau's state, so that a resumed run
 * finds the same rates.
 */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

#include "optim/schedule_kinds.h"

enum { MAX_PARTS = 16, MAX_KINDS = 32 };

typedef struct part {
    const bdl__schedule_kind *kind;
    void *params; /* in the arena */
    bdl__plateau_state plateau;
} part;

struct bdl__schedule {
    const bdl_allocator *allocator; /* borrowed */
    bdl__arena arena;
    int n_parts;
    part parts[MAX_PARTS];
};

static bool is_plateau(const part *p)
{
    return p->kind->rate == NULL;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bdl_status find_kind(const char *name, const bdl__schedule_kind **kind)
{
    const char *names[MAX_KINDS];
    int64_t n = 0;
    for (const bdl__schedule_kind *at; (at = bdl__schedule_kind_at(n)) != NULL; n++) {
        if (strcmp(at->schema.name, name) == 0) {
            *kind = at;
            return BDL_OK;
        }
        names[n] = at->schema.name;
    }
    return bdl__fail_unknown("schedule", name, names, n);
}

static bdl_status add_part(bdl__schedule *schedule, const char *text)
{
    const char *name = NULL;
    const char *args = NULL;
    BDL__TRY(bdl__split_call(&schedule->arena, text, &name, &args));
    BDL__CHECK(schedule->n_parts < MAX_PARTS, BDL_ERR_INVALID_ARGUMENT,
               "a schedule has at most %d parts, got more at '%s'", MAX_PARTS, text);
    part *const added = &schedule->parts[schedule->n_parts];
    BDL__TRY(find_kind(name, &added->kind));
    const bdl__schema *const schema = &added->kind->schema;
    BDL__TRY(bdl__arena_alloc(&schedule->arena, schema->params_size, &added->params));
    BDL__TRY(bdl__params_from_text(schema, &schedule->arena, args, added->params));
    added->plateau.scale = 1;
    if (is_plateau(added)) {
        BDL__TRY(bdl__plateau_check(added->params));
    }
    schedule->n_parts++;
    return BDL_OK;
}

static int64_t units_of(const part *p);

/* Words outside of brackets: parts at the even places, "then" between them. */
static bdl_status parse(bdl__schedule *schedule, const char *text)
{
    const char *const *words = NULL;
    int64_t n_words = 0;
    int64_t place = 0;
    BDL__TRY(bdl__split_list(&schedule->arena, text, ' ', &words, &n_words));
    for (int64_t i = 0; i < n_words; i++) {
        if (words[i][0] == '\0') {
            continue;
        }
        if (place++ % 2 == 0) {
            BDL__TRY(add_part(schedule, words[i]));
        } else {
            BDL__CHECK(strcmp(words[i], "then") == 0, BDL_ERR_INVALID_ARGUMENT,
                       "schedule '%s': expected 'then' between parts, got '%s'", text, words[i]);
        }
    }
    BDL__CHECK(place % 2 == 1, BDL_ERR_INVALID_ARGUMENT,
               "schedule '%s': expected a part after 'then'", text);
    for (int i = 0; i + 1 < schedule->n_parts; i++) {
        const char *const name = schedule->parts[i].kind->schema.name;
        BDL__CHECK(units_of(&schedule->parts[i]) > 0, BDL_ERR_INVALID_ARGUMENT,
                   "schedule '%s': '%s' must say how long it lasts, as in %s(..., lasts=1000)",
                   text, name, name);
    }
    return BDL_OK;
}

bdl_status bdl__schedule_create(const bdl_allocator *allocator, const char *text,
                                bdl__schedule **schedule)
{
    void *memory = NULL;
    const bool is_blank = text == NULL || text[strspn(text, " \t\n")] == '\0';
    BDL__TRY(bdl__alloc(allocator, sizeof **schedule, &memory));
    bdl__schedule *const made = memory;
    made->allocator = allocator;
    bdl__arena_init(&made->arena, allocator);
    const bdl_status status = parse(made, is_blank ? "constant" : text);
    if (status != BDL_OK) {
        bdl__schedule_free(made);
        return status;
    }
    *schedule = made;
    return BDL_OK;
}

void bdl__schedule_free(bdl__schedule *schedule)
{
    if (schedule != NULL) {
        bdl__arena_free(&schedule->arena);
        bdl__free(schedule->allocator, schedule, sizeof *schedule);
    }
}

void bdl__schedule_to_text(const bdl__schedule *schedule, bdl__text *out)
{
    for (int i = 0; i < schedule->n_parts; i++) {
        const part *const p = &schedule->parts[i];
        bdl__text_append(out, "%s%s(", i == 0 ? "" : " then ", p->kind->schema.name);
        bdl__params_to_text(&p->kind->schema, p->params, out);
        bdl__text_append(out, ")");
    }
}

/* ---- the rate ------------------------------------------------------------------------------ */

static bdl__schedule_unit unit_of(const part *p)
{
    const bdl__schedule_params *const common = p->params;
    return p->kind->by_epoch ? BDL__UNIT_EPOCH : (bdl__schedule_unit)common->unit.i;
}

/* How long the part lasts in its unit; 0 = no end. */
static int64_t units_of(const part *p)
{
    const bdl__schedule_params *const common = p->params;
    if (common->lasts > 0) {
        return common->lasts;
    }
    return p->kind->length == NULL ? 0 : p->kind->length(p->params);
}

/* The same in iterations, as far as int64 reaches. */
static int64_t iterations_of(const part *p, int64_t epoch_iterations)
{
    int64_t iterations = 0;
    const int64_t factor = unit_of(p) == BDL__UNIT_ITERATION ? 1 : epoch_iterations;
    return bdl__mul_i64(units_of(p), factor, &iterations) ? iterations : INT64_MAX;
}

/* Position in a part that began at iteration `start`. */
static double position(const part *p, const bdl__progress *at, int64_t start)
{
    const int64_t epoch_iterations = BDL__MAX(at->epoch_iterations, 1);
    switch (unit_of(p)) {
    case BDL__UNIT_ITERATION:
        return (double)(at->iteration - start);
    case BDL__UNIT_EPOCH:
        return (double)(at->epoch - start / epoch_iterations);
    case BDL__UNIT_EPOCH_FRACTION:
        return (double)at->epoch +
               (double)(at->i_in_epoch - start) / (double)epoch_iterations;
    }
    return 0;
}

static double part_rate(const part *p, double lr, double t)
{
    return is_plateau(p) ? bdl__plateau_rate(p->params, &p->plateau, lr)
                         : p->kind->rate(p->params, lr, t);
}

/* What a part leaves to the next: a ramp the rate it leads to, others the rate of their last
 * unit. */
static double last_rate(const part *p, double lr)
{
    const bool is_smooth = p->kind->length != NULL || unit_of(p) == BDL__UNIT_EPOCH_FRACTION;
    const double units = (double)units_of(p);
    return part_rate(p, lr, is_smooth ? units : units - 1);
}

/* The running part; *lr and *start become its first rate and iteration. */
static int find_part(const bdl__schedule *schedule, const bdl__progress *at, double *lr,
                     int64_t *start)
{
    const int64_t epoch_iterations = BDL__MAX(at->epoch_iterations, 1);
    int i = 0;
    *start = 0;
    for (; i + 1 < schedule->n_parts; i++) {
        const part *const p = &schedule->parts[i];
        const int64_t iterations = iterations_of(p, epoch_iterations);
        if (at->iteration - *start < iterations) {
            break;
        }
        *start += iterations;
        *lr = last_rate(p, *lr);
    }
    return i;
}

double bdl__schedule_rate(const bdl__schedule *schedule, double base, const bdl__progress *progress)
{
    int64_t start = 0;
    const part *const p = &schedule->parts[find_part(schedule, progress, &base, &start)];
    return part_rate(p, base, position(p, progress, start));
}

/* ---- plateau ------------------------------------------------------------------------------- */

static int running_part(const bdl__schedule *schedule, const bdl__progress *progress)
{
    double lr = 0;
    int64_t start = 0;
    return find_part(schedule, progress, &lr, &start);
}

const char *bdl__schedule_monitor(const bdl__schedule *schedule, const bdl__progress *progress)
{
    const part *const p = &schedule->parts[running_part(schedule, progress)];
    return is_plateau(p) ? bdl__plateau_monitor(p->params) : NULL;
}

bool bdl__schedule_observe(bdl__schedule *schedule, const bdl__progress *progress, double value)
{
    part *const p = &schedule->parts[running_part(schedule, progress)];
    return is_plateau(p) && bdl__plateau_observe(p->params, &p->plateau, value);
}

void bdl__schedule_state_to_json(const bdl__schedule *schedule, bdl__json_writer *writer)
{
    bdl__json_open(writer, '[');
    for (int i = 0; i < schedule->n_parts; i++) {
        const part *const p = &schedule->parts[i];
        bdl__json_open(writer, '{');
        bdl__json_write_key(writer, "name");
        bdl__json_write_string(writer, p->kind->schema.name);
        if (is_plateau(p)) {
            bdl__json_write_key(writer, "best");
            bdl__json_write_f64(writer, p->plateau.has_best ? p->plateau.best : HUGE_VAL);
            bdl__json_write_key(writer, "bad");
            bdl__json_write_i64(writer, p->plateau.n_bad);
            bdl__json_write_key(writer, "cooldown");
            bdl__json_write_i64(writer, p->plateau.cooldown);
            bdl__json_write_key(writer, "scale");
            bdl__json_write_f64(writer, p->plateau.scale);
        }
        bdl__json_close(writer, '}');
    }
    bdl__json_close(writer, ']');
}

static bdl_status read_plateau(const bdl__json *object, const char *where,
                               bdl__plateau_state *state)
{
    const bdl__json *scale = NULL;
    const bdl__json *const best = bdl__json_get(object, "best");
    BDL__TRY(bdl__json_need_i64(object, "bad", where, &state->n_bad));
    BDL__TRY(bdl__json_need_i64(object, "cooldown", where, &state->cooldown));
    BDL__TRY(bdl__json_need(object, "scale", BDL__JSON_NUMBER, where, &scale));
    state->has_best = best != NULL && bdl__json_kind_of(best) == BDL__JSON_NUMBER;
    state->best = state->has_best ? bdl__json_f64(best) : 0;
    state->scale = bdl__json_f64(scale);
    BDL__CHECK(state->n_bad >= 0 && state->cooldown >= 0 && state->scale >= 0 && state->scale <= 1,
               BDL_ERR_FORMAT, "%s: plateau expects counts from 0 and a scale in [0, 1], got "
               "%lld, %lld and %g", where, (long long)state->n_bad, (long long)state->cooldown,
               state->scale);
    return BDL_OK;
}

static bdl_status read_part(const part *p, const bdl__json *object, const char *where,
                            bdl__plateau_state *state)
{
    const char *name = NULL;
    BDL__CHECK(object != NULL && bdl__json_kind_of(object) == BDL__JSON_OBJECT, BDL_ERR_FORMAT,
               "%s: expected an object for the schedule's part '%s'", where, p->kind->schema.name);
    BDL__TRY(bdl__json_need_string(object, "name", where, &name));
    BDL__CHECK(strcmp(name, p->kind->schema.name) == 0, BDL_ERR_FORMAT,
               "%s: expected the state of schedule '%s', got that of '%s'", where,
               p->kind->schema.name, name);
    return is_plateau(p) ? read_plateau(object, where, state) : BDL_OK;
}

bdl_status bdl__schedule_state_from_json(bdl__schedule *schedule, const bdl__json *state,
                                         const char *where)
{
    bdl__plateau_state states[MAX_PARTS] = {0};
    const bool is_array = bdl__json_kind_of(state) == BDL__JSON_ARRAY;
    BDL__CHECK(is_array && bdl__json_count(state) == schedule->n_parts, BDL_ERR_FORMAT,
               "%s: expected the states of %d schedule parts, got %lld", where, schedule->n_parts,
               is_array ? (long long)bdl__json_count(state) : 0LL);
    const bdl__json *object = bdl__json_first(state);
    for (int i = 0; i < schedule->n_parts; i++, object = bdl__json_next(object)) {
        states[i].scale = 1;
        BDL__TRY(read_part(&schedule->parts[i], object, where, &states[i]));
    }
    for (int i = 0; i < schedule->n_parts; i++) {
        schedule->parts[i].plateau = states[i];
    }
    return BDL_OK;
}
