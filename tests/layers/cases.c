/* SPDX-License-Identifier: Apache-2.0 */
/* Cases made into problems: graphs around the layer, and numbers for them. */
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char too_large_for_a_test[] = "too large for a test";

/* ---- the table -------------------------------------------------------------------------------
 * */

#define BDL_ENTRY(family) extern const layer_cases layer_cases_##family;
#include "layer_cases_gen.inc"
#undef BDL_ENTRY

#define BDL_ENTRY(family) &layer_cases_##family,
static const layer_cases *const tables[] = {
#include "layer_cases_gen.inc"
};
#undef BDL_ENTRY

static const layer_case *find_case(int64_t i)
{
    for (int64_t t = 0; t < BDL__COUNT_OF(tables); t++) {
        if (i < tables[t]->n) {
            return &tables[t]->cases[i];
        }
        i -= tables[t]->n;
    }
    return NULL;
}

const layer_case *case_at(int64_t i, char *name, size_t size)
{
    const layer_case *c = find_case(i);
    int64_t number = 0;
    if (!c) {
        return NULL;
    }
    for (int64_t j = 0; j < i; j++) {
        number += strcmp(find_case(j)->layer, c->layer) == 0;
    }
    (void)snprintf(name, size, "%s/%lld", c->layer, (long long)number);
    return c;
}

/* ---- references ------------------------------------------------------------------------------
 * */

#define BDL_ENTRY(name) extern const layer_reference layer_reference_##name;
#include "layer_references_gen.inc"
#undef BDL_ENTRY

#define BDL_ENTRY(name) {#name, &layer_reference_##name},
static const struct {
    const char *layer;
    const layer_reference *reference;
} references[] = {
#include "layer_references_gen.inc"
};
#undef BDL_ENTRY

layer_reference reference_of(const char *layer)
{
    for (int64_t i = 0; i < BDL__COUNT_OF(references); i++) {
        if (strcmp(references[i].layer, layer) == 0) {
            return *references[i].reference;
        }
    }
    return NULL;
}

/* ---- inputs ----------------------------------------------------------------------------------
 * */

static bdl_status parse_shape(const char **text, bdl__shape *shape)
{
    *shape = (bdl__shape){0};
    if (strncmp(*text, "scalar", 6) == 0) {
        *text += 6;
        return BDL_OK;
    }
    for (;;) {
        char *end;
        const long long size = strtoll(*text, &end, 10);
        BDL__CHECK(end != *text && size > 0 && shape->rank < BDL_MAX_RANK, BDL_ERR_INVALID_ARGUMENT,
                   "no shape at '%s'", *text);
        shape->dim[shape->rank++] = size;
        *text = end;
        if (**text != 'x') {
            return BDL_OK;
        }
        ++*text;
    }
}

bdl_status parse_inputs(const char *text, input_spec specs[MOST_INPUTS], int *n)
{
    *n = 0;
    while (*text && !strchr("~!", *text)) {
        BDL__CHECK(*n < MOST_INPUTS, BDL_ERR_INVALID_ARGUMENT, "too many inputs");
        input_spec *spec = &specs[(*n)++];
        *spec = (input_spec){.fill = "normal"};
        text += strspn(text, " ;");
        BDL__TRY(parse_shape(&text, &spec->shape));
        text += strspn(text, " ");
        const size_t size = strcspn(text, "; ~!");
        BDL__CHECK(size < sizeof spec->fill, BDL_ERR_INVALID_ARGUMENT, "no fill '%s'", text);
        if (size > 0) {
            memcpy(spec->fill, text, size);
            spec->fill[size] = '\0';
        }
        text += size;
        text += strspn(text, " ;");
        if (strncmp(spec->fill, "class", 5) == 0) {
            spec->integer = true;
            spec->n_classes = strtoll(spec->fill + 5, NULL, 10);
        }
    }
    return BDL_OK;
}

double case_slack(const layer_case *c)
{
    const char *tilde = strchr(c->inputs, '~');
    return tilde ? strtod(tilde + 1, NULL) : 1;
}

double case_factor(const layer_case *c)
{
    const char *mark = strchr(c->inputs, '!');
    return mark ? strtod(mark + 1, NULL) : 1;
}

double random_unit(uint64_t seed, uint32_t key, uint64_t position, uint32_t i_draw)
{
    const uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), key, i_draw};
    const uint32_t keys[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    bdl__philox(counter, keys, out);
    return (double)out[0] * 0x1p-32;
}

