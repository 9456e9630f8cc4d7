/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the verbs: texts by name, checked against the verb's field table. */
#include <string.h>

#include "api/api.h"
#include "train/learner.h"

#define EVAL(member, ...) BDL_FIELD(bdl__eval_params, member, __VA_ARGS__)
#define PREDICT(member, ...) BDL_FIELD(bdl__predict_params, member, __VA_ARGS__)
#define INSPECT(member, ...) BDL_FIELD(bdl__inspect_params, member, __VA_ARGS__)

static const bdl__field eval_fields[] = {
    EVAL(model, .required = true, .doc = "Saved directory (or a ready-made model, untrained)."),
    EVAL(data, .required = true,
         .doc = "Data; mnist, cifar10 and digits read their test part."),
    EVAL(batch, .def.i64 = 256, .range = BDL_IN(1, 1 << 24), .doc = "Samples computed at once."),
    EVAL(loss, .def.s = "", .doc = "Criterion; by default the one the model was trained with."),
    EVAL(metrics, .def.s = "", .doc = "Metrics, such as 'top1, top5'."),
    EVAL(target, .def.s = "label", .doc = "What the loss compares with: label, or input."),
    EVAL(most_broken, .def.f64 = 0.01, .range = BDL_IN(0, 1),
         .doc = "Share of image files that may be broken: they are left out and counted."),
    EVAL(transform, .doc = "Preprocessing; by default the saved model's. 'none' for none."),
    EVAL(precision, .def.s = "fp32", .doc = "fp32, fp32_exact, bf16 or f64."),
};

static const bdl__field predict_fields[] = {
    PREDICT(model, .required = true, .doc = "Saved directory."),
    PREDICT(data, .doc = "Data to predict, instead of image files."),
    PREDICT(top, .def.i64 = 1, .range = BDL_IN(1, 1000), .doc = "Best classes given for a sample."),
    PREDICT(batch, .def.i64 = 256, .range = BDL_IN(1, 1 << 24), .doc = "Samples computed at once."),
    PREDICT(transform, .doc = "Preprocessing; by default the saved model's. 'none' for none."),
    PREDICT(precision, .def.s = "fp32", .doc = "fp32, fp32_exact, bf16 or f64."),
};

static const bdl__field inspect_fields[] = {
    INSPECT(model, .required = true, .doc = "Ready-made model, model.json, or saved directory."),
    INSPECT(plan, .doc = "Show how it is run: segments, steps, implementations, memory."),
    INSPECT(predict, .doc = "With plan: how it predicts, instead of how it is trained."),
    INSPECT(json, .doc = "Print the graph as JSON."),
    INSPECT(batch, .def.i64 = 128, .range = BDL_IN(1, 1 << 24), .doc = "Batch the plan is for."),
    INSPECT(loss, .def.s = "", .doc = "Criterion of the plan; by default as in training."),
    INSPECT(precision, .def.s = "fp32", .doc = "fp32, fp32_exact, bf16 or f64."),
};

#define VERB(verb, table, type)                                                                    \
    {                                                                                              \
        .name = (verb), .fields = (table), .n_fields = BDL__COUNT_OF(table),                       \
        .params_size = sizeof(type)                                                                \
    }
const bdl__schema bdl__eval_schema = VERB("eval", eval_fields, bdl__eval_params);
const bdl__schema bdl__predict_schema = VERB("predict", predict_fields, bdl__predict_params);
const bdl__schema bdl__inspect_schema = VERB("inspect", inspect_fields, bdl__inspect_params);

static const bdl__schema *const verbs[] = {&bdl__train_schema, &bdl__eval_schema,
                                           &bdl__predict_schema, &bdl__inspect_schema,
                                           &bdl__learn_schema};

bdl_status bdl_options_create(bdl_context *context, const char *verb, bdl_options **options)
{
    BDL__TRY(bdl__need_arguments(context && verb && options, __func__));
    const bdl__schema *schema = NULL;
    for (int64_t i = 0; i < BDL__COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i]->name, verb) == 0) {
            schema = verbs[i];
        }
    }
    BDL__CHECK(schema, BDL_ERR_NOT_FOUND, "no options for '%s': train, eval, predict, inspect, learn", verb);
    void *memory = NULL;
    BDL__TRY(bdl__alloc(&context->allocator, sizeof **options, &memory));
    bdl_options *const made = memory;
    made->context = context;
    made->schema = schema;
    bdl__arena_init(&made->arena, &context->allocator);
    const bdl_status status = bdl__arena_alloc(
        &made->arena, (size_t)schema->n_fields * sizeof *made->pairs, &memory);
    if (status != BDL_OK) {
        bdl_options_free(made);
        return status;
    }
    made->pairs = memory;
    *options = made;
    return BDL_OK;
}

