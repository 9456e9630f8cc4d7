/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of descriptors and parameters: complete, printable and readable again, refused when bad.
 * */
#include <stdio.h>
#include <string.h>

#include "checks.h"

/* ---- JSON and text ---------------------------------------------------------------------------
 * */

static void *make_params(check *k)
{
    void *params = NULL;
    if (bdl__arena_alloc(k->arena, k->layer->schema.params_size + 1, &params) != BDL_OK) {
        complain(k, "out of memory");
    }
    return params;
}

static void write_json(const check *k, const void *params, bool only_changed, bdl__text *text)
{
    bdl__json_writer writer;
    bdl__text_init(text, bdl__default_allocator());
    bdl__json_writer_init(&writer, text, 0);
    bdl__params_to_json(&k->layer->schema, params, only_changed, &writer);
}

/* Whether params read from this JSON text print as `expected`. */
static void read_json_back(check *k, const char *json, const char *expected)
{
    bdl__json *document = NULL;
    void *params = make_params(k);
    bdl__text again;
    if (bdl__json_parse(json, strlen(json), "params", &document) != BDL_OK ||
        bdl__params_from_json(&k->layer->schema, k->arena, document, params) != BDL_OK) {
        complain(k, "%s is not read back: %s", json, bdl_last_error());
    } else {
        write_json(k, params, false, &again);
        if (strcmp(bdl__text_get(&again), expected) != 0) {
            complain(k, "%s comes back as %s", expected, bdl__text_get(&again));
        }
        bdl__text_free(&again);
    }
    bdl__json_free(document);
}

static void read_text_back(check *k, const char *text, const char *expected)
{
    void *params = make_params(k);
    bdl__text again;
    if (bdl__params_from_text(&k->layer->schema, k->arena, text, params) != BDL_OK) {
        complain(k, "'%s' is not read back: %s", text, bdl_last_error());
        return;
    }
    write_json(k, params, false, &again);
    if (strcmp(bdl__text_get(&again), expected) != 0) {
        complain(k, "'%s' comes back as %s, not %s", text, bdl__text_get(&again), expected);
    }
    bdl__text_free(&again);
}

void check_json(check *k)
{
    void *params = make_params(k);
    bdl__text all, changed, text;
    if (bdl__params_from_text(&k->layer->schema, k->arena, k->c->params, params) != BDL_OK) {
        complain(k, "%s", bdl_last_error());
        return;
    }
    write_json(k, params, false, &all);
    write_json(k, params, true, &changed);
    bdl__text_init(&text, bdl__default_allocator());
    bdl__params_to_text(&k->layer->schema, params, &text);
    read_json_back(k, bdl__text_get(&all), bdl__text_get(&all));
    read_json_back(k, bdl__text_get(&changed), bdl__text_get(&all));
    read_text_back(k, bdl__text_get(&text), bdl__text_get(&all));
    bdl__text_free(&all);
    bdl__text_free(&changed);
    bdl__text_free(&text);
}

/* ---- descriptors -----------------------------------------------------------------------------
 * */

static bool is_sentence(const char *text)
{
    return text && *text && strchr(".:", text[strlen(text) - 1]) != NULL;
}

void check_descriptor(check *k)
{
    const bdl__layer *layer = k->layer;
    if (!is_sentence(layer->summary)) {
        complain(k, "the summary is not a sentence");
    }
    if (!is_sentence(layer->doc)) {
        complain(k, "the documentation is not a sentence");
    }
    if (!layer->since || !layer->ports || !layer->infer || !layer->forward) {
        complain(k, "since, ports, infer and forward must be there");
    }
    if (strcmp(layer->schema.name, layer->name) != 0) {
        complain(k, "the schema is called '%s'", layer->schema.name);
    }
    const bool has_gradient =
        layer->kind != BDL__METRIC && !(layer->flags & (BDL__NO_GRADIENT | BDL__VIEW));
    if (has_gradient && !layer->backward) {
        complain(k, "backward is missing");
    }
    for (int64_t i = 0; i < layer->schema.n_fields; i++) {
        if (!is_sentence(layer->schema.fields[i].doc)) {
            complain(k, "the documentation of %s is not a sentence", layer->schema.fields[i].name);
        }
    }
    if (bdl__params_default(&layer->schema, k->arena, make_params(k)) != BDL_OK) {
        complain(k, "%s", bdl_last_error());
    }
}

/* ---- refusals --------------------------------------------------------------------------------
 * */

/* Params as JSON must be refused with a text that has all three parts. */
static void expect_refusal(check *k, const char *json, const char *part)
{
    bdl__graph *graph = NULL;
    bdl__json *document = NULL;
    const bdl__shape shape = {.rank = 1, .dim = {4}};
    bdl_status status = bdl__graph_create(bdl__default_allocator(), "refusal", &graph);
    if (status == BDL_OK) {
        status = bdl__graph_add_input(graph, "x", &shape, false);
    }
    if (status == BDL_OK) {
        status = bdl__json_parse(json, strlen(json), "params", &document);
    }
    if (status != BDL_OK) {
        complain(k, "%s: %s", json, bdl_last_error());
    } else if (bdl__graph_add(graph, k->layer->name, "node", document, NULL, 0, NULL) == BDL_OK) {
        complain(k, "%s is accepted", json);
    } else if (!strstr(bdl_last_error(), k->layer->name) || !strstr(bdl_last_error(), part)) {
        complain(k, "%s: the error does not name %s and %s: %s", json, k->layer->name, part,
                 bdl_last_error());
    }
    bdl__json_free(document);
    bdl__graph_release(graph);
}

static bool is_number(const bdl__field *field)
{
    return field->kind == BDL__FIELD_I64 || field->kind == BDL__FIELD_F64 ||
           field->kind == BDL__FIELD_I64S || field->kind == BDL__FIELD_F64S;
}

static void refuse_field(check *k, const bdl__field *field)
{
    char json[256];
    const char *wrong = field->kind == BDL__FIELD_STRING ? "17" : "{}";
    (void)snprintf(json, sizeof json, "{\"%s\": %s}", field->name, wrong);
    expect_refusal(k, json, field->name);
    if (field->choices) {
        (void)snprintf(json, sizeof json, "{\"%s\": \"no_such_choice\"}", field->name);
        expect_refusal(k, json, field->name);
    }
    if (is_number(field) && field->range.given) {
        (void)snprintf(json, sizeof json, "{\"%s\": %.0f}", field->name, field->range.least - 1);
        expect_refusal(k, json, field->name);
        if (field->range.most < 1e15) {
            (void)snprintf(json, sizeof json, "{\"%s\": %.0f}", field->name, field->range.most + 1);
            expect_refusal(k, json, field->name);
        }
    }
    if ((field->kind == BDL__FIELD_I64S || field->kind == BDL__FIELD_F64S) && field->most_n > 0) {
        size_t used = (size_t)snprintf(json, sizeof json, "{\"%s\": [1", field->name);
        for (int32_t i = 0; i < field->most_n; i++) {
            used += (size_t)snprintf(json + used, sizeof json - used, ", 1");
        }
        (void)snprintf(json + used, sizeof json - used, "]}");
        expect_refusal(k, json, field->name);
    }
}

void check_refusals(check *k)
{
    expect_refusal(k, "{\"no_such_parameter\": 1}", "no_such_parameter");
    for (int64_t i = 0; i < k->layer->schema.n_fields; i++) {
        const bdl__field *field = &k->layer->schema.fields[i];
        refuse_field(k, field);
        if (field->required) {
            expect_refusal(k, "{}", "required");
        }
    }
}