double random_normal(uint64_t seed, uint32_t key, uint64_t position)
{
    const double radius = sqrt(-2 * log(random_unit(seed, key, position, 0) + 0x1p-33));
    return radius * cos(6.283185307179586 * random_unit(seed, key, position, 1));
}

static double draw(const input_spec *spec, uint64_t seed, uint32_t key, uint64_t position,
                   int64_t i, int64_t count)
{
    const double u = random_unit(seed, key, position, 0);
    const char *fill = spec->fill;
    if (spec->integer) {
        return floor(u * (double)spec->n_classes);
    } else if (strcmp(fill, "far") == 0) {
        return 1000 + random_normal(seed, key, position);
    } else if (strcmp(fill, "positive") == 0) {
        return 0.1 + 3.9 * u;
    } else if (strcmp(fill, "unit") == 0) {
        return 0.05 + 0.9 * u;
    } else if (strcmp(fill, "inner") == 0) {
        return 1.8 * u - 0.9;
    } else if (strcmp(fill, "sign") == 0) {
        return u < 0.5 ? -1 : 1;
    } else if (strcmp(fill, "bit") == 0) {
        return u < 0.5;
    } else if (strcmp(fill, "share") == 0 || strcmp(fill, "logprob") == 0) {
        return 0.1 + u;
    } else if (strcmp(fill, "apart") == 0) {
        /* Multiplying by an odd number that 3 and 5 do not divide visits most counts once. */
        return (double)(i * 7919 % count) * 4.0 / (double)count - 2 + u / (double)count;
    } else if (strcmp(fill, "normal") == 0) {
        return random_normal(seed, key, position);
    }
    printf("unknown fill '%s'\n", fill);
    exit(2);
}

/* Makes a sample sum to 1 along its first axis. */
static void make_shares(double *x, int64_t n_first, int64_t n, bool is_log)
{
    for (int64_t i = 0; i < n / n_first; i++) {
        double sum = 0;
        for (int64_t c = 0; c < n_first; c++) {
            sum += x[c * (n / n_first) + i];
        }
        for (int64_t c = 0; c < n_first; c++) {
            double *place = &x[c * (n / n_first) + i];
            *place = is_log ? log(*place / sum) : *place / sum;
        }
    }
}

void fill_tensor(tensor *t, const input_spec *spec, uint64_t seed, uint32_t key,
                 int64_t first_sample)
{
    for (int64_t s = 0; s < t->n_samples; s++) {
        double *x = t->data + s * t->count;
        for (int64_t i = 0; i < t->count; i++) {
            const uint64_t position = ((uint64_t)(first_sample + s) << 32) + (uint64_t)i;
            x[i] = draw(spec, seed, key, position, i, t->count);
        }
        if (strcmp(spec->fill, "share") == 0 || strcmp(spec->fill, "logprob") == 0) {
            make_shares(x, spec->shape.dim[0], t->count, spec->fill[0] == 'l');
        }
        for (int64_t i = 0; i < t->count; i++) {
            x[i] = (double)(float)x[i];
        }
    }
}

/* ---- graphs ----------------------------------------------------------------------------------
 * */

typedef struct input_names {
    char text[MOST_INPUTS][32];
    const char *list[MOST_INPUTS];
} input_names;

static bool has_copies(surroundings around)
{
    return around == AFTER_COPY || around == AFTER_KEPT_COPY;
}

/* The graph's inputs x0, x1 ..., and where asked for a copy of each that is not an integer. */
static bdl_status add_inputs(bdl__graph *graph, const input_spec *specs, int n, bool copies,
                             input_names *names)
{
    for (int i = 0; i < n; i++) {
        (void)snprintf(names->text[i], sizeof names->text[i], "x%d", i);
        names->list[i] = names->text[i];
        BDL__TRY(bdl__graph_add_input(graph, names->text[i], &specs[i].shape, specs[i].integer));
    }
    for (int i = 0; i < n && copies; i++) {
        char copy[32];
        (void)snprintf(copy, sizeof copy, "copy%d", i);
        if (!specs[i].integer) {
            BDL__TRY(
                bdl__graph_add_text(graph, "mul_constant", copy, "1", &names->list[i], 1, NULL));
            memcpy(names->text[i], copy, sizeof copy);
        }
    }
    return BDL_OK;
}

static bdl_status add_outputs(bdl__graph *graph, const char *node, int n)
{
    for (int i = 0; i < n; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s:%d", node, i);
        BDL__TRY(bdl__graph_add_output(graph, i > 0 ? name : node));
    }
    return BDL_OK;
}