void bdl_options_free(bdl_options *options)
{
    if (options) {
        bdl_context *const context = options->context;
        bdl__arena_free(&options->arena);
        bdl__free(&context->allocator, options, sizeof *options);
    }
}

/* Equal but for '-' and '_'. */
static bool same_name(const char *a, const char *b)
{
    while (*a && (*a == *b || (*a == '-' && *b == '_') || (*a == '_' && *b == '-'))) {
        a++;
        b++;
    }
    return *a == *b;
}

static const bdl__field *find_field(const bdl_options *options, const char *name)
{
    for (int64_t i = 0; i < options->schema->n_fields; i++) {
        if (same_name(options->schema->fields[i].name, name)) {
            return &options->schema->fields[i];
        }
    }
    return NULL;
}

static bdl_status fail_unknown(const bdl_options *options, const char *name)
{
    const char *names[64];
    const int64_t n = BDL__MIN(options->schema->n_fields, 64);
    for (int64_t i = 0; i < n; i++) {
        names[i] = options->schema->fields[i].name;
    }
    const char *const nearest = bdl__nearest_name(name, names, n);
    BDL__FAIL(BDL_ERR_NOT_FOUND, "%s has no option '%s'%s%s%s", options->schema->name, name,
              nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

bool bdl_options_is_switch(const bdl_options *options, const char *name)
{
    const bdl__field *const field = find_field(options, name);
    return field && field->kind == BDL__FIELD_BOOL;
}

bdl_status bdl_options_help(const bdl_options *options, char **text)
{
    BDL__TRY(bdl__need_arguments(options && text, __func__));
    bdl__text help;
    bdl__text_init(&help, &options->context->allocator);
    bdl__schema_help(options->schema, &help);
    return bdl__text_give(&help, text);
}

/* A text as the JSON value that the field's kind wants. */
static bdl_status write_value(const bdl__field *field, const char *value, const char *verb,
                              bdl__json_writer *writer)
{
    int64_t whole;
    double number;
    switch (field->kind) {
    case BDL__FIELD_BOOL:
        BDL__CHECK(strcmp(value, "true") == 0 || strcmp(value, "false") == 0,
                   BDL_ERR_INVALID_ARGUMENT, "%s: %s needs true or false, got '%s'", verb,
                   field->name, value);
        bdl__json_write_bool(writer, strcmp(value, "true") == 0);
        return BDL_OK;
    case BDL__FIELD_I64:
        BDL__CHECK(bdl__parse_i64(value, &whole), BDL_ERR_INVALID_ARGUMENT,
                   "%s: %s needs a whole number, got '%s'", verb, field->name, value);
        bdl__json_write_i64(writer, whole);
        return BDL_OK;
    case BDL__FIELD_F64:
        BDL__CHECK(bdl__parse_f64(value, &number), BDL_ERR_INVALID_ARGUMENT,
                   "%s: %s needs a number, got '%s'", verb, field->name, value);
        bdl__json_write_f64(writer, number);
        return BDL_OK;
    case BDL__FIELD_STRING:
    case BDL__FIELD_CHOICE:
        bdl__json_write_string(writer, value);
        return BDL_OK;
    case BDL__FIELD_I64S:
    case BDL__FIELD_F64S:
        break;
    }
    BDL__FAIL(BDL_ERR_INTERNAL, "%s: options have no lists", verb);
}

/* The value alone, against the field alone: kind, range, choices. */
static bdl_status check_value(const bdl_options *options, const bdl__field *field, const char *value)
{
    const bdl__schema one = {.name = options->schema->name,
                             .fields = field,
                             .n_fields = 1,
                             .params_size = options->schema->params_size};
    bdl__text text;
    bdl__json_writer writer;
    bdl__json *object = NULL;
    bdl__arena arena;
    void *params = NULL;
    bdl_status status;
    bdl__arena_init(&arena, &options->context->allocator);
    bdl__text_init(&text, &options->context->allocator);
    bdl__json_writer_init(&writer, &text, 0);
    bdl__json_open(&writer, '{');
    bdl__json_write_key(&writer, field->name);
    BDL__TRY_DONE(status, write_value(field, value, one.name, &writer));
    bdl__json_close(&writer, '}');
    BDL__TRY_DONE(status, bdl__text_status(&text));
    BDL__TRY_DONE(status, bdl__json_parse(bdl__text_get(&text), strlen(bdl__text_get(&text)), one.name,
                                          &object));
    BDL__TRY_DONE(status, bdl__arena_alloc(&arena, one.params_size, &params));
    BDL__TRY_DONE(status, bdl__params_from_json(&one, &arena, object, params));
done:
    bdl__json_free(object);
    bdl__text_free(&text);
    bdl__arena_free(&arena);
    return status;
}

static bdl__option_pair *find_pair(const bdl_options *options, const char *name)
{
    for (int64_t i = 0; i < options->n_pairs; i++) {
        if (strcmp(options->pairs[i].name, name) == 0) {
            return &options->pairs[i];
        }
    }
    return NULL;
}

bdl_status bdl_options_set(bdl_options *options, const char *name, const char *value)
{
    BDL__TRY(bdl__need_arguments(options && name && value, __func__));
    const bdl__field *const field = find_field(options, name);
    if (!field) {
        return fail_unknown(options, name);
    }
    BDL__TRY(check_value(options, field, value));
    const char *copy;
    BDL__TRY(bdl__arena_strdup(&options->arena, value, &copy));
    bdl__option_pair *pair = find_pair(options, field->name);
    pair = pair ? pair : &options->pairs[options->n_pairs++];
    *pair = (bdl__option_pair){.name = field->name, .value = copy};
    return BDL_OK;
}

/* Options that say nothing without another one. */
static bdl_status check_needs(const bdl_options *options)
{
    for (int64_t i = 0; i < options->n_pairs; i++) {
        const bdl__option_pair *const pair = &options->pairs[i];
        const bdl__field *const field = find_field(options, pair->name);
        const bool is_off = field->kind == BDL__FIELD_BOOL && strcmp(pair->value, "true") != 0;
        BDL__CHECK(!field->needs || is_off || find_pair(options, field->needs), BDL_ERR_INVALID_ARGUMENT,
                   "%s: the option '%s' needs the option '%s'", options->schema->name, field->name, field->needs);
    }
    return BDL_OK;
}

bdl_status bdl_options_check(const bdl_options *options)
{
    BDL__TRY(bdl__need_arguments(options != NULL, __func__));
    for (int64_t f = 0; f < options->schema->n_fields; f++) {
        const bdl__field *const field = &options->schema->fields[f];
        BDL__CHECK(!field->required || find_pair(options, field->name), BDL_ERR_INVALID_ARGUMENT,
                   "%s needs the option '%s'", options->schema->name, field->name);
    }
    return check_needs(options);
}

/* Options for which the caller gave an object must not be set as well; required ones get a text that nobody reads. */
static bdl_status write_given(const bdl_options *options, const char *const *given, int64_t n_given,
                              bdl__json_writer *writer)
{
    for (int64_t g = 0; g < n_given; g++) {
        const bdl__option_pair *const pair = find_pair(options, given[g]);
        BDL__CHECK(!pair, BDL_ERR_INVALID_ARGUMENT,
                   "%s: the option '%s' is set to '%.200s', but an object was given for it too",
                   options->schema->name, given[g], pair->value);
        bdl__json_write_key(writer, given[g]);
        bdl__json_write_string(writer, "given");
    }
    return BDL_OK;
}

static bdl_status write_pairs(const bdl_options *options, const char *const *given, int64_t n_given,
                              bdl__text *text)
{
    bdl__json_writer writer;
    bdl__json_writer_init(&writer, text, 0);
    bdl__json_open(&writer, '{');
    BDL__TRY(write_given(options, given, n_given, &writer));
    for (int64_t i = 0; i < options->n_pairs; i++) {
        bdl__json_write_key(&writer, options->pairs[i].name);
        BDL__TRY(write_value(find_field(options, options->pairs[i].name), options->pairs[i].value,
                             options->schema->name, &writer));
    }
    bdl__json_close(&writer, '}');
    return bdl__text_status(text);
}

bdl_status bdl__options_read(const bdl_options *options, const char *verb, bdl__arena *arena,
                             void *params)
{
    return bdl__options_read_given(options, verb, NULL, 0, arena, params);
}

bdl_status bdl__options_read_given(const bdl_options *options, const char *verb,
                                   const char *const *given, int64_t n_given, bdl__arena *arena,
                                   void *params)
{
    BDL__CHECK(options && strcmp(options->schema->name, verb) == 0, BDL_ERR_INVALID_ARGUMENT,
               "these are not options of '%s'", verb);
    bdl__text text;
    bdl__json *object = NULL;
    BDL__TRY(check_needs(options));
    bdl__text_init(&text, &options->context->allocator);
    bdl_status status;
    BDL__TRY_DONE(status, write_pairs(options, given, n_given, &text));
    BDL__TRY_DONE(status,
                  bdl__json_parse(bdl__text_get(&text), strlen(bdl__text_get(&text)), verb, &object));
    BDL__TRY_DONE(status, bdl__params_from_json(options->schema, arena, object, params));
done:
    bdl__json_free(object);
    bdl__text_free(&text);
    return status;
}
