/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the criterion and the metrics of a run. */
#include <string.h>

#include "train/train.h"

/* Among losses or metrics only: a hint to another kind of layer would not help. */
static bdl_status find_head(const char *name, bdl__layer_kind kind, const char *noun,
                            const bdl__layer **layer)
{
    enum { MOST = 64 };
    const char *names[MOST];
    int64_t n_layers, n = 0;
    const bdl__layer *const *const layers = bdl__layers_all(&n_layers);
    for (int64_t i = 0; i < n_layers; i++) {
        if (layers[i]->kind != kind) {
            continue;
        }
        if (strcmp(layers[i]->name, name) == 0) {
            *layer = layers[i];
            return BDL_OK;
        }
        if (n < MOST) {
            names[n++] = layers[i]->name;
        }
    }
    return bdl__fail_unknown(noun, name, names, n);
}

static bdl_status add(bdl__heads *heads, const char *text, bdl__layer_kind kind)
{
    const char *const noun = kind == BDL__CRITERION ? "loss" : "metric";
    BDL__CHECK(heads->n < BDL__MAX_HEADS, BDL_ERR_UNSUPPORTED, "at most %d metrics", BDL__MAX_HEADS - 1);
    const char *name, *args;
    const bdl__layer *layer;
    void *params = NULL;
    BDL__TRY(bdl__split_call(&heads->arena, text, &name, &args));
    BDL__TRY(find_head(name, kind, noun, &layer));
    BDL__TRY(bdl__arena_alloc(&heads->arena, layer->schema.params_size + 1, &params));
    BDL__TRY(bdl__params_from_text(&layer->schema, &heads->arena, args, params));
    heads->head[heads->n] = (bdl__head){.layer = layer, .params = params};
    heads->name[heads->n] = kind == BDL__CRITERION ? "loss" : layer->name;
    if (kind == BDL__METRIC && *args) {
        BDL__TRY(bdl__arena_strdup(&heads->arena, text, &heads->name[heads->n]));
    }
    heads->n++;
    return BDL_OK;
}

static const char *default_loss(const bdl__model *model, const bdl__heads *heads)
{
    const bdl__ref out = model->graph->outputs[0];
    const bool is_log = out.node >= 0 &&
                        strcmp(model->graph->nodes[out.node]->layer->name, "log_softmax") == 0;
    return !heads->target_integer ? "mse" : is_log ? "nll" : "cross_entropy";
}

static bdl_status add_metrics(bdl__heads *heads, const char *text)
{
    const char *const *pieces;
    int64_t n;
    BDL__TRY(bdl__split_list(&heads->arena, text, ',', &pieces, &n));
    for (int64_t i = 0; i < n; i++) {
        BDL__TRY(add(heads, pieces[i], BDL__METRIC));
    }
    return BDL_OK;
}

/* Labels that are classes need a model that gives a score for each. */
static bdl_status check_classes(const bdl__model *model, const bdl__dataset *dataset)
{
    const bdl__shape *const out = bdl__graph_shape(model->graph, model->graph->outputs[0]);
    char text[BDL__SHAPE_TEXT_SIZE];
    BDL__CHECK(out->rank >= 1 && out->dim[0] == bdl__shape_count(out), BDL_ERR_SHAPE,
               "'%s' has labels that are classes, but the model gives %s values, not a score for each "
               "class (what gives its input back is trained and measured with target=input)",
               dataset->text, bdl__shape_text(out, text, sizeof text));
    BDL__CHECK(out->dim[0] >= dataset->n_classes, BDL_ERR_SHAPE,
               "the model has %lld output%s but '%s' has %lld classes%s: give the model classes=%lld",
               (long long)out->dim[0], bdl__plural(out->dim[0]), dataset->text, (long long)dataset->n_classes,
               dataset->class_names ? "" : " (labels count from 0)", (long long)dataset->n_classes);
    return BDL_OK;
}

bdl_status bdl__heads_check(const bdl__heads *heads, const bdl__model *model,
                            const bdl__dataset *dataset)
{
    char want[BDL__SHAPE_TEXT_SIZE], got[BDL__SHAPE_TEXT_SIZE];
    if (heads->target_is_input) {
        return BDL_OK;
    }
    BDL__CHECK(dataset->label_kind != BDL__LABEL_NONE, BDL_ERR_INVALID_ARGUMENT, "'%s' has no labels",
               dataset->text);
    BDL__CHECK(heads->target_integer == (dataset->label_kind == BDL__LABEL_CLASS),
               BDL_ERR_INVALID_ARGUMENT, "the labels of '%s' are %s, those of the training data %s",
               dataset->text, heads->target_integer ? "values" : "classes",
               heads->target_integer ? "classes" : "values");
    if (heads->target_integer) {
        return check_classes(model, dataset);
    }
    BDL__CHECK(bdl__shape_count(&heads->target_shape) == bdl__shape_count(&dataset->target_shape),
               BDL_ERR_SHAPE, "the labels of '%s' have shape %s, those of the training data %s",
               dataset->text, bdl__shape_text(&dataset->target_shape, got, sizeof got),
               bdl__shape_text(&heads->target_shape, want, sizeof want));
    return BDL_OK;
}

static bdl_status fill(bdl__heads *heads, const bdl__model *model, const bdl__dataset *dataset,
                       const char *loss, const char *metrics, const char *target)
{
    const bool is_input = target && strcmp(target, "input") == 0;
    BDL__CHECK(!target || is_input || strcmp(target, "label") == 0, BDL_ERR_INVALID_ARGUMENT,
               "target is 'label' or 'input', not '%s'", target);
    heads->target_is_input = is_input;
    heads->target_integer = !is_input && dataset->label_kind == BDL__LABEL_CLASS;
    if (is_input) {
        heads->target_shape = model->graph->inputs[0].shape;
    } else {
        heads->target_shape = heads->target_integer ? (bdl__shape){.rank = 0} : dataset->target_shape;
    }
    BDL__TRY(bdl__heads_check(heads, model, dataset));
    BDL__TRY(add(heads, loss && *loss ? loss : default_loss(model, heads), BDL__CRITERION));
    if (metrics && *metrics) {
        return add_metrics(heads, metrics);
    }
    if (!heads->target_integer) {
        return is_input ? BDL_OK : add(heads, "mae", BDL__METRIC);
    }
    BDL__TRY(add(heads, "top1", BDL__METRIC));
    return dataset->n_classes > 5 ? add(heads, "top5", BDL__METRIC) : BDL_OK;
}

bdl_status bdl__heads_create(const bdl_allocator *allocator, const bdl__model *model,
                             const bdl__dataset *dataset, const char *loss, const char *metrics,
                             const char *target, bdl__heads **heads)
{
    void *memory = NULL;
    BDL__TRY(bdl__alloc(allocator, sizeof **heads, &memory));
    bdl__heads *const made = memory;
    bdl__arena_init(&made->arena, allocator);
    const bdl_status status = fill(made, model, dataset, loss, metrics, target);
    if (status != BDL_OK) {
        bdl__heads_free(made);
        return status;
    }
    *heads = made;
    return BDL_OK;
}

void bdl__heads_free(bdl__heads *heads)
{
    if (heads) {
        const bdl_allocator *const allocator = heads->arena.allocator;
        bdl__arena_free(&heads->arena);
        bdl__free(allocator, heads, sizeof *heads);
    }
}