/* How many outputs the layer has: what infer says of the node that was just added. */
static bdl_status count_outputs(const layer_case *c, const input_spec *specs, int n_in,
                                const void *params, int *n_out)
{
    const bdl__layer *layer;
    bdl__shape shapes[MOST_INPUTS];
    bool integers[MOST_INPUTS];
    bdl__decl *decl = calloc(1, sizeof *decl);
    for (int i = 0; i < n_in; i++) {
        shapes[i] = specs[i].shape;
        integers[i] = specs[i].integer;
    }
    const bdl__infer_in in = {.n = n_in, .shape = shapes, .integer = integers};
    bdl_status status = decl ? bdl__layer_find(c->layer, &layer) : BDL_ERR_OUT_OF_MEMORY;
    if (status == BDL_OK) {
        status = layer->infer(params, &in, decl);
    }
    if (status == BDL_OK) {
        *n_out = decl->n_out;
        status = *n_out <= MOST_OUTPUTS / 2 ? BDL_OK : BDL_ERR_UNSUPPORTED;
    }
    free(decl);
    return status;
}

static bdl_status add_layer(const layer_case *c, surroundings around, const input_spec *specs,
                            int n_in, bdl__graph *graph)
{
    input_names names;
    BDL__TRY(add_inputs(graph, specs, n_in, has_copies(around), &names));
    int n_out = 0;
    const char *const name = around == SECOND_ALONE ? "second" : "layer";
    bdl__node *node;
    BDL__TRY(bdl__graph_add_text(graph, c->layer, name, c->params, names.list, n_in, &node));
    node->frozen = around == FROZEN;
    if (count_outputs(c, specs, n_in, node->params, &n_out) != BDL_OK) {
        BDL__TRY(bdl__graph_finish(graph)); /* fails likewise, with the error that users see */
        BDL__FAIL(BDL_ERR_UNSUPPORTED, "%s", too_large_for_a_test);
    }
    BDL__TRY(add_outputs(graph, name, n_out));
    if (around == BESIDE || around == BESIDE_SILENT || around == SHARING) {
        BDL__TRY(
            bdl__graph_add_text(graph, c->layer, "second", c->params, names.list, n_in, &node));
        node->share = around == SHARING ? "layer" : NULL;
        BDL__TRY(add_outputs(graph, "second", n_out));
    }
    for (int i = 0; i < n_in && around == AFTER_KEPT_COPY; i++) {
        if (!specs[i].integer) {
            BDL__TRY(bdl__graph_add_output(graph, names.list[i]));
        }
    }
    return BDL_OK;
}

static bdl_status add_head(const layer_case *c, const bdl__layer *layer, const input_spec *specs,
                           bdl__arena *arena, problem *p)
{
    input_names names;
    void *params = NULL;
    BDL__TRY(add_inputs(p->graph, specs, 1, true, &names));
    BDL__TRY(bdl__arena_alloc(arena, layer->schema.params_size + 1, &params));
    BDL__TRY(bdl__params_from_text(&layer->schema, arena, c->params, params));
    p->head = layer;
    p->head_params = params;
    return BDL_OK;
}

/* ---- numbers ---------------------------------------------------------------------------------
 * */

enum { KEY_INPUT = 0, KEY_DIFF = 100, KEY_WEIGHT = 200, KEY_BUFFER = 300, KEY_SECOND = 50 };

/* What a node's numbers are drawn from: the second node has others than the first. */
static uint32_t key_of_node(const problem *p, int64_t i_node)
{
    return strcmp(p->graph->nodes[i_node]->name, "second") == 0 ? KEY_SECOND : 0;
}

