/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that has a field table, as text and as JSON. */
#include <string.h>

#include "api/api.h"
#include "optim/schedule_kinds.h"
#include "tensor/init.h"
#include "zoo/zoo.h"

/* ---- layers as text ------------------------------------------------------------------------------ */

static const char *kind_name(bdl__layer_kind kind)
{
    return kind == BDL__CRITERION ? "criterion" : kind == BDL__METRIC ? "metric" : "layer";
}

static void list_layers(bdl__text *out)
{
    int64_t n;
    const bdl__layer *const *const layers = bdl__layers_all(&n);
    for (int kind = BDL__LAYER; kind <= BDL__METRIC; kind++) {
        bdl__text_append(out, "%ss:\n", kind_name((bdl__layer_kind)kind));
        for (int64_t i = 0; i < n; i++) {
            if ((int)layers[i]->kind == kind) {
                bdl__text_append(out, "  %-22s %s\n", layers[i]->name, layers[i]->summary);
            }
        }
    }
    bdl__text_append(out, "\n'bdl layers NAME' describes one.\n");
}

static void describe_layer(const bdl__layer *layer, bdl__text *out)
{
    bdl__text_append(out, "%s (%s): %s\n\n", layer->name, kind_name(layer->kind), layer->summary);
    bdl__help_words(layer->doc, 0, out);
    bdl__text_append(out, "\n\ninputs: %s\n", layer->ports);
    bdl__text_append(out, "names: PyTorch %s, Torch %s, Keras %s\n",
                     layer->names.pytorch ? layer->names.pytorch : "-",
                     layer->names.torch ? layer->names.torch : "-",
                     layer->names.keras ? layer->names.keras : "-");
    if (layer->schema.n_fields > 0) {
        bdl__text_append(out, "\nparameters:\n");
        bdl__schema_help(&layer->schema, out);
    }
}

bdl_status bdl_layers_text(bdl_context *context, const char *name, char **text)
{
    BDL__TRY(bdl__need_arguments(context && text, __func__));
    bdl__text out;
    bdl__text_init(&out, &context->allocator);
    if (!name) {
        list_layers(&out);
        return bdl__text_give(&out, text);
    }
    const bdl__layer *layer = NULL;
    const bdl_status status = bdl__layer_find(name, &layer);
    if (status != BDL_OK) {
        bdl__text_free(&out);
        return status;
    }
    describe_layer(layer, &out);
    return bdl__text_give(&out, text);
}

/* ---- the schema dump ----------------------------------------------------------------------------- */

static void write_string(bdl__json_writer *w, const char *key, const char *value)
{
    if (value) {
        bdl__json_write_key(w, key);
        bdl__json_write_string(w, value);
    }
}

static void write_fields(bdl__json_writer *w, const bdl__schema *schema)
{
    bdl__json_write_key(w, "fields");
    bdl__schema_dump(schema, w);
}

static void dump_layers(bdl__json_writer *w)
{
    int64_t n;
    const bdl__layer *const *const layers = bdl__layers_all(&n);
    bdl__json_write_key(w, "layers");
    bdl__json_open(w, '[');
    for (int64_t i = 0; i < n; i++) {
        bdl__json_open(w, '{');
        write_string(w, "name", layers[i]->name);
        write_string(w, "kind", kind_name(layers[i]->kind));
        write_string(w, "pytorch", layers[i]->names.pytorch);
        write_string(w, "torch", layers[i]->names.torch);
        write_string(w, "keras", layers[i]->names.keras);
        write_string(w, "since", layers[i]->since);
        write_string(w, "summary", layers[i]->summary);
        write_string(w, "doc", layers[i]->doc);
        write_string(w, "ports", layers[i]->ports);
        write_fields(w, &layers[i]->schema);
        bdl__json_close(w, '}');
    }
    bdl__json_close(w, ']');
}