/* Weights as initialized, and moved: ones and zeros would hide errors. */
static bdl_status fill_weights(problem *p, uint64_t seed, bdl__arena *arena)
{
    const bdl__graph *graph = p->graph;
    const size_t size = sizeof(tensor) / sizeof(double) + 1;
    p->n_weights = graph->n_params;
    p->n_buffers = graph->n_buffers;
    p->weights = (tensor *)(void *)make_doubles(arena, p->n_weights * (int64_t)size);
    p->buffers = (tensor *)(void *)make_doubles(arena, p->n_buffers * (int64_t)size);
    for (int64_t w = 0; w < p->n_weights; w++) {
        const bdl__weight_decl *decl = graph->params[w].decl;
        const int64_t i_weight = w - graph->nodes[graph->params[w].node]->first_param;
        const uint32_t key =
            KEY_WEIGHT + key_of_node(p, graph->params[w].node) + (uint32_t)i_weight;
        tensor *t = &p->weights[w];
        *t = make_tensor(arena, &decl->shape, false, 1);
        BDL__TRY(bdl__init_fill(decl->init, &decl->shape, decl->fan_in, decl->fan_out, seed, key,
                                BDL_F64, t->data));
        for (int64_t i = 0; i < t->count; i++) {
            t->data[i] += 0.2 * random_normal(seed, key, (uint64_t)i);
            t->data[i] = (double)(float)t->data[i];
        }
    }
    for (int64_t b = 0; b < p->n_buffers; b++) {
        tensor *t = &p->buffers[b];
        *t = make_tensor(arena, &graph->buffers[b].decl->shape, false, 1);
        for (int64_t i = 0; i < t->count; i++) {
            const double u = random_unit(seed, KEY_BUFFER + (uint32_t)b, (uint64_t)i, 0);
            t->data[i] = (double)(float)(graph->buffers[b].decl->value + 0.5 * u);
        }
    }
    return BDL_OK;
}

static void fill_diffs(problem *p, surroundings around, uint64_t seed, int64_t first_sample,
                       bdl__arena *arena)
{
    const input_spec normal = {.fill = "normal"};
    p->n_out = p->head ? 0 : (int)p->graph->n_outputs;
    for (int i = 0; i < p->n_out; i++) {
        const bdl__ref ref = p->graph->outputs[i];
        const char *node = p->graph->nodes[ref.node]->name;
        p->out_diff[i] = make_tensor(arena, bdl__graph_shape(p->graph, ref), false, p->n_samples);
        const bool is_second = strcmp(node, "second") == 0;
        if (strncmp(node, "copy", 4) != 0 && !(is_second && around == BESIDE_SILENT)) {
            const uint32_t key = around == OTHER_DIFFS ? KEY_SECOND : key_of_node(p, ref.node);
            fill_tensor(&p->out_diff[i], &normal, seed, KEY_DIFF + key + (uint32_t)ref.port,
                        first_sample);
        }
    }
}

static bdl_status make_graph(const layer_case *c, surroundings around, const input_spec *specs,
                             int n, bdl__arena *arena, problem *p)
{
    const bdl__layer *layer;
    BDL__TRY(bdl__graph_create(bdl__default_allocator(), "case", &p->graph));
    BDL__TRY(bdl__layer_find(c->layer, &layer));
    if (layer->kind == BDL__LAYER) {
        p->n_in = n;
        BDL__TRY(add_layer(c, around, specs, n, p->graph));
    } else {
        BDL__CHECK(n == 2, BDL_ERR_INVALID_ARGUMENT, "a head's case needs input and target");
        p->n_in = 1;
        BDL__TRY(add_head(c, layer, specs, arena, p));
    }
    return bdl__graph_finish(p->graph);
}

static bdl_status check_size(const bdl__graph *graph)
{
    enum { MOST = 200000 };
    double n = (double)graph->weights_count;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        for (int j = 0; j < graph->nodes[i]->decl.n_out; j++) {
            n += (double)bdl__shape_count(&graph->nodes[i]->decl.out[j]);
        }
    }
    BDL__CHECK(n <= MOST, BDL_ERR_UNSUPPORTED, "%s", too_large_for_a_test);
    return BDL_OK;
}

bdl_status make_problem(const layer_case *c, surroundings around, int64_t first_sample,
                        int64_t n_samples, uint64_t seed, bdl__arena *arena, problem *p)
{
    input_spec specs[MOST_INPUTS];
    int n;
    memset(p, 0, sizeof *p);
    p->n_samples = n_samples;
    BDL__TRY(parse_inputs(c->inputs, specs, &n));
    BDL__TRY(make_graph(c, around, specs, n, arena, p));
    BDL__TRY(check_size(p->graph));
    for (int i = 0; i < n; i++) {
        tensor *t = i < p->n_in ? &p->in[i] : &p->target;
        *t = make_tensor(arena, &specs[i].shape, specs[i].integer, n_samples);
        fill_tensor(t, &specs[i], seed, KEY_INPUT + (uint32_t)i, first_sample);
    }
    fill_diffs(p, around, seed, first_sample, arena);
    return fill_weights(p, seed, arena);
}

void free_problem(problem *p)
{
    bdl__graph_release(p->graph);
    p->graph = NULL;
}