/* An entry of a list whose members have a name, a summary or doc, and fields. */
static void dump_entry(bdl__json_writer *w, const char *name, const char *pytorch,
                       const char *summary, const char *doc, const bdl__schema *schema)
{
    bdl__json_open(w, '{');
    write_string(w, "name", name);
    write_string(w, "pytorch", pytorch);
    write_string(w, "summary", summary);
    write_string(w, "doc", doc);
    write_fields(w, schema);
    bdl__json_close(w, '}');
}

static void dump_optim(bdl__json_writer *w)
{
    bdl__json_write_key(w, "optimizers");
    bdl__json_open(w, '[');
    for (int64_t i = 0; bdl__optim_method_at(i); i++) {
        const bdl__optim_method *const m = bdl__optim_method_at(i);
        dump_entry(w, m->name, m->pytorch, m->summary, m->doc, &m->schema);
    }
    bdl__json_close(w, ']');
    bdl__json_write_key(w, "schedules");
    bdl__json_open(w, '[');
    for (int64_t i = 0; bdl__schedule_kind_at(i); i++) {
        const bdl__schedule_kind *const k = bdl__schedule_kind_at(i);
        dump_entry(w, k->schema.name, NULL, NULL, k->doc, &k->schema);
    }
    bdl__json_close(w, ']');
}

static void dump_data(bdl__json_writer *w)
{
    bdl__json_write_key(w, "readers");
    bdl__json_open(w, '[');
    for (int64_t i = 0; i < bdl__readers_count(); i++) {
        const bdl__reader *const r = bdl__reader_at(i);
        bdl__json_open(w, '{');
        write_string(w, "name", r->name);
        write_string(w, "source", r->source);
        bdl__json_write_key(w, "needs_source");
        bdl__json_write_bool(w, r->needs_source);
        write_string(w, "summary", r->summary);
        write_string(w, "doc", r->doc);
        write_fields(w, &r->schema);
        bdl__json_close(w, '}');
    }
    bdl__json_close(w, ']');
    bdl__json_write_key(w, "transforms");
    bdl__json_open(w, '[');
    for (int64_t i = 0; i < bdl__transforms_count(); i++) {
        const bdl__transform *const t = bdl__transform_at(i);
        dump_entry(w, t->name, NULL, t->summary, t->doc, &t->schema);
    }
    bdl__json_close(w, ']');
}

static void dump_models_and_verbs(bdl__json_writer *w)
{
    const bdl__schema *const verbs[] = {&bdl__train_schema, &bdl__eval_schema, &bdl__predict_schema,
                                        &bdl__inspect_schema};
    int64_t n;
    const bdl__schema *const *const inits = bdl__init_schemas(&n);
    bdl__json_write_key(w, "initializers");
    bdl__json_open(w, '[');
    for (int64_t i = 0; i < n; i++) {
        dump_entry(w, inits[i]->name, NULL, inits[i]->summary, NULL, inits[i]);
    }
    bdl__json_close(w, ']');
    bdl__json_write_key(w, "models");
    bdl__json_open(w, '[');
    for (int64_t i = 0; bdl__zoo_at(i); i++) {
        const bdl__zoo_model *const m = bdl__zoo_at(i);
        dump_entry(w, m->name, NULL, m->summary, m->doc, &m->schema);
    }
    bdl__json_close(w, ']');
    bdl__json_write_key(w, "commands");
    bdl__json_open(w, '[');
    for (int64_t i = 0; i < BDL__COUNT_OF(verbs); i++) {
        dump_entry(w, verbs[i]->name, NULL, NULL, NULL, verbs[i]);
    }
    bdl__json_close(w, ']');
}

bdl_status bdl_schema_json(bdl_context *context, char **json)
{
    BDL__TRY(bdl__need_arguments(context && json, __func__));
    bdl__text out;
    bdl__json_writer w;
    bdl__text_init(&out, &context->allocator);
    bdl__json_writer_init(&w, &out, 2);
    bdl__json_open(&w, '{');
    write_string(&w, "version", BDL_VERSION_STRING);
    dump_layers(&w);
    dump_optim(&w);
    dump_data(&w);
    dump_models_and_verbs(&w);
    bdl__json_close(&w, '}');
    bdl__text_append(&out, "\n");
    return bdl__text_give(&out, json);
}
